"""How a length is cut over ranks: whole and in order, no two shares more than one apart, nothing padded."""

from __future__ import annotations


def shares(total: int, ranks: int) -> tuple[int, ...]:
    """The size of each rank's share of ``total``; the first ones are the larger ones, some may be 0."""
    size, larger = divmod(total, ranks)
    return tuple(size + (rank < larger) for rank in range(ranks))


def share_of(total: int, ranks: int, rank: int) -> slice:
    """Where the share of ``rank`` lies."""
    sizes = shares(total, ranks)
    start = sum(sizes[:rank])
    return slice(start, start + sizes[rank])
