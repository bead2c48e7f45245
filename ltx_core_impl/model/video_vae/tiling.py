"""Tiling of LTX-2 and LTX-2.3 encode and decode (spec 03 §7)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...types import SpatioTemporalScaleFactors
from .intervals import Interval, rectangle, split, split_causal, trapezoid
from .tile_plan import AxisTile, TilePlan

logger = logging.getLogger(__name__)

_PUBLISHED = SpatioTemporalScaleFactors.default()


@dataclass(frozen=True)
class SpatialTiling:
    """Tile size and overlap in pixels.

    Raises:
        ValueError: the size is below 64 or not a multiple of 32, or the overlap is not a multiple of 32 below it.
    """

    size: int
    overlap: int = 0

    def __post_init__(self) -> None:
        _validate("Spatial", "px", self.size, self.overlap, factor=_PUBLISHED.height)


@dataclass(frozen=True)
class TemporalTiling:
    """Tile size and overlap in frames.

    Raises:
        ValueError: the size is below 16 or not a multiple of 8, or the overlap is not a multiple of 8 below it.
    """

    size: int
    overlap: int = 0

    def __post_init__(self) -> None:
        _validate("Temporal", "frames", self.size, self.overlap, factor=_PUBLISHED.time)


@dataclass(frozen=True)
class TilingConfig:
    """How to cut a video; an absent part leaves its axes whole.

    Decoding applies the spatial size to the longer side and scales the shorter one by the aspect ratio.
    """

    spatial: SpatialTiling | None = None
    temporal: TemporalTiling | None = None

    @classmethod
    def default(cls) -> TilingConfig:
        """512 px overlapping by 64, 64 frames overlapping by 24."""
        return cls(spatial=SpatialTiling(size=512, overlap=64), temporal=TemporalTiling(size=64, overlap=24))

    def decode_plan(self, latent_size: Sequence[int], scale: SpatioTemporalScaleFactors) -> TilePlan:
        """Tiles that decode a latent of (frames, height, width) cells (spec 03 §7.4)."""
        frames, height, width = latent_size
        long_side = max(height, width)
        return TilePlan.normalised(
            time=[decoded_frames(i, scale.time) for i in self._latent_frame_intervals(frames, scale.time)],
            height=[decoded_pixels(i, scale.height) for i in self._latent_intervals(height, long_side, scale.height)],
            width=[decoded_pixels(i, scale.width) for i in self._latent_intervals(width, long_side, scale.width)],
        )

    def encode_plan(self, video_size: Sequence[int], scale: SpatioTemporalScaleFactors) -> TilePlan:
        """Tiles that encode a video of (frames, height, width) pixels (spec 03 §7.6).

        Overlaps below two latent cells are raised to that.
        """
        frames, height, width = video_size
        return TilePlan.normalised(
            time=[_encoded_frames(i, scale.time) for i in self._frame_intervals(frames, scale.time)],
            height=[_encoded_pixels(i, scale.height) for i in self._pixel_intervals(height, scale.height)],
            width=[_encoded_pixels(i, scale.width) for i in self._pixel_intervals(width, scale.width)],
        )

    def _latent_frame_intervals(self, frames: int, factor: int) -> list[Interval]:
        if self.temporal is None:
            return [Interval(0, frames)]
        size, overlap = _in_cells(self.temporal.size, self.temporal.overlap, factor, "frames")
        return split_causal(frames, size, overlap)

    def _latent_intervals(self, length: int, long_side: int, factor: int) -> list[Interval]:
        if self.spatial is None:
            return [Interval(0, length)]
        size, overlap = _in_cells(self.spatial.size, self.spatial.overlap, factor, "px")
        return split(length, max(2, overlap + 1, round(size * length / long_side)), overlap)

    def _frame_intervals(self, frames: int, factor: int) -> list[Interval]:
        if self.temporal is None:
            return [Interval(0, frames)]
        intervals = _split_for_encoding(frames, self.temporal.size, self.temporal.overlap, factor, "frames")
        # One frame more than a multiple of the factor, which the encoder's causal first latent stands for.
        return [replace(i, end=i.end + 1, right=0) for i in intervals[:-1]] + [replace(intervals[-1], right=0)]

    def _pixel_intervals(self, length: int, factor: int) -> list[Interval]:
        if self.spatial is None:
            return [Interval(0, length)]
        return _split_for_encoding(length, self.spatial.size, self.spatial.overlap, factor, "px")


def decoded_frames(interval: Interval, factor: int) -> AxisTile:
    """A run of latent frames and the pixel frames it decodes to; the first latent frame gives one."""
    left = 1 + factor * (interval.left - 1) if interval.left else 0
    return AxisTile(
        source=(interval.start, interval.end),
        target=(factor * interval.start, 1 + factor * (interval.end - 1)),
        mask=trapezoid(factor * (interval.length - 1) + 1, left, factor * interval.right, from_zero=True),
    )


def decoded_pixels(interval: Interval, factor: int) -> AxisTile:
    """A run of latent rows or columns and the pixels it decodes to."""
    return AxisTile(
        source=(interval.start, interval.end),
        target=(factor * interval.start, factor * interval.end),
        mask=trapezoid(factor * interval.length, factor * interval.left, factor * interval.right, from_zero=False),
    )


def _encoded_frames(interval: Interval, factor: int) -> AxisTile:
    """A run of pixel frames and the latent frames it encodes to; frames seen with less context get no weight."""
    start, end = interval.start // factor, (interval.end - 1) // factor + 1
    left = 1 + (interval.left - 1) // factor if interval.left else 0
    return AxisTile((interval.start, interval.end), (start, end), rectangle(end - start, left, 0))


def _encoded_pixels(interval: Interval, factor: int) -> AxisTile:
    """A run of pixel rows or columns and the latent cells it encodes to; cells near a seam get no weight."""
    start, end = interval.start // factor, interval.end // factor
    mask = rectangle(end - start, max(0, interval.left // factor - 1), 1 if interval.right else 0)
    return AxisTile((interval.start, interval.end), (start, end), mask)


def _split_for_encoding(length: int, size: int, overlap: int, factor: int, unit: str) -> list[Interval]:
    """Intervals in pixels or frames, the overlap raised to two latent cells."""
    _in_cells(size, overlap, factor, unit)
    minimum = 2 * factor
    if overlap < minimum < size:
        logger.warning("Raising the encode tile overlap from %d to %d %s, the minimum.", overlap, minimum, unit)
    if length > size and size <= minimum:
        raise ValueError(
            f"Encode tiles of {size} {unit} are too small: they must overlap by at least {minimum} {unit}. "
            f"Use at least {minimum + factor} {unit}."
        )
    return split(length, size, max(overlap, minimum))


def _in_cells(size: int, overlap: int, factor: int, unit: str) -> tuple[int, int]:
    """Size and overlap in latent cells.

    Raises:
        ValueError: they are not multiples of this VAE's factor.
    """
    if size % factor or overlap % factor:
        raise ValueError(
            f"This VAE needs tiles in multiples of {factor} {unit}; got size {size} and overlap {overlap}."
        )
    return size // factor, overlap // factor


def _validate(kind: str, unit: str, size: int, overlap: int, factor: int) -> None:
    if size < 2 * factor or size % factor:
        nearest = max(2, round(size / factor)) * factor
        raise ValueError(
            f"{kind} tile size is {size} {unit}; it must be a multiple of {factor} and at least {2 * factor}. "
            f"Use {nearest}."
        )
    if overlap % factor or not 0 <= overlap < size:
        nearest = min(max(0, round(overlap / factor) * factor), size - factor)
        raise ValueError(
            f"{kind} tile overlap is {overlap} {unit}; it must be a multiple of {factor} below the tile size "
            f"({size}). Use {nearest}."
        )
