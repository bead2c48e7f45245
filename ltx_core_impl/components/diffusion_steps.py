"""Single solver updates (spec 06 §7, §17.4).

Samples and denoised predictions are token tensors ``(B, N, D)``; ``sigmas`` is the 1-D schedule and ``step_index``
the current position in it. The global sigma moves all tokens, partially kept ones too.

The coefficients are 0-d float32 arithmetic in the reference's order: near σ = 1 they are differences of almost equal
numbers, and another precision gives visibly other noise levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .predictions import to_velocity

_FLOAT32_EPSILON = 1.1920929e-07


class EulerDiffusionStep:
    """Deterministic first-order step."""

    def step(self, sample: Tensor, denoised_sample: Tensor, sigmas: Tensor, step_index: int) -> Tensor:
        """x + v·(σ' − σ); the velocity is rounded to the sample's dtype first, as the reference does."""
        sigma, step_size = sigmas[step_index].item(), (sigmas[step_index + 1] - sigmas[step_index]).item()
        velocity = to_velocity(sample=sample, denoised=denoised_sample, sigma=sigma)
        return (sample.float() + velocity.float() * step_size).to(sample.dtype)


class Res2sDiffusionStep:
    """Noise injection of the res_2s sampler, which keeps the marginal noise level of the next sigma."""

    def step(
        self,
        sample: Tensor,
        next_sample: Tensor,
        sigmas: Tensor,
        step_index: int,
        noise: Tensor,
        eta: float = 0.5,
    ) -> Tensor:
        """Replace part of the deterministic ``next_sample`` by fresh noise.

        Args:
            sample: where the step started.
            next_sample: where the deterministic step arrived (not a denoised prediction); sets the result's dtype.
            sigmas: schedule; the coefficients are computed in its dtype.
            step_index: index of the start.
            noise: standard normal, shaped like the sample.
            eta: share of the next noise level that is fresh.
        """
        sigma, sigma_next = sigmas[step_index], sigmas[step_index + 1]
        alpha, sigma_down, sigma_up = (value.item() for value in sde_coefficients(sigma_next, eta))
        if sigma_up == 0.0 or sigma_next == 0.0:
            return next_sample
        epsilon = (sample - next_sample) / (sigma - sigma_next).item()
        denoised = sample - sigma.item() * epsilon
        mixed = alpha * (denoised + sigma_down * epsilon) + sigma_up * noise
        return mixed.to(next_sample.dtype)


@dataclass(frozen=True)
class EulerAncestralDiffusionStep:
    """Stochastic Euler step for rectified flow: step below the next sigma, then renoise up to it.

    Attributes:
        eta: 0 is deterministic, 1 fully ancestral.
        s_noise: factor on the fresh noise.
    """

    eta: float = 1.0
    s_noise: float = 1.0

    @property
    def uses_noise(self) -> bool:
        """Whether a step draws noise."""
        return self.eta > 0.0

    def step(
        self,
        sample: Tensor,
        denoised_sample: Tensor,
        sigmas: Tensor,
        step_index: int,
        noise: Tensor | None = None,
        uncond_denoised: Tensor | None = None,
    ) -> Tensor:
        """The next sample, float32; ``uncond_denoised`` is not used by this rule."""
        sigma, sigma_next = sigmas[step_index].float(), sigmas[step_index + 1].float()
        denoised = denoised_sample.float()
        if sigma_next == 0.0:
            return denoised
        sigma_down = sigma_next * (1.0 + (sigma_next / sigma - 1.0) * self.eta)
        ratio = sigma_down / sigma
        stepped = ratio.item() * sample.float() + (1.0 - ratio).item() * denoised
        if not self.uses_noise:
            return stepped
        alpha_next, alpha_down = 1.0 - sigma_next, 1.0 - sigma_down
        renoise = (sigma_next**2 - sigma_down**2 * alpha_next**2 / alpha_down**2).clamp(min=0).sqrt()
        return (alpha_next / alpha_down).item() * stepped + _required(noise).float() * self.s_noise * renoise.item()


@dataclass(frozen=True)
class EulerCfgPpDiffusionStep:
    """CFG++ Euler step: the direction comes from the unconditional prediction (arXiv 2406.08070).

    Attributes:
        eta: 0 is deterministic, 1 fully ancestral.
        s_noise: factor on the fresh noise.
    """

    eta: float = 1.0
    s_noise: float = 1.0

    @property
    def uses_noise(self) -> bool:
        """Whether a step draws noise."""
        return self.eta > 0.0 and self.s_noise > 0.0

    def step(
        self,
        sample: Tensor,
        denoised_sample: Tensor,
        sigmas: Tensor,
        step_index: int,
        noise: Tensor | None = None,
        uncond_denoised: Tensor | None = None,
    ) -> Tensor:
        """The next sample, float32.

        Raises:
            ValueError: without an unconditional prediction.
        """
        if uncond_denoised is None:
            raise ValueError(
                "A CFG++ step needs the unconditional prediction: give a negative context and let the denoiser run "
                "the unconditional pass at every step (force_uncond=True)."
            )
        sigma, sigma_next = sigmas[step_index].float(), sigmas[step_index + 1].float()
        denoised = denoised_sample.float()
        if sigma_next == 0.0:
            return denoised
        alpha = (1.0 - sigma).clamp(min=_FLOAT32_EPSILON)
        alpha_next = (1.0 - sigma_next).clamp(min=_FLOAT32_EPSILON)
        direction = (sample.float() - alpha.item() * uncond_denoised.float()) / sigma.item()
        down, up = self._noise_split(sigma / alpha, sigma_next / alpha_next)
        stepped = alpha_next.item() * denoised + (alpha_next * down).item() * direction
        if not self.uses_noise:
            return stepped
        return stepped + alpha_next.item() * _required(noise).float() * self.s_noise * up.item()

    def _noise_split(self, ratio: Tensor, ratio_next: Tensor) -> tuple[Tensor, Tensor]:
        """(deterministic, fresh) noise-to-signal ratio of the next sample, both 0-d."""
        if self.eta == 0.0:
            return ratio_next, torch.zeros_like(ratio_next)
        variance = ratio_next**2 * (ratio**2 - ratio_next**2).clamp(min=0) / ratio**2
        up = torch.minimum(ratio_next, self.eta * variance.sqrt())
        return (ratio_next**2 - up**2).clamp(min=0).sqrt(), up


def sde_coefficients(sigma_next: Tensor, eta: float) -> tuple[Tensor, Tensor, Tensor]:
    """(alpha, sigma_down, sigma_up) with which noise enters at ``sigma_next``, in its dtype (spec 06 §7.2)."""
    sigma_up = torch.minimum(eta * sigma_next, 0.9999 * sigma_next)
    residual = (sigma_next**2 - sigma_up**2).clamp(min=0).sqrt()
    alpha = (1.0 - sigma_next) + residual
    return alpha, residual / alpha, sigma_up


def _required(noise: Tensor | None) -> Tensor:
    if noise is None:
        raise ValueError("This step adds noise (eta > 0): pass a standard normal tensor shaped like the sample.")
    return noise
