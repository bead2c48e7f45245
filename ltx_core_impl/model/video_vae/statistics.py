"""Per-channel statistics: the map between raw and normalised latents (spec 03 §3.10)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MEAN = "mean-of-means"
STD = "std-of-means"


class PerChannelStatistics(nn.Module):
    """Mean and standard deviation of each latent channel, stored in the checkpoint beside the VAE.

    Everything outside the VAE (diffusion model, upscaler files, ComfyUI LATENT) works on normalised latents.
    """

    def __init__(self, latent_channels: int):
        super().__init__()
        self.register_buffer(MEAN, torch.zeros(latent_channels))
        self.register_buffer(STD, torch.ones(latent_channels))

    def normalize(self, latent: Tensor) -> Tensor:
        """Raw ``(B, C, F, H, W)`` -> normalised, in the latent's dtype."""
        mean, std = self._statistics_for(latent)
        return (latent - mean) / std

    def un_normalize(self, latent: Tensor) -> Tensor:
        """Normalised ``(B, C, F, H, W)`` -> raw, in the latent's dtype."""
        mean, std = self._statistics_for(latent)
        return latent * std + mean

    def _statistics_for(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        channels = self.get_buffer(MEAN).numel()
        if latent.shape[1] != channels:
            raise ValueError(
                f"The latent has {latent.shape[1]} channels, but the statistics are those of a VAE with {channels}. "
                "Use the VAE that the latent was made with."
            )
        mean, std = (self.get_buffer(name).to(latent).view(1, -1, 1, 1, 1) for name in (MEAN, STD))
        return mean, std
