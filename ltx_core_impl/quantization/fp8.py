"""Per-tensor fp8: casting, quantising, dequantising and multiplying, as pure functions (spec 01 §8.1, §9)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..kernels.own import quantize as fused_quantize

FP8 = torch.float8_e4m3fn
FP8_MAX = torch.finfo(FP8).max
_SMALLEST = 1e-30
"""Largest values below this count as zero: their scale would have no finite reciprocal in float32."""


def cast_to_fp8(tensor: Tensor) -> Tensor:
    """Round to the nearest e4m3 number, saturating at ±448 (torch itself would give NaN there)."""
    return tensor.clamp(-FP8_MAX, FP8_MAX).to(FP8)


def quantize_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """``(codes, scale)`` with ``weight ≈ codes · scale``; codes e4m3 of the same shape, scale fp32 ``()``.

    A weight of zeros (or of nothing above 1e-30) gets zero codes and scale 1.
    """
    scaled = _float32_copy(weight)
    amax = _amax(scaled) if scaled.numel() else scaled.new_zeros(())
    factor = torch.where(amax > _SMALLEST, FP8_MAX / amax, torch.ones_like(amax))
    return scaled.mul_(factor).clamp_(-FP8_MAX, FP8_MAX).to(FP8), factor.reciprocal()


def dequantize(codes: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """``codes · scale``, multiplied in fp32."""
    return _float32_copy(codes).mul_(scale.float().reshape(())).to(dtype)


def dynamic_scale(x: Tensor) -> Tensor:
    """The fp32 scale ``()`` that maps the largest ``|x|`` to 448."""
    amax = _amax(x).float().clamp_min(_SMALLEST)
    return amax / torch.full_like(amax, FP8_MAX)  # by a number, CUDA multiplies with its reciprocal: a bit off


def quantize_input(x: Tensor, scale: Tensor) -> Tensor:
    """e4m3 codes of activations; in fp32, because bf16 times a 0-dim fp32 tensor would be rounded to bf16."""
    return _float32_copy(x).mul_(scale.reciprocal()).clamp_(-FP8_MAX, FP8_MAX).to(FP8)


def quantize_activations(x: Tensor, scale: Tensor | None) -> tuple[Tensor, Tensor]:
    """e4m3 codes of ``x`` and their fp32 scale ``()``, which is measured where ``scale`` is ``None``.

    On a GPU one pass finds the largest value and one makes scale and codes; the numbers are those of
    :func:`dynamic_scale` and :func:`quantize_input`.
    """
    fused = fused_quantize(x, scale, _SMALLEST)
    if fused is not None:
        return fused
    scale = dynamic_scale(x) if scale is None else scale
    return quantize_input(x, scale), scale


def _float32_copy(tensor: Tensor) -> Tensor:
    """A contiguous copy that may be changed in place: weights are large, so one temporary must do."""
    return tensor.to(torch.float32, copy=True, memory_format=torch.contiguous_format)


def _amax(tensor: Tensor) -> Tensor:
    """The largest absolute value, ``()``, without a temporary of the tensor's size."""
    low, high = tensor.aminmax()
    return torch.maximum(low.abs(), high.abs())


def can_scaled_mm(x: Tensor, weight: Tensor) -> bool:
    """Whether ``torch._scaled_mm`` accepts input ``(…, K)`` and weight ``(N, K)`` here (spec 01 §9.5)."""
    if not x.is_cuda or x.dtype not in (torch.bfloat16, torch.float16, torch.float32):
        return False
    return torch.cuda.get_device_capability(x.device) >= (8, 9) and not any(size % 16 for size in weight.shape)


def emulated_scaled_mm(codes: Tensor, weight: Tensor, scale_a: Tensor, scale_b: Tensor, dtype: torch.dtype) -> Tensor:
    """What ``torch._scaled_mm`` computes: codes ``(M, K)``, weight ``(N, K)`` -> ``(M, N)`` in ``dtype``."""
    return ((codes.float() @ weight.float().t()) * (scale_a * scale_b)).to(dtype)
