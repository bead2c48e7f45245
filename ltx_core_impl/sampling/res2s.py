"""The res_2s loop: a second-order exponential integrator with noise injection (spec 06 §11.3; arXiv 2308.02157)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..components.diffusion_steps import Res2sDiffusionStep
from ..components.noisers import Generators, draw_noise, seeded_generators
from ..components.predictions import blend_clean
from ..types import LatentState
from .denoisers import Denoiser
from .loops import Seeds, States, StepCallback, clean_predictions, report
from .passes import Transformer
from .validation import checked_sigmas

SUBSTEP_SEED_OFFSET = 10000
SUBSTEP_ETA = 0.5
LAST_NOISY_SIGMA = 0.0011
_BONG_MAX_STEP = 0.5
_BONG_MIN_SIGMA = 0.03


def res2s_denoising_loop(
    sigmas: Tensor,
    video_state: LatentState | None,
    audio_state: LatentState | None,
    transformer: Transformer,
    denoiser: Denoiser,
    callback: StepCallback | None = None,
    noise_seed: Seeds = -1,
    eta: float = 0.5,
    bongmath: bool = True,
) -> States:
    """Denoise with two model evaluations per step, and one more when the schedule ends in 0.

    Args:
        sigmas: schedule; a final 0 is reached over 0.0011.
        noise_seed: seed of the step noise, or one seed for each sample; substep noise uses the seed + 10000. The
            reference fixes it at -1 whatever the user's seed.
        eta: share of fresh noise after a step; substeps always use 0.5.
        bongmath: move the anchor of a step so that it agrees with the noised midpoint.

    Raises:
        ValueError: for a schedule that does not descend or whose last noisy sigma leaves no room for 0.0011.
    """
    sigmas = _with_small_last_sigma(checked_sigmas(sigmas))
    ends_clean = bool(sigmas[-1] == 0)
    steps = len(sigmas) - 1 - int(ends_clean)
    generators = _noise_generators(noise_seed)
    states = (video_state, audio_state)
    for index in range(steps):
        states, denoised = _step(sigmas, index, states, transformer, denoiser, generators, eta, bongmath)
        report(callback, index, steps + int(ends_clean), states, denoised)
    if ends_clean:
        denoised = clean_predictions(states, denoiser(transformer, *states, sigmas, steps))
        states = tuple(
            state if clean is None else replace(state, latent=clean)
            for state, clean in zip(states, denoised, strict=True)
        )
        report(callback, steps, steps + 1, states, denoised)
    return states


def phi(order: int, z: float) -> float:
    """φ_j(z) = (e^z − Σ_{k<j} z^k/k!)/z^j, continued by 1/j! at 0."""
    if abs(z) < 1e-10:
        return 1.0 / math.factorial(order)
    return (math.exp(z) - sum(z**k / math.factorial(k) for k in range(order))) / z**order


def res2s_coefficients(h: float) -> tuple[float, float, float]:
    """(a21, b1, b2) of a step of length ``h`` in −log σ, with the midpoint at half of it."""
    b2 = phi(2, -h) / 0.5
    return 0.5 * phi(1, -0.5 * h), phi(1, -h) - b2, b2


def channelwise_normalised_noise(like: Tensor, generator: Generators) -> Tensor:
    """Float64 noise shaped like ``like`` ``(B, N, D)`` with mean 0 and deviation 1 in every sample."""
    noise = draw_noise(like, generator, dtype=torch.float64)
    if isinstance(generator, torch.Generator):
        noise = (noise - noise.mean()) / noise.std()
    else:
        noise = _standardised(noise)
    return _standardised(noise)


def _step(
    sigmas: Tensor,
    index: int,
    states: States,
    transformer: Transformer,
    denoiser: Denoiser,
    generators: tuple[Generators, Generators],
    eta: float,
    bongmath: bool,
) -> tuple[States, tuple[Tensor | None, Tensor | None]]:
    """One step: to the midpoint, noise, evaluate there, to the end, noise. Returns states and their predictions."""
    step_generator, substep_generator = generators
    exact = sigmas.double()
    sigma, sigma_next = exact[index].item(), exact[index + 1].item()
    h = -math.log(sigma_next / sigma)
    a21, b1, b2 = res2s_coefficients(h)
    middle = torch.stack([exact[index], (exact[index] * exact[index + 1]).sqrt()])
    denoised = clean_predictions(states, denoiser(transformer, *states, sigmas, index))

    anchors, slopes, mid_states = [None, None], [None, None], list(states)
    for stream, (state, clean) in enumerate(zip(states, denoised, strict=True)):
        if clean is None:
            continue
        first, anchor = _wide(clean), _wide(state.latent)
        mid = anchor + h * a21 * (first - anchor)
        mid = _inject(state, anchor, mid, middle, 0, substep_generator, SUBSTEP_ETA)
        if bongmath and h < _BONG_MAX_STEP and sigma > _BONG_MIN_SIGMA:
            # The limit of the reference's 100 iterations of anchor = mid − h·a21·(first − anchor).
            anchor = (mid - h * a21 * first) / (1.0 - h * a21)
        anchors[stream], slopes[stream] = anchor, first - anchor
        mid_states[stream] = replace(state, latent=mid.to(state.latent.dtype))

    mid_denoised = clean_predictions(tuple(mid_states), denoiser(transformer, *mid_states, middle[1:], 0))
    results = list(states)
    for stream, (state, second) in enumerate(zip(states, mid_denoised, strict=True)):
        if second is None:
            continue
        anchor = anchors[stream]
        end = anchor + h * (b1 * slopes[stream] + b2 * (_wide(second) - anchor))
        end = _inject(state, anchor, end, sigmas, index, step_generator, eta)
        results[stream] = replace(state, latent=end.to(state.latent.dtype))
    return tuple(results), mid_denoised


def _inject(
    state: LatentState, sample: Tensor, following: Tensor, sigmas: Tensor, index: int, generator: Generators, eta: float
) -> Tensor:
    """Noise injection after a deterministic update, with kept tokens pinned again."""
    noise = channelwise_normalised_noise(state.latent, generator).to(sample.dtype)
    noised = Res2sDiffusionStep().step(sample, following, sigmas, index, noise=noise, eta=eta)
    return blend_clean(noised, state.denoise_mask, state.clean_latent)


def _wide(tensor: Tensor) -> Tensor:
    """Float64 where the device has it."""
    return tensor.float() if tensor.device.type == "mps" else tensor.double()


def _standardised(noise: Tensor) -> Tensor:
    return (noise - noise.mean(dim=(-2, -1), keepdim=True)) / noise.std(dim=(-2, -1), keepdim=True)


def _with_small_last_sigma(sigmas: Tensor) -> Tensor:
    if sigmas[-1] != 0:
        return sigmas
    if sigmas[-2] <= LAST_NOISY_SIGMA:
        raise ValueError(
            f"res_2s goes through sigma {LAST_NOISY_SIGMA} before 0, but the schedule's last noisy sigma is "
            f"{sigmas[-2].item():.6g}: remove it, or end the schedule above {LAST_NOISY_SIGMA}."
        )
    return torch.cat([sigmas[:-1], sigmas.new_tensor([LAST_NOISY_SIGMA, 0.0])])


def _noise_generators(noise_seed: Seeds) -> tuple[Generators, Generators]:
    """Generators of the step noise and of the substep noise."""
    if isinstance(noise_seed, Sequence):
        substep_seed: Seeds = [seed + SUBSTEP_SEED_OFFSET for seed in noise_seed]
    else:
        substep_seed = noise_seed + SUBSTEP_SEED_OFFSET
    return seeded_generators(noise_seed), seeded_generators(substep_seed)
