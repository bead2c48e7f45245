"""Splitting one axis into overlapping intervals, and their weights (spec 03 §7.2, §7.3, §12.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Interval:
    """``[start, end)`` of an axis; ``left`` and ``right`` positions are shared with the neighbours."""

    start: int
    end: int
    left: int = 0
    right: int = 0

    @property
    def length(self) -> int:
        """Positions covered."""
        return self.end - self.start


def split(length: int, size: int, overlap: int, minimum: int = 1) -> list[Interval]:
    """Intervals of ``size`` that overlap by ``overlap``; the last one may be shorter, but longer than the overlap.

    A last interval below ``minimum`` grows to the left, into its neighbour; an axis below ``minimum`` stays whole.

    Raises:
        ValueError: ``overlap`` is not below ``size``.
    """
    if length <= max(size, minimum):
        return [Interval(0, length)]
    step = size - overlap
    if step < 1:
        raise ValueError(
            f"Tiles of size {size} cannot overlap by {overlap}: the overlap must be smaller than the tile."
        )
    count = (length - overlap + step - 1) // step
    intervals = [
        Interval(
            start=k * step,
            end=min(k * step + size, length),
            left=overlap if k > 0 else 0,
            right=overlap if k < count - 1 else 0,
        )
        for k in range(count)
    ]
    missing = minimum - intervals[-1].length
    if missing > 0:
        before, last = intervals[-2:]
        intervals[-2:] = [
            replace(before, right=before.right + missing),
            replace(last, start=last.start - missing, left=last.left + missing),
        ]
    return intervals


def start_one_earlier(intervals: list[Interval]) -> list[Interval]:
    """Give every interval but the first one more position in front.

    A causal first frame stands for one pixel frame, so that a later interval needs one extra to throw away.
    """
    first, *others = intervals
    return [first, *(replace(i, start=i.start - 1, left=i.left + 1) for i in others)]


def split_causal(length: int, size: int, overlap: int) -> list[Interval]:
    """:func:`split` for a time axis whose first position is causal."""
    return start_one_earlier(split(length, size, overlap))


def split_by_count(length: int, count: int, overlap: int) -> list[Interval]:
    """``count`` intervals of nearly equal size that overlap by ``overlap``.

    Raises:
        ValueError: more intervals than positions.
    """
    if not 1 <= count <= length:
        raise ValueError(f"Cannot cut {length} positions into {count} tiles; use between 1 and {length}.")
    size, remainder = divmod(length + overlap * (count - 1), count)
    return [
        replace(interval, start=interval.start + min(i, remainder), end=interval.end + min(i + 1, remainder))
        for i, interval in enumerate(split(length - remainder, size, overlap))
    ]


def trapezoid(length: int, left: int, right: int, from_zero: bool) -> Tensor:
    """Float32 weights ``(length,)``: rise over ``left``, ones, fall over ``right`` positions.

    ``from_zero`` starts the rise at exactly 0; otherwise neither ramp reaches 0, so that the ramps of two
    neighbours sum to 1.
    """
    left, right = (min(max(ramp, 0), length) for ramp in (left, right))
    mask = torch.ones(length)
    if left:
        mask[:left] *= torch.arange(left) / left if from_zero else torch.arange(1, left + 1) / (left + 1)
    if right:
        mask[-right:] *= 1 - torch.arange(1, right + 1) / (right + 1)
    return mask


def rectangle(length: int, left: int, right: int) -> Tensor:
    """Float32 weights ``(length,)``: ones, but zero on the first ``left`` and the last ``right`` positions."""
    mask = torch.ones(length)
    mask[:left] = 0
    mask[length - right :] = 0
    return mask
