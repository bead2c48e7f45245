"""Masks as additive terms of the attention scores (spec 02 §6.6)."""

from __future__ import annotations

import torch

from .rows import share_rows


def text_mask_bias(mask: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    """Additive mask over text tokens.

    Args:
        mask: ``None``; 0/1 integers or booleans ``(B, S)`` or ``(B, Q, S)``, 1 to attend; or a floating point mask of
            these shapes or ``(B, 1, Q, S)`` that is additive already.
        dtype: dtype of the model; the lowest finite value of it hides a token.

    Returns:
        ``(B, 1, Q or 1, S)`` or ``None``.
    """
    if mask is None:
        return None
    if not mask.is_floating_point():
        mask = (mask.to(torch.int64) - 1).to(dtype) * torch.finfo(dtype).max
    if mask.ndim == 4:
        return mask.to(dtype)
    return mask.to(dtype).reshape(mask.shape[0], 1, -1, mask.shape[-1])


def self_attention_bias(mask: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    """Logarithms of self-attention strengths, so that a key counts ``strength`` times in the softmax.

    Args:
        mask: ``None`` or ``(B, T, T)``, also ``(B, 1, T)``, strengths in [0, 1]; 0 hides a key.
        dtype: dtype of the result.

    Returns:
        ``(B or 1, 1, T or 1, T)`` or ``None``.
    """
    if mask is None:
        return None
    limits = torch.finfo(dtype)
    mask = share_rows(mask)
    if not mask.is_floating_point():
        mask = mask.to(dtype)
    bias = mask.clamp_min(limits.tiny).log_().to(dtype)
    return bias.masked_fill_(mask <= 0, limits.min).unsqueeze(1)
