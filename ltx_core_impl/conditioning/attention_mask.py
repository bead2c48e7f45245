"""Self-attention weights between target and appended tokens (spec 06 §12.5, §12.6)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..types import LatentState, VideoLatentShape


def extended_attention_mask(
    latent_state: LatentState, target_tokens: int, new_tokens: int, weights: Tensor | None
) -> Tensor | None:
    """The attention mask after ``new_tokens`` are appended to ``latent_state``.

    Target and new tokens see each other with ``weights``; new tokens see one another; once a mask exists, groups that
    were appended at different times do not.

    Args:
        latent_state: the state before, with N tokens and perhaps a mask ``(B, N, N)``.
        target_tokens: tokens of the generated latent, the first of the state.
        new_tokens: number of tokens M about to be appended.
        weights: ``(B, M)`` in [0, 1]; None means full weight.

    Returns:
        ``(B, N + M, N + M)`` in the latent's dtype, or None when everything sees everything.
    """
    previous = latent_state.attention_mask
    if weights is None and previous is None:
        return None
    latent = latent_state.latent
    batch, old_tokens = latent.shape[0], latent.shape[1]
    total = old_tokens + new_tokens
    mask = torch.zeros(batch, total, total, device=latent.device, dtype=latent.dtype)
    mask[:, :old_tokens, :old_tokens] = 1.0 if previous is None else previous
    mask[:, old_tokens:, old_tokens:] = 1.0
    weights = torch.ones(batch, new_tokens) if weights is None else weights
    weights = weights.to(device=latent.device, dtype=latent.dtype)
    mask[:, :target_tokens, old_tokens:] = weights[:, None, :]
    mask[:, old_tokens:, :target_tokens] = weights[:, :, None]
    return mask


def attention_weights(strength: float | Tensor, batch: int, new_tokens: int) -> Tensor:
    """Weights ``(B, M)`` from a scalar, a vector ``(M)`` or a matrix ``(1 or B, M)``.

    Raises:
        ValueError: for another shape or weights outside [0, 1].
    """
    weights = torch.as_tensor(strength, dtype=None if isinstance(strength, Tensor) else torch.float32)
    fits = weights.ndim == 0 or (
        weights.ndim <= 2 and weights.shape[-1] == new_tokens and (weights.ndim == 1 or weights.shape[0] in (1, batch))
    )
    if not fits:
        raise ValueError(
            f"Attention weights of shape {tuple(weights.shape)} do not fit {new_tokens} conditioning tokens in a "
            f"batch of {batch}: give a number, ({new_tokens},), (1, {new_tokens}) or ({batch}, {new_tokens})."
        )
    if bool((weights < 0).any() | (weights > 1).any()):
        low, high = weights.min().item(), weights.max().item()
        raise ValueError(f"Attention weights must lie between 0 and 1; got values from {low} to {high}.")
    return weights.expand(batch, new_tokens)


def attention_weights_from_mask(mask: Tensor, latent_shape: VideoLatentShape, strength: float = 1.0) -> Tensor:
    """Weights of a reference's tokens from a pixel mask.

    Frames are area-averaged to the latent grid; the first stands alone, the rest are averaged in the groups that
    share a latent frame.

    Args:
        mask: ``(B, 1, F, H, W)`` in [0, 1].
        latent_shape: size of the reference latent.
        strength: factor on the weights.

    Returns:
        ``(B, F·H·W)`` of the latent grid, in token order.

    Raises:
        ValueError: when the frames do not divide into the latent's.
    """
    frames = mask.shape[2]
    small = F.interpolate(mask[:, 0], size=(latent_shape.height, latent_shape.width), mode="area")
    if frames == 1 or latent_shape.frames == 1:
        return small[:, :1].flatten(start_dim=1) * strength
    later, groups = frames - 1, latent_shape.frames - 1
    if later % groups != 0:
        raise ValueError(
            f"A mask of {frames} frames does not divide into {latent_shape.frames} latent frames: after the first "
            f"frame it needs a multiple of {groups} frames, e.g. {1 + groups * max(1, round(later / groups))} in all."
        )
    rest = small[:, 1:].unflatten(1, (groups, later // groups)).mean(dim=2)
    return torch.cat([small[:, :1], rest], dim=1).flatten(start_dim=1) * strength
