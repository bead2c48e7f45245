"""Weaker attention between the target and one conditioning item (spec 06 §12.4)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ..types import LatentState
from .attention_mask import attention_weights, extended_attention_mask
from .item import ConditioningItem, appended_tokens


@dataclass(frozen=True, eq=False)
class ConditioningItemAttentionStrengthWrapper:
    """Applies an item and weights the attention between its tokens and the target.

    Attributes:
        conditioning: the item that appends tokens.
        attention_mask: weights in [0, 1]: a number, ``(M)`` or ``(1 or B, M)`` for the M tokens it appends.
    """

    conditioning: ConditioningItem
    attention_mask: float | Tensor

    def token_count(self, target_shape: Any) -> int:
        """Tokens that the item appends."""
        return appended_tokens(self.conditioning, target_shape)

    def apply_to(self, latent_state: LatentState, latent_tools: Any) -> LatentState:
        """Raises ValueError when the weights do not fit the appended tokens."""
        applied = self.conditioning.apply_to(latent_state, latent_tools)
        batch, old_tokens = latent_state.latent.shape[:2]
        new_tokens = applied.latent.shape[1] - old_tokens
        if new_tokens == 0:
            return applied
        mask = extended_attention_mask(
            latent_state,
            target_tokens=latent_tools.target_shape.token_count(),
            new_tokens=new_tokens,
            weights=attention_weights(self.attention_mask, batch=batch, new_tokens=new_tokens),
        )
        return replace(applied, attention_mask=mask)
