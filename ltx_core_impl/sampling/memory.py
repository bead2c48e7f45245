"""How much memory a forward pass needs besides the weights, told before it runs."""

from __future__ import annotations

from ..conditioning.item import appended_tokens
from ..model.transformer.options import TransformerOptions
from .stage import StageModality

LIVE_ACTIVATIONS = 14
"""Copies of the residual streams that are alive at once in a block, its feed-forward layer four of them wide. An H200
showed 12.4 for 6,144 and 126 tokens of LTX-2.3 in bfloat16; the rest is room for what the allocator wastes."""


def token_count(modality: StageModality) -> int:
    """Tokens of the target and of all that its conditioning items append."""
    shape = modality.tools.target_shape
    return shape.token_count() + sum(appended_tokens(item, shape) for item in modality.conditionings)


def forward_bytes(options: TransformerOptions, video_tokens: int, audio_tokens: int, itemsize: int) -> int:
    """Bytes that one batch row of a forward pass takes, in a dtype of ``itemsize`` bytes."""
    video = video_tokens * options.video.dim if options.video else 0
    audio = audio_tokens * options.audio.dim if options.audio else 0
    return LIVE_ACTIVATIONS * itemsize * (video + audio)
