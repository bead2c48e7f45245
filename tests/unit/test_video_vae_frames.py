"""Decoder output to frames (spec 03 §8)."""

from __future__ import annotations

import pytest
import torch

from ltx_core_impl.model.video_vae import decode_video, to_frames
from tests.unit.video_vae_fixtures import decoder, latent_input

VALUES = [-1.5, -1, -0.5, 0, 0.3, 0.999, 1.2]


@pytest.mark.parametrize(("dtype", "near_white"), [(torch.float32, 254), (torch.bfloat16, 255)])
def test_uint8_truncates(dtype: torch.dtype, near_white: int) -> None:
    video = torch.tensor(VALUES, dtype=dtype).view(1, 1, 1, -1).expand(3, -1, -1, -1)
    frames = to_frames(video)
    assert frames.shape == (1, 1, 7, 3)
    assert frames[0, 0, :, 0].tolist() == [0, 0, 63, 127, 165, near_white, 255]


def test_float_frames_are_clamped_and_the_input_survives() -> None:
    video = torch.tensor(VALUES).view(1, 1, 1, -1).repeat(3, 1, 1, 1)
    before = video.clone()
    frames = to_frames(video, torch.float32)
    assert frames[0, 0, :, 2].tolist() == pytest.approx([0, 0, 0.25, 0.5, 0.65, 0.9995, 1])
    assert torch.equal(video, before)


def test_decode_video_without_tiles() -> None:
    model, latent = decoder("T22"), latent_input(1, 8, 2, 1, 2)
    (frames,) = decode_video(latent, model, dtype=torch.float32)
    assert torch.equal(frames, to_frames(model(latent)[0], torch.float32))
    assert frames.shape == (9, 32, 64, 3)


def test_decode_video_takes_one_video() -> None:
    with pytest.raises(ValueError, match="holds 2"):
        decode_video(latent_input(2, 8, 1, 1, 1), decoder("T22"))
