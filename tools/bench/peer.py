"""The peer's side of every row: diffusers' LTX-2 classes, used as their pipeline uses them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLLTX2Video, LTX2VideoTransformer3DModel
from safetensors.torch import load_file
from torch import Tensor

from .inputs import SIGMA, Inputs, StreamInput
from .model import LORA_STRENGTH, ModelSize
from .peer_keys import peer_decoder_key, peer_lora, peer_transformer_key

_TIMESTEP_SCALE = 1000


def transformer_options(config: dict[str, Any]) -> dict[str, Any]:
    """Arguments of the peer's transformer for a published ``config``."""
    section = config["transformer"]
    gated, text_adaln = (section.get(key, False) for key in ("apply_gated_attention", "cross_attention_adaln"))
    return {
        "num_layers": section["num_layers"],
        "num_attention_heads": section["num_attention_heads"],
        "attention_head_dim": section["attention_head_dim"],
        "cross_attention_dim": section["cross_attention_dim"],
        "audio_num_attention_heads": section["audio_num_attention_heads"],
        "audio_attention_head_dim": section["audio_attention_head_dim"],
        "audio_cross_attention_dim": section["audio_cross_attention_dim"],
        "caption_channels": section["caption_channels"],
        "rope_type": section["rope_type"],
        "gated_attn": gated,
        "audio_gated_attn": gated,
        "cross_attn_mod": text_adaln,
        "audio_cross_attn_mod": text_adaln,
        "use_prompt_embeddings": not section.get("caption_proj_before_connector", False),
        "perturbed_attn": True,
    }


def decoder_options(version: str, size: ModelSize) -> dict[str, Any]:
    """Arguments of the peer's VAE for a version's published decoder, at ``size``'s width."""
    base = size.decoder_base_channels
    if version == "2.0":
        return {"decoder_block_out_channels": (2 * base, 4 * base, 8 * base), "decoder_causal": False}
    return {
        "decoder_block_out_channels": (2 * base, 4 * base, 4 * base, 8 * base),
        "decoder_layers_per_block": (4, 6, 4, 2, 2),
        "decoder_spatio_temporal_scaling": (True,) * 4,
        "decoder_inject_noise": (False,) * 5,
        "upsample_type": ("spatiotemporal", "spatiotemporal", "temporal", "spatial"),
        "upsample_residual": (False,) * 4,
        "upsample_factor": (2, 2, 1, 2),
        "decoder_spatial_padding_mode": "zeros",
        "decoder_causal": False,
    }


def write_transformer(weights: dict[str, Tensor], config: dict[str, Any], folder: Path) -> None:
    """The same weights in the folder layout that the peer loads fastest."""
    share_transformer(weights, config).save_pretrained(folder)


def build_transformer(
    folder: Path, dtype: torch.dtype, device: torch.device, lora: Path
) -> LTX2VideoTransformer3DModel:
    """The transformer, read as the peer's documentation reads it; the LoRA is fused and then forgotten."""
    model = LTX2VideoTransformer3DModel.from_pretrained(folder, torch_dtype=dtype, local_files_only=True).to(device)
    model.load_lora_adapter(peer_lora(load_file(lora)), prefix="transformer", adapter_name="lora")
    model.fuse_lora(lora_scale=LORA_STRENGTH, adapter_names=["lora"])
    model.unload_lora()
    return model.eval()


def share_transformer(weights: dict[str, Tensor], config: dict[str, Any]) -> LTX2VideoTransformer3DModel:
    """The transformer around our weights (names without prefix), without a copy."""
    with torch.device("meta"):
        model = LTX2VideoTransformer3DModel(**transformer_options(config))
    model.load_state_dict({peer_transformer_key(name): tensor for name, tensor in weights.items()}, assign=True)
    return model.eval()


def share_decoder(weights: dict[str, Tensor], version: str, size: ModelSize) -> AutoencoderKLLTX2Video:
    """The VAE around our decoder's weights, without a copy; its encoder has none."""
    with torch.device("meta"):
        vae = AutoencoderKLLTX2Video(**decoder_options(version, size))
    weights = dict(weights)
    vae.latents_mean = weights.pop("per_channel_statistics.mean-of-means")
    vae.latents_std = weights.pop("per_channel_statistics.std-of-means")
    vae.decoder.load_state_dict({peer_decoder_key(name): tensor for name, tensor in weights.items()}, assign=True)
    return vae.eval()


def forward(model: LTX2VideoTransformer3DModel, inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Velocities of the prompt's pass."""
    return _run(model, inputs, slice(0, 1))


def guided_step(model: LTX2VideoTransformer3DModel, inputs: Inputs, perturbed_block: int) -> tuple[Tensor, Tensor]:
    """Velocities of all four passes, in our order: three calls, as in the peer's pipeline."""
    passes = (
        _run(model, inputs, slice(0, 2)),
        _run(model, inputs, slice(0, 1), spatio_temporal_guidance_blocks=[perturbed_block]),
        _run(model, inputs, slice(0, 1), isolate_modalities=True),
    )
    video, audio = (torch.cat(stream) for stream in zip(*passes, strict=True))
    return video, audio


def decode(vae: AutoencoderKLLTX2Video, inputs: Inputs) -> tuple[Tensor]:
    """The whole clip in one piece; the peer leaves the statistics to its caller."""
    mean, std = (values.view(1, -1, 1, 1, 1) for values in (vae.latents_mean, vae.latents_std))
    return vae.decode(inputs.vae_latent * std + mean, return_dict=False)


def _run(model: LTX2VideoTransformer3DModel, inputs: Inputs, rows: slice, **options: object) -> tuple[Tensor, Tensor]:
    count = rows.stop - rows.start

    def expand(stream: StreamInput) -> tuple[Tensor, Tensor, Tensor]:
        latent, positions = stream.latent.expand(count, -1, -1), stream.positions.expand(count, -1, -1, -1)
        return latent, positions, stream.contexts[rows]

    video, video_positions, video_context = expand(inputs.video)
    audio, audio_positions, audio_context = expand(inputs.audio)
    timestep = torch.full((count,), SIGMA * _TIMESTEP_SCALE, device=video.device)
    return model(
        hidden_states=video,
        audio_hidden_states=audio,
        encoder_hidden_states=video_context,
        audio_encoder_hidden_states=audio_context,
        timestep=timestep,
        sigma=timestep,
        video_coords=video_positions,
        audio_coords=audio_positions,
        return_dict=False,
        **options,
    )
