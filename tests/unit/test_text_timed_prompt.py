"""Prompts with times: what is a time, what belongs to which shot, and which times are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltx_core_impl.text_encoders.timed_prompt import Shot, TimedPromptError, parse_timed_prompt


def shots(text: str, fps: float = 24.0) -> list[tuple[float, float | None, str]]:
    return [(shot.start, shot.end, shot.text) for shot in parse_timed_prompt(text, fps).shots]


@pytest.mark.parametrize(
    "text",
    [
        "0-2s: a\n2-5s: b",
        "0s-2s: a\n2s-5s: b",
        "0 - 2 s: a\n2 – 5 sec: b",
        "[0-2s]: a\n(2 to 5 seconds): b",
        "0:00-0:02: a\n0:02-0:05: b",
        "[00:00-00:02]: a\n[00:02-00:05.0]: b",
        "0-48f: a\n48-120 frames: b",
        "0s: a\n2-5s: b",
        "+2s: a\n+3s: b",
        "0-2s: a\n+72f: b",
        "  0-2S:a  \n\n2-5s:\n  b",
        "0.0-2.01s: a\n2-5s: b",
        "0-2s: a / 2-5s: b",
        "0-2s: a; [0:02-0:05]: b",
        "0-2s: a +3s: b",
    ],
)
def test_ways_to_write_the_same_two_shots(text: str) -> None:
    assert shots(text) == [(0.0, 2.0, "a"), (2.0, 5.0, "b")]


def test_the_last_shot_may_be_open() -> None:
    for text in ("0-2s: a\n2s: b", "0-2s: a\n2s-: b", "0:00: a\n0:02: b", "[0]: a\n[2]: b"):
        assert shots(text) == [(0.0, 2.0, "a"), (2.0, None, "b")]


def test_what_stands_before_the_first_time_is_said_of_all() -> None:
    prompt = parse_timed_prompt("A rainy street.\n\n0-2s: a man\nwalks.\n2-4s: He stops.", 24.0)
    assert prompt.common == "A rainy street."
    assert prompt.texts == ["A rainy street. a man\nwalks.", "A rainy street. He stops."]
    assert prompt.cuts == (2.0,)


@pytest.mark.parametrize(
    "text",
    [
        "a red circle",
        "3: the magic number",
        "At 2s: nothing",
        "a\nb: c",
        "2024-25 season: goals",
        "",
        "[3s: a",
        "1-2-3: go",
    ],
)
def test_other_colons_are_text(text: str) -> None:
    prompt = parse_timed_prompt(text, 24.0)
    assert prompt.shots == () and prompt.texts == [text]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1-2s: a", "first shot starts at 1 s"),
        ("0-2s: a\n3-4s: b", r"Shot 1 ends at 2 s and shot 2 starts at 3 s, which leaves a gap"),
        ("0-2s: a\n1-4s: b", "leaves an overlap"),
        ("0-0s: a", "Shot 1 would last from 0 s to 0 s"),
        ("0-2s: a\n2-1s: b", "Shot 2 would last from 2 s to 1 s"),
        ("0-2s:\n2-4s: b", "Shot 1 of 2 has no text"),
        ("0s: a\n+2s: b", "Shot 2 follows one that has no end"),
    ],
)
def test_times_that_are_not_one_after_another_are_refused(text: str, message: str) -> None:
    with pytest.raises(TimedPromptError, match=message):
        parse_timed_prompt(text, 24.0)


def test_shots_fill_the_clip() -> None:
    prompt = parse_timed_prompt("0-2s: a\n2-5s: b", 24.0)
    for frames in (113, 121, 125):
        prompt.check_length(frames, 24.0)
    with pytest.raises(TimedPromptError, match=r"end at 5 s, but the clip lasts 10\.04 s \(241 frames\)"):
        prompt.check_length(241, 24.0)
    with pytest.raises(TimedPromptError, match=r"end at 5 s, but the clip lasts 4\.042 s"):
        prompt.check_length(97, 24.0)
    with pytest.raises(TimedPromptError, match="last shot starts at 2 s"):
        prompt.check_length(41, 24.0)
    parse_timed_prompt("0-2s: a\n2s: b", 24.0).check_length(241, 24.0)
    parse_timed_prompt("no times", 24.0).check_length(9, 24.0)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=6), st.sampled_from([8.0, 23.976, 24.0, 30.0, 50.0]))
def test_lengths_in_frames_add_up(lengths: list[int], fps: float) -> None:
    prompt = parse_timed_prompt("\n".join(f"+{length}f: text" for length in lengths), fps)
    assert prompt.shots[-1].end == pytest.approx(sum(lengths) / fps)
    assert len(prompt.shots) == len(lengths) and isinstance(prompt.shots[0], Shot)


@given(st.text())
def test_any_text_is_parsed_or_refused_by_name(text: str) -> None:
    try:
        prompt = parse_timed_prompt(text, 24.0)
    except TimedPromptError:
        return
    assert len(prompt.texts) == max(1, len(prompt.shots))
