"""Timestep embeddings and the modulation they drive (adaLN-single, PixArt-α, arXiv 2310.00426; spec 02 §6.2-6.3, §9.1).

Tokens of a stream rarely have more than a handful of distinct timesteps (0 for a given image, sigma for the rest), so
modulation vectors are computed once per distinct timestep and spread over the tokens only where they are used.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn.functional import rms_norm, silu

from ...kernels.modulated_norm import modulated_norm_kernel
from .modality import TokenGroups
from .rows import take_rows

SINUSOID_CHANNELS = 256


def timestep_sinusoid(timesteps: torch.Tensor, channels: int = SINUSOID_CHANNELS) -> torch.Tensor:
    """``(N,)`` timesteps to ``(N, channels)`` float32: cosines first, then sines, periods up to 10000·2π."""
    angles = timesteps.float()[:, None] * _frequencies(channels // 2, timesteps.device)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


@functools.lru_cache(maxsize=16)
def _frequencies(count: int, device: torch.device) -> torch.Tensor:
    """``(count,)`` float32, made on the device once: every pass asks for them several times."""
    with torch.inference_mode(False):
        exponents = -math.log(10000.0) * torch.arange(count, dtype=torch.float32, device=device) / count
        return exponents.exp()


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
    def from_tokens(cls, timesteps: torch.Tensor, groups: TokenGroups | None = None) -> TokenTimesteps:
        """The distinct values of ``(B, T)`` float32 timesteps, given ``groups`` of equal ones or found here."""
        groups = TokenGroups.of(timesteps) if groups is None else groups
        if groups.first is None:
            return cls(timesteps[:, 0], None)
        return cls(timesteps.flatten().index_select(0, groups.first), groups.index)


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

    def with_table(self, table: torch.Tensor, x: torch.Tensor, vectors: int | None = None) -> TableModulation:
        """These vectors plus the learned ``table`` of a layer, all rows at once.

        Args:
            table: ``(R, D)``.
            x: the tokens ``(B, T, D)`` that will be modulated; they decide how.
            vectors: how many rows of the table the vectors belong to, from the first on; ``None`` for all of them.
        """
        values = self.values + (table if vectors is None else table[:vectors]).to(self.values.dtype)
        kernel = modulated_norm_kernel(x, values)
        return TableModulation(values, self.index, None if kernel is not None else 1 + values, kernel)

    def gate(self, table: torch.Tensor, row: int) -> torch.Tensor:
        """``(B or 1, T or 1, D)``: the only vector of each timestep plus row ``row`` of ``table``."""
        return _spread(table[row].to(self.values.dtype) + self.values[:, 0], self.index)


@dataclass(frozen=True)
class TableModulation:
    """The modulation of one layer, stored once per distinct timestep.

    Attributes:
        values: ``(N, R, D)``.
        index: as in :class:`TokenTimesteps`.
        one_plus: ``1 + values``, added for all rows in one launch; ``None`` where a kernel adds it.
        kernel: norm and modulation in one launch, see :func:`modulated_norm_kernel`.
    """

    values: torch.Tensor
    index: torch.Tensor | None
    one_plus: torch.Tensor | None
    kernel: Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor] | None = None

    def take(self, rows: Sequence[int] | None) -> TableModulation:
        """The modulation of batch rows ``rows``."""
        if self.index is not None:
            return replace(self, index=take_rows(self.index, rows))
        one_plus = None if self.one_plus is None else take_rows(self.one_plus, rows)
        return replace(self, values=take_rows(self.values, rows), one_plus=one_plus)

    def norm(self, x: torch.Tensor, scale: int, shift: int, eps: float) -> torch.Tensor:
        """``rms_norm(x) * (1 + scale) + shift`` of tokens ``(B, T, D)``, given the rows of scale and shift."""
        if self.kernel is not None:
            return self.kernel(x, self._row(self.values, scale), self._row(self.values, shift), eps)
        return self.modulate(rms_norm(x, x.shape[-1:], eps=eps), scale, shift)

    def modulate(self, x: torch.Tensor, scale: int, shift: int) -> torch.Tensor:
        """``x * (1 + scale) + shift`` of tokens ``(B, T, D)``, given the rows of scale and shift."""
        one_plus = 1 + self._row(self.values, scale) if self.one_plus is None else self._row(self.one_plus, scale)
        return torch.addcmul(self._row(self.values, shift), x, one_plus)

    def gate(self, row: int) -> torch.Tensor:
        """``(B or 1, T or 1, D)``: row ``row``, what an update is multiplied with."""
        return self._row(self.values, row)

    def _row(self, vectors: torch.Tensor, row: int) -> torch.Tensor:
        return _spread(vectors[:, row], self.index)


def _spread(vectors: torch.Tensor, index: torch.Tensor | None) -> torch.Tensor:
    """``(N, D)`` to ``(B or 1, T or 1, D)``."""
    return vectors.unsqueeze(1) if index is None else vectors[index]
