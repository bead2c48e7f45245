"""Sigma schedules: descending noise levels that end in 0 (spec 06 §5)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .beta_quantile import beta_quantile

DEFAULT_TOKENS = 4096
BASE_SHIFT_TOKENS = 1024
MAX_SHIFT_TOKENS = 4096


class LTX2Scheduler:
    """Flow-matching schedule whose shift grows with the token count (spec 06 §5.1)."""

    def execute(
        self,
        steps: int,
        latent: Tensor | None = None,
        max_shift: float = 2.05,
        base_shift: float = 0.95,
        stretch: bool = True,
        terminal: float = 0.1,
        default_number_of_tokens: int = DEFAULT_TOKENS,
    ) -> Tensor:
        """Sigmas of a run, float32 ``(steps + 1,)``.

        Args:
            steps: model steps.
            latent: unpatchified latent ``(B, C, F, H, W)`` whose cells are the token count; None uses
                ``default_number_of_tokens``, as every official pipeline but HQ does.
            max_shift, base_shift: log-shift at 4096 and at 1024 tokens; other counts extrapolate linearly.
            stretch: rescale so that the last non-zero sigma is ``terminal``.
            terminal: that last sigma, in (0, 1).
            default_number_of_tokens: token count without a latent.

        Raises:
            ValueError: for a step count or terminal out of range, a patchified latent, or a degenerate schedule.
        """
        _require_steps(steps)
        if stretch and not 0.0 < terminal < 1.0:
            raise ValueError(f"The last sigma (terminal) must lie between 0 and 1; got {terminal}.")
        tokens = _token_count(latent, default_number_of_tokens)
        slope = (max_shift - base_shift) / (MAX_SHIFT_TOKENS - BASE_SHIFT_TOKENS)
        log_shift = tokens * slope + (base_shift - slope * BASE_SHIFT_TOKENS)
        linear = torch.linspace(1.0, 0.0, steps + 1, dtype=torch.float32)
        sigmas = shift_sigmas(linear[:-1], log_shift)
        if stretch:
            sigmas = _stretch_to(sigmas, terminal)
        if not bool(torch.isfinite(sigmas).all()):
            raise ValueError(
                f"A stretched schedule of {steps} step(s) over {tokens} tokens is undefined (0/0): "
                "use at least 2 steps, fewer tokens (4096 without a latent), or turn stretching off."
            )
        return torch.cat([sigmas, linear[-1:]])


class LinearQuadraticScheduler:
    """Small linear steps first, then quadratically growing ones (spec 06 §5.2)."""

    def execute(self, steps: int, threshold_noise: float = 0.025, linear_steps: int | None = None) -> Tensor:
        """Sigmas of a run, float32 ``(steps + 1,)``.

        Args:
            steps: model steps.
            threshold_noise: noise removed by the linear part, in (0, 1).
            linear_steps: steps of the linear part; None takes half of them.

        Raises:
            ValueError: for counts or a threshold out of range.
        """
        _require_steps(steps)
        if steps == 1:
            return torch.tensor([1.0, 0.0], dtype=torch.float32)
        linear = steps // 2 if linear_steps is None else linear_steps
        if not 1 <= linear <= steps:
            raise ValueError(f"linear_steps must lie between 1 and the {steps} steps; got {linear}.")
        if not 0.0 < threshold_noise < 1.0:
            raise ValueError(f"threshold_noise must lie between 0 and 1; got {threshold_noise}.")
        removed = [i * threshold_noise / linear for i in range(linear)]
        quadratic = steps - linear
        if quadratic > 0:
            step_difference = linear - threshold_noise * steps
            square = step_difference / (linear * quadratic**2)
            slope = threshold_noise / linear - 2 * step_difference / quadratic**2
            offset = square * linear**2
            removed += [square * i**2 + slope * i + offset for i in range(linear, steps)]
        return torch.tensor([1.0 - value for value in [*removed, 1.0]], dtype=torch.float32)


class BetaScheduler:
    """Sigmas at beta-distributed quantiles of a shifted table (spec 06 §5.3; arXiv 2407.12173)."""

    shift: float = 2.37
    table_length: int = 10000

    def execute(self, steps: int, alpha: float = 0.6, beta: float = 0.6) -> Tensor:
        """Sigmas of a run, float32, at most ``steps + 1`` values: coinciding table entries are taken once.

        Args:
            steps: model steps.
            alpha, beta: parameters of the beta distribution, positive.

        Raises:
            ValueError: for values out of range.
        """
        _require_steps(steps)
        positions = torch.arange(1, self.table_length + 1, dtype=torch.float32) / self.table_length
        table = shift_sigmas(positions, self.shift)
        last = self.table_length - 1
        # Python's round, like numpy's rint, takes halves to even.
        indices = (round(beta_quantile(1.0 - k / steps, alpha, beta) * last) for k in range(steps))
        return torch.cat([table[list(dict.fromkeys(indices))], torch.zeros(1)])


def shift_sigmas(sigmas: Tensor, log_shift: float) -> Tensor:
    """e^μ / (e^μ + 1/σ − 1) for positive sigmas; the evaluation order fixes the last float32 bit (spec 06 §5.1)."""
    factor = math.exp(log_shift)
    return ((sigmas.reciprocal() - 1.0) + factor).reciprocal() * factor


def _stretch_to(sigmas: Tensor, terminal: float) -> Tensor:
    """Scale 1 − σ so that the last of the positive ``sigmas`` becomes ``terminal``."""
    removed = 1.0 - sigmas
    return 1.0 - removed / (removed[-1] / (1.0 - terminal))


def _token_count(latent: Tensor | None, default: int) -> int:
    if latent is None:
        return default
    if latent.ndim < 4:
        raise ValueError(
            f"The schedule counts the cells of an unpatchified latent (B, C, F, H, W); got shape {tuple(latent.shape)}."
        )
    return math.prod(latent.shape[2:])


def _require_steps(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"A schedule needs at least 1 step; got {steps}.")
