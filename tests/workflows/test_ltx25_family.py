"""The official graphs of distilled LTX-2.5 in a real ComfyUI server, on its tiny split files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.pipeline_helpers import FPS, FRAMES, HEIGHT, SOUND_RATE, WIDTH, prompt_25, with_inputs, write_inputs
from tests.workflows.test_ltx25 import AUDIO_LATENT_SECONDS, Expected, decode, files
from tests.workflows.test_pipelines import distance, waveform
from tools.graphs import ltx25_control, ltx25_distilled
from tools.server import Prompt, Server

LIKE_SOURCE = Expected(FRAMES, fps=FPS)
TWICE = Expected(FRAMES, width=2 * WIDTH, height=2 * HEIGHT)
EXPECTED = {
    "ltx-2.5-single-stage-distilled": Expected(FRAMES),
    "ltx-2.5-image-to-video-distilled": TWICE,
    "ltx-2.5-first-last-frame": Expected(FRAMES),
    "ltx-2.5-audio-to-video": TWICE,
    "ltx-2.5-union-control": LIKE_SOURCE,
    "ltx-2.5-video-to-video": LIKE_SOURCE,
    "ltx-2.5-motion-tracks": Expected(FRAMES),
    "ltx-2.5-ingredients": Expected(FRAMES),
    "ltx-2.5-layout-to-render": TWICE._replace(fps=FPS),
    "ltx-2.5-several-shots": Expected(FRAMES),
    "ltx-2.5-inpaint": LIKE_SOURCE,
    "ltx-2.5-outpaint": LIKE_SOURCE._replace(width=WIDTH + 64),
}
ALONE = {"ltx-2.5-text-to-audio", "ltx-2.5-slow-motion"}
"""Sound without a picture, and a picture without sound."""
ANOTHER = {
    "ltx-2.5-single-stage-distilled": ("LoadImage", None, {"image": "other.png"}),
    "ltx-2.5-image-to-video-distilled": ("LoadImage", None, {"image": "other.png"}),
    "ltx-2.5-first-last-frame": ("LoadImage", "Last frame", {"image": "other.png"}),
    "ltx-2.5-audio-to-video": ("LoadAudio", None, {"audio": "other.wav"}),
    "ltx-2.5-union-control": ("LoadVideo", None, {"file": "other.mp4"}),
    "ltx-2.5-video-to-video": ("LoadVideo", None, {"file": "other.mp4"}),
    "ltx-2.5-ingredients": ("LoadImage", "Place", {"image": "other.png"}),
    "ltx-2.5-layout-to-render": ("LoadImage", "Look", {"image": "other.png"}),
    "ltx-2.5-inpaint": ("LTX2TextEncode", None, {"prompt": "A red door."}),
    "ltx-2.5-slow-motion": ("LTX2EmptyLatents", None, {"frame_rate": 24.0}),
}


@pytest.fixture(scope="module", autouse=True)
def inputs(server: Server) -> Path:
    folder = server.output.parent / "input"
    write_inputs(folder)
    return folder


def result(server: Server, prompt: Prompt) -> Path:
    [path] = files(server, prompt)
    return path


def test_every_graph_is_tested() -> None:
    names = {graph.name for module in (ltx25_distilled, ltx25_control) for graph in module.GRAPHS}
    assert names == EXPECTED.keys() | ALONE


@pytest.mark.parametrize("name", EXPECTED)
def test_frames_size_rate_and_length_of_sound(server: Server, name: str) -> None:
    expected = EXPECTED[name]
    path = result(server, prompt_25(name))
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert video.average_rate == Fraction(expected.fps)
        sound = float(audio.duration * audio.time_base)
    assert decode(path).shape == (expected.frames, expected.height, expected.width, 3)
    assert sound == pytest.approx(expected.frames / expected.fps, abs=AUDIO_LATENT_SECONDS)


@pytest.mark.parametrize("name", ANOTHER)
def test_another_input_gives_another_picture(server: Server, name: str) -> None:
    type, title, other = ANOTHER[name]
    prompt = prompt_25(name)
    pictures = [decode(result(server, one)) for one in (prompt, with_inputs(prompt, type, title, **other))]
    assert distance(*pictures) > 0.5


def test_sound_alone(server: Server) -> None:
    with av.open(str(result(server, prompt_25("ltx-2.5-text-to-audio")))) as container:
        assert not container.streams.video
        audio = container.streams.audio[0]
        assert (audio.codec_context.name, audio.codec_context.sample_rate) == ("flac", 48_000)
        assert float(audio.duration * audio.time_base) == pytest.approx(FRAMES / 24, abs=AUDIO_LATENT_SECONDS)


def test_slow_motion_is_played_at_the_rate_of_films(server: Server) -> None:
    path = result(server, prompt_25("ltx-2.5-slow-motion"))
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == 24
        assert not container.streams.audio
    assert decode(path).shape == (FRAMES, 64, 64, 3)


@pytest.mark.parametrize("name", ["ltx-2.5-audio-to-video", "ltx-2.5-video-to-video"])
def test_given_sound_goes_into_the_result(server: Server, name: str) -> None:
    made = waveform(result(server, prompt_25(name)))[0]
    peak = np.abs(np.fft.rfft(made)).argmax() * SOUND_RATE / len(made)
    assert peak == pytest.approx(440, abs=3)  # the tone of the test inputs


@pytest.mark.parametrize(("name", "kept"), [("ltx-2.5-inpaint", (42, 62)), ("ltx-2.5-outpaint", (40, 88))])
def test_kept_places_are_the_sources(server: Server, inputs: Path, name: str, kept: tuple[int, int]) -> None:
    source = decode(inputs / "source.mp4")[:FRAMES]
    shift = (EXPECTED[name].width - WIDTH) // 2
    made = decode(result(server, prompt_25(name)))
    first, last = kept
    assert distance(made[:, :, first:last], source[:, :, first - shift : last - shift]) < 3
