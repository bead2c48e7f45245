"""Rotary position embeddings over fractional coordinates (RoFormer, arXiv 2104.09864; spec 02 §7).

A table holds one angle per channel pair, ``(B, H, T, d/2)``; the layout of the pairs inside a head (halves or
neighbours) only matters when the rotation is applied.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

import torch

from .rows import share_rows, take_rows


class RopeType(Enum):
    """Which channels of a head form a pair: ``(j, j + d/2)`` when split, ``(2j, 2j + 1)`` when interleaved."""

    INTERLEAVED = "interleaved"
    SPLIT = "split"


class RopeTable(NamedTuple):
    """Cosines and sines, each ``(B or 1, H, T, d/2)``."""

    cos: torch.Tensor
    sin: torch.Tensor

    def take(self, rows: Sequence[int] | None) -> RopeTable:
        """The table of batch rows ``rows``."""
        return RopeTable(take_rows(self.cos, rows), take_rows(self.sin, rows))


@lru_cache(maxsize=16)
def frequency_grid(width: int, axes: int, theta: float = 10000.0, float64: bool = False) -> torch.Tensor:
    """``(width // (2 * axes),)`` float32 frequencies, geometric from π/2 to θπ/2.

    ``float64`` only concerns the precision in which the grid is computed. It is always computed on the CPU: some
    devices (mps) have no float64. The result is shared between calls, do not change it in place.
    """
    dtype = torch.float64 if float64 else torch.float32
    count = width // (2 * axes)
    exponents = torch.linspace(0.0, 1.0, count, dtype=dtype, device="cpu")
    return (theta**exponents * (math.pi / 2)).float()


@lru_cache(maxsize=16)
def _grid_on(device: torch.device, width: int, axes: int, theta: float, float64: bool) -> torch.Tensor:
    """The grid on a device: copied there once, since such a copy waits for what the device is doing."""
    with torch.inference_mode(False):
        return frequency_grid(width, axes, theta, float64).to(device)


@lru_cache(maxsize=16)
def _scale_on(device: torch.device, max_pos: tuple[float, ...], dtype: torch.dtype) -> torch.Tensor:
    with torch.inference_mode(False):
        return torch.tensor(max_pos, dtype=dtype, device=device)


def forget_constants() -> None:
    """Drops what is kept on devices."""
    _grid_on.cache_clear()
    _scale_on.cache_clear()


def precompute_rope(
    positions: torch.Tensor,
    *,
    width: int,
    heads: int,
    max_pos: Sequence[float],
    theta: float = 10000.0,
    float64_grid: bool = False,
    dtype: torch.dtype = torch.float32,
) -> RopeTable:
    """Rotation table of tokens at ``positions``.

    Args:
        positions: ``(B, P, T, 2)`` intervals, of which the middle counts, or ``(B, P, T)`` points. The normalisation
            to [-1, 1] happens in their dtype, the angles are float32.
        width: channels of all heads together.
        heads: number of heads; each gets its own slice of the angles.
        max_pos: P coordinates that are normalised to 1.
        theta: ratio of the highest to the lowest frequency.
        float64_grid: compute the frequency grid in float64.
        dtype: dtype of the result.

    Returns:
        Table of ``(B, heads, T, width / heads / 2)``; batch 1 when all rows have the same positions.

    Raises:
        ValueError: the number of axes is not that of ``max_pos``, or heads do not divide the pairs.
    """
    if positions.shape[1] != len(max_pos):
        raise ValueError(
            f"positions have {positions.shape[1]} axes {tuple(positions.shape)}, the model needs {len(max_pos)}: "
            "video positions are (B, 3, T, 2), audio positions (B, 1, T, 2)."
        )
    if width % (2 * heads):
        raise ValueError(f"width {width} cannot be split into {heads} heads of an even number of channels.")
    positions = _drop_equal_rows(positions)
    points = (positions[..., 0] + positions[..., 1]) / 2 if positions.ndim == 4 else positions
    scale = _scale_on(points.device, tuple(max_pos), points.dtype)
    fractions = points.transpose(1, 2) / scale  # (B, T, P)
    grid = _grid_on(points.device, width, len(max_pos), theta, float64_grid)
    angles = ((2 * fractions - 1).unsqueeze(-2) * grid.unsqueeze(-1)).flatten(-2)  # (B, T, K * P), axis fastest
    pad = width // 2 - angles.shape[-1]
    angles = torch.nn.functional.pad(angles, (pad, 0))  # angle 0 in front: those channels do not rotate

    def per_head(values: torch.Tensor) -> torch.Tensor:
        # Of a single axis the angles lie token after token: the kernels want the channels of a token side by side.
        return values.to(dtype).contiguous().unflatten(-1, (heads, -1)).transpose(1, 2)

    return RopeTable(per_head(angles.cos()), per_head(angles.sin()))


def apply_rotary_emb(x: torch.Tensor, table: RopeTable, rope_type: RopeType = RopeType.SPLIT) -> torch.Tensor:
    """Rotates the channel pairs of ``x`` ``(B, H, T, d)`` by the angles of ``table``, in the dtype of ``x``."""
    half = x.shape[-1] // 2
    if rope_type is RopeType.SPLIT:
        shape, axis = (2, half), -2
    else:
        shape, axis = (half, 2), -1
    pairs = x.unflatten(-1, shape)
    first, second = pairs.unbind(axis)
    rotated = pairs * table.cos.unsqueeze(axis)
    rotated.select(axis, 0).addcmul_(second, table.sin, value=-1)
    rotated.select(axis, 1).addcmul_(first, table.sin)
    return rotated.flatten(-2)


def _drop_equal_rows(positions: torch.Tensor) -> torch.Tensor:
    """One row when all batch rows are equal: guidance passes share positions, so they share one table."""
    positions = share_rows(positions)
    return positions[:1] if positions.shape[0] == 1 or bool((positions == positions[:1]).all()) else positions
