"""What the diffusion transformer is told about one stream (spec 02 §5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Modality:
    """One stream (video or audio) of one forward pass.

    Attributes:
        latent: ``(B, T, C)`` patchified tokens; noisy tokens first, then appended conditioning tokens. Its dtype is the
            dtype the model computes in.
        sigma: ``(B,)`` noise level of the schedule in [0, 1]; 0-D stands for the same value in every row.
        timesteps: ``(B, T, 1)`` noise level per token, ``denoise_mask * sigma``; ``(B, 1, 1)`` when all tokens agree.
        positions: ``(B, P, T, 2)`` [start, end) of each token; P = 3 for video (seconds, pixels, pixels), 1 for audio
            (seconds).
        context: ``(B, S, C_text)`` text embeddings for this stream.
        enabled: whether this pass updates the stream. A disabled stream still serves the other one as keys and values.
        context_mask: ``None``, 0/1 integers ``(B, S)`` or ``(B, Q, S)``, or an additive floating point mask.
        attention_mask: ``None`` or ``(B, T, T)`` self-attention strengths in [0, 1].
        keyframes_mask: ``None`` or ``(B, T, 1)``; positive entries mark tokens of a single pixel frame (LTX-2.5 video).
    """

    latent: torch.Tensor
    sigma: torch.Tensor
    timesteps: torch.Tensor
    positions: torch.Tensor
    context: torch.Tensor
    enabled: bool = True
    context_mask: torch.Tensor | None = None
    attention_mask: torch.Tensor | None = None
    keyframes_mask: torch.Tensor | None = None
