"""Models of random weights, made where they run: a card is measured minutes after it is there, without a file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ltx_core_impl.loader.module_ops import ModelConfigurator, create_meta_model
from ltx_core_impl.loader.published import published_section
from ltx_core_impl.loader.version import ModelVersion
from ltx_core_impl.quantization import QuantizationPolicy
from ltx_core_impl.quantization.fp8 import cast_to_fp8, quantize_weight
from ltx_core_impl.quantization.linear import CastLinear, ScaledLinear
from tools.bench.inputs import Inputs, random_inputs
from tools.bench.model import SIZES, ModelSize, model_config

SEED = 0
PUBLISHED = ModelSize(
    layers=48, heads=32, decoder_base_channels=128, frames=121, height=512, width=768, text_tokens=1024
)
# The diffusion decoder of LTX-2.5, as deep as the published one and thin enough for a CPU.
_TINY_DIFFUSION = {
    "head_dim": 8,
    "stage_channels": [64, 32, 16, 16, 8],
    "stage_depths": [1, 1, 1, 1, 1],
    "stage_kernels": [[3, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3], [3, 5, 5]],
    "stage5_kernel": [3, 5, 5],
}


def published_config() -> dict[str, Any]:
    """LTX-2.3 as it is published."""
    return {name: published_section(name, ModelVersion.LTX_2_3, ()) for name in ("transformer", "vae")}


def tiny_config() -> dict[str, Any]:
    """The same layout, a few blocks of a few heads."""
    return model_config("2.3", SIZES["tiny"])


def diffusion_decoder_config(tiny: bool) -> dict[str, Any]:
    """LTX-2.5's video VAE with the diffusion decoder."""
    vae = published_section("vae", ModelVersion.LTX_2_5, ())
    if tiny:
        vae = {**vae, "decoder": {**vae["decoder"], **_TINY_DIFFUSION}}
    return {"vae": vae}


def inputs_for(config: Mapping[str, Any], size: ModelSize, dtype: torch.dtype, device: torch.device) -> Inputs:
    """Tokens, positions, contexts and a VAE latent of a clip of ``size``."""
    return random_inputs(dict(config), size, dtype, device)


def random_model(
    configurator: ModelConfigurator, config: Mapping[str, Any], dtype: torch.dtype, device: torch.device
) -> nn.Module:
    """A model with random weights whose activations stay near 1, in eval mode."""
    model = create_meta_model(configurator, config)
    generator = torch.Generator(device).manual_seed(SEED)
    for module in model.modules():
        for store in (module._parameters, module._buffers):
            for name, value in store.items():
                if value is not None and value.is_meta:
                    made = _random(name, value, generator, dtype, device)
                    store[name] = nn.Parameter(made, requires_grad=False) if store is module._parameters else made
    return model.to(device).eval()


def quantised(
    model: nn.Module, configurator: ModelConfigurator, config: Mapping[str, Any], policy: QuantizationPolicy
) -> nn.Module:
    """The same weights under a policy; what the policy leaves alone is shared, not copied."""
    twin = create_meta_model(configurator, config, policy.module_ops)
    originals = dict(model.named_modules())
    for name, module in twin.named_modules():
        original = originals[name]
        module._buffers.update(original._buffers)
        # Parameters of its own around the same memory: moving one model must not move the other.
        shared = {
            leaf: None if value is None else nn.Parameter(value.detach(), False)
            for leaf, value in original._parameters.items()
        }
        module._parameters.update(shared)
        if isinstance(module, ScaledLinear):
            codes, scale = quantize_weight(original.weight)
            module.weight = nn.Parameter(codes, requires_grad=False)
            module.set_scales(scale, None)
        elif isinstance(module, CastLinear):
            module.weight = nn.Parameter(cast_to_fp8(original.weight), requires_grad=False)
    return twin.eval()


def calibration(model: nn.Module, run: Any, path: Path) -> Path:
    """Writes the largest input of every linear layer of the blocks during ``run()``, as a calibration file."""
    largest: dict[str, Tensor] = {}

    def hook(name: str) -> Any:
        def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            amax = inputs[0].abs().amax()
            largest[name] = amax if name not in largest else torch.maximum(largest[name], amax)

        return note

    linears = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith("transformer_blocks.")
    }
    hooks = [module.register_forward_pre_hook(hook(name)) for name, module in linears.items()]
    try:
        run()
    finally:
        for one in hooks:
            one.remove()
    path.write_text(json.dumps({"amax_values": {f"{name}.input_quantizer": v.item() for name, v in largest.items()}}))
    return path


def weight_bytes(model: nn.Module) -> int:
    """Bytes of parameters and buffers."""
    return sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))


def _random(name: str, like: Tensor, generator: torch.Generator, dtype: torch.dtype, device: torch.device) -> Tensor:
    dtype = dtype if like.is_floating_point() else like.dtype
    if not like.is_floating_point():
        return torch.zeros(like.shape, dtype=dtype, device=device)
    noise = torch.empty(like.shape, dtype=dtype, device=device).normal_(generator=generator)
    if "std" in name:
        return noise.mul_(0.1).abs_().add_(0.5)
    if "norm" in name or like.ndim < 2 or "table" in name:
        return noise.mul_(0.1).add_(1.0 if "norm" in name else 0.0)
    return noise.div_(math.sqrt(math.prod(like.shape[1:])))
