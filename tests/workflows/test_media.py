"""The media graphs in a real ComfyUI server, with tiny models: what comes out, and that their nodes act."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest

from ltx_core_impl.media import read_audio
from tests.pipeline_helpers import FPS, HEIGHT, SOURCE_FRAMES, WIDTH, with_inputs, write_inputs
from tools.graphs.media import GRAPHS
from tools.graphs.tiny import STG_BLOCKS, VERSIONS, with_tiny_models
from tools.provision import REPO
from tools.server import Event, Prompt, PromptRejected, RunResult, Server

FRAMES, LONG = 17, 33
TRACKED = (9, 256, 192)  # the dots of smaller pictures fall between the pixels
SIZE = {"width": WIDTH, "height": HEIGHT, "length": FRAMES, "steps": 2}
# The answer of the tiny Gemma to this seed ends by itself.
SEED, MAX_TOKENS = 48, 400
CHANGES: dict[str, dict[str, Any]] = {
    "LoadImage": {"image": "source.png"},
    "LTX2ContextWindows": {"window_length": 17, "overlap": 8},
    "LTX2SpatialTiles": {"overlap": 32},
    "LTX2GuidanceSchedule": {"stg_blocks": STG_BLOCKS},
    "LTX2DrawTracks": dict(zip(("length", "width", "height"), TRACKED, strict=True), tracks="20,20 200,90"),
    "LTX2EnhancePrompt": {"max_tokens": MAX_TOKENS, "seed": SEED},
    "LTX2EncodeVideoFile": {"width": WIDTH, "height": HEIGHT},
}


class Expected(NamedTuple):
    frames: int = FRAMES
    width: int = WIDTH
    height: int = HEIGHT
    fps: int = 24


EXPECTED = {
    "save-video": Expected(),
    "refine-video-file": Expected(),
    "hdr": Expected(fps=FPS),
    "prompt-enhancement": Expected(),
    "guidance-over-time": Expected(),
    "long-video": Expected(frames=LONG),
    "several-shots": Expected(),
    "motion-tracks": Expected(*TRACKED),
}


@pytest.fixture(scope="module", autouse=True)
def inputs(server: Server) -> Path:
    folder = server.output.parent / "input"
    write_inputs(folder)
    return folder


def media_prompt(name: str, version: str = "2.3") -> Prompt:
    prompt = json.loads((REPO / "workflows" / "api" / f"{name}.json").read_text("utf-8"))
    size = SIZE | ({"length": LONG} if name == "long-video" else {})
    if name == "motion-tracks":
        size |= dict(zip(("length", "width", "height"), TRACKED, strict=True))
    prompt = with_tiny_models(prompt, version, **size)
    for node in prompt.values():
        changes = CHANGES.get(node["class_type"], {})
        node["inputs"] |= {
            key: value for key, value in changes.items() if not isinstance(node["inputs"].get(key), list)
        }
    if name == "motion-tracks":
        prompt = with_inputs(prompt, "LTX2LoraLoader", lora=f"ltx-{version}-tiny-lora-b.safetensors")
    if name == "hdr":
        prompt = with_inputs(prompt, "LTX2EncodeVideoFile", "Full size", width=2 * WIDTH, height=2 * HEIGHT)
    return prompt


def run(server: Server, prompt: Prompt, **options: Any) -> RunResult:
    done = server.client.run(prompt, **options)
    assert done.status == "success", f"{done.error}\n{server.log_tail()}"
    return done


def video_of(server: Server, prompt: Prompt) -> Path:
    [path] = [path for path in run(server, prompt).files if path.suffix == ".mp4"]
    return path


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(np.float32)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).mean())


def test_every_graph_is_tested() -> None:
    assert {graph.name for graph in GRAPHS} == EXPECTED.keys()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", EXPECTED)
def test_frames_size_rate_and_length_of_sound(server: Server, name: str, version: str) -> None:
    expected = EXPECTED[name]
    path = video_of(server, media_prompt(name, version))
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert video.average_rate == Fraction(expected.fps)
        assert (video.width, video.height) == (expected.width, expected.height)
        assert float(audio.duration * audio.time_base) == pytest.approx(expected.frames / expected.fps, abs=0.04)
    assert len(decode(path)) == expected.frames


def test_dropping_the_saved_file_restores_the_graph(server: Server) -> None:
    prompt = media_prompt("save-video")
    with av.open(str(video_of(server, prompt))) as container:
        stored = json.loads(container.metadata["prompt"])
    assert stored.keys() == prompt.keys()
    # ComfyUI adds its own notes to the nodes.
    assert all(all(stored[key][name] == node[name] for name in node) for key, node in prompt.items())


def test_saving_shows_progress_and_the_video(server: Server) -> None:
    prompt = with_inputs(media_prompt("save-video"), "LTX2SaveVideo", temporal_size=16, temporal_overlap=8, crf=30)
    [node] = [key for key, one in prompt.items() if one["class_type"] == "LTX2SaveVideo"]
    seen: set[float] = set()
    shown: list[Any] = []

    def note(event: Event) -> None:
        if event["type"] == "progress_state" and node in event["data"]["nodes"]:
            seen.add(event["data"]["nodes"][node]["value"])
        if event["type"] == "executed" and event["data"]["node"] == node:
            shown.append(event["data"]["output"])

    run(server, prompt, on_event=note)
    assert len(seen) >= 2
    assert shown[0]["animated"] == [True] and shown[0]["images"][0]["filename"].endswith(".mp4")


def test_a_refined_file_follows_its_source(server: Server, inputs: Path) -> None:
    prompt = media_prompt("refine-video-file")
    mine, other = (
        video_of(server, with_inputs(prompt, "LTX2EncodeVideoFile", file=name)) for name in ("source.mp4", "other.mp4")
    )
    assert distance(decode(mine), decode(other)) > 0.5
    # The sound is the file's own, but for AAC.
    written, source = read_audio(mine).waveform, read_audio(inputs / "source.mp4").waveform
    length = min(written.shape[1], source.shape[1]) - 2048
    assert (written[:, :length] - source[:, :length]).abs().mean() < 0.02


def test_hdr_writes_an_exr_for_every_frame(server: Server) -> None:
    before = set((server.output / "hdr").glob("*/*.exr"))
    video_of(server, with_inputs(media_prompt("hdr"), "LTX2SaveHDR", exposure=0.5))
    files = sorted(set((server.output / "hdr").glob("*/*.exr")) - before)
    assert [path.name for path in files] == [f"frame_{index:05d}.exr" for index in range(FRAMES)]
    with av.open(str(files[0])) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (WIDTH, HEIGHT)


def test_the_enhanced_prompt_is_shown_and_a_cut_one_is_an_error(server: Server) -> None:
    prompt = media_prompt("prompt-enhancement")
    texts: list[str] = []

    def note(event: Event) -> None:
        if event["type"] == "executed" and prompt[event["data"]["node"]]["class_type"] == "LTX2EnhancePrompt":
            texts.extend(event["data"]["output"]["text"])

    server.client.free()
    run(server, with_inputs(prompt, "LTX2EnhancePrompt", max_tokens=MAX_TOKENS + 1), on_event=note)
    assert texts and texts[0].strip()
    assert list((server.output / "contexts").glob("*.safetensors"))
    cut = server.client.run(with_inputs(prompt, "LTX2EnhancePrompt", max_tokens=2))
    assert cut.status == "error" and "not finished after 2 tokens" in cut.error


def test_guidance_over_time_acts(server: Server) -> None:
    prompt = media_prompt("guidance-over-time")
    pictures = [
        decode(video_of(server, with_inputs(prompt, "LTX2GuidanceSchedule", "Guidance of the picture", **change)))
        for change in ({}, {"cfg_rule": "apg"}, {"sigmas": "1.0, 0.05, 0.02"})
    ]
    assert distance(pictures[0], pictures[1]) > 0.1
    assert distance(pictures[0], pictures[2]) > 0.1


def test_a_long_video_follows_every_segment(server: Server) -> None:
    prompt = media_prompt("long-video")
    variants = ("A man.\n---\nA cat.", "A man.\n---\nA dog barks.", "A ship.\n---\nA cat.")
    films = [decode(video_of(server, with_inputs(prompt, "LTX2SegmentPrompts", prompts=text))) for text in variants]
    assert distance(films[0], films[1]) > 0.1
    assert distance(films[0], films[2]) > 0.1


def test_tracks_move_the_picture(server: Server) -> None:
    prompt = media_prompt("motion-tracks")
    other = with_inputs(prompt, "LTX2DrawTracks", tracks="20,150 40,10\n200,30")
    assert distance(*(decode(video_of(server, one)) for one in (prompt, other))) > 0.1


@pytest.mark.parametrize(
    ("name", "type", "inputs", "words"),
    [
        ("save-video", "LTX2SaveVideo", {"filename_prefix": "../x"}, "inside ComfyUI's output folder"),
        ("save-video", "LTX2SaveVideo", {"crf": 70}, "crf is 70"),
        ("refine-video-file", "LTX2EncodeVideoFile", {"file": "none.mp4"}, "not in ComfyUI's input folder"),
        ("long-video", "LTX2ContextWindows", {"overlap": 24}, "must bring new frames"),
        ("long-video", "LTX2SegmentPrompts", {"prompts": "a\n---\n"}, "Prompt 2 of 2 is empty"),
        ("guidance-over-time", "LTX2GuidanceSchedule", {"sigmas": "0.1, 1"}, "must fall"),
        ("motion-tracks", "LTX2DrawTracks", {"tracks": "import os"}, "not a point"),
        ("prompt-enhancement", "LTX2EnhancePrompt", {"prompt": " "}, "prompt is empty"),
    ],
)
def test_wrong_values_are_refused_when_the_graph_is_queued(
    server: Server, name: str, type: str, inputs: dict[str, Any], words: str
) -> None:
    prompt = media_prompt(name)
    next(node for node in prompt.values() if node["class_type"] == type)["inputs"] |= inputs
    with pytest.raises(PromptRejected, match=words):
        server.client.run(prompt)


def test_a_file_too_short_for_what_is_asked_is_refused_with_the_numbers(server: Server) -> None:
    prompt = with_inputs(media_prompt("refine-video-file"), "LTX2EncodeVideoFile", length=121)
    done = server.client.run(prompt)
    available = -(-SOURCE_FRAMES * 24 // FPS)
    assert done.status == "error" and f"has {available} at 24 per second. Set length to 17" in done.error
