"""Timestep embeddings and the modulation they drive (adaLN-single, PixArt-α, arXiv 2310.00426; spec 02 §6.2-6.3, §9.1).

Tokens of a stream rarely have more than a handful of distinct timesteps (0 for a given image, sigma for the rest), so
modulation vectors are computed once per distinct timestep and spread over the tokens only where they are used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import silu

from .rows import take_rows

SINUSOID_CHANNELS = 256


def timestep_sinusoid(timesteps: torch.Tensor, channels: int = SINUSOID_CHANNELS) -> torch.Tensor:
    """``(N,)`` timesteps to ``(N, channels)`` float32: cosines first, then sines, periods up to 10000·2π."""
    half = channels // 2
    exponents = -math.log(10000.0) * torch.arange(half, dtype=torch.float32, device=timesteps.device) / half
    angles = timesteps.float()[:, None] * exponents.exp()
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class TimestepEmbedder(nn.Module):
    """Two linear layers with a SiLU between, ``(N, 256)`` to ``(N, dim)``."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(SINUSOID_CHANNELS, dim)
        self.linear_2 = nn.Linear(dim, dim)

    def forward(self, sinusoid: torch.Tensor) -> torch.Tensor:
        """``(N, 256)`` to ``(N, dim)``."""
        return self.linear_2(silu(self.linear_1(sinusoid)))


class TimestepEmbedding(nn.Module):
    """Sinusoid and embedder; exists for the names in the checkpoints."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.timestep_embedder = TimestepEmbedder(dim)

    def forward(self, timesteps: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """``(N,)`` float32 timesteps to ``(N, dim)`` of ``dtype``."""
        return self.timestep_embedder(timestep_sinusoid(timesteps).to(dtype))


class AdaLayerNormSingle(nn.Module):
    """Turns timesteps into ``coefficient`` modulation vectors of width ``dim``."""

    def __init__(self, dim: int, coefficient: int) -> None:
        super().__init__()
        self.coefficient = coefficient
        self.emb = TimestepEmbedding(dim)
        self.linear = nn.Linear(dim, coefficient * dim)

    def forward(self, timesteps: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """``(N,)`` float32 timesteps to modulation ``(N, coefficient, dim)`` and embedding ``(N, dim)``."""
        embedded = self.emb(timesteps, dtype)
        return self.linear(silu(embedded)).unflatten(-1, (self.coefficient, -1)), embedded


@dataclass(frozen=True)
class TokenTimesteps:
    """Distinct timesteps ``values`` ``(N,)`` and, per token, which one it has.

    ``index`` is ``(B or 1, T)``, or ``None`` when all tokens of a row agree; then N is B or 1.
    """

    values: torch.Tensor
    index: torch.Tensor | None

    @classmethod
    def from_tokens(cls, timesteps: torch.Tensor) -> TokenTimesteps:
        """Finds the distinct values of ``(B, T)`` float32 timesteps."""
        if timesteps.shape[1] == 1 or bool((timesteps == timesteps[:, :1]).all()):
            return cls(timesteps[:, 0], None)
        values, index = torch.unique(timesteps, return_inverse=True)
        return cls(values, index)


@dataclass(frozen=True)
class Modulation:
    """Modulation vectors of the tokens of a stream, stored once per distinct timestep.

    Attributes:
        values: ``(N, R, D)``, R vectors for each distinct timestep.
        index: as in :class:`TokenTimesteps`.
    """

    values: torch.Tensor
    index: torch.Tensor | None = None

    def take(self, rows: Sequence[int] | None) -> Modulation:
        """The modulation of batch rows ``rows``."""
        if self.index is None:
            return Modulation(take_rows(self.values, rows))
        return Modulation(self.values, take_rows(self.index, rows))

    def scale_shift(self, table: torch.Tensor, scale: int, shift: int) -> tuple[torch.Tensor, torch.Tensor]:
        """``1 + scale`` and ``shift``, each ``(B or 1, T or 1, D)``, from two rows of the learned ``table``."""
        return self._spread(1 + self._vector(table, scale)), self._spread(self._vector(table, shift))

    def gate(self, table: torch.Tensor, row: int, vector: int | None = None) -> torch.Tensor:
        """``(B or 1, T or 1, D)``: row ``row`` of ``table`` plus vector ``vector`` (the same number by default)."""
        return self._spread(self._vector(table, row, vector))

    def _vector(self, table: torch.Tensor, row: int, vector: int | None = None) -> torch.Tensor:
        return table[row].to(self.values.dtype) + self.values[:, row if vector is None else vector]

    def _spread(self, vectors: torch.Tensor) -> torch.Tensor:
        return vectors.unsqueeze(1) if self.index is None else vectors[self.index]


def modulate(x: torch.Tensor, scale_shift: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """``x * (1 + scale) + shift``, given the pair of :meth:`Modulation.scale_shift`."""
    one_plus_scale, shift = scale_shift
    return torch.addcmul(shift, x, one_plus_scale)
