"""Linear layers that keep fp8 weights (spec 01 §9.1, §9.3-9.6).

An existing ``nn.Linear`` becomes one by having its class replaced, which keeps its parameters, its name in the state
dict and its traceability.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch
from torch import Tensor, nn

from ..kernels.own import widen
from . import trtllm
from .fp8 import can_scaled_mm, dequantize, dynamic_scale, emulated_scaled_mm, quantize_activations

PLACEHOLDER_SCALE = 1.0
"""An ``input_scale`` of exactly this value is a filler in third-party files, not a measurement."""


class CastLinear(nn.Linear):
    """A linear whose fp8 weight (and bias) are cast to the input's dtype on every call."""

    casts_bias = False
    """Whether a bias that is not fp8 yet is stored as fp8 too, as the fp8_cast policy does."""

    def forward(self, x: Tensor) -> Tensor:
        """``(…, in) -> (…, out)`` in the dtype of ``x``."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        weight = widen(self.weight, like=x)
        return nn.functional.linear(x, self.weight.to(x.dtype) if weight is None else weight, bias)


class ScaledLinear(nn.Linear):
    """A linear with an e4m3 weight ``(out, in)`` and one fp32 scale, multiplied in fp8 where the hardware can.

    The input is quantised with one scale: from a calibration, else the stored one, else measured on every call.
    """

    weight_scale: Tensor
    input_scale: Tensor | None
    calibrated_scale: float | None = None
    input_scale_value: float | None = None
    """``input_scale`` as a number on the host."""
    shares_input = True
    full_precision = False
    """Dequantise and multiply in the input's dtype instead (asked for by the file, or for text encoders)."""

    def forward(self, x: Tensor, prepared: dict[Hashable, tuple[Tensor, Tensor]] | None = None) -> Tensor:
        """``(…, in) -> (…, out)`` in the dtype of ``x``.

        ``prepared`` keeps the codes of ``x`` and their scale for the other layers that read it.
        """
        if self.full_precision or not x.numel() or (x.is_cuda and not can_scaled_mm(x, self.weight)):
            weight = dequantize(self.weight, self.weight_scale, x.dtype)
            return nn.functional.linear(x, weight, None if self.bias is None else self.bias.to(x.dtype))
        y = self._multiply(x, {} if prepared is None else prepared).view(*x.shape[:-1], -1)
        return y if self.bias is None else y.add_(self.bias.to(y.dtype))

    def _multiply(self, x: Tensor, prepared: dict[Hashable, tuple[Tensor, Tensor]]) -> Tensor:
        """``(…, in) -> (M, out)`` by scaled matrix multiplication."""
        if x.is_cuda and trtllm.is_available():
            scale = dynamic_scale(x) if self.input_scale is None else self.input_scale
            return trtllm.scaled_mm(x.reshape(-1, x.shape[-1]), self.weight, scale, self.weight_scale)
        key = self._scale_key()
        if key not in prepared:
            prepared[key] = quantize_activations(x, self.input_scale)
        codes, scale = prepared[key]
        codes = codes.reshape(-1, x.shape[-1])
        if not x.is_cuda:
            return emulated_scaled_mm(codes, self.weight, scale, self.weight_scale, x.dtype)
        return torch._scaled_mm(
            codes,
            self.weight.t(),
            scale_a=scale,
            scale_b=self.weight_scale,
            out_dtype=x.dtype,
            use_fast_accum=True,
        )

    def _scale_key(self) -> Hashable:
        """Equal for layers that quantise an input alike; known on the host, so that nothing waits for the device."""
        if self.input_scale is None:
            return "dynamic"
        return id(self.input_scale) if self.input_scale_value is None else self.input_scale_value

    def set_scales(self, weight_scale: Tensor, stored_input_scale: Tensor | None) -> None:
        """Keep the weight's scale and the best input scale there is (spec 01 §9.6); both fp32, ``()``."""
        self.weight_scale = weight_scale.float().reshape(())
        self.input_scale = self.input_scale_value = None
        if self.calibrated_scale is not None:
            self.input_scale_value = self.calibrated_scale
            self.input_scale = torch.full_like(self.weight_scale, self.calibrated_scale)
        elif stored_input_scale is not None:
            value = stored_input_scale.item()
            if value not in (0.0, PLACEHOLDER_SCALE):
                self.input_scale_value = value
                self.input_scale = stored_input_scale.to(self.weight_scale).reshape(())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ScaledLinear:
        """Follow a move to another device, but not a change of dtype: codes and scales would lose their meaning."""
        kept = [(self._parameters, "weight"), (self._buffers, "weight_scale"), (self._buffers, "input_scale")]
        # A parameter may be changed in place, so its data is remembered, not the parameter.
        before = [None if store[name] is None else store[name].detach() for store, name in kept]
        super()._apply(fn, recurse)
        for (store, name), old in zip(kept, before, strict=True):
            new = store[name]
            if new is not None and new.dtype != old.dtype:
                moved = old.to(new.device)
                store[name] = nn.Parameter(moved, requires_grad=False) if store is self._parameters else moved
        return self


class WideLinear(nn.Linear):
    """A linear layer whose weight is widened while loading, whatever the file holds."""


def to_wide_linear(linear: nn.Linear) -> WideLinear:
    """Make a linear that has no weights yet keep them in 16 or 32 bit."""
    linear.__class__ = WideLinear
    return linear


def to_cast_linear(linear: nn.Linear, *, casts_bias: bool = False) -> CastLinear:
    """Turn a linear (in place) into one with an unscaled fp8 weight."""
    linear.__class__ = CastLinear
    linear.casts_bias = casts_bias
    return linear


def to_scaled_linear(linear: nn.Linear) -> ScaledLinear:
    """Turn a linear (in place) into one with a scaled fp8 weight; its scales come with the weight."""
    linear.__class__ = ScaledLinear
    linear.register_buffer("weight_scale", None)
    linear.register_buffer("input_scale", None)
    return linear


def to_plain_linear(linear: nn.Linear) -> nn.Linear:
    """Undo ``to_scaled_linear`` on a linear that has no weights yet."""
    linear.__class__ = nn.Linear
    del linear.weight_scale, linear.input_scale
    return linear
