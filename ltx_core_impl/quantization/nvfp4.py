"""Decoding nvfp4: 4-bit floats in blocks of 16 with fp8 block scales (spec 01 §8.4, spec 05 §2.4)."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 16
_TILE_ROWS, _TILE_COLUMNS = 128, 4
_VALUES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)


def scale_offset(row: int | Tensor, column: int | Tensor, padded_columns: int) -> int | Tensor:
    """Index of a block scale in the tiled order of cuBLAS; ``padded_columns`` is a multiple of 4."""
    tile = (row // _TILE_ROWS) * (padded_columns // _TILE_COLUMNS) + column // _TILE_COLUMNS
    return tile * 512 + (row % 32) * 16 + ((row % _TILE_ROWS) // 32) * 4 + column % _TILE_COLUMNS


def dequantize_nvfp4(
    packed: Tensor, block_scale: Tensor, tensor_scale: Tensor, shape: tuple[int, int], dtype: torch.dtype
) -> Tensor:
    """The weight ``(out, in)`` in ``dtype``.

    Args:
        packed: ``(≥out, ≥in/2)`` uint8; the first of two values is in the high nibble.
        block_scale: one e4m3 (or its raw uint8) per 16 inputs, tiled, padded to 128 x 4.
        tensor_scale: fp32 scalar.
        shape: ``(out, in)`` after the padding is cut.

    Raises:
        ValueError: sizes that do not fit ``shape``.
    """
    rows, columns = shape
    if packed.shape[0] < rows or 2 * packed.shape[1] < columns:
        raise ValueError(f"nvfp4 weight {tuple(packed.shape)} is too small for {shape}")
    blocks = 2 * packed.shape[1] // BLOCK
    padded = -(-blocks // _TILE_COLUMNS) * _TILE_COLUMNS
    needed = -(-packed.shape[0] // _TILE_ROWS) * _TILE_ROWS * padded
    if block_scale.numel() != needed or blocks * BLOCK != 2 * packed.shape[1]:
        raise ValueError(f"nvfp4 weight {tuple(packed.shape)} needs {needed} block scales, got {block_scale.numel()}")
    if block_scale.dtype == torch.uint8:
        block_scale = block_scale.view(torch.float8_e4m3fn)
    row = torch.arange(rows, device=packed.device)[:, None]
    column = torch.arange(blocks, device=packed.device)[None, :]
    scales = block_scale.flatten().view(torch.uint8)[scale_offset(row, column, padded)].view(torch.float8_e4m3fn)
    scales = scales.to(dtype) * tensor_scale.to(dtype)
    table = torch.tensor(_VALUES, dtype=dtype, device=packed.device)
    packed = packed[:rows]
    nibbles = torch.stack((packed >> 4, packed & 15), dim=-1).flatten(1)
    values = table[nibbles.int()].unflatten(1, (blocks, BLOCK))
    return (values * scales[:, :, None]).flatten(1)[:, :columns]
