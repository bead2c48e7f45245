"""Tiling with independent axes, as LTX-2.5 uses it (spec 03 §12.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...types import SpatioTemporalScaleFactors
from .intervals import Interval, split, split_by_count, start_one_earlier, trapezoid
from .tile_plan import AxisTile, TilePlan
from .tiling import decoded_frames, decoded_pixels

# Latent cells that neighbouring encode tiles must share.
MIN_ENCODE_OVERLAP = 2


@dataclass(frozen=True)
class AxisTiling:
    """Tile size and overlap along one axis in frames or pixels; size 0 leaves the axis whole."""

    size: int = 0
    overlap: int = 0

    @property
    def is_tiled(self) -> bool:
        """Whether the axis may be cut."""
        return self.size > 0

    def overlap_cells(self, factor: int) -> int:
        """Overlap in latent cells."""
        return self.overlap // factor

    def validate(self, factor: int) -> None:
        """Check a tiled axis whose latent cell covers ``factor`` frames or pixels.

        Raises:
            ValueError: the size is below two cells or not a multiple of a cell, or the overlap is not a multiple of
                a cell below the size.
        """
        if self.size < 2 * factor or self.size % factor:
            raise ValueError(
                f"Tile size is {self.size}; it must be 0 (no tiles) or a multiple of {factor} of at least {2 * factor}."
            )
        if self.overlap % factor or not 0 <= self.overlap < self.size:
            raise ValueError(
                f"Tile overlap is {self.overlap}; it must be a multiple of {factor} below the tile size ({self.size})."
            )

    def intervals(self, length: int, factor: int) -> list[Interval]:
        """Intervals over ``length`` latent cells of ``factor`` frames or pixels each.

        Raises:
            ValueError: as :meth:`validate`.
        """
        if not self.is_tiled:
            return [Interval(0, length)]
        self.validate(factor)
        return split(length, self.size // factor, self.overlap_cells(factor))


@dataclass(frozen=True)
class AxisCount:
    """A number of tiles along one axis and their overlap in latent cells."""

    count: int = 1
    overlap: int = 0

    @property
    def is_tiled(self) -> bool:
        """Whether the axis may be cut."""
        return self.count > 1

    def overlap_cells(self, factor: int) -> int:
        """Overlap in latent cells."""
        return self.overlap

    def intervals(self, length: int, factor: int) -> list[Interval]:
        """Intervals over ``length`` latent cells.

        Raises:
            ValueError: more tiles than cells, or tiles that do not exceed their overlap.
        """
        return split_by_count(length, self.count, self.overlap)


@dataclass(frozen=True)
class PerAxisTiling:
    """How to cut each axis of a video."""

    frames: AxisTiling | AxisCount = field(default_factory=AxisTiling)
    height: AxisTiling | AxisCount = field(default_factory=AxisTiling)
    width: AxisTiling | AxisCount = field(default_factory=AxisTiling)

    @classmethod
    def default(cls) -> PerAxisTiling:
        """80 frames overlapping by 24, 768 px overlapping by 64."""
        side = AxisTiling(size=768, overlap=64)
        return cls(frames=AxisTiling(size=80, overlap=24), height=side, width=side)

    @classmethod
    def from_long_side(
        cls, side: AxisTiling, frames: AxisTiling, video_size: tuple[int, int], scale: SpatioTemporalScaleFactors
    ) -> PerAxisTiling:
        """``side`` for the longer of the (height, width) pixels, the shorter one scaled by the aspect ratio."""
        long_side = max(length // factor for length, factor in zip(video_size, scale[1:], strict=True))
        height, width = (
            _scaled(side, length // factor, long_side, factor)
            for length, factor in zip(video_size, scale[1:], strict=True)
        )
        return cls(frames=frames, height=height, width=width)

    def decode_plan(self, latent_size: Sequence[int], scale: SpatioTemporalScaleFactors) -> TilePlan:
        """Tiles that decode a latent of (frames, height, width) cells."""
        time, height, width = self._latent_intervals(latent_size, scale)
        return TilePlan.normalised(
            time=[decoded_frames(i, scale.time) for i in time],
            height=[decoded_pixels(i, scale.height) for i in height],
            width=[decoded_pixels(i, scale.width) for i in width],
        )

    def encode_plan(self, video_size: Sequence[int], scale: SpatioTemporalScaleFactors) -> TilePlan:
        """Tiles that encode a video of (frames, height, width) pixels.

        Raises:
            ValueError: tiles of a cut axis share less than two latent cells.
        """
        for name, axis, factor in zip(("frame", "height", "width"), self._axes, scale, strict=True):
            if axis.is_tiled and axis.overlap_cells(factor) < MIN_ENCODE_OVERLAP:
                raise ValueError(
                    f"Encode tiles need a {name} overlap of at least {MIN_ENCODE_OVERLAP * factor} "
                    f"(two latent cells); this one is {axis.overlap_cells(factor) * factor}."
                )
        frames, height, width = video_size
        latent_size = ((frames - 1) // scale.time + 1, height // scale.height, width // scale.width)
        time, rows, columns = self._latent_intervals(latent_size, scale)
        return TilePlan.normalised(
            time=[_encoded_frames(i, scale.time) for i in time],
            height=[_encoded_pixels(i, scale.height) for i in rows],
            width=[_encoded_pixels(i, scale.width) for i in columns],
        )

    @property
    def _axes(self) -> tuple[AxisTiling | AxisCount, ...]:
        return (self.frames, self.height, self.width)

    def _latent_intervals(
        self, latent_size: Sequence[int], scale: SpatioTemporalScaleFactors
    ) -> tuple[list[Interval], list[Interval], list[Interval]]:
        time, height, width = (
            axis.intervals(length, factor) for axis, length, factor in zip(self._axes, latent_size, scale, strict=True)
        )
        return start_one_earlier(time), height, width


def _scaled(side: AxisTiling, length: int, long_side: int, factor: int) -> AxisTiling:
    size = round(side.size // factor * length / long_side) * factor
    return AxisTiling(size=max(size, 2 * factor, side.overlap + factor), overlap=side.overlap)


def _encoded_frames(interval: Interval, factor: int) -> AxisTile:
    """A run of latent frames and the pixel frames it is encoded from."""
    return AxisTile(
        source=(factor * interval.start, 1 + factor * (interval.end - 1)),
        target=(interval.start, interval.end),
        mask=trapezoid(interval.length, interval.left, interval.right, from_zero=True),
    )


def _encoded_pixels(interval: Interval, factor: int) -> AxisTile:
    """A run of latent rows or columns and the pixels it is encoded from."""
    return AxisTile(
        source=(factor * interval.start, factor * interval.end),
        target=(interval.start, interval.end),
        mask=trapezoid(interval.length, interval.left, interval.right, from_zero=False),
    )
