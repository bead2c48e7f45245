"""What a conditioning item is, and how tokens join a state (spec 06 §12)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor

from ..types import LatentState
from .attention_mask import extended_attention_mask


class ConditioningError(ValueError):
    """A conditioning item does not fit the run it is applied to."""


class ConditioningItem(Protocol):
    """A change to the clean part of a state, applied before noise."""

    def apply_to(self, latent_state: LatentState, latent_tools: Any) -> LatentState:
        """The changed state; ``latent_tools`` describe the run."""
        ...


def appended_tokens(item: ConditioningItem, target_shape: Any) -> int:
    """Tokens that an item will add to those of a target of this shape; 0 for one that changes tokens in place."""
    count = getattr(item, "token_count", None)
    return 0 if count is None else count(target_shape)


def require_strength(strength: float) -> None:
    """Raise ValueError unless the strength lies in [0, 1]."""
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"A conditioning strength lies between 0 (ignored) and 1 (kept); got {strength}.")


def match_state(latent: Tensor, latent_state: LatentState, what: str) -> Tensor:
    """``latent`` in the state's device and dtype; a single sample serves the whole batch.

    Raises:
        ConditioningError: when its batch is neither 1 nor the state's.
    """
    batch = latent_state.latent.shape[0]
    if latent.shape[0] not in (1, batch):
        raise ConditioningError(f"{what} has a batch of {latent.shape[0]}; this run needs 1 or {batch}.")
    latent = latent.to(device=latent_state.latent.device, dtype=latent_state.latent.dtype)
    return latent.expand(batch, *latent.shape[1:])


def append_tokens(
    latent_state: LatentState,
    latent_tokens: Tensor,
    clean_tokens: Tensor,
    mask_value: float,
    positions: Tensor,
    target_tokens: int,
    keyframe_mark: float = 0.0,
    window: int | None = None,
) -> LatentState:
    """Put M tokens after those of a state.

    Args:
        latent_state: the state before, N tokens.
        latent_tokens, clean_tokens: ``(B, M, D)``, in the state's dtype.
        mask_value: denoise mask of the new tokens; rounded to the tokens' dtype first, as the reference does.
        positions: float32 ``(1 or B, axes, M, 2)``.
        target_tokens: tokens of the generated latent.
        keyframe_mark: value of the keyframes mask for the new tokens.
        window: the window in time that alone sees the new tokens; None for all.
    """
    batch, new_tokens, _ = clean_tokens.shape
    device = clean_tokens.device
    mask = torch.full((batch, new_tokens, 1), mask_value, device=device, dtype=clean_tokens.dtype).float()
    keyframes_mask = latent_state.keyframes_mask
    if keyframes_mask is not None:
        marks = torch.full((batch, new_tokens, 1), keyframe_mark, device=device, dtype=keyframes_mask.dtype)
        keyframes_mask = torch.cat([keyframes_mask, marks], dim=1)
    positions = positions.to(device).expand(batch, -1, -1, -1)
    return replace(
        latent_state,
        latent=torch.cat([latent_state.latent, latent_tokens], dim=1),
        clean_latent=torch.cat([latent_state.clean_latent, clean_tokens], dim=1),
        denoise_mask=torch.cat([latent_state.denoise_mask, mask], dim=1),
        positions=torch.cat([latent_state.positions, positions], dim=2),
        attention_mask=extended_attention_mask(latent_state, target_tokens, new_tokens, weights=None),
        keyframes_mask=keyframes_mask,
        windows=_windows(latent_state, new_tokens, window),
    )


def _windows(latent_state: LatentState, new_tokens: int, window: int | None) -> Tensor | None:
    before = latent_state.windows
    if before is None and window is None:
        return None
    device = latent_state.latent.device
    if before is None:
        before = torch.full((latent_state.latent.shape[1],), -1, device=device)
    return torch.cat([before, torch.full((new_tokens,), -1 if window is None else window, device=device)])


def append_guide(
    latent_state: LatentState,
    tokens: Tensor,
    strength: float,
    positions: Tensor,
    latent_tools: Any,
    window: int | None = None,
) -> LatentState:
    """Append content tokens that are kept with ``strength``; the noisy latent gets them or zeros, by the rules.

    ``window`` is that of `append_tokens`.
    """
    writes_latent = latent_tools.rules.items_write_latent
    return append_tokens(
        latent_state,
        latent_tokens=tokens if writes_latent else torch.zeros_like(tokens),
        clean_tokens=tokens,
        mask_value=1.0 - strength,
        positions=positions,
        target_tokens=latent_tools.target_shape.token_count(),
        window=window,
    )
