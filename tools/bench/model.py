"""The synthetic model that both sides run: its config, its random weights and a LoRA for it.

The weights are random, the layout is the published one (spec 01 §2 and §3), with fewer and narrower layers.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

VIDEO_HEAD_DIM = 128
AUDIO_HEAD_DIM = 64
CAPTION_CHANNELS = 3840
# The published distilled LoRAs have rank 384 for a width of 4096.
LORA_RANK_PER_WIDTH = 384 / 4096
LORA_STRENGTH = 0.8
# Guidance perturbs one block at 60 % of the depth (28 or 29 of 48); rounded down, so that the shared part is not longer
# than in the published models.
PERTURBED_DEPTH = 28 / 48

VERSIONS = ("2.0", "2.3")


@dataclass(frozen=True)
class ModelSize:
    """How large the synthetic model and its inputs are.

    Attributes:
        layers: transformer blocks.
        heads: attention heads of both streams; the widths are 128 and 64 per head.
        decoder_base_channels: width of the VAE decoder's last stage (published: 128).
        frames, height, width: pixel size of the video.
        text_tokens: length of the prompt's embeddings.
    """

    layers: int
    heads: int
    decoder_base_channels: int
    frames: int
    height: int
    width: int
    text_tokens: int

    @property
    def perturbed_block(self) -> int:
        return int(self.layers * PERTURBED_DEPTH)


SIZES = {
    "tiny": ModelSize(layers=2, heads=2, decoder_base_channels=8, frames=9, height=64, width=96, text_tokens=16),
    "medium": ModelSize(layers=6, heads=8, decoder_base_channels=32, frames=33, height=256, width=384, text_tokens=256),
    "wide": ModelSize(
        layers=12, heads=32, decoder_base_channels=128, frames=97, height=512, width=768, text_tokens=1024
    ),
}

_TRANSFORMER = {
    "in_channels": 128,
    "out_channels": 128,
    "audio_in_channels": 128,
    "audio_out_channels": 128,
    "caption_channels": CAPTION_CHANNELS,
    "attention_head_dim": VIDEO_HEAD_DIM,
    "audio_attention_head_dim": AUDIO_HEAD_DIM,
    "norm_eps": 1e-6,
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "qk_norm": "rms_norm",
    "standardization_norm": "rms_norm",
    "norm_elementwise_affine": False,
    "positional_embedding_type": "rope",
    "positional_embedding_theta": 10000.0,
    "positional_embedding_max_pos": [20, 2048, 2048],
    "audio_positional_embedding_max_pos": [20],
    "use_middle_indices_grid": True,
    "rope_type": "split",
    "frequencies_precision": "float64",
    "timestep_scale_multiplier": 1000,
    "av_ca_timestep_scale_multiplier": 1000.0,
    "use_audio_video_cross_attention": True,
    "share_ff": False,
    "av_cross_ada_norm": True,
    "cross_attention_norm": True,
    "dropout": 0.0,
    "double_self_attention": False,
    "num_embeds_ada_norm": 1000,
    "num_vector_embeds": None,
    "only_cross_attention": False,
    "upcast_attention": False,
    "use_linear_projection": False,
}
_TRANSFORMER_23 = {
    "apply_gated_attention": True,
    "cross_attention_adaln": True,
    "caption_proj_before_connector": True,
    "caption_projection_first_linear": False,
    "caption_proj_input_norm": False,
    "caption_projection_second_linear": False,
}
_VAE = {
    "_class_name": "CausalVideoAutoencoder",
    "dims": 3,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 128,
    "patch_size": 4,
    "norm_layer": "pixel_norm",
    "latent_log_var": "uniform",
    "causal_decoder": False,
    "timestep_conditioning": False,
    "encoder_blocks": [["res_x", {"num_layers": 1}], ["compress_space_res", {"multiplier": 1}]],
}
_STAGE_20 = ["res_x", {"num_layers": 5, "inject_noise": False}]
_UPSAMPLE_20 = ["compress_all", {"residual": True, "multiplier": 2}]
_DECODER_BLOCKS = {
    "2.0": [_STAGE_20, _UPSAMPLE_20, _STAGE_20, _UPSAMPLE_20, _STAGE_20, _UPSAMPLE_20, _STAGE_20],
    "2.3": [
        ["res_x", {"num_layers": 4}],
        ["compress_space", {"multiplier": 2}],
        ["res_x", {"num_layers": 6}],
        ["compress_time", {"multiplier": 2}],
        ["res_x", {"num_layers": 4}],
        ["compress_all", {"multiplier": 1}],
        ["res_x", {"num_layers": 2}],
        ["compress_all", {"multiplier": 2}],
        ["res_x", {"num_layers": 2}],
    ],
}


def model_config(version: str, size: ModelSize) -> dict[str, Any]:
    """The ``config`` of a checkpoint of that version with that size (sections ``transformer`` and ``vae``)."""
    transformer = _TRANSFORMER | (_TRANSFORMER_23 if version == "2.3" else {})
    transformer |= {
        "num_layers": size.layers,
        "num_attention_heads": size.heads,
        "audio_num_attention_heads": size.heads,
        "cross_attention_dim": size.heads * VIDEO_HEAD_DIM,
        "audio_cross_attention_dim": size.heads * AUDIO_HEAD_DIM,
    }
    vae = _VAE | {"decoder_base_channels": size.decoder_base_channels, "decoder_blocks": _DECODER_BLOCKS[version]}
    if version == "2.3":
        vae["spatial_padding_mode"] = "zeros"
    return {"transformer": transformer, "vae": vae}


def context_widths(config: dict[str, Any]) -> tuple[int, int]:
    """Width of the video and of the audio text embeddings that the transformer reads."""
    transformer = config["transformer"]
    if transformer.get("caption_proj_before_connector"):
        return transformer["cross_attention_dim"], transformer["audio_cross_attention_dim"]
    return transformer["caption_channels"], transformer["caption_channels"]


def random_tensor(name: str, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """A float32 tensor whose scale keeps activations near 1: by its role, told from ``name``."""
    noise = torch.randn(shape, generator=generator)
    if name.endswith("std-of-means"):
        return noise.mul_(0.1).abs_().add_(0.5)
    if "norm" in name:
        return noise.mul_(0.1).add_(1.0)
    if len(shape) < 2 or "scale_shift_table" in name:
        return noise.mul_(0.1)
    return noise.div_(math.sqrt(math.prod(shape[1:])))


def write_checkpoint(path: Path, version: str, config: dict[str, Any], shapes: dict[str, torch.Size]) -> None:
    """A bfloat16 combined checkpoint with the tensors ``shapes`` (published names) at ``path``."""
    generator = torch.Generator().manual_seed(0)
    tensors = {name: random_tensor(name, shape, generator).bfloat16() for name, shape in sorted(shapes.items())}
    save_file(tensors, path, {"config": json.dumps(config), "model_version": f"{version}.0"})


def write_lora(path: Path, shapes: dict[str, torch.Size], width: int) -> None:
    """A bfloat16 LoRA for the linear layers of the transformer's blocks, with the published names and rank.

    The gates, too narrow for that rank, are left out: the peer scales every layer by the rank of the first one.
    """
    generator = torch.Generator().manual_seed(1)
    rank = round(width * LORA_RANK_PER_WIDTH)
    tensors = {}
    for name, shape in sorted(shapes.items()):
        if ".transformer_blocks." not in name or not name.endswith(".weight") or len(shape) != 2 or rank > min(shape):
            continue
        module = name.removeprefix("model.").removesuffix(".weight")
        # A tenth to a third of the weight's own size: large enough that a LoRA left out is noticed.
        a = torch.randn((rank, shape[1]), generator=generator) / math.sqrt(shape[1])
        b = torch.randn((shape[0], rank), generator=generator) * (0.2 / math.sqrt(rank))
        tensors[f"{module}.lora_A.weight"] = a.bfloat16()
        tensors[f"{module}.lora_B.weight"] = b.bfloat16()
    save_file(tensors, path)
