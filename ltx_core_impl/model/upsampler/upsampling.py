"""Upscaling normalised latents (spec 03 §18)."""

from __future__ import annotations

from torch import Tensor

from ..video_vae import PerChannelStatistics, VideoEncoder
from .latent_upsampler import LatentUpsampler


def upsample_video(
    latent: Tensor, video_encoder: VideoEncoder | PerChannelStatistics, upsampler: LatentUpsampler
) -> Tensor:
    """Upscale a **normalised** latent ``(B, C, F, H, W)``; the result is normalised too, in the same dtype.

    ``video_encoder`` gives the statistics of the VAE that made the latent; its statistics alone do as well.
    """
    statistics = getattr(video_encoder, "per_channel_statistics", video_encoder)
    raw = statistics.un_normalize(latent).to(upsampler.final_conv.weight.dtype)
    return statistics.normalize(upsampler(raw).to(latent.dtype))
