"""The rows of a batch (guidance passes, samples) over ranks: no rank waits for another one inside the blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..guidance.perturbations import BatchedPerturbationConfig, PerturbationConfig
from ..model.transformer import Modality
from ..model.transformer.forks import Fork
from ..model.transformer.modality import TokenGroups
from ..model.transformer.rows import pick_rows, take_rows
from ..model.transformer.tensor_cache import TensorCache
from .exchange import Team, gather
from .shares import share_of
from .texts import read_texts

_KEPT = 32


class RowShare(NamedTuple):
    """What one rank runs: base rows with what they skip, and forks, as of a whole pass.

    Attributes:
        sources: the whole pass's row that each base row is.
        perturbations: what each skips.
        forks: ``(base row here, what it skips)``.
        used: how many of the results count, the first ones; 0 for a rank that only keeps the others company.
    """

    sources: tuple[int, ...]
    perturbations: tuple[PerturbationConfig, ...]
    forks: tuple[Fork, ...]
    used: int


@dataclass(frozen=True)
class RowPlan:
    """The shares of all ranks, and where each row of the whole result is in what they give one after the other."""

    shares: tuple[RowShare, ...]
    order: tuple[int, ...]


def plan_rows(
    batch: int, perturbations: BatchedPerturbationConfig | None, forks: Sequence[Fork], ranks: int
) -> RowPlan:
    """Shares out ``batch`` rows and their forks. A fork stays with its base row where both are on one rank."""
    configs = list((perturbations or BatchedPerturbationConfig.empty(batch)).perturbations)
    rows: list[tuple[int, int]] = []  # (row of the whole result, row of the whole batch), forks behind their base
    for base in range(batch):
        rows.append((base, base))
        rows += [(batch + number, base) for number, (source, _) in enumerate(forks) if source == base]
    results: list[int] = []
    plans = []
    for rank in range(ranks):
        own = rows[share_of(len(rows), ranks, rank)]
        bases = [row for row in own if row[0] < batch]
        here = {base: place for place, (_, base) in enumerate(bases)}
        alone = [row for row in own if row[0] >= batch and row[1] not in here]
        forked = [row for row in own if row[0] >= batch and row[1] in here]
        share = RowShare(
            sources=tuple(base for _, base in bases + alone),
            perturbations=tuple(configs[base] for _, base in bases) + tuple(forks[row - batch][1] for row, _ in alone),
            forks=tuple((here[base], forks[row - batch][1]) for row, base in forked),
            used=len(own),
        )
        # A rank without rows runs the first one along: weights that are sharded need every rank in every block.
        plans.append(share if own else RowShare((0,), (configs[0],), (), 0))
        results += [row for row, _ in bases + alone + forked]
    return RowPlan(tuple(plans), tuple(results.index(row) for row in range(len(rows))))


class RowSplit:
    """Cuts the streams of a pass by rows, and keeps what does not change between passes."""

    def __init__(self) -> None:
        self._kept = TensorCache(_KEPT)

    def clear(self) -> None:
        """Drops what is kept."""
        self._kept.clear()

    def take(self, modality: Modality | None, rows: tuple[int, ...]) -> Modality | None:
        """Rows ``rows`` of a stream, the same tensor objects in every step where they were so."""
        if modality is None:
            return None

        def kept(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else self._kept.get(tensor, rows, lambda: take_rows(tensor, rows))

        groups = modality.timestep_groups
        index = None if groups is None else groups.index
        if index is not None and index.shape[0] > 1:
            groups = self._kept.get(index, (rows, "groups"), lambda: TokenGroups.of(take_rows(index, rows)))
        if modality.text_reading is None:
            context, reading = kept(modality.context), None
        else:
            context, reading = read_texts(modality.context, modality.text_reading.take(rows), self._kept)
        return replace(
            modality,
            latent=pick_rows(modality.latent, rows),
            sigma=modality.sigma if modality.sigma.numel() == 1 else pick_rows(modality.sigma, rows),
            timesteps=take_rows(modality.timesteps, rows),
            positions=kept(modality.positions),
            context=context,
            context_mask=kept(modality.context_mask),
            attention_mask=kept(modality.attention_mask),
            keyframes_mask=kept(modality.keyframes_mask),
            timestep_groups=groups,
            text_reading=reading,
        )


def join_rows(result: Tensor | None, plan: RowPlan, own: RowShare, team: Team) -> Tensor | None:
    """The whole result ``(rows, T, C)`` on every rank."""
    if result is None:
        return None
    every = gather(result[: own.used], len(plan.order), team, dim=0)
    return torch.cat([every[row : row + 1] for row in plan.order])
