"""Point tracks: curves, drawing and their text (spec 07 §6.6, §13.13)."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ltx_core_impl.media import draw_tracks, parse_tracks, spline
from ltx_core_impl.media.tracks import Point

MOVING = [Point(100 + 4 * frame, 200) for frame in range(61)]


def test_spline_through_three_points() -> None:
    points = spline([Point(0, 0), Point(10, 20), Point(30, 20)], samples=9)
    assert points == [(0, 0), (2, 4), (4, 10), (7, 16), (10, 20), (15, 21), (21, 21), (26, 20), (30, 20)]


def test_one_point_stands_still_and_two_make_a_line() -> None:
    assert spline([Point(3, 4)], samples=3) == [(3, 4)] * 3
    assert spline([Point(0, 0), Point(10, 20)], samples=3) == [(0, 0), (5, 10), (10, 20)]
    with pytest.raises(ValueError, match="at least one point"):
        spline([], samples=3)


def test_drawing_gives_the_numbers_of_the_spec() -> None:
    video = draw_tracks([MOVING], height=544, width=960)
    assert video.shape == (61, 544, 960, 3)
    sums = [video[frame].sum().item() for frame in (0, 10, 50, 60)]
    assert sums == pytest.approx([50.8612, 415.7993, 1251.5789, 1247.4438], abs=2e-3)
    assert video[60, 200, 340].tolist() == [0, 0, 1]
    assert video[60, 200, 140].tolist() == [1, 0, 0]


def test_points_outside_the_picture_are_left_out() -> None:
    assert draw_tracks([[Point(-500, 10)], [Point(30, 9000)]], height=64, width=96).sum() == 0
    assert draw_tracks([[Point(0, 0)]], height=544, width=960)[0, :4, :4].sum() > 0


def test_tracks_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"lengths \[1, 2\]"):
        draw_tracks([[Point(0, 0)], [Point(0, 0), Point(1, 1)]], height=64, width=64)


def test_tracks_from_text_and_from_an_editor() -> None:
    assert parse_tracks("# path\n1,2 3.5,-4\n\n7,8\n") == [[(1, 2), (3.5, -4)], [(7, 8)]]
    assert parse_tracks('[[{"x": 1, "y": 2}], [{"x": 3, "y": 4}]]') == [[(1, 2)], [(3, 4)]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no tracks"),
        ("1,2\n3;4", "Line 2 has '3;4'"),
        ("1,2,3", "Line 1"),
        ("1,nan", "Line 1"),
        ("__import__('os')", "not a point"),
        ("[[1, 2]]", "JSON"),
        ("[[]]", "no tracks"),
        ('[[{"x": true, "y": 1}]]', "JSON"),
    ],
)
def test_other_texts_are_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_tracks(text)


@given(st.lists(st.tuples(st.integers(-99, 999), st.integers(-99, 999)), min_size=1, max_size=5), st.integers(2, 40))
def test_a_spline_starts_and_ends_at_its_points(points: list[tuple[int, int]], samples: int) -> None:
    curve = spline([Point(*point) for point in points], samples)
    assert (len(curve), curve[0], curve[-1]) == (samples, points[0], points[-1])


def test_drawing_is_in_half_precision() -> None:
    video = draw_tracks([MOVING[:12]], height=100, width=150)
    assert torch.equal(video, video.half().float())
