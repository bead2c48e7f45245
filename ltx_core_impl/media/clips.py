"""Cutting, fitting and extending clips that are already in memory: frames ``(F, H, W, C)`` and their sound."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .resize import resize_and_center_crop

INPAINT_GREEN = (102 / 255, 1.0, 0.0)
"""The colour that in- and out-painting LoRAs take for "to be filled" (spec 07 §8.1)."""


def fit_frames(
    frames: Tensor, height: int, width: int, fit: Callable[[Tensor, int, int], Tensor] = resize_and_center_crop
) -> Tensor:
    """Frames in another size, float32 ``(F, height, width, C)``: scaled to cover it and cut, or as ``fit`` does.

    Frame by frame, so that the peak is one frame above the result.
    """
    fitted = torch.empty(len(frames), height, width, frames.shape[-1], dtype=torch.float32, device=frames.device)
    for i in range(len(frames)):
        fitted[i] = fit(frames[i : i + 1], height, width)[0].movedim(0, -1)
    return fitted


def pad_frames(frames: Tensor, before: int, after: int) -> Tensor:
    """Frames with the first one repeated ``before`` times in front and the last one ``after`` times behind."""
    return torch.cat([frames[:1].expand(before, -1, -1, -1), frames, frames[-1:].expand(after, -1, -1, -1)])


def fit_waveform(waveform: Tensor, samples: int, offset: int = 0) -> Tensor:
    """A waveform ``(..., n)`` of exactly ``samples`` samples: silence of ``offset`` first, then the sound, cut or
    followed by silence."""
    return F.pad(waveform, (offset, max(0, samples - offset - waveform.shape[-1])))[..., :samples]


def resize_mask(mask: Tensor, height: int, width: int) -> Tensor:
    """A mask ``(F, h, w)`` in another size, by area."""
    return F.interpolate(mask[:, None], size=(height, width), mode="area")[:, 0]


def fill_masked(frames: Tensor, mask: Tensor, colour: tuple[float, float, float] = INPAINT_GREEN) -> Tensor:
    """Frames in [0, 1] with a colour laid over them where a mask ``(1 or F, H, W)`` is set; grey mixes."""
    mask = mask[..., None].to(frames)
    return torch.lerp(frames, frames.new_tensor(colour).expand_as(frames), mask.expand_as(frames))
