"""Per-channel normalisation of audio latents (spec 04 §5.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PerChannelStatistics(nn.Module):
    """Mean and deviation of every feature ``channel * mel_bins + bin`` of a patchified latent.

    The buffer names carry hyphens because the checkpoint's do. Arithmetic runs in the latent's dtype.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean-of-means", torch.zeros(features))
        self.register_buffer("std-of-means", torch.ones(features))

    def normalize(self, latent: Tensor) -> Tensor:
        """``(latent - mean) / std`` of ``(B, C, T, bins)``."""
        mean, std = self._broadcast(latent)
        return (latent - mean) / std

    def un_normalize(self, latent: Tensor) -> Tensor:
        """``latent * std + mean`` of ``(B, C, T, bins)``."""
        mean, std = self._broadcast(latent)
        return latent * std + mean

    def _broadcast(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        channels, bins = latent.shape[1], latent.shape[3]
        mean = self.get_buffer("mean-of-means")
        if channels * bins != mean.numel():
            raise ValueError(
                f"An audio latent of {channels} channels x {bins} mel bins has {channels * bins} features, but the "
                f"statistics describe {mean.numel()}. Check that the latent belongs to this audio VAE."
            )
        std = self.get_buffer("std-of-means")
        return tuple(values.to(latent).view(channels, 1, bins) for values in (mean, std))
