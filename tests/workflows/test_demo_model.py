"""The demo graphs assert meaning: what the trained demo model shows and sounds like in a real server.

Every graph runs as a user queues it, with its own seed, and is judged by plain measurement of the file that it writes.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from ltx_core_impl.media import load_image, read_audio
from tools.demo_model.inputs import BEEPS, BOUNCING, OUTLINE, STUCK, STUCK_FRAME, frames_of
from tools.demo_model.measure import (
    Picture,
    Sound,
    beeps_match,
    bounce_times,
    measure_picture,
    measure_sound,
    psnr,
)
from tools.demo_model.world import FPS, FRAMES
from tools.graphs.demo import GRAPHS, PREFIX
from tools.provision import REPO
from tools.server import Prompt, Server

FRAME = 1 / FPS
SECONDS = FRAMES / FPS
SAME_PICTURE = 22.0
"""dB that a given frame keeps through the VAE and H.264; two different frames of this world have less than 15."""
SAME_FILM = 28.0
"""dB that frames keep which are laid over the result, through two H.264 files."""
NEAR = 0.06  # of the picture's side


class Clip(NamedTuple):
    """What a graph wrote: frames ``(F, H, W, 3)`` in [0, 1] or none, sound ``(channels, samples)``, both judged."""

    frames: Tensor | None
    picture: Picture | None
    waveform: Tensor
    rate: int
    sound: Sound

    @property
    def words(self) -> tuple[str, str, str, str]:
        """Colour, ground, motion and pitch."""
        return self.picture.color, self.picture.ground, self.picture.motion, self.sound.pitch

    @property
    def size(self) -> tuple[int, ...]:
        """Frames, height, width."""
        return tuple(self.frames.shape[:3])


def read(path: Path) -> Clip:
    frames = picture = None
    with av.open(str(path)) as container:
        if container.streams.video:
            decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
            frames = torch.from_numpy(np.stack(decoded)).float() / 255
            picture = measure_picture(frames)
    audio = read_audio(path)
    return Clip(
        frames, picture, audio.waveform, audio.sampling_rate, measure_sound(audio.waveform, audio.sampling_rate)
    )


def prompt_of(name: str) -> Prompt:
    return json.loads((REPO / "workflows" / "api" / f"{PREFIX}{name}.json").read_text("utf-8"))


Show = Callable[..., Clip]


@pytest.fixture(scope="module")
def show(server: Server) -> Show:
    """``show("retake")`` runs a graph once; ``show(name, prompt)`` runs a changed one."""

    def run(prompt: Prompt) -> Clip:
        result = server.client.run(prompt)
        assert result.status == "success", f"{result.error}\n{server.log_tail()}"
        [path] = result.files
        return read(path)

    as_it_is = cache(lambda name: run(prompt_of(name)))
    return lambda name, prompt=None: as_it_is(name) if prompt is None else run(prompt)


def inputs(prompt: Prompt, title: str) -> dict[str, Any]:
    """The inputs of the node with a title."""
    [found] = [node["inputs"] for node in prompt.values() if node["_meta"]["title"] == title]
    return found


def given(name: str) -> Clip:
    return read(REPO / "models" / "demo" / "inputs" / f"demo-{name}.mp4")


def still(name: str) -> Tensor:
    return load_image(REPO / "models" / "demo" / "inputs" / f"demo-{name}.png").float() / 255


# Every graph


TESTED = {
    "text-to-video": (17, 64, 64),
    "text-to-video-distilled": (17, 64, 64),
    "save-video": (17, 64, 64),
    "guidance-over-time": (17, 64, 64),
    "image-to-video": (17, 64, 64),
    "first-last-frame": (17, 64, 64),
    "keyframe-interpolation": (17, 128, 128),
    "two-stage": (17, 128, 128),
    "two-stage-distilled": (17, 128, 128),
    "two-stage-hq": (17, 128, 128),
    "image-to-video-distilled": (17, 128, 128),
    "ic-lora": (17, 128, 128),
    "image-and-audio-to-video": (17, 128, 128),
    "audio-to-video": (17, 128, 128),
    "video-to-audio": (17, 64, 64),
    "retake": (17, 64, 64),
    "extend": (17, 64, 64),
    "upscale-refine": (17, 128, 128),
    "refine-video-file": (17, 128, 128),
    "long-video": (25, 64, 64),
    "several-shots": (17, 64, 64),
}
SOUND_ALONE = "text-to-audio"


def test_every_graph_is_tested() -> None:
    assert {graph.name.removeprefix(PREFIX) for graph in GRAPHS} == {*TESTED, SOUND_ALONE}


@pytest.mark.parametrize("name", TESTED)
def test_size_and_length(show: Show, name: str) -> None:
    clip = show(name)
    assert clip.size == TESTED[name]
    assert clip.waveform.shape[1] / clip.rate == pytest.approx(clip.size[0] / FPS, abs=0.06)


def test_sizes_are_told_by_the_vaes_wherever_a_node_asks(object_info: dict[str, Any]) -> None:
    unconnected = [
        f"{graph.name}: {node['class_type']}.{socket}"
        for graph in GRAPHS
        for node in prompt_of(graph.name.removeprefix(PREFIX)).values()
        for socket in object_info[node["class_type"]]["input"].get("optional", {})
        if socket in ("video_vae", "audio_vae") and socket not in node["inputs"]
    ]
    assert unconnected == []


# From a text


def test_a_red_circle_is_red_and_moves_left_and_the_tone_is_low(show: Show) -> None:
    assert show("text-to-video").words == ("red", "white", "left", "low")


def test_another_prompt_gives_another_clip(show: Show) -> None:
    prompt = prompt_of("text-to-video")
    inputs(prompt, "Prompt")["prompt"] = (
        "a green square moves to the right on a black background while a high tone plays"
    )
    assert show("text-to-video", prompt).words == ("green", "black", "right", "high")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("text-to-video-distilled", ("yellow", "black", "down", "high")),
        ("save-video", ("white", "blue", "grow", "middle")),
        ("guidance-over-time", ("white", "green", "up", "high")),
        ("two-stage-distilled", ("green", "black", "up", "middle")),
        ("two-stage-hq", ("purple", "white", "left", "low")),
    ],
)
def test_the_words_of_a_prompt_are_seen_and_heard(show: Show, name: str, words: tuple[str, ...]) -> None:
    assert show(name).words == words


def test_sound_without_a_picture(show: Show) -> None:
    clip = show(SOUND_ALONE)
    assert clip.frames is None
    assert clip.sound.pitch == "high"
    assert clip.waveform.shape[1] / clip.rate == pytest.approx(SECONDS, abs=0.06)


def test_segments_follow_one_another(show: Show) -> None:
    clip = show("long-video")
    first, second = (measure_picture(frames) for frames in (clip.frames[:FRAMES], clip.frames[FRAMES - 9 :]))
    assert (first.color, first.motion) == ("red", "still")
    assert (second.color, second.motion) == ("red", "grow")


def test_each_shot_shows_its_own_prompt(show: Show) -> None:
    """The colours change at the cut; the frames next to it are left out."""
    frames = show("several-shots").frames
    first, second = measure_picture(frames[:7]), measure_picture(frames[11:])
    assert (first.color, first.ground) == ("red", "white")
    assert (second.color, second.ground) == ("yellow", "black")


# Guidance


def test_guidance_away_from_the_prompt_itself_is_no_guidance(server: Server) -> None:
    """And guidance away from nothing, or from another picture, is one.

    Judged before H.264: two clips that differ by one code in one pixel differ by some 40 dB after it.
    """
    prompt = prompt_of("text-to-video")
    text = inputs(prompt, "Prompt")["prompt"]
    for writer in [name for name, node in prompt.items() if node["class_type"] in ("CreateVideo", "SaveVideo")]:
        del prompt[writer]
    [decoder] = [name for name, node in prompt.items() if node["class_type"] == "LTX2VideoVAEDecode"]
    pictures = {"images": [decoder, 0], "filename_prefix": "guidance"}
    prompt["pictures"] = {"class_type": "SaveImage", "inputs": pictures, "_meta": {"title": "Pictures"}}

    def frames(negative: str, cfg: float) -> Tensor:
        other = copy.deepcopy(prompt)
        inputs(other, "Negative prompt")["prompt"] = negative
        for modality in ("picture", "sound"):
            inputs(other, f"Guidance of the {modality}")["cfg"] = cfg
        result = server.client.run(other)
        assert result.status == "success", f"{result.error}\n{server.log_tail()}"
        return torch.stack([load_image(path) for path in sorted(result.files)]) / 255

    off, guided = frames("", 1.0), frames("", 3.0)
    assert off.shape[0] == FRAMES
    assert psnr(frames(text, 3.0), off) > 80
    assert psnr(guided, off) < 30
    assert psnr(frames("a red circle moves down on a blue background with a high tone", 3.0), guided) < 30


# From pictures


def test_a_clip_goes_on_from_its_first_frame(show: Show) -> None:
    clip = show("image-to-video")
    assert psnr(clip.frames[0], still("first")) > SAME_PICTURE
    assert clip.words == ("red", "white", "right", "high")


def test_a_clip_leads_from_the_first_frame_to_the_last(show: Show) -> None:
    clip = show("first-last-frame")
    assert psnr(clip.frames[0], still("first")) > SAME_PICTURE
    assert psnr(clip.frames[-1], still("last")) > SAME_PICTURE
    assert clip.words == ("red", "white", "right", "high")


def smaller(frames: Tensor) -> Tensor:
    """Half the size."""
    pooled = torch.nn.functional.avg_pool2d(frames.movedim(-1, -3), 2)
    return pooled.movedim(-3, -1)


def test_a_clip_passes_through_its_keyframes(show: Show) -> None:
    clip = show("keyframe-interpolation")
    frames = smaller(clip.frames)
    for name, frame in (("first", 0), ("middle", FRAMES // 2), ("last", -1)):
        assert psnr(frames[frame], still(name)) > SAME_PICTURE, name
    assert clip.words == ("red", "white", "right", "high")


@pytest.mark.parametrize("name", ["two-stage", "image-to-video-distilled"])
def test_a_first_frame_holds_in_both_stages(show: Show, name: str) -> None:
    clip = show(name)
    assert psnr(smaller(clip.frames)[0], still("first")) > SAME_PICTURE
    assert clip.words == ("red", "white", "right", "high")


# From films


def test_the_shape_follows_the_outline_and_the_prompt_colours_it(show: Show) -> None:
    clip = show("ic-lora")
    path = measure_picture(frames_of(OUTLINE)).center
    assert (clip.picture.center - path).norm(dim=1).max() < NEAR
    assert clip.words == ("red", "white", "up", "low")
    prompt = prompt_of("ic-lora")
    inputs(prompt, "Prompt")["prompt"] = "a yellow triangle moves up on a black background with a high tone"
    assert show("ic-lora", prompt).words == ("yellow", "black", "up", "high")


@pytest.mark.parametrize("name", ["audio-to-video", "image-and-audio-to-video"])
def test_a_circle_bounces_to_the_given_beeps(show: Show, name: str) -> None:
    clip = show(name)
    beeps = BEEPS.bounces(SECONDS)
    assert clip.sound.onsets == pytest.approx(beeps, abs=0.03)
    assert clip.words == ("green", "black", "bounce", "low")
    assert beeps_match(beeps, bounce_times(clip.picture, FPS), 2 * FRAME)
    if name == "image-and-audio-to-video":
        assert psnr(smaller(clip.frames)[0], still("start")) > SAME_PICTURE


def test_a_film_is_given_beeps_where_it_bounces(show: Show) -> None:
    clip, source = show("video-to-audio"), given("bounce")
    assert psnr(clip.frames, source.frames) > SAME_FILM
    assert clip.sound.pitch == "high"
    assert source.sound.pitch == "middle"
    bounces = BOUNCING.bounces(SECONDS)
    assert beeps_match(clip.sound.onsets, bounces, 2 * FRAME)
    assert beeps_match(bounces, clip.sound.onsets, 2 * FRAME)


@pytest.mark.parametrize("name", ["retake", "extend"])
def test_what_is_stuck_is_made_anew_and_the_rest_is_kept(show: Show, name: str) -> None:
    clip, source = show(name), given("stuck")
    kept = STUCK_FRAME + 1
    assert psnr(clip.frames[:kept], source.frames[:kept]) > SAME_FILM
    assert source.picture.center[-1, 0] == pytest.approx(0.5, abs=NEAR)
    assert measure_picture(frames_of(STUCK)).center[-1, 0] == pytest.approx(clip.picture.center[-1, 0].item(), abs=0.12)
    assert clip.words == ("blue", "white", "left", "middle")
    half = clip.waveform.shape[1] * 3 // 4
    assert clip.waveform[:, half:].abs().mean() > 0.1
    assert source.waveform[:, source.waveform.shape[1] * 3 // 4 :].abs().mean() < 0.01


@pytest.mark.parametrize("name", ["upscale-refine", "refine-video-file"])
def test_a_larger_film_shows_and_sounds_the_same(show: Show, name: str) -> None:
    clip, source = show(name), given("bounce")
    assert clip.words == source.words == ("yellow", "black", "bounce", "middle")
    # On average: where it turns, the fastest it gets, the larger film is blurred.
    assert (clip.picture.center - source.picture.center).norm(dim=1).mean() < NEAR / 2
    assert clip.sound.onsets == pytest.approx(source.sound.onsets, abs=0.03)
