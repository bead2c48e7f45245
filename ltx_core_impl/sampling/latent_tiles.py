"""Overlapping tiles of a latent and how their results blend (spec 06 §15)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor


class Interval(NamedTuple):
    """Cells ``[start, end)`` of one axis with the lengths of its blending ramps."""

    start: int
    end: int
    left_ramp: int = 0
    right_ramp: int = 0


class AxisTiling(NamedTuple):
    """How many tiles an axis gets and how many cells neighbours share."""

    tiles: int = 1
    overlap: int = 0


@dataclass(frozen=True)
class LatentTile:
    """One tile of a ``(B, C, F, H, W)`` latent."""

    frames: Interval
    height: Interval
    width: Interval

    def slice(self, latent: Tensor, downscale_factor: int = 1) -> Tensor:
        """The tile's part of a latent whose height and width are ``downscale_factor`` times smaller."""
        rows, columns = (
            slice(axis.start // downscale_factor, axis.end // downscale_factor) for axis in (self.height, self.width)
        )
        return latent[:, :, self.frames.start : self.frames.end, rows, columns]

    def blend_mask(self) -> Tensor:
        """Weights ``(f, h, w)`` float32; those of neighbouring tiles sum to 1."""
        frames, rows, columns = (blend_weights(axis) for axis in (self.frames, self.height, self.width))
        return frames[:, None, None] * rows[None, :, None] * columns[None, None, :]


HDR_STAGE_2_TILING = (AxisTiling(2, 8), AxisTiling(2, 6), AxisTiling(2, 6))
"""Frames, height and width of the HDR IC-LoRA's second stage."""


def split_by_count(tiles: int, overlap: int, length: int) -> list[Interval]:
    """Cut ``length`` cells into equal intervals; the first ones take what does not divide.

    Raises:
        ValueError: when there are more tiles than cells, or the overlap leaves no room for them.
    """
    if not 1 <= tiles <= length:
        raise ValueError(f"{length} latent cells cannot be cut into {tiles} tiles: use 1 to {length}.")
    if tiles == 1:
        return [Interval(0, length)]
    size, remainder = divmod(length + overlap * (tiles - 1), tiles)
    if not 0 <= overlap < size:
        raise ValueError(f"{tiles} tiles of {length} latent cells cannot overlap by {overlap}: use a smaller overlap.")
    return [
        Interval(
            start=index * (size - overlap) + min(index, remainder),
            end=index * (size - overlap) + size + min(index, remainder) + (index < remainder),
            left_ramp=overlap if index > 0 else 0,
            right_ramp=overlap if index < tiles - 1 else 0,
        )
        for index in range(tiles)
    ]


def blend_weights(interval: Interval) -> Tensor:
    """Weights of one axis, float32: 1 with linear ramps k/(r + 1) on both sides."""
    weights = torch.ones(interval.end - interval.start)
    if interval.left_ramp:
        weights[: interval.left_ramp] *= torch.arange(1, interval.left_ramp + 1) / (interval.left_ramp + 1)
    if interval.right_ramp:
        weights[-interval.right_ramp :] *= torch.arange(interval.right_ramp, 0, -1) / (interval.right_ramp + 1)
    return weights


def latent_tiles(
    size: tuple[int, int, int], tiling: tuple[AxisTiling, AxisTiling, AxisTiling] = HDR_STAGE_2_TILING
) -> list[LatentTile]:
    """Tiles of a latent of ``size`` (frames, height, width): frames outermost, width innermost.

    An axis shorter than its number of tiles stays whole; overlaps shrink to what the axis allows.
    """
    axes = [
        split_by_count(axis.tiles, min(axis.overlap, length - axis.tiles), length)
        if length >= axis.tiles
        else [Interval(0, length)]
        for length, axis in zip(size, tiling, strict=True)
    ]
    return [LatentTile(*intervals) for intervals in product(*axes)]


def blend_tiles(latent: Tensor, tiles: list[LatentTile], run: Callable[[int, LatentTile], Tensor]) -> Tensor:
    """Run every tile and add up the weighted results.

    Args:
        latent: gives shape, dtype and device of the result, ``(B, C, F, H, W)``.
        tiles: from ``latent_tiles``.
        run: ``(tile index, tile) -> (B, C, f, h, w)``.
    """
    result = torch.zeros_like(latent)
    for index, tile in enumerate(tiles):
        weights = tile.blend_mask().to(device=latent.device, dtype=latent.dtype)
        tile.slice(result).add_(run(index, tile) * weights)
    return result
