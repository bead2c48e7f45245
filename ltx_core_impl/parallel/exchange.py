"""Attention over tokens that lie on several ranks.

Self-attention, and sound that reads the picture, turn shares of the tokens into shares of the heads and back
(DeepSpeed Ulysses, arXiv 2309.14509): every rank attends with some heads over all tokens. Shares need not be equal: one
of three ranks has 10 of 32 heads and two have 11, and tokens are cut as they come. So nothing is padded or masked, and
no rank computes for nothing. The picture that reads the sound has the keys and values of all sound on every rank
instead: they are few, its queries are many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
import torch.distributed as dist
from torch import Tensor

from ..model.transformer.attention_functions import AttentionFunction, attend
from .shares import share_of, shares


@dataclass(frozen=True, eq=False)
class Team:
    """Ranks that work on one clip together.

    Attributes:
        group: their process group; ``None`` for a team of one.
        size: how many they are.
        rank: the place of this process among them.
    """

    group: dist.ProcessGroup | None = None
    size: int = 1
    rank: int = 0


class TokenCounts:
    """How many tokens each stream of the current pass has on all ranks together; attention layers look it up."""

    def __init__(self) -> None:
        self.video = 0
        self.audio = 0


def gather(tensor: Tensor, total: int, team: Team, dim: int = 1) -> Tensor:
    """All ranks' shares of ``total`` along ``dim``, joined in their order; the other sizes must agree."""
    if team.size == 1:
        return tensor
    sizes = shares(total, team.size)
    mine = tensor.movedim(dim, 0)
    rows = mine.new_zeros((sizes[0], *mine.shape[1:]))  # the largest share: what is gathered has one size
    rows[: mine.shape[0]] = mine
    every = rows.new_empty((team.size * sizes[0], *rows.shape[1:]))
    dist.all_gather_into_tensor(every, rows, group=team.group)
    pieces = [part[:size] for part, size in zip(every.split(sizes[0]), sizes, strict=True)]
    return torch.cat(pieces).movedim(0, dim)


def tokens_to_heads(tensors: Sequence[Tensor], totals: Sequence[int], team: Team) -> list[Tensor]:
    """From all heads of a share of the tokens to a share of the heads of all tokens, in one exchange.

    Args:
        tensors: each ``(B, H, T_own, d)``; H is the same for all.
        totals: for each, its tokens on all ranks together.
        team: who exchanges.

    Returns:
        Each as ``(B, H_own, T, d)``.
    """
    heads = shares(tensors[0].shape[1], team.size)
    counts = [shares(total, team.size) for total in totals]
    pieces = [tensor.split(heads, dim=1) for tensor in tensors]
    sent = [[parts[rank] for parts in pieces] for rank in range(team.size)]
    shapes = [
        [
            (one.shape[0], heads[team.rank], count[rank], one.shape[3])
            for one, count in zip(tensors, counts, strict=True)
        ]
        for rank in range(team.size)
    ]
    received = _exchange(sent, shapes, team)
    return [torch.cat([parts[index] for parts in received], dim=2) for index in range(len(tensors))]


def heads_to_tokens(out: Tensor, heads: int, team: Team) -> Tensor:
    """From a share ``(B, H_own, T, d)`` of ``heads`` of all tokens to all heads of a share ``(B, H, T_own, d)``."""
    counts = shares(out.shape[2], team.size)
    sent = [[part] for part in out.split(counts, dim=2)]
    shapes = [[(out.shape[0], count, counts[team.rank], out.shape[3])] for count in shares(heads, team.size)]
    received = _exchange(sent, shapes, team)
    return torch.cat([part for (part,) in received], dim=1)


def _exchange(sent: list[list[Tensor]], shapes: list[list[tuple[int, ...]]], team: Team) -> list[list[Tensor]]:
    """What every rank has for this one, in ``shapes``; ``sent`` is what this one has for every rank."""
    flat = torch.cat([part.reshape(-1) for parts in sent for part in parts])
    leaving = [sum(part.numel() for part in parts) for parts in sent]
    arriving = [sum(map(prod, parts)) for parts in shapes]
    received = flat.new_empty(sum(arriving))
    dist.all_to_all_single(received, flat, arriving, leaving, group=team.group)
    return [
        [part.view(shape) for part, shape in zip(of_rank.split([prod(one) for one in parts]), parts, strict=True)]
        for of_rank, parts in zip(received.split(arriving), shapes, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class HeadExchange:
    """Attention of a layer by shares of its heads; a stand-in for :func:`attend`.

    Attributes:
        team: the ranks.
        counts: the tokens of the current pass.
        queries, keys: "video" or "audio".
    """

    team: Team
    counts: TokenCounts
    queries: str
    keys: str

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, function: AttentionFunction) -> Tensor:
        """``(B, H, T_own, d)``; the mask is that of all tokens."""
        keys = getattr(self.counts, self.keys)
        heads = q.shape[1]
        totals = (getattr(self.counts, self.queries), keys, keys)
        q, k, v = tokens_to_heads((q, k, v), totals, self.team)
        out = attend(q, k, v, mask, function) if q.shape[1] else q  # more ranks than heads leave some without one
        return heads_to_tokens(out, heads, self.team)


@dataclass(frozen=True, eq=False)
class KeyGather:
    """Attention of own tokens to all keys, gathered from all ranks; a stand-in for :func:`attend`.

    Attributes:
        team: the ranks.
        counts: the tokens of the current pass.
        keys: "video" or "audio".
    """

    team: Team
    counts: TokenCounts
    keys: str

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, function: AttentionFunction) -> Tensor:
        """``(B, H, T_own, d)``."""
        k, v = gather(torch.stack((k, v)), getattr(self.counts, self.keys), self.team, dim=3)
        return attend_from_share(q, k, v, mask, function)


def attend_from_share(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, function: AttentionFunction) -> Tensor:
    """:func:`attend` by a rank that may have no token: there are fewer than ranks then."""
    return attend(q, k, v, mask, function) if q.shape[2] else q


def own_share(tensor: Tensor, dim: int, team: Team) -> Tensor:
    """This rank's share of ``tensor`` along ``dim``, a view."""
    place = share_of(tensor.shape[dim], team.size, team.rank)
    return tensor.narrow(dim, place.start, place.stop - place.start)
