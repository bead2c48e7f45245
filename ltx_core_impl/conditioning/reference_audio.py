"""Conditioning sound on a reference recording (spec 06 §17.6)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..components.patchifiers import AudioPatchifier
from ..types import AudioLatentShape, LatentState
from .item import ConditioningError, append_tokens, match_state, require_strength
from .tools import AudioLatentTools

REFERENCE_GAP_SECONDS = 0.04
"""Silence between the end of the reference and time 0."""


@dataclass(frozen=True, eq=False)
class AudioConditionByReferenceLatent:
    """Append the tokens of a reference recording.

    Attributes:
        tokens: patchified reference ``(1 or B, T, D)``.
        positions: float32 seconds ``(1 or B, 1, T, 2)``; see ``positions_before_start``.
        strength: 1 keeps the content, 0 ignores it.
    """

    tokens: Tensor
    positions: Tensor
    strength: float = 1.0

    def token_count(self, target_shape: AudioLatentShape) -> int:
        """Tokens that it appends to any target."""
        return self.tokens.shape[1]

    def apply_to(self, latent_state: LatentState, latent_tools: AudioLatentTools) -> LatentState:
        """Raises ConditioningError when tokens and positions do not fit each other or the run."""
        require_strength(self.strength)
        width = latent_state.latent.shape[-1]
        if self.tokens.ndim != 3 or self.tokens.shape[-1] != width:
            raise ConditioningError(
                f"Reference audio tokens have shape {tuple(self.tokens.shape)}; "
                f"this run needs (batch, tokens, {width})."
            )
        if self.positions.shape[1:] != (1, self.tokens.shape[1], 2):
            raise ConditioningError(
                f"{self.tokens.shape[1]} reference audio tokens need positions (batch, 1, {self.tokens.shape[1]}, 2); "
                f"got {tuple(self.positions.shape)}."
            )
        tokens = match_state(self.tokens, latent_state, "The reference audio")
        return append_tokens(
            latent_state,
            latent_tokens=torch.zeros_like(tokens),
            clean_tokens=tokens,
            mask_value=1.0 - self.strength,
            positions=self.positions.float(),
            target_tokens=latent_tools.target_shape.token_count(),
        )


def positions_before_start(shape: AudioLatentShape, patchifier: AudioPatchifier) -> Tensor:
    """Seconds of a reference that ends shortly before time 0: float32 ``(B, 1, T, 2)``, all negative."""
    seconds = patchifier.bounds_seconds(shape)
    return seconds - seconds[:, :, -1:, 1:] - REFERENCE_GAP_SECONDS
