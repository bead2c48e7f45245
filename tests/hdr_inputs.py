"""Small inputs of the HDR graphs: an EXR still, an EXR sequence, an SDR film of 50 frames per second, masks."""

from __future__ import annotations

from pathlib import Path

import torch

from ltx_core_impl.light.spaces import EXR_SPACES, SRGB_LINEAR
from ltx_core_impl.media import write_exr, write_video
from tests.pipeline_helpers import moving_picture, tone

FRAMES, SIDE = 17, 128
SDR_RATE, SDR_WIDTH, SDR_HEIGHT = 50, 96, 64
MASKED = 32
"""Pixels at the left and the top that the mask of the sequence marks."""


def light(frames: int) -> torch.Tensor:
    """Linear light ``(F, 128, 128, 3)`` in Rec.709: soft colours and a lamp of 12 that moves."""
    film = (moving_picture(frames, seed=3).float() / 255) ** 2.2
    lamp = (film == 1).all(dim=-1, keepdim=True)
    film = torch.where(lamp, torch.tensor([12.0, 9.0, 6.0]), film)
    return film.repeat_interleave(2, 1).repeat_interleave(2, 2)


def write_hdr_inputs(folder: Path) -> None:
    """``still.exr``, the sequence ``shot``, ``sdr.mp4`` with sound, and ``mask.mp4`` for the sequence."""
    tags = EXR_SPACES[SRGB_LINEAR]
    for index, picture in enumerate(light(FRAMES)):
        (folder / "shot").mkdir(exist_ok=True)
        write_exr(folder / "shot" / f"shot_{index + 1}.exr", picture, half=False, tags=tags)
    write_exr(folder / "still.exr", light(1)[0], half=False, tags=tags)
    wide = torch.cat([moving_picture(FRAMES, seed=4), moving_picture(FRAMES, seed=5)], dim=2)[:, :, :SDR_WIDTH]
    write_video(folder / "sdr.mp4", [wide], fps=SDR_RATE, audio=tone(FRAMES / SDR_RATE, 330.0), crf=0)
    mask = torch.zeros(FRAMES + 3, SIDE, SIDE, 3, dtype=torch.uint8)
    mask[:, :MASKED, :MASKED] = 255
    write_video(folder / "mask.mp4", [mask], fps=24, crf=0)
