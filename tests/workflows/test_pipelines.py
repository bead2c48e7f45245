"""The graphs of all pipelines in a real ComfyUI server, with tiny models: what comes out, and that the inputs act."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest

from ltx_core_impl.media import read_audio
from tests.pipeline_helpers import (
    FPS,
    FRAMES,
    HEIGHT,
    SOURCE_FRAMES,
    WIDTH,
    pipeline_prompt,
    with_inputs,
    write_inputs,
)
from tools.graphs import pipelines, videos
from tools.graphs.tiny import VERSIONS
from tools.server import Prompt, PromptRejected, Server

AUDIO_LATENT_SECONDS = 0.04


class Expected(NamedTuple):
    frames: int = FRAMES
    width: int = WIDTH
    height: int = HEIGHT
    fps: int = FPS


TWICE = Expected(width=2 * WIDTH, height=2 * HEIGHT)
EXPECTED = {
    "image-to-video": Expected(fps=24),
    "first-last-frame": Expected(fps=24),
    "keyframe-interpolation": TWICE._replace(fps=24),
    "two-stage": TWICE._replace(fps=24),
    "two-stage-hq": TWICE._replace(fps=24),
    "two-stage-distilled": TWICE._replace(fps=24),
    "image-to-video-distilled": TWICE._replace(fps=24),
    "audio-to-video": TWICE._replace(fps=24),
    "image-and-audio-to-video": TWICE._replace(fps=24),
    "ic-lora": TWICE,
    "video-to-video": Expected(),
    "pixel-upscale": Expected(),
    "video-to-audio": Expected(),
    "retake": Expected(),
    "extend": Expected(frames=FRAMES + 8),
    "inpaint": Expected(),
    "outpaint": Expected(width=WIDTH + 64),
    "inpaint-ic-lora": Expected(),
    "lipdub": TWICE,
    "upscale-refine": TWICE,
    "temporal-upscale": Expected(frames=2 * FRAMES - 1, fps=2 * FPS),
    "detail": Expected(),
}
SOUND_ALONE = "text-to-audio"


@pytest.fixture(scope="module", autouse=True)
def films(server: Server) -> Path:
    """The folder with the films, pictures and sounds that the graphs load."""
    folder = server.output.parent / "input"
    write_inputs(folder)
    return folder


def result(server: Server, prompt: Prompt) -> Path:
    done = server.client.run(prompt)
    assert done.status == "success", f"{done.error}\n{server.log_tail()}"
    [path] = done.files
    return path


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(np.float32)


def waveform(path: Path) -> np.ndarray:
    return read_audio(path).waveform.reshape(2, -1).numpy()


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).mean())


def test_every_graph_is_tested() -> None:
    names = {graph.name for module in (pipelines, videos) for graph in module.GRAPHS}
    assert names == {*EXPECTED, SOUND_ALONE}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", EXPECTED)
def test_frames_size_rate_and_length_of_sound(server: Server, name: str, version: str) -> None:
    expected = EXPECTED[name]
    path = result(server, pipeline_prompt(name, version))
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert video.average_rate == Fraction(expected.fps)
        assert (video.width, video.height) == (expected.width, expected.height)
        sound = float(audio.duration * audio.time_base)
    assert decode(path).shape == (expected.frames, expected.height, expected.width, 3)
    assert sound == pytest.approx(expected.frames / expected.fps, abs=AUDIO_LATENT_SECONDS)


@pytest.mark.parametrize("version", VERSIONS)
def test_sound_alone(server: Server, version: str) -> None:
    prompt = pipeline_prompt(SOUND_ALONE, version)
    path = result(server, prompt)
    other = result(server, with_inputs(prompt, "LTX2TextEncode", "Prompt", prompt="A dog barks."))
    assert distance(*(read_audio(one).waveform.numpy() for one in (path, other))) > 1e-4
    with av.open(str(path)) as container:
        assert not container.streams.video
        audio = container.streams.audio[0]
        assert audio.codec_context.name == "flac"
        assert float(audio.duration * audio.time_base) == pytest.approx(FRAMES / 24, abs=AUDIO_LATENT_SECONDS)


ANOTHER = {
    "image-to-video": ("LoadImage", None, {"image": "other.png"}),
    "first-last-frame": ("LoadImage", "Last frame", {"image": "other.png"}),
    "keyframe-interpolation": ("LoadImage", "Image 2", {"image": "other.png"}),
    "two-stage": ("LoadImage", None, {"image": "other.png"}),
    "image-to-video-distilled": ("LoadImage", None, {"image": "other.png"}),
    "audio-to-video": ("LoadAudio", None, {"audio": "other.wav"}),
    "image-and-audio-to-video": ("LoadImage", None, {"image": "other.png"}),
    "ic-lora": ("LoadVideo", "Control video", {"file": "other.mp4"}),
    "video-to-video": ("LoadVideo", None, {"file": "other.mp4"}),
    "pixel-upscale": ("LoadVideo", None, {"file": "other.mp4"}),
    "lipdub": ("LoadVideo", None, {"file": "other.mp4"}),
    "upscale-refine": ("LoadVideo", None, {"file": "other.mp4"}),
    "temporal-upscale": ("LoadVideo", None, {"file": "other.mp4"}),
    "detail": ("LoadVideo", None, {"file": "other.mp4"}),
    "two-stage-hq": ("LTX2LoraLoader", "Distilled LoRA, stage 1", {"strength": 1.0}),
}


@pytest.mark.parametrize("name", ANOTHER)
def test_another_input_gives_another_picture(server: Server, name: str) -> None:
    type, title, other = ANOTHER[name]
    prompt = pipeline_prompt(name)
    pictures = [decode(result(server, one)) for one in (prompt, with_inputs(prompt, type, title, **other))]
    assert distance(*pictures) > 0.5


@pytest.mark.parametrize(("name", "kept"), [("retake", slice(0, 9)), ("extend", slice(0, FRAMES))])
def test_kept_time_is_the_source_and_the_rest_is_new(server: Server, films: Path, name: str, kept: slice) -> None:
    source = decode(films / "source.mp4")[:FRAMES]
    made = decode(result(server, pipeline_prompt(name)))
    new = made[kept.stop :]
    assert distance(made[kept], source[kept]) < 3  # what two H.264 encodings lose
    assert len(new) == 8
    assert distance(new, np.broadcast_to(source[-1], new.shape)) > 15


@pytest.mark.parametrize(("name", "grown"), [("inpaint", 0), ("inpaint-ic-lora", 16)])
def test_kept_places_are_the_source_and_the_rest_is_new(server: Server, films: Path, name: str, grown: int) -> None:
    source = decode(films / "source.mp4")[:FRAMES]
    painted = decode(result(server, pipeline_prompt(name)))
    edge = WIDTH // 2 + grown
    assert distance(painted[:, :, edge + 4 :], source[:, :, edge + 4 :]) < 3
    assert distance(painted[:, :, :edge], source[:, :, :edge]) > 15


def test_a_widened_picture_keeps_its_middle(server: Server, films: Path) -> None:
    source = decode(films / "source.mp4")[:FRAMES]
    outpainted = decode(result(server, pipeline_prompt("outpaint")))
    assert distance(outpainted[:, :, 36 : 32 + WIDTH - 4], source[:, :, 4:-4]) < 3


@pytest.mark.parametrize(
    "name", ["audio-to-video", "video-to-video", "pixel-upscale", "upscale-refine", "detail", "temporal-upscale"]
)
def test_given_sound_goes_into_the_result(server: Server, films: Path, name: str) -> None:
    given = waveform_of_source(films, name)
    made = waveform(result(server, pipeline_prompt(name)))
    length = min(given.shape[1], made.shape[1])
    spectra = [np.abs(np.fft.rfft(one[0, :length])) for one in (given, made)]
    assert spectra[0].argmax() == pytest.approx(spectra[1].argmax(), abs=1)  # the tone
    assert np.corrcoef(*spectra)[0, 1] > 0.95


def waveform_of_source(films: Path, name: str) -> np.ndarray:
    sound = read_audio(films / ("source.wav" if name == "audio-to-video" else "source.mp4"))
    return sound.waveform.reshape(-1, sound.waveform.shape[-1]).numpy()


def test_the_picture_stays_and_decides_the_sound(server: Server, films: Path) -> None:
    prompt = pipeline_prompt("video-to-audio")
    path = result(server, prompt)
    assert distance(decode(path), decode(films / "source.mp4")[:FRAMES]) < 3
    other = result(server, with_inputs(prompt, "LoadVideo", file="other.mp4"))
    assert distance(waveform(path), waveform(other)) > 1e-4


def test_the_sound_of_stage_1_can_be_kept(server: Server) -> None:
    prompt = pipeline_prompt("two-stage-distilled")
    refined = waveform(result(server, prompt))
    kept = waveform(result(server, with_inputs(prompt, "LTX2FreezeLatent", frozen=True)))
    assert distance(refined, kept) > 1e-4
    # Another schedule of stage 2 changes the refined sound, not the kept one.
    longer = with_inputs(prompt, "LTX2LatentNoise", "Noise of stage 2", seed=99)
    assert distance(waveform(result(server, longer)), refined) > 1e-4
    assert np.array_equal(waveform(result(server, with_inputs(longer, "LTX2FreezeLatent", frozen=True))), kept)


@pytest.mark.parametrize(
    ("name", "type", "inputs", "words"),
    [
        ("image-to-video", "LTX2ImageGuide", {"frame_index": 17}, ["17", "0 to 16", "-17"]),
        ("image-to-video", "LTX2ImageGuide", {"frame_index": -18}, ["-18", "17 frames"]),
        ("retake", "LTX2RetakeRegion", {"start_time": 5.0, "end_time": 6.0}, ["5.0 to 6.0", "0.68"]),
        ("extend", "LTX2ExtendClip", {"frames_after": 10}, ["8 or 16"]),
        ("video-to-audio", "LTX2FitVideo", {"length": 25}, [f"{SOURCE_FRAMES} frames", "17"]),
    ],
)
def test_what_does_not_fit_the_inputs_is_refused_where_it_is_set(
    server: Server, name: str, type: str, inputs: dict[str, Any], words: list[str]
) -> None:
    prompt = with_inputs(pipeline_prompt(name), type, **inputs)
    done = server.client.run(prompt)
    assert done.status == "error"
    assert prompt[done.node_id]["class_type"] == type
    assert [word for word in words if word not in done.error] == [], done.error


@pytest.mark.parametrize(
    ("name", "type", "inputs", "words"),
    [
        ("image-to-video", "LTX2ImageGuide", {"crf": 52}, ["crf", "51"]),
        ("image-to-video", "LTX2ImageGuide", {"strength": 1.5}, ["strength"]),
        ("ic-lora", "LTX2ReferenceVideoGuide", {"attention_strength": -1.0}, ["attention_strength"]),
        ("ic-lora", "LTX2ReferenceVideoGuide", {"tile_size": 100}, ["100", "32"]),
        ("retake", "LTX2RetakeRegion", {"start_time": 3.0, "end_time": 1.0}, ["3.0 to 1.0", "later"]),
        ("retake", "LTX2RetakeRegion", {"generate_video": False, "generate_audio": False}, ["Nothing is left"]),
        ("extend", "LTX2ExtendClip", {"frames_before": 0, "frames_after": 0}, ["nothing to add"]),
        ("video-to-audio", "LTX2FitVideo", {"width": 100}, ["width", "96 or 128"]),
        ("video-to-audio", "LTX2FitVideo", {"length": 100}, ["97 or 105"]),
        ("lipdub", "LTX2ReferenceAudioGuide", {"strength": 2.0}, ["strength"]),
    ],
)
def test_a_wrong_value_is_refused_when_queued(
    server: Server, name: str, type: str, inputs: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(PromptRejected) as refusal:
        server.client.queue(with_inputs(pipeline_prompt(name), type, **inputs))
    assert [word for word in words if word not in str(refusal.value)] == [], str(refusal.value)
    assert {node["class_type"] for node in refusal.value.node_errors.values()} == {type}


def test_an_ic_lora_without_a_reference_is_refused(server: Server) -> None:
    prompt = pipeline_prompt("ic-lora")
    for node in prompt.values():
        node["inputs"].pop("guides", None)
    done = server.client.run(prompt)
    assert done.status == "error"
    assert prompt[done.node_id]["class_type"] == "LTX2Sampler"
    assert "works on a reference video" in done.error
