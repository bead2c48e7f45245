"""Embedding of the decoding timestep (spec 03 §3.6)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SINUSOID_CHANNELS = 256
MAX_PERIOD = 10000


def sinusoid(timestep: Tensor, channels: int = SINUSOID_CHANNELS) -> Tensor:
    """Scaled timesteps ``(B,)`` -> float32 ``(B, channels)``: cosines, then sines."""
    half = channels // 2
    exponent = torch.arange(half, dtype=torch.float32, device=timestep.device) / half
    angles = timestep.float()[:, None] * torch.exp(-math.log(MAX_PERIOD) * exponent)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class TimestepEmbedder(nn.Module):
    """Two linear layers with SiLU between them: sinusoid -> ``(B, D)``."""

    def __init__(self, hidden_dim: int, out_dim: int):
        super().__init__()
        self.linear_1 = nn.Linear(SINUSOID_CHANNELS, hidden_dim)
        self.linear_2 = nn.Linear(hidden_dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(F.silu(self.linear_1(x)))


class TimeEmbedding(nn.Module):
    """Scaled timesteps ``(B,)`` -> ``(B, dim)`` in ``dtype``; parameters sit under ``timestep_embedder``."""

    def __init__(self, dim: int):
        super().__init__()
        self.timestep_embedder = TimestepEmbedder(hidden_dim=dim, out_dim=dim)

    def forward(self, timestep: Tensor, dtype: torch.dtype) -> Tensor:
        return self.timestep_embedder(sinusoid(timestep).to(dtype))
