"""Who takes part: the process group, and the teams in which its ranks share out passes and tokens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from .exchange import Team

DEADLINE = timedelta(minutes=30)
"""How long a rank waits for another one; a pass over a long clip, and reading weights in turn, fit into it."""


@dataclass(frozen=True, eq=False)
class Layout:
    """One way to share a pass out: ``passes`` holds ranks with the same tokens, ``tokens`` ranks with the same rows."""

    passes: Team
    tokens: Team


@dataclass(frozen=True, eq=False)
class Ranks:
    """All ranks of a run, as one of them sees them.

    Attributes:
        rank: the place of this process.
        size: how many there are.
        device: where this one computes.
        everyone: all of them as one team.
        layouts: by the number of ways in which the rows of a batch are shared out.
        control: a group on the CPU, for what must not wait for a card.
    """

    rank: int
    size: int
    device: torch.device
    everyone: Team
    layouts: dict[int, Layout]
    control: dist.ProcessGroup


@contextmanager
def joined_ranks(
    device: torch.device | str | None = None,
    *,
    init_method: str | None = None,
    rank: int | None = None,
    size: int | None = None,
) -> Iterator[Ranks]:
    """Joins the process group for the length of a ``with`` block: NCCL between NVIDIA cards, else gloo.

    Args:
        device: where this rank computes; by default the card of its number on this machine, the CPU without cards.
        init_method: of ``torch.distributed``; by default what ``torchrun`` put into the environment.
        rank, size: likewise.

    Raises:
        RuntimeError: this PyTorch has no ``torch.distributed``, or the process was started by neither way.
    """
    if not dist.is_available():
        raise RuntimeError("This PyTorch was built without torch.distributed; several ranks need one that has it.")
    if init_method is None and "RANK" not in os.environ:
        raise RuntimeError("No ranks to join: start the command with 'torchrun --nproc-per-node=2 ...'.")
    device = _device() if device is None else torch.device(device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=init_method,
        rank=-1 if rank is None else rank,
        world_size=-1 if size is None else size,
        timeout=DEADLINE,
    )
    try:
        yield _ranks(device)
    finally:
        dist.destroy_process_group()


def _device() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def _ranks(device: torch.device) -> Ranks:
    rank, size = dist.get_rank(), dist.get_world_size()
    # Every rank makes all groups, in the same order: that is how they find one another.
    ways = [count for count in range(1, size + 1) if size % count == 0]
    return Ranks(
        rank=rank,
        size=size,
        device=device,
        everyone=Team(dist.group.WORLD, size, rank),
        layouts={count: _layout(rank, size, count) for count in ways},
        control=dist.new_group(backend="gloo", timeout=DEADLINE),
    )


def _layout(rank: int, size: int, ways: int) -> Layout:
    """Neighbours share tokens, since they exchange the most and are often the nearest."""
    together = size // ways
    tokens = [list(range(first, first + together)) for first in range(0, size, together)]
    passes = [list(range(first, size, together)) for first in range(together)]
    return Layout(passes=_team(passes, rank, size), tokens=_team(tokens, rank, size))


def _team(members: list[list[int]], rank: int, size: int) -> Team:
    own = next(ranks for ranks in members if rank in ranks)
    if len(own) == 1:
        return Team()
    if len(own) == size:
        return Team(dist.group.WORLD, size, rank)
    groups = [dist.new_group(ranks, timeout=DEADLINE) for ranks in members]
    return Team(groups[members.index(own)], len(own), own.index(rank))
