"""Linear layers whose weights stay in a stored low-precision format and are widened when they are used."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FP8_DTYPES = (torch.float8_e4m3fn, torch.float8_e5m2)
NVFP4_GROUP = 16
_NVFP4_VALUES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)


def dequantize_fp8(weight: Tensor, scale: Tensor | None, dtype: torch.dtype) -> Tensor:
    """``weight · scale`` in ``dtype``; ``scale`` is a scalar or ``None`` for a plain cast (spec 05 §2.4)."""
    wide = weight.to(dtype, copy=scale is not None)
    return wide if scale is None else wide.mul_(scale.to(dtype))


def unswizzle_block_scales(scales: Tensor, rows: int, columns: int) -> Tensor:
    """Logical ``(rows, columns)`` block scales from their 128 x 4 tiled storage order (spec 01 §8.4)."""
    row_tiles, column_tiles = -(-rows // 128), -(-columns // 4)
    tiles = scales.reshape(-1)[: row_tiles * column_tiles * 512].view(row_tiles, column_tiles, 32, 4, 4)
    plain = tiles.permute(0, 3, 2, 1, 4).reshape(row_tiles * 128, column_tiles * 4)
    return plain[:rows, :columns]


def dequantize_nvfp4(
    weight: Tensor, block_scale: Tensor, tensor_scale: Tensor, shape: tuple[int, int], dtype: torch.dtype
) -> Tensor:
    """Decode nvfp4: two e2m1 codes per byte, high nibble first, one scale per 16 inputs (spec 05 §2.4).

    Args:
        weight: ``(out, in / 2)`` uint8, possibly padded.
        block_scale: e4m3 scales in tiled order.
        tensor_scale: scalar float32.
        shape: logical ``(out, in)``.
    """
    rows, columns = shape
    codes = torch.stack((weight >> 4, weight & 15), dim=-1).flatten(1)[:rows, :columns]
    values = torch.tensor(_NVFP4_VALUES, dtype=dtype, device=weight.device)[codes.int()]
    blocks = -(-columns // NVFP4_GROUP)
    scales = unswizzle_block_scales(block_scale.view(torch.float8_e4m3fn), rows, blocks).to(dtype)
    scales = scales * tensor_scale.to(dtype)
    return values * scales.repeat_interleave(NVFP4_GROUP, dim=1)[:, :columns]


class Fp8Linear(nn.Linear):
    """Linear with an fp8 weight and an optional scalar ``weight_scale``; computes in the input's dtype."""

    def __init__(self, in_features: int, out_features: int, bias: bool, dtype: torch.dtype, scaled: bool):
        super().__init__(in_features, out_features, bias=bias)
        self.weight = nn.Parameter(torch.empty_like(self.weight, dtype=dtype), requires_grad=False)
        scale = torch.ones((), dtype=torch.float32, device=self.weight.device) if scaled else None
        self.register_buffer("weight_scale", scale)

    def forward(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, dequantize_fp8(self.weight, self.weight_scale, hidden.dtype), self.bias)


class Nvfp4Linear(nn.Module):
    """Linear with a 4-bit weight that is decoded to the input's dtype for each call."""

    def __init__(self, shape: tuple[int, int], packed_shape: tuple[int, ...], scale_shape: tuple[int, ...]):
        super().__init__()
        self.shape = shape  # (out, in)
        self.register_buffer("weight", torch.empty(packed_shape, dtype=torch.uint8))
        self.register_buffer("weight_scale", torch.empty(scale_shape, dtype=torch.float8_e4m3fn))
        self.register_buffer("weight_scale_2", torch.empty((), dtype=torch.float32))

    def forward(self, hidden: Tensor) -> Tensor:
        weight = dequantize_nvfp4(self.weight, self.weight_scale, self.weight_scale_2, self.shape, hidden.dtype)
        return F.linear(hidden, weight)
