"""The same random inputs for both sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ltx_core_impl.components.patchifiers import AudioPatchifier, VideoLatentPatchifier, latent_to_pixel_bounds
from ltx_core_impl.types import AudioLatentShape, SpatioTemporalScaleFactors, VideoLatentShape, VideoPixelShape

from .model import ModelSize, context_widths

FRAME_RATE = 24.0
SIGMA = 0.725


@dataclass(frozen=True)
class StreamInput:
    """One stream of a forward pass: tokens ``(1, T, C)``, positions ``(1, P, T, 2)``, two prompts ``(2, S, C_text)``.

    Row 0 of ``contexts`` is the prompt, row 1 the negative prompt.
    """

    latent: torch.Tensor
    positions: torch.Tensor
    contexts: torch.Tensor


@dataclass(frozen=True)
class Inputs:
    """Inputs of every compute row; ``vae_latent`` is ``(1, C, f, h, w)``, normalised."""

    video: StreamInput
    audio: StreamInput
    vae_latent: torch.Tensor


def random_inputs(config: dict[str, Any], size: ModelSize, dtype: torch.dtype, device: torch.device) -> Inputs:
    """Inputs for a clip of ``size``; positions stay float32."""
    generator = torch.Generator().manual_seed(2)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(device, dtype)

    pixels = VideoPixelShape(1, size.frames, size.height, size.width, FRAME_RATE)
    video_shape = VideoLatentShape.from_pixel_shape(pixels)
    audio_shape = AudioLatentShape.from_video_pixel_shape(pixels)
    video_positions = latent_to_pixel_bounds(
        VideoLatentPatchifier().bounds(video_shape), SpatioTemporalScaleFactors.default(), causal_fix=True
    ).float()
    video_positions[:, 0] /= FRAME_RATE
    audio_positions = AudioPatchifier().bounds_seconds(audio_shape)
    video_width, audio_width = context_widths(config)
    audio_channels = audio_shape.channels * audio_shape.mel_bins
    return Inputs(
        video=StreamInput(
            latent=noise(1, video_shape.token_count(), video_shape.channels),
            positions=video_positions.to(device),
            contexts=noise(2, size.text_tokens, video_width),
        ),
        audio=StreamInput(
            latent=noise(1, audio_shape.token_count(), audio_channels),
            positions=audio_positions.to(device),
            contexts=noise(2, size.text_tokens, audio_width),
        ),
        vae_latent=noise(*video_shape),
    )
