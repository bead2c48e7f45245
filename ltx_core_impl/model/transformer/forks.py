"""Which rows of a batch exist in which block.

A guidance pass that leaves out some attention equals the pass it is compared with up to the first block where it does
so. Such a pass is a fork: a row that is split off its base row at that block, all earlier work being shared.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from ...guidance.perturbations import BatchedPerturbationConfig, PerturbationConfig, PerturbationType

Fork = tuple[int, PerturbationConfig]
Rows = tuple[int, ...]


class KeptRows(NamedTuple):
    """Rows that compute an attention of a block; ``None`` means all of them."""

    video_self: Rows | None = None
    audio_self: Rows | None = None
    audio_to_video: Rows | None = None
    video_to_audio: Rows | None = None


class BlockRows(NamedTuple):
    """The batch of one block.

    Attributes:
        sources: base row of every row.
        added: base rows of the rows that are split off just before this block; they are the last of ``sources``.
        kept: the rows that compute each attention.
    """

    sources: Rows
    added: Rows
    kept: KeptRows


class RowPlan(NamedTuple):
    """The batch of every block, and where the output rows (base rows, then forks) are in the last one."""

    blocks: tuple[BlockRows, ...]
    output_order: Rows


def plan_rows(
    perturbations: BatchedPerturbationConfig | None,
    forks: Sequence[Fork],
    *,
    batch: int,
    num_blocks: int,
    types: Collection[PerturbationType],
) -> RowPlan:
    """Decides when each fork is split off.

    Args:
        perturbations: what the base rows skip; ``None`` for nothing.
        forks: ``(base row, what it skips)`` of each additional row.
        batch: number of base rows.
        num_blocks: number of transformer blocks.
        types: the attentions that this pass has at all, given the streams that are present.

    Raises:
        ValueError: ``perturbations`` has not one entry per base row, or a fork names no base row.
    """
    base = list((perturbations or BatchedPerturbationConfig.empty(batch)).perturbations)
    if len(base) != batch:
        raise ValueError(f"Got {len(base)} perturbation configs for a batch of {batch}; give one for every batch row.")
    for row, _ in forks:
        if not 0 <= row < batch:
            raise ValueError(f"A fork of row {row} was asked for, but the batch has rows 0 to {batch - 1}.")
    starts = [_first_difference(base[row], config, num_blocks, types) for row, config in forks]

    blocks = []
    sources, configs = list(range(batch)), list(base)
    order = [row for row, _ in forks]  # a fork that never differs is its base row
    for index in range(num_blocks):
        added = [number for number, start in enumerate(starts) if start == index]
        for number in added:
            row, config = forks[number]
            order[number] = len(sources)
            sources.append(row)
            configs.append(config)
        current = BatchedPerturbationConfig(configs)
        blocks.append(
            BlockRows(tuple(sources), tuple(forks[number][0] for number in added), _kept_rows(current, index))
        )
    return RowPlan(tuple(blocks), (*range(batch), *order))


def _kept_rows(configs: BatchedPerturbationConfig, block: int) -> KeptRows:
    def kept(perturbation_type: PerturbationType) -> Rows | None:
        rows = configs.kept_rows(perturbation_type, block)
        return None if len(rows) == len(configs.perturbations) else rows

    return KeptRows(
        video_self=kept(PerturbationType.SKIP_VIDEO_SELF_ATTN),
        audio_self=kept(PerturbationType.SKIP_AUDIO_SELF_ATTN),
        audio_to_video=kept(PerturbationType.SKIP_A2V_CROSS_ATTN),
        video_to_audio=kept(PerturbationType.SKIP_V2A_CROSS_ATTN),
    )


def _first_difference(
    base: PerturbationConfig, fork: PerturbationConfig, num_blocks: int, types: Collection[PerturbationType]
) -> int | None:
    for block in range(num_blocks):
        if any(base.is_perturbed(kind, block) != fork.is_perturbed(kind, block) for kind in types):
            return block
    return None
