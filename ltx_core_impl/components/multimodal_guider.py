"""Guidance of one modality in a joint video and sound model (spec 06 §8.1, §8.2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .guiders import CFGGuider, CFGStarRescalingGuider, LtxAPGGuider

CFG_RULES = ("cfg", "cfg_star", "apg")
"""How the negative prompt is used: plain, against its optimally scaled prediction (CFG-Zero*), or projected (APG)."""


@dataclass(frozen=True)
class MultiModalGuiderParams:
    """Guidance strengths of one modality; the defaults are neutral.

    Attributes:
        cfg_scale: away from the negative prompt; 1 is off.
        stg_scale: away from the prediction with skipped self-attention; 0 is off.
        stg_blocks: blocks whose self-attention is skipped; None means all, an empty tuple none.
        rescale_scale: how far the standard deviation is pulled back to the conditional one, in [0, 1].
        modality_scale: away from the prediction that does not see the other modality; 1 is off.
        skip_step: after each guided step this many steps reuse the last prediction.
        cfg_rule: one of ``CFG_RULES``.
        apg_eta: weight that APG gives to guidance parallel to the prediction; 1 keeps it, 0 removes it.
        apg_norm_threshold: largest norm of APG's guidance; 0 does not limit it.
    """

    cfg_scale: float = 1.0
    stg_scale: float = 0.0
    stg_blocks: tuple[int, ...] | None = ()
    rescale_scale: float = 0.0
    modality_scale: float = 1.0
    skip_step: int = 0
    cfg_rule: str = "cfg"
    apg_eta: float = 1.0
    apg_norm_threshold: float = 0.0

    def __post_init__(self) -> None:
        if self.cfg_rule not in CFG_RULES:
            raise ValueError(f"cfg_rule is '{self.cfg_rule}'; it is one of {', '.join(CFG_RULES)}.")
        if self.skip_step < 0:
            raise ValueError(f"skip_step counts steps that are skipped; it cannot be negative ({self.skip_step}).")
        if self.stg_blocks is not None:
            object.__setattr__(self, "stg_blocks", tuple(self.stg_blocks))


@dataclass(frozen=True, eq=False)
class MultiModalGuider:
    """Combines the predictions of one modality.

    Attributes:
        params: strengths.
        negative_context: text context ``(B or 1, S, D)`` of the uncond pass; None lets that pass use the positive one.
    """

    params: MultiModalGuiderParams = MultiModalGuiderParams()
    negative_context: Tensor | None = None

    @property
    def needs_uncond(self) -> bool:
        """The modality uses a negative-prompt prediction."""
        return not math.isclose(self.params.cfg_scale, 1.0)

    @property
    def needs_perturbed(self) -> bool:
        """The modality uses a prediction with skipped self-attention."""
        return not math.isclose(self.params.stg_scale, 0.0)

    @property
    def needs_isolated(self) -> bool:
        """The modality uses a prediction that ignores the other modality."""
        return not math.isclose(self.params.modality_scale, 1.0)

    def should_skip_step(self, step: int) -> bool:
        """Whether this step reuses the last prediction; step 0 never does."""
        return step % (self.params.skip_step + 1) != 0

    def at_sigma(self, sigma: float) -> MultiModalGuider:
        """The guider in force at a noise level: always this one."""
        return self

    def _cfg_guider(self) -> CFGGuider | CFGStarRescalingGuider | LtxAPGGuider:
        params = self.params
        if params.cfg_rule == "apg":
            return LtxAPGGuider(params.cfg_scale, eta=params.apg_eta, norm_threshold=params.apg_norm_threshold)
        return {"cfg": CFGGuider, "cfg_star": CFGStarRescalingGuider}[params.cfg_rule](params.cfg_scale)

    def calculate(
        self,
        cond: Tensor,
        uncond: Tensor | None = None,
        perturbed: Tensor | None = None,
        isolated: Tensor | None = None,
    ) -> Tensor:
        """The guided denoised prediction, computed in float32, in the dtype of ``cond``.

        The rescaling deviation is one number over the whole tensor, as the reference defines it: callers that
        denoise independent samples together pass them one by one.

        Args:
            cond, uncond, perturbed, isolated: denoised predictions ``(B, N, D)``; None where the pass did not run.
        """
        params, c = self.params, cond.float()
        prediction = c.clone()
        if uncond is not None:
            prediction += self._cfg_guider().delta(c, uncond.float())
        if perturbed is not None:
            prediction += params.stg_scale * (c - perturbed.float())
        if isolated is not None:
            prediction += (params.modality_scale - 1.0) * (c - isolated.float())
        if params.rescale_scale != 0.0:
            factor = c.std() / prediction.std()
            prediction *= params.rescale_scale * factor + (1.0 - params.rescale_scale)
        return prediction.to(cond.dtype)


class MultiModalGuiderFactory:
    """Chooses strengths by noise level.

    ``params_by_sigma`` maps an upper sigma bound to strengths: the smallest bound that is not below sigma applies,
    above all bounds the largest one.
    """

    def __init__(
        self, params_by_sigma: Mapping[float, MultiModalGuiderParams], negative_context: Tensor | None = None
    ) -> None:
        """Raises ValueError when no strengths are given."""
        if not params_by_sigma:
            raise ValueError("A sigma-dependent guider needs at least one (upper sigma, strengths) entry; got none.")
        self.negative_context = negative_context
        self._guiders = [
            (bound, MultiModalGuider(params=params_by_sigma[bound], negative_context=negative_context))
            for bound in sorted(params_by_sigma)
        ]

    @property
    def needs_uncond(self) -> bool:
        """A negative-prompt prediction is used at some noise level."""
        return any(guider.needs_uncond for _, guider in self._guiders)

    def at_sigma(self, sigma: float) -> MultiModalGuider:
        """The guider in force at a noise level."""
        return next((guider for bound, guider in self._guiders if bound >= sigma), self._guiders[-1][1])


def calculate_per_sample(
    guider: MultiModalGuider,
    cond: Tensor,
    uncond: Tensor | None = None,
    perturbed: Tensor | None = None,
    isolated: Tensor | None = None,
) -> Tensor:
    """``guider.calculate`` for every sample of a batch by itself, so that each gets the result it has alone."""
    if cond.shape[0] == 1:
        return guider.calculate(cond=cond, uncond=uncond, perturbed=perturbed, isolated=isolated)
    samples = [
        guider.calculate(
            *(
                None if prediction is None else prediction[i : i + 1]
                for prediction in (cond, uncond, perturbed, isolated)
            )
        )
        for i in range(cond.shape[0])
    ]
    return torch.cat(samples)
