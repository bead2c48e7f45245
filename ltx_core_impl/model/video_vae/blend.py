"""Running tiles and blending their outputs (spec 03 §7.5, §7.6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from .tile_plan import AxisTile, Tile, TilePlan

RunTile = Callable[[Tile], Tensor]
"""Computes the output ``(B, C, F, H, W)`` of a tile, which may be overwritten."""


def blend_tiles(buffer: Tensor, plan: TilePlan, run: RunTile) -> None:
    """Run all tiles and add their weighted outputs to ``buffer`` ``(B, C, F, H, W)``."""
    for time in plan.time:
        for tile in plan.tiles_at(time):
            _add_tile(buffer, tile, run(tile), first_frame=0)


class Spread(Protocol):
    """Lets several processes take turns with the tiles of a plan, which are then asked for in its order."""

    def __call__(self, plan: TilePlan, run: RunTile, batch: int, channels: int, like: Tensor) -> RunTile:
        """What takes the place of ``run``; its outputs are ``(batch, channels, F, H, W)``, of the dtype of ``like``."""


def stream_tiles(
    plan: TilePlan, run: RunTile, batch: int, channels: int, like: Tensor, spread: Spread | None = None
) -> Iterator[Tensor]:
    """Run all tiles and yield finished frames ``(B, C, n, H, W)`` after each temporal tile.

    Blends in float32 (or better) and yields the dtype of ``like``, on its device. The n sum to the plan's
    frames; n is 0 where the next tile begins no later than this one. ``spread`` lets several processes share the work.
    """
    run = run if spread is None else spread(plan, run, batch, channels, like)
    frames, height, width = plan.target_size
    accumulate = torch.promote_types(like.dtype, torch.float32)
    first_frame = 0
    pending = like.new_zeros(batch, channels, 0, height, width, dtype=accumulate)
    starts = [tile.target[0] for tile in plan.time[1:]]
    for time, next_start in zip(plan.time, [*starts, frames], strict=True):
        pending = _extended(pending, frames=time.target[1] - first_frame)
        for tile in plan.tiles_at(time):
            _add_tile(pending, tile, run(tile), first_frame)
        finished = next_start - first_frame
        chunk = pending[:, :, :finished].to(like.dtype)
        # A copy, so that the emitted frames are freed when the consumer drops them.
        pending = pending[:, :, finished:].clone()
        first_frame = next_start
        yield chunk
        del chunk


def _add_tile(buffer: Tensor, tile: Tile, output: Tensor, first_frame: int) -> None:
    """``buffer[target] += output · mask``; ``first_frame`` is the frame number of the buffer's first frame."""
    output = output.to(buffer)
    axes: list[tuple[AxisTile, int]] = [(tile.time, 2), (tile.height, 3), (tile.width, 4)]
    for axis, dim in axes:
        shape = [1] * output.ndim
        shape[dim] = -1
        output = output.mul_(axis.mask.to(output).view(shape))
    start, end = (frame - first_frame for frame in tile.time.target)
    buffer[:, :, start:end, slice(*tile.height.target), slice(*tile.width.target)].add_(output)


def _extended(buffer: Tensor, frames: int) -> Tensor:
    """The buffer grown with zero frames to ``frames`` frames."""
    grown = buffer.new_zeros(*buffer.shape[:2], frames, *buffer.shape[3:])
    grown[:, :, : buffer.shape[2]] = buffer
    return grown
