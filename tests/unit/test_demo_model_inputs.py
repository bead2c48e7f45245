"""The small files that the demo graphs load show what the tests and the prompts say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ltx_core_impl.media import load_image, read_audio, read_frames
from tools.demo_model.inputs import (
    BEEPS,
    BOUNCING,
    CROSSING,
    FOLDER,
    OUTLINE,
    STILLS,
    STUCK,
    STUCK_FRAME,
    frames_of,
    write_inputs,
)
from tools.demo_model.measure import bounce_times, measure_picture, measure_sound, psnr
from tools.demo_model.world import FPS, FRAMES

LIMIT = 64_000


def film(name: str) -> torch.Tensor:
    frames = torch.cat(list(read_frames(FOLDER / f"demo-{name}.mp4"))).float() / 255
    assert frames.shape == (FRAMES, 64, 64, 3)
    return frames


def test_the_files_are_small_and_named_like_no_file_of_a_user() -> None:
    files = list(FOLDER.iterdir())
    assert all(path.name.startswith("demo-") for path in files)
    assert sum(path.stat().st_size for path in files) < LIMIT


def test_the_command_writes_what_is_there(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in FOLDER.iterdir()}
    for name in ("demo-first.png", "demo-beeps.wav"):  # films depend on the version of the encoder
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()


@pytest.mark.parametrize("name", STILLS)
def test_a_still_is_a_frame_of_its_scene(name: str) -> None:
    picture = load_image(FOLDER / f"demo-{name}.png").float() / 255
    assert psnr(picture, frames_of(CROSSING)[STILLS[name]]) > 50


def test_the_films_are_what_they_are_called() -> None:
    bounce = film("bounce")
    assert psnr(bounce, frames_of(BOUNCING)) > 27
    assert bounce_times(measure_picture(bounce), FPS) == pytest.approx(BOUNCING.bounces(FRAMES / FPS), abs=0.1)
    sound = read_audio(FOLDER / "demo-bounce.mp4")
    heard = measure_sound(sound.waveform, sound.sampling_rate)
    assert heard.pitch == BOUNCING.pitch
    assert heard.onsets == pytest.approx(BOUNCING.bounces(FRAMES / FPS), abs=0.03)
    stuck = film("stuck")
    assert psnr(stuck[: STUCK_FRAME + 1], frames_of(STUCK)[: STUCK_FRAME + 1]) > 27
    assert psnr(stuck[STUCK_FRAME:], stuck[STUCK_FRAME].expand(FRAMES - STUCK_FRAME, -1, -1, -1)) > 35
    assert psnr(film("outline"), frames_of(OUTLINE, outline=True)) > 25


def test_the_beeps_are_where_the_scene_bounces() -> None:
    sound = read_audio(FOLDER / "demo-beeps.wav")
    heard = measure_sound(sound.waveform, sound.sampling_rate)
    assert heard.pitch == BEEPS.pitch
    assert heard.onsets == pytest.approx(BEEPS.bounces(FRAMES / FPS), abs=0.03)
