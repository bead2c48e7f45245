"""What the diffusion transformer is told about one stream (spec 02 §5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .text_reading import TextReading


@dataclass(frozen=True)
class TokenGroups:
    """Which tokens share a noise level: known once per run, so that no step has to ask the device.

    Attributes:
        first: ``(N,)`` int64, for each group a token of it, counted through ``(B or 1, T)``; ``None`` when all tokens
            of a row agree.
        index: ``(B or 1, T)`` int64, the group of each token; ``None`` likewise.
    """

    first: torch.Tensor | None
    index: torch.Tensor | None

    @classmethod
    def of(cls, levels: torch.Tensor) -> TokenGroups:
        """Groups of equal values in ``levels`` ``(B or 1, T)``. Waits for the device: call it once per run."""
        if levels.shape[1] == 1 or bool((levels == levels[:, :1]).all()):
            return cls(None, None)
        values, index = torch.unique(levels, return_inverse=True)
        places = torch.arange(index.numel(), device=index.device)
        first = torch.zeros(len(values), dtype=torch.int64, device=index.device)
        return cls(first.scatter_reduce_(0, index.flatten(), places, "amin", include_self=False), index)


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
        timestep_groups: which tokens have equal ``timesteps``; ``None`` makes the model find out in every pass.
        text_reading: which rows of ``context`` each token reads, where it is not the row of the same number; then
            ``context`` has one row for each text, and there is no ``context_mask``.
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
    timestep_groups: TokenGroups | None = None
    text_reading: TextReading | None = None
