"""First-order denoising loops (spec 06 §11.1, §11.2, §17.4).

Every loop takes ``sigmas`` (descending), a state for each present modality in token layout, an X0 ``transformer`` and
a ``denoiser``, and returns the final states. The optional ``callback`` is told after each step its index, the number
of steps and the states holding the denoised prediction; it may raise to stop the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from ..components.diffusion_steps import EulerAncestralDiffusionStep, EulerCfgPpDiffusionStep, EulerDiffusionStep
from ..components.noisers import draw_noise, seeded_generators
from ..components.predictions import blend_clean, to_denoised, to_velocity
from ..types import LatentState
from .denoisers import Denoiser, Predictions
from .passes import Transformer
from .validation import checked_sigmas

StepCallback = Callable[[int, int, LatentState | None, LatentState | None], None]
States = tuple[LatentState | None, LatentState | None]
Stepped = tuple[States, Sequence[Tensor | None]]
"""The states after a step, and the denoised predictions that it went by."""
Step = Callable[[States, Predictions, Tensor, int], Stepped]
Seeds = int | Sequence[int]


def euler_denoising_loop(
    sigmas: Tensor,
    video_state: LatentState | None,
    audio_state: LatentState | None,
    transformer: Transformer,
    denoiser: Denoiser,
    callback: StepCallback | None = None,
) -> States:
    """Deterministic Euler steps, the default of every pipeline."""
    rule = EulerDiffusionStep()

    def step(states: States, predictions: Predictions, sigmas: Tensor, index: int) -> Stepped:
        denoised = clean_predictions(states, predictions)
        states = tuple(
            state if clean is None else replace(state, latent=rule.step(state.latent, clean, sigmas, index))
            for state, clean in zip(states, denoised, strict=True)
        )
        return states, denoised

    return _run(step, sigmas, (video_state, audio_state), transformer, denoiser, callback)


def gradient_estimating_euler_denoising_loop(
    sigmas: Tensor,
    video_state: LatentState | None,
    audio_state: LatentState | None,
    transformer: Transformer,
    denoiser: Denoiser,
    callback: StepCallback | None = None,
    ge_gamma: float = 2.0,
) -> States:
    """Euler steps with velocities extrapolated from the previous one (arXiv 2312.05387).

    ``ge_gamma`` is the weight of the velocity's change; 1 is plain Euler.
    """
    rule = EulerDiffusionStep()
    previous: list[Tensor | None] = [None, None]

    def step(states: States, predictions: Predictions, sigmas: Tensor, index: int) -> Stepped:
        sigma = sigmas[index].item()
        denoised, updated = list(clean_predictions(states, predictions)), list(states)
        for stream, (state, clean) in enumerate(zip(states, denoised, strict=True)):
            if clean is None:
                continue
            if sigmas[index + 1] == 0:
                updated[stream] = replace(state, latent=clean)
                continue
            velocity = to_velocity(sample=state.latent, denoised=clean, sigma=sigma)
            if previous[stream] is not None:
                total = ge_gamma * (velocity - previous[stream]) + previous[stream]
                clean = denoised[stream] = to_denoised(sample=state.latent, velocity=total, sigma=sigma)
            previous[stream] = velocity
            updated[stream] = replace(state, latent=rule.step(state.latent, clean, sigmas, index))
        return tuple(updated), denoised

    return _run(step, sigmas, (video_state, audio_state), transformer, denoiser, callback)


def euler_ancestral_denoising_loop(
    sigmas: Tensor,
    video_state: LatentState | None,
    audio_state: LatentState | None,
    transformer: Transformer,
    denoiser: Denoiser,
    callback: StepCallback | None = None,
    eta: float = 1.0,
    s_noise: float = 1.0,
    noise_seed: Seeds = -1,
) -> States:
    """Euler ancestral steps for rectified flow.

    Args:
        eta: share of fresh noise; 0 is deterministic.
        s_noise: factor on the fresh noise.
        noise_seed: seed of the loop's own CPU noise generator, or one seed for each sample. LTX-2.5 pipelines use the
            user's seed + 10000.
    """
    step = _stochastic_step(EulerAncestralDiffusionStep(eta=eta, s_noise=s_noise), noise_seed)
    return _run(step, sigmas, (video_state, audio_state), transformer, denoiser, callback)


def euler_cfg_pp_denoising_loop(
    sigmas: Tensor,
    video_state: LatentState | None,
    audio_state: LatentState | None,
    transformer: Transformer,
    denoiser: Denoiser,
    callback: StepCallback | None = None,
    eta: float = 1.0,
    s_noise: float = 1.0,
    noise_seed: Seeds = -1,
) -> States:
    """CFG++ Euler steps; the denoiser must give unconditional predictions.

    Args:
        eta: share of fresh noise; 0 is deterministic.
        s_noise: factor on the fresh noise.
        noise_seed: seed of the loop's own CPU noise generator, or one seed for each sample.

    Raises:
        ValueError: when the denoiser gives no unconditional prediction.
    """
    step = _stochastic_step(EulerCfgPpDiffusionStep(eta=eta, s_noise=s_noise), noise_seed)
    return _run(step, sigmas, (video_state, audio_state), transformer, denoiser, callback)


def _run(
    step: Step,
    sigmas: Tensor,
    states: States,
    transformer: Transformer,
    denoiser: Denoiser,
    callback: StepCallback | None,
) -> States:
    """What every loop does: ask for predictions, let ``step`` use them, tell the callback."""
    sigmas = checked_sigmas(sigmas)
    steps = len(sigmas) - 1
    for index in range(steps):
        predictions = denoiser(transformer, *states, sigmas, index)
        states, denoised = step(states, predictions, sigmas, index)
        report(callback, index, steps, states, denoised)
    return states


def _stochastic_step(rule: EulerAncestralDiffusionStep | EulerCfgPpDiffusionStep, noise_seed: Seeds) -> Step:
    """A step in float32 that may add noise; noise is drawn for the video first, then for the audio."""
    generator = seeded_generators(noise_seed)

    def step(states: States, predictions: Predictions, sigmas: Tensor, index: int) -> Stepped:
        denoised, updated = [], []
        for state, prediction in zip(states, predictions, strict=True):
            if prediction is None:
                denoised.append(None)
                updated.append(state)
                continue
            clean = blend_clean(prediction.denoised.float(), state.denoise_mask, state.clean_latent)
            adds_noise = rule.uses_noise and sigmas[index + 1] > 0
            latent = rule.step(
                state.latent,
                clean,
                sigmas,
                index,
                noise=draw_noise(state.latent, generator) if adds_noise else None,
                uncond_denoised=prediction.uncond,
            )
            if adds_noise:
                latent = blend_clean(latent, state.denoise_mask, state.clean_latent)
            denoised.append(clean)
            updated.append(replace(state, latent=latent.to(state.latent.dtype)))
        return tuple(updated), denoised

    return step


def clean_predictions(states: States, predictions: Predictions) -> tuple[Tensor | None, Tensor | None]:
    """Denoised tokens with kept tokens pinned to their clean content; None where nothing was predicted."""
    return tuple(
        None if prediction is None else blend_clean(prediction.denoised, state.denoise_mask, state.clean_latent)
        for state, prediction in zip(states, predictions, strict=True)
    )


def report(
    callback: StepCallback | None,
    index: int,
    steps: int,
    states: States,
    denoised: Sequence[Tensor | None],
) -> None:
    """Tell the callback about a finished step."""
    if callback is None:
        return
    shown = (
        state if clean is None else replace(state, latent=clean) for state, clean in zip(states, denoised, strict=True)
    )
    callback(index, steps, *shown)
