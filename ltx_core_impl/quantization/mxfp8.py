"""Decoding mxfp8: e4m3 values with one power of two (E8M0) per 32 inputs, as the OCP microscaling format says.

The scales of comfy-kitchen, and of every file that ComfyUI reads, lie in the tiled order of cuBLAS, padded to tiles of
128 rows by 4 blocks: the tensor has the shape of a plain one, but read row by row it gives noise.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .nvfp4 import scale_offset

BLOCK = 32
PADDING = 32
"""A weight may be filled up to multiples of this many rows and columns."""
_TILE_ROWS, _TILE_COLUMNS = 128, 4


def tiled_shape(weight: tuple[int, int]) -> tuple[int, int]:
    """Shape of the tiled scales of a stored weight ``(out, in)``."""
    rows, blocks = weight[0], weight[1] // BLOCK
    return -(-rows // _TILE_ROWS) * _TILE_ROWS, -(-blocks // _TILE_COLUMNS) * _TILE_COLUMNS


def scales_are_tiled(weight: tuple[int, ...], scale: tuple[int, ...]) -> bool | None:
    """Whether scales of this shape are in the tiled order; False for row by row, None where they do not fit the weight.

    Where a plain tensor would have the same shape, they are tiled: nobody writes plain ones of that size.
    """
    if len(weight) != 2 or weight[1] % BLOCK or not weight[1]:
        return None
    rows, blocks = tiled_shape(weight)
    if scale in ((rows, blocks), (rows * blocks,)):
        return True
    return False if scale == (weight[0], weight[1] // BLOCK) else None


def dequantize_mxfp8(codes: Tensor, scale: Tensor, shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """The weight ``(out, in)`` in ``dtype``, computed in float32.

    Args:
        codes: e4m3 ``(≥out, ≥in)``, perhaps padded.
        scale: E8M0 or its raw uint8, tiled or row by row.
        shape: ``(out, in)`` after the padding is cut.

    Raises:
        ValueError: scales that do not fit the weight.
    """
    tiled = scales_are_tiled(tuple(codes.shape), tuple(scale.shape))
    if tiled is None:
        raise ValueError(f"an mxfp8 weight of shape {tuple(codes.shape)} cannot have scales of {tuple(scale.shape)}")
    rows, columns = shape
    blocks = codes.shape[1] // BLOCK
    bits = scale.view(torch.uint8)
    if tiled:
        row = torch.arange(rows, device=codes.device)[:, None]
        column = torch.arange(blocks, device=codes.device)[None, :]
        bits = bits.flatten()[scale_offset(row, column, tiled_shape(tuple(codes.shape))[1])]
    powers = power_of_two(bits[:rows])
    values = codes[:rows].float().unflatten(1, (blocks, BLOCK))
    return (values * powers[:, :, None]).flatten(1)[:, :columns].to(dtype)


def power_of_two(bits: Tensor) -> Tensor:
    """``2 ** (bits - 127)`` in float32 of E8M0's raw uint8, exactly; 255 is NaN."""
    exponent = bits.int() << 23
    exponent = torch.where(bits == 0, 0x0040_0000, exponent)  # 2^-127 is subnormal
    exponent = torch.where(bits == 255, 0x7FC0_0000, exponent)
    return exponent.view(torch.float32)
