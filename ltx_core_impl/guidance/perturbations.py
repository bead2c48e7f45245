"""Which attentions a guidance pass skips, per block and per batch row (spec 02 §11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import torch


class PerturbationType(Enum):
    """The attentions that a pass may skip."""

    SKIP_A2V_CROSS_ATTN = "skip_a2v_cross_attn"
    SKIP_V2A_CROSS_ATTN = "skip_v2a_cross_attn"
    SKIP_VIDEO_SELF_ATTN = "skip_video_self_attn"
    SKIP_AUDIO_SELF_ATTN = "skip_audio_self_attn"


@dataclass(frozen=True)
class Perturbation:
    """Skip one kind of attention in some blocks: ``None`` means every block, an empty sequence means no block."""

    type: PerturbationType
    blocks: Sequence[int] | None = None

    def is_perturbed(self, perturbation_type: PerturbationType, block: int) -> bool:
        """Whether attention ``perturbation_type`` of block ``block`` is skipped."""
        return self.type == perturbation_type and (self.blocks is None or block in self.blocks)


@dataclass(frozen=True)
class PerturbationConfig:
    """Everything one batch row skips; ``None`` means nothing."""

    perturbations: Sequence[Perturbation] | None = None

    def is_perturbed(self, perturbation_type: PerturbationType, block: int) -> bool:
        """Whether any perturbation of this row skips ``perturbation_type`` in ``block``."""
        return any(p.is_perturbed(perturbation_type, block) for p in self.perturbations or ())

    @classmethod
    def empty(cls) -> PerturbationConfig:
        """A row that skips nothing."""
        return cls()


@dataclass(frozen=True)
class BatchedPerturbationConfig:
    """One :class:`PerturbationConfig` per batch row, in batch order."""

    perturbations: Sequence[PerturbationConfig]

    @classmethod
    def empty(cls, batch: int) -> BatchedPerturbationConfig:
        """``batch`` rows that skip nothing."""
        return cls([PerturbationConfig.empty() for _ in range(batch)])

    def any_in_batch(self, perturbation_type: PerturbationType, block: int) -> bool:
        """Whether at least one row skips ``perturbation_type`` in ``block``."""
        return any(p.is_perturbed(perturbation_type, block) for p in self.perturbations)

    def all_in_batch(self, perturbation_type: PerturbationType, block: int) -> bool:
        """Whether every row skips ``perturbation_type`` in ``block``."""
        return all(p.is_perturbed(perturbation_type, block) for p in self.perturbations)

    def kept_rows(self, perturbation_type: PerturbationType, block: int) -> tuple[int, ...]:
        """The rows that do compute ``perturbation_type`` in ``block``, ascending."""
        return tuple(row for row, p in enumerate(self.perturbations) if not p.is_perturbed(perturbation_type, block))

    def mask(
        self,
        perturbation_type: PerturbationType,
        block: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> torch.Tensor:
        """``(B, 1, 1)``: 1 for rows that keep the attention, 0 for rows that skip it."""
        keep = [0.0 if p.is_perturbed(perturbation_type, block) else 1.0 for p in self.perturbations]
        return torch.tensor(keep, device=device, dtype=dtype).view(-1, 1, 1)
