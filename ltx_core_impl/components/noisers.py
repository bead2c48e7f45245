"""Initial noise: drawing it and mixing it into a state (spec 06 §4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from ..types import LatentState

Generators = torch.Generator | Sequence[torch.Generator]
# Seeds of a batch and of the steps count on from the run's, which may be the largest that a generator takes.
_LARGEST_SEED = 0xFFFFFFFFFFFFFFFF


class Noiser(Protocol):
    """Anything that turns a clean state into the noisy start of a run."""

    def __call__(self, latent_state: LatentState, noise_scale: float = 1.0) -> LatentState: ...


class GaussianNoiser:
    """Adds Gaussian noise from one generator, or from one generator per sample.

    Noise is drawn in token layout and in the latent's dtype, appended conditioning tokens included, on the
    generator's device. With one generator per sample every sample gets the noise it gets alone.
    """

    def __init__(self, generator: Generators) -> None:
        self.generator = generator

    def __call__(self, latent_state: LatentState, noise_scale: float = 1.0) -> LatentState:
        """The noised state; it draws even where ``noise_scale`` is 0, as the order of draws is part of a seed."""
        noise = draw_noise(latent_state.latent, self.generator)
        return apply_noise(latent_state, noise, noise_scale)


def seeded_generators(
    seeds: int | Sequence[int], device: torch.device | str = "cpu"
) -> torch.Generator | list[torch.Generator]:
    """One generator for one seed, a list for a batch of seeds. A seed of more than 64 bits starts again from 0."""
    if isinstance(seeds, int):
        return torch.Generator(device=device).manual_seed(seeds & _LARGEST_SEED)
    return [seeded_generators(seed, device) for seed in seeds]


def draw_noise(like: Tensor, generator: Generators, dtype: torch.dtype | None = None) -> Tensor:
    """Standard normal noise shaped like ``like`` and moved to its device, in ``dtype`` or the dtype of ``like``.

    A sequence of generators draws sample by sample.

    Raises:
        ValueError: when the number of generators differs from the batch size.
    """
    dtype = like.dtype if dtype is None else dtype
    if isinstance(generator, torch.Generator):
        noise = torch.randn(like.shape, generator=generator, device=generator.device, dtype=dtype)
        return _moved(noise, like.device)
    if len(generator) != like.shape[0]:
        raise ValueError(
            f"{len(generator)} noise generators (seeds) for a batch of {like.shape[0]}: give one for each sample."
        )
    shape = (1, *like.shape[1:])
    draws = [torch.randn(shape, generator=one, device=one.device, dtype=dtype) for one in generator]
    return _moved(torch.cat(draws), like.device)


def _moved(noise: Tensor, device: torch.device) -> Tensor:
    """``noise`` on ``device``; from pinned memory, as a copy from any other memory waits for the GPU's queue."""
    if device.type == "cuda" and noise.device.type == "cpu":
        return noise.pin_memory().to(device, non_blocking=True)
    return noise.to(device)


def apply_noise(latent_state: LatentState, noise: Tensor, noise_scale: float = 1.0) -> LatentState:
    """clean·(1 − m) + (latent·(1 − s) + noise·s)·m for a state ``(B, N, D)``; float32, cast back.

    Where conditioning also wrote the latent this equals noise·m·s + latent·(1 − m·s), the rule of the first models.
    """
    latent = latent_state.latent
    noisy = torch.lerp(latent.float(), noise.float(), noise_scale)
    mixed = torch.lerp(latent_state.clean_latent.float(), noisy, latent_state.denoise_mask)
    return replace(latent_state, latent=mixed.to(latent.dtype))
