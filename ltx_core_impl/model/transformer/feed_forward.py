"""The two-layer networks of the transformer: feed-forward and caption projection."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import gelu

_TOKENS_AT_ONCE = 16384  # enough to fill a GPU; bounds the hidden layer, the largest activation of a block


class GELUProjection(nn.Module):
    """A linear layer followed by the tanh approximation of GELU."""

    def __init__(self, dim_in: int, dim_out: int, bias: bool = True) -> None:
        super().__init__()
        self.proj = nn.Linear(dim_in, dim_out, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(..., dim_in)`` to ``(..., dim_out)``."""
        return gelu(self.proj(x), approximate="tanh")


class FeedForward(nn.Module):
    """``(B, T, dim)`` to ``(B, T, dim)`` through a hidden layer of ``mult * dim`` (spec 02 §8)."""

    def __init__(self, dim: int, *, mult: int = 4, bias: bool = True) -> None:
        super().__init__()
        self.net = nn.Sequential(
            GELUProjection(dim, mult * dim, bias=bias),
            nn.Identity(),  # the checkpoints number the second linear layer 2
            nn.Linear(mult * dim, dim, bias=bias),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(B, T, dim)`` to ``(B, T, dim)``; long sequences go through in pieces to save memory."""
        batch, tokens, _ = x.shape
        if batch * tokens <= _TOKENS_AT_ONCE:
            return self.net(x)
        pieces = x.split(max(1, _TOKENS_AT_ONCE // batch), dim=1)
        return torch.cat([self.net(piece) for piece in pieces], dim=1)


class CaptionProjection(nn.Module):
    """Maps text embeddings ``(B, S, dim_in)`` to the width of a stream ``(B, S, dim_out)`` (LTX-2 only)."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(dim_in, dim_out)
        self.linear_2 = nn.Linear(dim_out, dim_out)

    def forward(self, caption: torch.Tensor) -> torch.Tensor:
        """``(B, S, dim_in)`` to ``(B, S, dim_out)``."""
        return self.linear_2(gelu(self.linear_1(caption), approximate="tanh"))
