"""Conversions between the predictions of a rectified-flow model (spec 06 §6).

x = (1 − σ)·x0 + σ·noise and v = noise − x0, so x0 = x − σ·v. Arithmetic is float32; results take the dtype of the
sample.
"""

from __future__ import annotations

import torch
from torch import Tensor


def to_denoised(sample: Tensor, velocity: Tensor, sigma: float | Tensor) -> Tensor:
    """x0 = x − v·σ; ``sigma`` is a number or broadcasts against the sample, e.g. per token ``(B, N, 1)``."""
    if isinstance(sigma, Tensor):
        sigma = sigma.to(device=sample.device, dtype=torch.float32)
    return (sample.float() - velocity.float() * sigma).to(sample.dtype)


def to_velocity(sample: Tensor, denoised: Tensor, sigma: float) -> Tensor:
    """v = (x − x0)/σ.

    Raises:
        ValueError: when ``sigma`` is 0, where the velocity is undefined.
    """
    if sigma == 0.0:
        raise ValueError("The velocity is undefined at sigma 0; stop one step earlier.")
    return ((sample.float() - denoised.float()) / sigma).to(sample.dtype)


def blend_clean(prediction: Tensor, denoise_mask: Tensor, clean_latent: Tensor) -> Tensor:
    """prediction·m + clean·(1 − m), at least in float32, in the dtype of the prediction.

    Pins kept tokens to their clean content; partially kept ones are mixed.

    Args:
        prediction: ``(B, N, D)``; float64 is kept.
        denoise_mask: ``(B, N, 1)`` float32.
        clean_latent: ``(B, N, D)``.
    """
    return (prediction * denoise_mask + clean_latent.float() * (1.0 - denoise_mask)).to(prediction.dtype)
