"""Linear layers that keep their weight as the file packs it and decode it on every call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from .fp8_blocks import dequantize_blocks
from .gguf_blocks import dequantize_gguf
from .mxfp8 import dequantize_mxfp8


class Packing(Protocol):
    """How a weight ``(out, in)`` is decoded from what a file stores of it."""

    def decode(self, codes: Tensor, scale: Tensor | None, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor: ...


@dataclass(frozen=True)
class BlockedFp8:
    """fp8 codes ``(out, in)`` and one scale per row or block."""

    def decode(self, codes: Tensor, scale: Tensor | None, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return dequantize_blocks(codes, scale, dtype)


@dataclass(frozen=True)
class MxFp8:
    """e4m3 codes with a power of two per 32 inputs."""

    def decode(self, codes: Tensor, scale: Tensor | None, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return dequantize_mxfp8(codes, scale, shape, dtype)


@dataclass(frozen=True)
class GgufBlocks:
    """Blocks of a GGUF type, scales inside."""

    type_name: str

    def decode(self, codes: Tensor, scale: Tensor | None, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return dequantize_gguf(codes, self.type_name, shape, dtype)


class PackedLinear(nn.Linear):
    """A linear whose ``weight`` holds packed codes; they are decoded to the input's dtype for every call.

    A layer that a LoRA changes is no longer one of these: it gets the sum, widened.
    """

    packing: Packing
    weight_scale: Tensor | None

    def decoded(self, dtype: torch.dtype) -> Tensor:
        """The weight ``(out, in)`` in ``dtype``."""
        return self.packing.decode(self.weight, self.weight_scale, (self.out_features, self.in_features), dtype)

    def forward(self, x: Tensor) -> Tensor:
        """``(…, in) -> (…, out)`` in the dtype of ``x``."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return nn.functional.linear(x, self.decoded(x.dtype), bias)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PackedLinear:
        """Follow a move to another device, but not a change of dtype: codes and scales would lose their meaning."""
        codes = self.weight.detach()
        scale = self.weight_scale
        super()._apply(fn, recurse)
        if self.weight.dtype != codes.dtype:
            self.weight = nn.Parameter(codes.to(self.weight.device), requires_grad=False)
        if scale is not None and self.weight_scale.dtype != scale.dtype:
            self.weight_scale = scale.to(self.weight_scale.device)
        return self


def to_packed_linear(linear: nn.Linear, packing: Packing) -> PackedLinear:
    """Turn a linear (in place) into one with a packed weight; codes and scales come later."""
    linear.__class__ = PackedLinear
    linear.packing = packing
    linear.register_buffer("weight_scale", None)
    return linear


def to_unpacked_linear(linear: PackedLinear) -> nn.Linear:
    """Undo ``to_packed_linear`` on a linear that has no weights yet."""
    linear.__class__ = nn.Linear
    del linear.weight_scale, linear.packing
    return linear
