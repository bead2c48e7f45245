"""Linear layers whose weights stay in a stored low-precision format and are widened when they are used."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...quantization.int8 import dequantize_int8
from ...quantization.nvfp4 import dequantize_nvfp4


def dequantize_fp8(weight: Tensor, scale: Tensor | None, dtype: torch.dtype) -> Tensor:
    """``weight · scale`` in ``dtype``; ``scale`` is a scalar or ``None`` for a plain cast (spec 05 §2.4)."""
    wide = weight.to(dtype, copy=scale is not None)
    return wide if scale is None else wide.mul_(scale.to(dtype))


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


class Int8Linear(nn.Module):
    """Linear with an int8 weight, perhaps rotated in groups of inputs, that is decoded for each call."""

    def __init__(self, shape: tuple[int, int], scale_shape: tuple[int, ...], rotation: int):
        super().__init__()
        self.rotation = rotation
        self.register_buffer("weight", torch.empty(shape, dtype=torch.int8))  # (out, in)
        self.register_buffer("weight_scale", torch.empty(scale_shape, dtype=torch.float32))

    def forward(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, dequantize_int8(self.weight, self.weight_scale, self.rotation, hidden.dtype))
