"""Tiled fusion: sizes up to 8K, and where tiles in space and time lie and what they weigh (spec 08 §6.1 and §6.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise, product
from typing import NamedTuple

import torch
from torch import Tensor

from .latent_tiles import Interval

LONG_EDGES = {"qHD": 960, "HD": 1280, "FullHD": 1920}
DOUBLED = {"4K": "FullHD", "8K": "4K"}
SIZES = (*LONG_EDGES, *DOUBLED)
_CELL, _FRAMES = 32, 8
_KEPT_WITHIN = 200
LONGEST_WINDOW, LONGEST_SINGLE_WINDOW = 97, 121
OVERLAP = 0.5
GAUSSIAN_VARIANCE = 0.05
_LARGEST_SHIFT = 4
# Directions in which a cycle of grids moves, as (rows, columns).
_CYCLE = ((0, 0), (1, 1), (1, 0), (0, 1))
MAX_CYCLE = len(_CYCLE)


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int


def size_ladder(width: int, height: int) -> dict[str, Size]:
    """The sizes qHD, HD, FullHD, 4K and 8K of a source of ``width`` x ``height`` pixels, sides multiples of 32.

    The long edge decides. A source that is within 200 pixels of a size on both sides keeps its own.
    """
    source = (width, height)
    sizes: dict[str, Size] = {}
    for name, edge in LONG_EDGES.items():
        sizes[name] = _rung(source, tuple(side * edge / max(source) for side in source))
    for name, half in DOUBLED.items():
        sizes[name] = _rung(source, tuple(2 * side for side in sizes[half]))
    return sizes


def _rung(source: tuple[int, int], wanted: tuple[float, ...]) -> Size:
    near = all(abs(own - side) <= _KEPT_WITHIN for own, side in zip(source, wanted, strict=True))
    return Size(*(max(1, math.floor(side / _CELL + 0.5)) * _CELL for side in (source if near else wanted)))


def window_frames(frames: int) -> int:
    """Frames of a window in time for a clip of ``frames``: one window as long as that is good, else 97."""
    if frames <= LONGEST_WINDOW:
        return max(0, math.ceil((frames - 1) / _FRAMES - 0.5)) * _FRAMES + 1
    if frames <= LONGEST_SINGLE_WINDOW:
        return -(-(frames - 1) // _FRAMES) * _FRAMES + 1
    return LONGEST_WINDOW


def axis_origins(length: int, tile: int, fraction: float = OVERLAP, shifted: bool = False) -> list[int]:
    """Where the tiles of ``tile`` cells start on an axis of ``length``: as few as overlap enough, evenly spread.

    Args:
        length, tile: cells.
        fraction: share of a tile that neighbours have in common at least; never below two cells, nor a whole tile.
        shifted: move all but the first and the last by up to 4 cells, as far as the overlap has to spare.
    """
    if length <= tile:
        return [0]
    least = min(max(2, math.floor(tile * fraction)), tile - 1)
    count = 2
    while count * tile - length < least * (count - 1):
        count += 1
    origins = [round(index * (length - tile) / (count - 1)) for index in range(count)]
    if shifted:
        spare = tile - max(after - before for before, after in pairwise(origins)) - least
        shift = max(0, min(_LARGEST_SHIFT, spare))
        origins[1:-1] = [origin + shift for origin in origins[1:-1]]
    return origins


def gaussian(cells: int) -> Tensor:
    """Weights of a tile along one axis, float32: a Gaussian around its middle, 0.08 at its ends."""
    index = torch.arange(cells, dtype=torch.float32)
    return torch.exp(-((index - (cells - 1) / 2) ** 2) / (2 * GAUSSIAN_VARIANCE * cells**2))


@dataclass(frozen=True, eq=False)
class FusedTile:
    """A tile of a grid, with its share of every cell.

    Attributes:
        frames, height, width: its cells.
        weights: ``(f, h, w)`` float32; those of all tiles of the grid sum to 1 in every cell.
        window: number of its window in time; None where the clip has only one.
    """

    frames: Interval
    height: Interval
    width: Interval
    weights: Tensor
    window: int | None = None

    def blend_mask(self) -> Tensor:
        """The weights."""
        return self.weights


def fusion_grids(
    size: tuple[int, int, int], tile: tuple[int, int, int], fraction: float = OVERLAP, cycle: int = 1
) -> list[list[FusedTile]]:
    """The grids of tiles of which step ``k`` takes number ``k % cycle``.

    Args:
        size: frames, height and width of the latent.
        tile: the same of a tile; a larger one than the latent is as large.
        fraction: of overlap in height and width; in time it is a half.
        cycle: how many grids, 1 to 4.
    """
    return [_grid(size, tile, fraction, shifts) for shifts in _CYCLE[:cycle]]


def _grid(
    size: tuple[int, int, int], tile: tuple[int, int, int], fraction: float, shifts: tuple[int, int]
) -> list[FusedTile]:
    sides = [min(one, whole) for one, whole in zip(tile, size, strict=True)]
    windows = axis_origins(size[0], sides[0])
    rows, columns = (
        axis_origins(length, side, fraction, bool(shift))
        for length, side, shift in zip(size[1:], sides[1:], shifts, strict=True)
    )
    total = torch.zeros(size)
    placed = []
    for (window, start), row, column in product(enumerate(windows), rows, columns):
        time = gaussian(sides[0]) if len(windows) > 1 else torch.ones(sides[0])
        if window:
            # As the start of a clip of its own it stands for one frame, not for eight.
            time[0] = 0
        weights = time[:, None, None] * gaussian(sides[1])[:, None] * gaussian(sides[2])
        cells = [Interval(first, first + side) for first, side in zip((start, row, column), sides, strict=True)]
        total[tuple(slice(axis.start, axis.end) for axis in cells)] += weights
        placed.append((cells, weights, window if len(windows) > 1 else None))
    return [
        FusedTile(*cells, weights / total[tuple(slice(axis.start, axis.end) for axis in cells)], window)
        for cells, weights, window in placed
    ]
