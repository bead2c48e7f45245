"""Correcting the predictions of chosen steps: levels of sound, contrast of the picture (spec 07 §8.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..components.latent_statistics import adain
from ..conditioning.tools import LatentTools
from ..types import LatentState
from .denoisers import Denoiser, Prediction, Predictions
from .passes import Transformer

Correction = Callable[[Tensor, int], Tensor]
"""``(denoised latent (B, C, ...), step) -> latent``."""


@dataclass(frozen=True)
class ScaleSteps:
    """Multiply the prediction of step i by ``factors[i]``; 1 beyond the list."""

    factors: tuple[float, ...]

    def __call__(self, latent: Tensor, step: int) -> Tensor:
        """The scaled latent."""
        factor = self.factors[step] if step < len(self.factors) else 1.0
        return latent if factor == 1.0 else latent * factor


@dataclass(frozen=True, eq=False)
class AdainSteps:
    """Pull the statistics of the prediction of step i to a reference by ``factors[i]``; 0 beyond the list."""

    factors: tuple[float, ...]
    reference: Tensor

    def __call__(self, latent: Tensor, step: int) -> Tensor:
        """The corrected latent."""
        factor = self.factors[step] if step < len(self.factors) else 0.0
        return latent if factor == 0.0 else adain(latent, self.reference.to(latent.device), factor)


@dataclass(frozen=True, eq=False)
class CorrectingDenoiser:
    """A denoiser whose predictions are corrected, after guidance and before what is kept is put back.

    Attributes:
        denoiser: gives the predictions.
        schedule: all sigmas of the run, which tell the step: solvers also ask between the steps.
        tools: of video and audio; None for an absent modality.
        corrections: of video and audio, applied in order.
    """

    denoiser: Denoiser
    schedule: Sequence[float]
    tools: tuple[LatentTools | None, LatentTools | None]
    corrections: tuple[tuple[Correction, ...], tuple[Correction, ...]]

    def __call__(
        self,
        transformer: Transformer,
        video_state: LatentState | None,
        audio_state: LatentState | None,
        sigmas: Tensor,
        step_index: int,
    ) -> Predictions:
        """As the denoiser, corrected."""
        predictions = self.denoiser(transformer, video_state, audio_state, sigmas, step_index)
        step = self._step(sigmas[step_index].item())
        return tuple(
            prediction
            if prediction is None or not corrections
            else self._corrected(prediction, tools, corrections, step)
            for prediction, tools, corrections in zip(predictions, self.tools, self.corrections, strict=True)
        )

    def _step(self, sigma: float) -> int:
        return max(0, sum(one >= sigma - 1e-6 for one in self.schedule) - 1)

    @staticmethod
    def _corrected(
        prediction: Prediction, tools: LatentTools, corrections: tuple[Correction, ...], step: int
    ) -> Prediction:
        """Only the target's tokens: appended ones are conditioning."""
        count = tools.target_shape.token_count()
        latent = tools.patchifier.unpatchify(prediction.denoised[:, :count], tools.target_shape)
        for correction in corrections:
            latent = correction(latent, step)
        tokens = tools.patchifier.patchify(latent)
        return prediction._replace(denoised=torch.cat([tokens, prediction.denoised[:, count:]], dim=1))
