"""Choosing the diffusion decoder's tiles from the free memory (spec 03 §13.5)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

from ..axis_tiling import AxisTiling, PerAxisTiling
from ..intervals import split
from .params import DiffusionDecoderParams, Size
from .tiles import cell_size, grid_size, min_tile_cells, required_overlaps

GIB = 2**30
ELEMENT_BYTES = 2
MIN_MODEL_BYTES = GIB
SAFETY_BYTES = GIB
# Activations of the denoiser's width that are alive at once when it runs over a whole tile.
LIVE_ACTIVATIONS = 11


@dataclass(frozen=True)
class _Candidate:
    """A tile size along one axis and how many tiles it takes."""

    size: int
    count: int


def auto_tiling(
    params: DiffusionDecoderParams,
    latent_size: Size,
    free_bytes: int,
    model_bytes: int,
    live_activations: float = LIVE_ACTIVATIONS,
    element_bytes: int = ELEMENT_BYTES,
) -> PerAxisTiling:
    """The tiles that recompute least and fit into ``free_bytes`` of device memory (weights not yet loaded).

    Args:
        latent_size: (frames, height, width) of the latent.
        model_bytes: size of the decoder's weights.
        element_bytes: size of a value that it computes with: 2, or 4 in float32.

    Raises:
        ValueError: not even the smallest tiles fit; says how much memory is missing.
    """
    overlaps = required_overlaps(params)
    frames, height, width = (_candidates(params, latent_size, axis) for axis in range(3))
    usable = free_bytes - max(model_bytes, MIN_MODEL_BYTES) - SAFETY_BYTES
    usable -= stage_feature_bytes(params, latent_size, element_bytes)

    best: tuple[tuple[int, ...], tuple[_Candidate, ...]] | None = None
    for tile in product(frames, height, width):
        if _bytes_needed(params, latent_size, _sizes(tile), live_activations, element_bytes) > usable:
            continue
        volume = math.prod(axis.size for axis in tile)
        count = math.prod(axis.count for axis in tile)
        rank = (count * volume, -volume, count, *(axis.size for axis in tile))
        if best is None or rank < best[0]:
            best = rank, tile
    if best is None:
        smallest = (frames[0], height[0], width[0])
        missing = _bytes_needed(params, latent_size, _sizes(smallest), live_activations, element_bytes) - usable
        raise ValueError(
            f"The diffusion decoder needs {missing / GIB:.1f} GiB more free memory for this video, even with the "
            "smallest tiles. Free memory, or decode with the convolutional VAE, or make a smaller or shorter video."
        )
    return PerAxisTiling(
        *(
            # An axis too short to be cut stays whole.
            AxisTiling(size=axis.size, overlap=overlap) if axis.size > overlap else AxisTiling()
            for axis, overlap in zip(best[1], overlaps, strict=True)
        )
    )


def working_bytes(
    params: DiffusionDecoderParams,
    latent_size: Size,
    tiling: PerAxisTiling | None,
    live_activations: float = LIVE_ACTIVATIONS,
    element_bytes: int = ELEMENT_BYTES,
) -> int:
    """Memory that decoding a latent of (frames, height, width) with these tiles needs besides the weights."""
    whole = tuple(length * step for length, step in zip(latent_size, params.scale_factors, strict=True))
    axes = (None, None, None) if tiling is None else (tiling.frames, tiling.height, tiling.width)
    tile = tuple(
        min(axis.size, length) if axis is not None and axis.is_tiled else length
        for axis, length in zip(axes, whole, strict=True)
    )
    features = stage_feature_bytes(params, latent_size, element_bytes)
    return features + _bytes_needed(params, latent_size, tile, live_activations, element_bytes)


def stage_feature_bytes(params: DiffusionDecoderParams, latent_size: Size, element_bytes: int = ELEMENT_BYTES) -> int:
    """Size of the features that the whole video passes to the tiles, ghost frames included."""
    frames, height, width = latent_size
    cells = math.prod(grid_size(params, (frames + params.ghost_latents, height, width)))
    return cells * params.stage_channels[-1] * element_bytes


def _candidates(params: DiffusionDecoderParams, latent_size: Size, axis: int) -> list[_Candidate]:
    """Tile sizes in frames or pixels, from the smallest sensible one to the whole axis."""
    step, cell = params.scale_factors[axis], cell_size(params)[axis]
    overlap, minimum = required_overlaps(params)[axis], min_tile_cells(params)[axis]
    whole = latent_size[axis] * step
    smallest = max(2 * overlap, math.ceil(minimum * cell / step) * step)
    length = grid_size(params, latent_size)[axis]
    return [
        _Candidate(size, len(split(length, size // cell, overlap // cell, minimum)) if size < whole else 1)
        for size in range(min(smallest, whole), whole + 1, step)
    ]


def _sizes(tile: tuple[_Candidate, ...]) -> Size:
    frames, height, width = (axis.size for axis in tile)
    return frames, height, width


def _bytes_needed(
    params: DiffusionDecoderParams, latent_size: Size, tile: Size, live_activations: float, element_bytes: int
) -> int:
    """Memory of the activations of one tile, in frames and pixels, and of the frames that are being blended."""
    frames, height, width = tile
    scale = params.scale_factors
    picture = latent_size[1] * scale.height * latent_size[2] * scale.width
    blending = 2 * frames * picture * params.out_channels * element_bytes
    tokens = frames * (height // params.patch_size) * (width // params.patch_size)
    return blending + math.ceil(tokens * params.denoiser_channels * element_bytes * live_activations)
