"""Bringing the statistics of a latent to those of another, or to given ones, channel by channel.

Latents are ``(B, C, ...)``: video ``(B, C, F, H, W)`` or audio ``(B, C, T, mel)``. Statistics are over everything but
batch and channel, in float32; results have the latent's dtype.
"""

from __future__ import annotations

import torch
from torch import Tensor

_EPSILON = 1e-6


def adain(latent: Tensor, reference: Tensor, factor: float = 1.0, per_frame: bool = False) -> Tensor:
    """Give every channel the mean and deviation of the reference's channel (AdaIN, arXiv 1703.06868).

    Args:
        reference: of any size; a batch of 1 serves every sample.
        factor: 0 leaves the latent as it is, 1 matches the statistics; between, a mixture.
        per_frame: frame by frame (dimension 2); the reference then needs as many frames.

    Raises:
        ValueError: the reference has other channels, dimensions, or per frame another length.
    """
    if reference.ndim != latent.ndim or reference.shape[1] != latent.shape[1]:
        raise ValueError(
            f"The reference has shape {tuple(reference.shape)}, the latent {tuple(latent.shape)}: both need the same "
            "kind of latent with the same channels."
        )
    if per_frame and reference.shape[2] != latent.shape[2]:
        raise ValueError(
            f"Matched frame by frame, the reference needs {latent.shape[2]} latent frames; it has {reference.shape[2]}."
        )
    dims = tuple(range(3 if per_frame else 2, latent.ndim))
    content, style = latent.float(), reference.float()
    mean, deviation = content.mean(dims, keepdim=True), content.std(dims, keepdim=True)
    matched = (content - mean) / (deviation + _EPSILON)
    matched = matched * style.std(dims, keepdim=True) + style.mean(dims, keepdim=True)
    return torch.lerp(content, matched, factor).to(latent.dtype)


def normalize_statistics(
    latent: Tensor, mean: float = 0.0, deviation: float = 1.0, percentile: float = 95.0, factor: float = 1.0
) -> Tensor:
    """Give every channel a mean and a deviation, measured on its central values only.

    Args:
        percentile: share of the values that count, in percent, the outer ones on both sides left out; 100 takes all.
        factor: 0 leaves the latent as it is, 1 reaches the targets.

    Raises:
        ValueError: a percentile outside (0, 100].
    """
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile lies above 0 and up to 100; got {percentile}.")
    content = latent.float()
    values = content.flatten(2).sort(dim=-1).values
    outside = int(values.shape[-1] * (1 - percentile / 100) / 2)
    central = values[..., outside : values.shape[-1] - outside]
    shape = (*latent.shape[:2], *[1] * (latent.ndim - 2))
    measured_mean, measured = central.mean(-1).view(shape), central.std(-1).view(shape)
    matched = (content - measured_mean) / (measured + _EPSILON) * deviation + mean
    return torch.lerp(content, matched, factor).to(latent.dtype)
