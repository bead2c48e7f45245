"""Noise masks on the latent grid: what of a given latent is generated anew, and what is kept (spec 06 §12.7, §17.2).

A noise mask has one value per latent cell: 1 generates, 0 keeps, between mixes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..types import LatentState, VideoLatentShape
from .item import ConditioningError
from .tools import LatentTools

TOUCHING_SECONDS = 1e-4
"""Times closer than this are the same: a cell that ends at the edge of a window does not reach beyond it."""


@dataclass(frozen=True, eq=False)
class LatentNoiseMask:
    """Keep the parts of the initial latent that a noise mask marks with 0; for pictures and for sound.

    Attributes:
        mask: ``(1 or B, N)`` or ``(1 or B, *grid)`` in [0, 1], one value per token of the target, in token order.
    """

    mask: Tensor

    def apply_to(self, latent_state: LatentState, latent_tools: LatentTools) -> LatentState:
        """Raises ConditioningError when the mask does not have one value per token of the target."""
        count, batch = latent_tools.target_shape.token_count(), latent_state.latent.shape[0]
        values = self.mask.flatten(start_dim=1)
        if values.shape[1] != count or values.shape[0] not in (1, batch):
            raise ConditioningError(
                f"A noise mask of shape {tuple(self.mask.shape)} does not fit this run: it needs {count} values "
                f"for each of 1 or {batch} samples."
            )
        denoise_mask = latent_state.denoise_mask.clone()
        denoise_mask[:, :count] *= values.to(denoise_mask)[..., None]
        return replace(latent_state, denoise_mask=denoise_mask)


def time_window_mask(spans: Tensor, start: float, end: float, ramp: float = 0.0, outside: bool = False) -> Tensor:
    """Noise mask of a time window: 1 for every span that overlaps it, also in part.

    Args:
        spans: ``[start, end)`` of every latent frame in seconds, ``(T, 2)``.
        start, end: the window in seconds.
        ramp: seconds over which the mask falls from 1 to 0 on either side of what is generated.
        outside: generate what lies outside of the window in place of what lies inside; the window is kept.

    Returns:
        float32 ``(T,)``.

    Raises:
        ValueError: when the window does not end after it starts.
    """
    if not start < end:
        raise ValueError(f"A time window must end after it starts; got {start} s to {end} s.")
    first, last = spans.unbind(dim=-1)
    centre = (first + last) / 2
    if outside:
        # An edge at the clip's own edge is no border: nothing is generated beyond it.
        start = start if start > first[0] + TOUCHING_SECONDS else -torch.inf
        end = end if end < last[-1] - TOUCHING_SECONDS else torch.inf
        generated = (first < start - TOUCHING_SECONDS) | (last > end + TOUCHING_SECONDS)
        distance = torch.minimum(centre - start, end - centre)
    else:
        generated = (last > start) & (first < end)
        distance = torch.maximum(start - centre, centre - end)
    if ramp <= 0:
        return generated.float()
    return torch.where(generated, 1.0, (1 - distance / ramp).clamp(0.0, 1.0)).float()


def latent_mask_from_pixels(mask: Tensor, shape: VideoLatentShape, time_factor: int, largest: bool = True) -> Tensor:
    """A pixel mask on the latent grid: ``(F, H, W)`` of ``shape``, float32.

    Args:
        mask: ``(f, h, w)`` in [0, 1] of any picture size; one frame serves the whole clip.
        shape: size of the latent.
        time_factor: pixel frames per latent frame after the first one.
        largest: a cell gets the largest value in it, so that nothing marked is left out; else the mean.

    Raises:
        ValueError: when the number of frames is neither 1 nor the clip's.
    """
    frames = (shape.frames - 1) * time_factor + 1
    if mask.shape[0] not in (1, frames):
        raise ValueError(f"The mask has {mask.shape[0]} frames; the clip has {frames}. Give it 1 frame or {frames}.")
    pool = F.adaptive_max_pool2d if largest else F.adaptive_avg_pool2d
    small = pool(mask.float()[:, None], (shape.height, shape.width))[:, 0]
    if mask.shape[0] == 1:
        return small.expand(shape.frames, -1, -1)
    if shape.frames == 1:
        return small
    groups = small[1:].unflatten(0, (shape.frames - 1, time_factor))
    return torch.cat([small[:1], groups.amax(dim=1) if largest else groups.mean(dim=1)])


def pixel_mask_from_latent(mask: Tensor, time_factor: int, height: int, width: int) -> Tensor:
    """A mask on the latent grid ``(F, h, w)`` as a pixel mask ``(1 + (F - 1)·time_factor, height, width)``.

    Every pixel gets the value of the cell that it lies in.
    """
    frames = torch.cat([mask[:1], mask[1:].repeat_interleave(time_factor, dim=0)])
    return F.interpolate(frames[:, None].float(), size=(height, width), mode="nearest-exact")[:, 0]


def grow_mask(mask: Tensor, pixels: int) -> Tensor:
    """``(F, H, W)`` with every marked place larger by ``pixels`` on all sides (a square neighbourhood)."""
    if pixels <= 0:
        return mask
    size = 2 * pixels + 1
    rows = F.max_pool2d(mask[:, None], (size, 1), stride=1, padding=(pixels, 0))
    return F.max_pool2d(rows, (1, size), stride=1, padding=(0, pixels))[:, 0]


def restore_kept(latent: Tensor, given: Tensor, mask: Tensor) -> Tensor:
    """``latent`` with ``given`` wherever the noise mask (of a broadcastable shape) is 0.

    A run keeps those parts up to its own precision; what is kept should come out as it went in.
    """
    given, mask = given.to(latent), mask.to(latent.device)
    return torch.where(mask == 0, given, latent)
