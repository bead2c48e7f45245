"""From all hidden states of Gemma to one feature vector per token (spec 05 §6, §7)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

_EPS = 1e-6
_RANGE_SCALE = 8


class TextFeatures(NamedTuple):
    """Features of the two streams, ``(B, T, D_v)`` and ``(B, T, D_a)``."""

    video: Tensor
    audio: Tensor


def normalize_by_range(hidden: Tensor, mask: Tensor) -> Tensor:
    """LTX-2: centre each layer of each prompt, divide by its range, times 8.

    Args:
        hidden: ``(B, T, D, L)``; rows that the mask hides may hold anything.
        mask: ``(B, T)``, non-zero for tokens.

    Returns:
        ``(B, T, D·L)``, layer index fastest, hidden rows zero; float32 also for bfloat16 states.
    """
    valid = mask.bool()[:, :, None, None]
    padded = None if bool(valid.all()) else ~valid

    def hide(value: float) -> Tensor:
        return hidden if padded is None else hidden.masked_fill(padded, value)

    count = mask.bool().sum(dim=1)[:, None, None, None] * hidden.shape[2]
    mean = hide(0).sum(dim=(1, 2), keepdim=True) / (count + _EPS)
    extent = hide(-math.inf).amax(dim=(1, 2), keepdim=True) - hide(math.inf).amin(dim=(1, 2), keepdim=True)
    normalized = (hidden - mean).mul_(_RANGE_SCALE).div_(extent + _EPS)
    if padded is not None:
        normalized.masked_fill_(padded, 0)
    return normalized.flatten(2)


def normalize_by_rms(hidden: Tensor, mask: Tensor) -> Tensor:
    """LTX-2.3 and LTX-2.5: RMS norm of each token and layer over the channels, in the dtype of the states.

    Args and result as :func:`normalize_by_range`.
    """
    normalized = hidden * torch.rsqrt(hidden.pow(2).mean(dim=2, keepdim=True) + _EPS)
    valid = mask.bool()[:, :, None, None]
    if not bool(valid.all()):
        normalized.masked_fill_(~valid, 0)
    return normalized.flatten(2)


class AggregateLinear(nn.Linear):
    """Linear over the channels of all hidden states.

    How many hidden states there are is known by the weights, not by the checkpoint's config, so loading adopts the
    stored width.
    """

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        stored = state_dict.get(f"{prefix}weight")
        if stored is not None and stored.dim() == 2 and stored.shape[1] != self.in_features:
            self.in_features = stored.shape[1]
            self.weight = nn.Parameter(
                self.weight.new_empty(self.out_features, self.in_features), self.weight.requires_grad
            )
        super()._load_from_state_dict(state_dict, prefix, *args)


class FeatureExtractorV1(nn.Module):
    """LTX-2: one projection without bias, shared by both streams."""

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.aggregate_embed = AggregateLinear(in_features, out_features, bias=False)

    @property
    def in_features(self) -> int:
        """Hidden size of the language model times its number of hidden states."""
        return self.aggregate_embed.in_features

    def forward(self, hidden: Tensor, mask: Tensor) -> TextFeatures:
        """``hidden``: ``(B, T, D, L)``; ``mask``: ``(B, T)``."""
        features = self.aggregate_embed(normalize_by_range(hidden, mask).to(hidden.dtype))
        return TextFeatures(video=features, audio=features)


class FeatureExtractorV2(nn.Module):
    """LTX-2.3 and LTX-2.5: one projection per stream, each rescaled to its own width."""

    def __init__(self, in_features: int, video_features: int, audio_features: int):
        super().__init__()
        self.video_aggregate_embed = AggregateLinear(in_features, video_features)
        self.audio_aggregate_embed = AggregateLinear(in_features, audio_features)

    @property
    def in_features(self) -> int:
        """Hidden size of the language model times its number of hidden states."""
        return self.video_aggregate_embed.in_features

    def forward(self, hidden: Tensor, mask: Tensor) -> TextFeatures:
        """``hidden``: ``(B, T, D, L)``; ``mask``: ``(B, T)``."""
        normalized, width = normalize_by_rms(hidden, mask), hidden.shape[2]
        video, audio = self.video_aggregate_embed, self.audio_aggregate_embed
        return TextFeatures(
            video=video(normalized * math.sqrt(video.out_features / width)),
            # The last use of the normalised states: scaled in place.
            audio=audio(normalized.mul_(math.sqrt(audio.out_features / width))),
        )
