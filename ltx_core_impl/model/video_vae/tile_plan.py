"""Which part of the input each tile reads, which part of the output it writes, and with what weight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Protocol

import torch
from torch import Tensor

from ...types import SpatioTemporalScaleFactors

MIN_WEIGHT = 1e-8


@dataclass(frozen=True)
class AxisTile:
    """One tile along one axis: ``[start, end)`` of input and output, and the weight of each output position."""

    source: tuple[int, int]
    target: tuple[int, int]
    mask: Tensor


@dataclass(frozen=True)
class Tile:
    """A tile of a ``(B, C, F, H, W)`` tensor."""

    time: AxisTile
    height: AxisTile
    width: AxisTile

    @property
    def source(self) -> tuple[slice, ...]:
        """Index of the input."""
        return (slice(None), slice(None), *(slice(*axis.source) for axis in (self.time, self.height, self.width)))


@dataclass(frozen=True)
class TilePlan:
    """All tiles: the product of the tiles of the three axes, in the order time, height, width.

    The weight of a tile is the product of its axis masks, so the total weight of a position factorises too:
    masks are normalised per axis once, and no buffer of weights is needed.
    """

    time: tuple[AxisTile, ...]
    height: tuple[AxisTile, ...]
    width: tuple[AxisTile, ...]

    @classmethod
    def normalised(cls, time: Sequence[AxisTile], height: Sequence[AxisTile], width: Sequence[AxisTile]) -> TilePlan:
        """A plan whose masks sum to 1 at every output position."""
        return cls(*(_normalise(axis) for axis in (time, height, width)))

    @property
    def target_size(self) -> tuple[int, int, int]:
        """(frames, height, width) of the output."""
        frames, height, width = (axis[-1].target[1] for axis in (self.time, self.height, self.width))
        return frames, height, width

    @property
    def tile_count(self) -> int:
        """How often the network runs."""
        return len(self.time) * len(self.height) * len(self.width)

    def tiles_at(self, time: AxisTile) -> Iterator[Tile]:
        """The tiles that share one range of frames."""
        for height, width in product(self.height, self.width):
            yield Tile(time, height, width)


class Tiling(Protocol):
    """How to cut a video: :class:`TilingConfig` (LTX-2, LTX-2.3) or :class:`PerAxisTiling` (LTX-2.5)."""

    def decode_plan(self, latent_size: Sequence[int], scale: SpatioTemporalScaleFactors) -> TilePlan:
        """Tiles that decode a latent of (frames, height, width) cells."""
        ...

    def encode_plan(self, video_size: Sequence[int], scale: SpatioTemporalScaleFactors) -> TilePlan:
        """Tiles that encode a video of (frames, height, width) pixels."""
        ...


def _normalise(tiles: Sequence[AxisTile]) -> tuple[AxisTile, ...]:
    total = torch.zeros(max(tile.target[1] for tile in tiles))
    for tile in tiles:
        total[slice(*tile.target)] += tile.mask
    total.clamp_min_(MIN_WEIGHT)
    return tuple(replace(tile, mask=tile.mask / total[slice(*tile.target)]) for tile in tiles)
