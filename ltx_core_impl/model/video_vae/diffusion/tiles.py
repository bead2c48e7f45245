"""Tiles of the diffusion decoder, on the grid of its fourth stage (spec 03 §13.5)."""

from __future__ import annotations

import math

from ....types import SpatioTemporalScaleFactors
from ..axis_tiling import AxisTiling, PerAxisTiling
from ..intervals import Interval, split, trapezoid
from ..tile_plan import AxisTile, TilePlan
from .params import DETERMINISTIC_STAGES, DiffusionDecoderParams, Size

AXIS_NAMES = ("frames", "height", "width")


def grid_size(params: DiffusionDecoderParams, latent_size: Size) -> Size:
    """Cells of the fourth stage for a latent of (frames, height, width); the first latent frame gives one."""
    strides = [up.stride for up in params.upsamplings[: DETERMINISTIC_STAGES - 1]]
    time, height, width = (math.prod(stride[axis] for stride in strides) for axis in range(3))
    frames, rows, columns = latent_size
    return (frames - 1) * time + 1, rows * height, columns * width


def cell_size(params: DiffusionDecoderParams) -> SpatioTemporalScaleFactors:
    """Frames and pixels per cell."""
    time, height, width = params.upsamplings[-1].stride
    return SpatioTemporalScaleFactors(time, height * params.patch_size, width * params.patch_size)


def min_tile_cells(params: DiffusionDecoderParams) -> Size:
    """Smallest tile in which the windows of the last two stages fit."""
    stride = params.upsamplings[-1].stride
    time, height, width = (
        max(params.stage_kernels[-1][axis], math.ceil(params.denoiser_kernel[axis] / stride[axis])) for axis in range(3)
    )
    return time, height, width


def required_overlaps(params: DiffusionDecoderParams) -> Size:
    """Frames and pixels that neighbouring tiles must share: how far a stage sees, in whole latent cells."""
    stride, cell, latent = params.upsamplings[-1].stride, cell_size(params), params.scale_factors
    overlaps = []
    for axis in range(3):
        stage = params.stage_depths[-1] * (params.stage_kernels[-1][axis] // 2)
        denoiser = math.ceil(params.denoiser_depth * (params.denoiser_kernel[axis] // 2) / stride[axis])
        pixels = max(stage, denoiser) * cell[axis]
        overlaps.append(math.ceil(pixels / latent[axis]) * latent[axis])
    time, height, width = overlaps
    return time, height, width


def diffusion_plan(tiling: PerAxisTiling, params: DiffusionDecoderParams, latent_size: Size) -> TilePlan:
    """Which cells each tile reads and which frames and pixels it writes.

    Raises:
        ValueError: tiles given by count, of a wrong size, or with too little overlap.
    """
    cell = cell_size(params)
    time, height, width = (
        _axis_intervals(name, axis, length, latent_factor, cell_factor, minimum, required)
        for name, axis, length, latent_factor, cell_factor, minimum, required in zip(
            AXIS_NAMES,
            (tiling.frames, tiling.height, tiling.width),
            grid_size(params, latent_size),
            params.scale_factors,
            cell,
            min_tile_cells(params),
            required_overlaps(params),
            strict=True,
        )
    )
    return TilePlan.normalised(
        time=[_tile(i, cell.time, causal=True) for i in time],
        height=[_tile(i, cell.height, causal=False) for i in height],
        width=[_tile(i, cell.width, causal=False) for i in width],
    )


def _axis_intervals(
    name: str, axis: object, length: int, latent_factor: int, cell_factor: int, minimum: int, required: int
) -> list[Interval]:
    if not isinstance(axis, AxisTiling):
        raise ValueError(f"The diffusion decoder needs tile sizes, not tile counts; use AxisTiling for the {name}.")
    if not axis.is_tiled:
        return [Interval(0, length)]
    axis.validate(latent_factor)
    intervals = split(length, axis.size // cell_factor, axis.overlap // cell_factor, minimum)
    if axis.overlap < required:
        raise ValueError(
            f"The diffusion decoder needs an overlap of at least {required} along the {name}; got {axis.overlap}. "
            f"Use AxisTiling(size={max(axis.size, 2 * required)}, overlap={required})."
        )
    return intervals


def _tile(interval: Interval, factor: int, causal: bool) -> AxisTile:
    """The output of a run of cells; in time the first cell gives one frame, which shifts all others."""
    shift = factor - 1 if causal else 0
    start = max(0, factor * interval.start - shift)
    end = factor * interval.end - shift
    mask = trapezoid(end - start, factor * interval.left, factor * interval.right, from_zero=False)
    return AxisTile((interval.start, interval.end), (start, end), mask)
