"""Our side of every row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ltx_core_impl.guidance.perturbations import Perturbation, PerturbationConfig, PerturbationType
from ltx_core_impl.model.transformer import LTXModel, LTXModelConfigurator, Modality
from ltx_core_impl.model.video_vae import VideoDecoder, VideoDecoderConfigurator

from .inputs import SIGMA, Inputs, StreamInput
from .model import LORA_STRENGTH

_TRANSFORMER_PREFIX = "model.diffusion_model."
_SKIP_SELF_ATTENTION = (PerturbationType.SKIP_VIDEO_SELF_ATTN, PerturbationType.SKIP_AUDIO_SELF_ATTN)
_SKIP_CROSS_ATTENTION = (PerturbationType.SKIP_A2V_CROSS_ATTN, PerturbationType.SKIP_V2A_CROSS_ATTN)


def published_shapes(config: dict[str, Any]) -> dict[str, torch.Size]:
    """Names and shapes of a combined file's transformer and video decoder, from meta models."""
    with torch.device("meta"):
        transformer = LTXModelConfigurator.from_config(config).state_dict()
        decoder = VideoDecoderConfigurator.from_config(config).state_dict()
    shapes = {f"{_TRANSFORMER_PREFIX}{name}": tensor.shape for name, tensor in transformer.items()}
    for name, tensor in decoder.items():
        shapes[decoder_file_key(name)] = tensor.shape
    return shapes


def decoder_file_key(name: str) -> str:
    """A video decoder tensor's name in a combined file; the statistics belong to encoder and decoder."""
    return f"vae.{name}" if name.startswith("per_channel_statistics.") else f"vae.decoder.{name}"


def build_transformer(checkpoint: Path, dtype: torch.dtype, device: torch.device, lora: Path | None = None) -> LTXModel:
    """The transformer, read as a user reads it."""
    from ltx_core_impl.loader import SingleGPUModelBuilder

    builder = SingleGPUModelBuilder(model_class_configurator=LTXModelConfigurator, model_path=str(checkpoint))
    if lora is not None:
        builder = builder.lora(str(lora), strength=LORA_STRENGTH)
    return builder.build(device=device, dtype=dtype).eval()


def build_decoder(checkpoint: Path, dtype: torch.dtype, device: torch.device) -> VideoDecoder:
    """The video decoder, read as a user reads it."""
    from ltx_core_impl.loader import SingleGPUModelBuilder

    builder = SingleGPUModelBuilder(model_class_configurator=VideoDecoderConfigurator, model_path=str(checkpoint))
    return builder.build(device=device, dtype=dtype).eval()


def forward(model: LTXModel, inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Velocities of the prompt's pass, ``(1, T, C)`` of each stream."""
    return model(_modality(inputs.video, rows=1), _modality(inputs.audio, rows=1))


def guided_step(model: LTXModel, inputs: Inputs, perturbed_block: int) -> tuple[Tensor, Tensor]:
    """Velocities of all four passes ``(4, T, C)``: prompt, negative prompt, perturbed, without the other stream.

    The perturbed pass is split off the prompt's pass at its block: what comes before is shared.
    """
    forks = (
        (0, PerturbationConfig([Perturbation(kind, (perturbed_block,)) for kind in _SKIP_SELF_ATTENTION])),
        (0, PerturbationConfig([Perturbation(kind) for kind in _SKIP_CROSS_ATTENTION])),
    )
    return model(_modality(inputs.video, rows=2), _modality(inputs.audio, rows=2), forks=forks)


def decode(decoder: VideoDecoder, inputs: Inputs) -> tuple[Tensor]:
    """The whole clip in one piece, ``(1, 3, F, H, W)``."""
    return (decoder(inputs.vae_latent),)


def _modality(stream: StreamInput, rows: int) -> Modality:
    latent = stream.latent
    # The very tensor where possible: by it the model knows a text whose keys and values it has kept.
    context = stream.contexts if rows == len(stream.contexts) else stream.contexts[:rows]
    return Modality(
        latent=latent.expand(rows, -1, -1),
        sigma=torch.full((rows,), SIGMA, device=latent.device),
        timesteps=torch.full((rows, 1, 1), SIGMA, device=latent.device),
        positions=stream.positions.expand(rows, -1, -1, -1),
        context=context,
    )
