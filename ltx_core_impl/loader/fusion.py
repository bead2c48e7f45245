"""Adding LoRA changes to weights, with the arithmetic of the reference (spec 01 §7.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..quantization.formats import FP8_DTYPES
from ..quantization.fp8 import cast_to_fp8, dequantize, quantize_weight
from .adapter_math import lora_product
from .state_dict import StateDict


class LoraStateDictWithStrength(NamedTuple):
    """A LoRA in memory, keys ``<module>.lora_A.weight`` and ``<module>.lora_B.weight``."""

    state_dict: StateDict
    strength: float


def delta_dtype(target: torch.dtype) -> torch.dtype:
    """The dtype in which changes are summed and added for a weight of dtype ``target``: bf16 for fp8."""
    return torch.bfloat16 if target in FP8_DTYPES else target


def fuse_plain(weight: Tensor, delta: Tensor, target: torch.dtype) -> Tensor:
    """``weight + delta`` in the dtype of ``delta`` (which is consumed), rounded to ``target``."""
    fused = delta.add_(weight.to(delta.dtype) if weight.dtype in FP8_DTYPES else weight)
    return cast_to_fp8(fused) if target == torch.float8_e4m3fn else fused.to(target)


def fuse_scaled(codes: Tensor, scale: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    """New ``(codes, scale)`` of a scaled fp8 weight with ``delta`` added."""
    return quantize_weight(dequantize(codes, scale, torch.float32).add_(delta.float()))


def apply_loras(
    model_sd: StateDict,
    lora_sd_and_strengths: Sequence[LoraStateDictWithStrength],
    dtype: torch.dtype | None = None,
) -> StateDict:
    """A state dict with all LoRAs fused; tensors that none changes are passed on as they are.

    Args:
        model_sd: weights ``(out, in)``; an fp8 weight with a ``weight_scale`` beside it is requantised.
        dtype: dtype of the fused weights; their own by default.

    Raises:
        ValueError: a LoRA changes a weight that is stored as packed or integer codes.
    """
    fused = dict(model_sd.sd)
    for key, weight in model_sd.sd.items():
        if weight is None or not key.endswith(".weight"):
            continue
        module = key.removesuffix(".weight")
        target = dtype or weight.dtype
        if not weight.is_floating_point() and _changes(module, lora_sd_and_strengths):
            raise ValueError(
                f"Unsupported dtype: {weight.dtype} of {key}. LoRAs are added to floating point weights; build the "
                "model with SingleGPUModelBuilder, which decodes such weights first."
            )
        delta = _summed(module, lora_sd_and_strengths, delta_dtype(target), weight.device)
        scale = model_sd.sd.get(f"{module}.weight_scale")
        if delta is None:
            continue
        if scale is not None and weight.dtype in FP8_DTYPES:
            codes, new_scale = fuse_scaled(weight, scale, delta)
            fused |= {key: codes, f"{module}.weight_scale": new_scale.reshape(scale.shape)}
        else:
            fused[key] = fuse_plain(weight, delta, target)
    return StateDict.of(fused, model_sd.device)


def _changes(module: str, loras: Sequence[LoraStateDictWithStrength]) -> bool:
    return any(all(f"{module}.lora_{side}.weight" in lora.state_dict.sd for side in "AB") for lora in loras)


def _summed(
    module: str, loras: Sequence[LoraStateDictWithStrength], dtype: torch.dtype, device: torch.device
) -> Tensor | None:
    products = []
    for state_dict, strength in loras:
        down, up = (state_dict.sd.get(f"{module}.lora_{side}.weight") for side in "AB")
        if down is not None and up is not None:
            products.append(lora_product(down.to(device), up.to(device), strength).to(dtype))
    if not products:
        return None
    return products[0] if len(products) == 1 else torch.stack(products).sum(dim=0)
