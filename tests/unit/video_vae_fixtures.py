"""The deterministic weights, inputs and tiny configs of spec 03 §19."""

from __future__ import annotations

import math
from copy import deepcopy

import torch
from torch import Tensor, nn

from ltx_core_impl.model.video_vae import (
    VideoDecoder,
    VideoDecoderConfigurator,
    VideoEncoder,
    VideoEncoderConfigurator,
)

ENCODER_19B = ["res_x", "compress_space_res", "res_x", "compress_time_res", "res_x", "compress_all_res", "res_x"]
ENCODER_BLOCKS = {
    "T19": [*ENCODER_19B, ("compress_all_res", {"multiplier": 2}), "res_x"],
    "T22": [*ENCODER_19B, ("compress_all_res", {"multiplier": 1}), "res_x"],
}
RESIDUAL = ("compress_all", {"residual": True, "multiplier": 2})
DECODER_BLOCKS = {
    "T19": ["res_x", RESIDUAL, "res_x", RESIDUAL, "res_x", RESIDUAL, "res_x"],
    "T22": [
        "res_x",
        ("compress_space", {"multiplier": 2}),
        "res_x",
        ("compress_time", {"multiplier": 2}),
        "res_x",
        ("compress_all", {"multiplier": 1}),
        "res_x",
        ("compress_all", {"multiplier": 2}),
        "res_x",
    ],
}


def _entries(blocks: list) -> list:
    defaults = {"res_x": {"num_layers": 1}}
    return [[b, defaults.get(b, {"multiplier": 2})] if isinstance(b, str) else list(b) for b in blocks]


def tiny_config(name: str, **overrides: object) -> dict:
    """The whole config of a tiny VAE: "T19", "T19ts" or "T22"."""
    base = name.removesuffix("ts")
    vae = {
        "latent_channels": 8,
        "decoder_base_channels": 4,
        "patch_size": 4,
        "norm_layer": "pixel_norm",
        "latent_log_var": "uniform",
        "causal_decoder": False,
        "timestep_conditioning": name.endswith("ts"),
        "encoder_blocks": _entries(ENCODER_BLOCKS[base]),
        "decoder_blocks": deepcopy(_entries(DECODER_BLOCKS[base])),
    }
    if base == "T22":
        vae["spatial_padding_mode"] = "zeros"
    if name.endswith("ts"):
        for block, params in vae["decoder_blocks"]:
            if block == "res_x":
                params["inject_noise"] = True
    return {"vae": {**vae, **overrides}}


def ramp(shape: torch.Size, k: int, amplitude: float) -> Tensor:
    """``amplitude · sin(0.7·i + 1.3·k + 0.5)`` over the flat index."""
    i = torch.arange(math.prod(shape), dtype=torch.float64)
    return (amplitude * torch.sin(0.7 * i + 1.3 * k + 0.5)).float().reshape(shape)


def check_weights(shapes: dict[str, torch.Size], kept: frozenset[str] = frozenset()) -> dict[str, Tensor]:
    """The deterministic weights of the checks for tensors of these names and shapes, but for the ``kept`` ones."""
    state = {}
    for k, (name, shape) in enumerate(sorted(shapes.items())):
        if name in kept:
            continue
        if name.endswith("std-of-means"):
            state[name] = 0.75 + ramp(shape, k, 0.25)
        elif name.endswith("mean-of-means"):
            state[name] = ramp(shape, k, 0.1)
        elif name.endswith("timestep_scale_multiplier"):
            state[name] = torch.tensor(916.0)
        elif "norm" in name and name.endswith("weight"):
            state[name] = 1 + ramp(shape, k, 0.1)
        elif len(shape) >= 2 and "scale_shift_table" not in name:
            state[name] = ramp(shape, k, 1.5 / math.sqrt(math.prod(shape[1:])))
        else:
            state[name] = ramp(shape, k, 0.1)
    return state


def fill(module: nn.Module) -> nn.Module:
    """Give a module the deterministic weights of the checks."""
    state = module.state_dict()
    kernels = frozenset(name for name in state if name.endswith("kernel"))
    shapes = {name: tensor.shape for name, tensor in state.items()}
    module.load_state_dict({**state, **check_weights(shapes, kept=kernels)})
    return module.eval().requires_grad_(False)


def encoder(name: str, **overrides: object) -> VideoEncoder:
    """A tiny encoder with deterministic weights."""
    return fill(VideoEncoderConfigurator.from_config(tiny_config(name, **overrides)))


def decoder(name: str, **overrides: object) -> VideoDecoder:
    """A tiny decoder with deterministic weights."""
    return fill(VideoDecoderConfigurator.from_config(tiny_config(name, **overrides)))


def video_input(*shape: int) -> Tensor:
    """``sin(0.013·i + 0.2)``."""
    return torch.sin(0.013 * torch.arange(math.prod(shape), dtype=torch.float64) + 0.2).float().reshape(shape)


def latent_input(*shape: int) -> Tensor:
    """``1.2·sin(0.37·i + 0.9)``."""
    return (1.2 * torch.sin(0.37 * torch.arange(math.prod(shape), dtype=torch.float64) + 0.9)).float().reshape(shape)
