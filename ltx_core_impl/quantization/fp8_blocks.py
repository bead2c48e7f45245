"""fp8 weights with a scale per row, per block of inputs, or per rectangle (spec 01 §8.5)."""

from __future__ import annotations

import torch
from torch import Tensor

SQUARE = 128
"""Rows and columns of the usual blocks; the last of them may be cut off by the weight's edge."""


def block_shape(weight: tuple[int, ...], scale: tuple[int, ...]) -> tuple[int, int] | None:
    """Rows and columns that one scale of a weight ``(out, in)`` is for; None where the shapes do not fit.

    Scales are ``(out,)`` or ``(out, 1)`` for rows, ``(out, n)`` or ``(out, n, 1)`` for blocks of inputs, and
    ``(m, n)`` for rectangles. Squares of 128 are looked for first, since they need not divide the weight.
    """
    scale = scale[:-1] if len(scale) == 3 and scale[-1] == 1 else scale
    scale = (*scale, 1) if len(scale) == 1 else scale
    if len(weight) != 2 or len(scale) != 2 or 0 in (*weight, *scale):
        return None
    sizes = [_extent(size, count) for size, count in zip(weight, scale, strict=True)]
    return None if None in sizes else (sizes[0], sizes[1])


def _extent(size: int, count: int) -> int | None:
    if count == -(-size // SQUARE) and count > 1:
        return SQUARE
    return size // count if size % count == 0 else None


def dequantize_blocks(codes: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """The weight ``(out, in)`` in ``dtype``: every code times the scale of its block, in float32.

    Raises:
        ValueError: scales that do not fit the weight.
    """
    blocks = block_shape(tuple(codes.shape), tuple(scale.shape))
    if blocks is None:
        raise ValueError(f"a weight of shape {tuple(codes.shape)} cannot have scales of shape {tuple(scale.shape)}")
    rows, columns = blocks
    scale = scale.float().reshape(-(-codes.shape[0] // rows), -1)
    if columns > 1:
        scale = scale.repeat_interleave(columns, dim=1)[:, : codes.shape[1]]
    if rows > 1:
        scale = scale.repeat_interleave(rows, dim=0)[: codes.shape[0]]
    return codes.to(torch.float32, copy=True).mul_(scale).to(dtype)
