"""The benchmark's result as a Markdown table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from .measure import spread

# Measurements on a shared machine differ by this much without a reason.
NOISE = 0.03


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        what: what was measured, e.g. ``"VAE decode, time"``.
        version: ``"2.0"`` or ``"2.3"``.
        dtype: ``"float32"`` or ``"bfloat16"``.
        ours, peer: every measurement, in seconds or bytes.
        unit: ``"s"`` or ``"B"``.
        difference: the largest relative difference of the results.
        note: anything a reader must know, e.g. the peak relative to the model.
    """

    what: str
    version: str
    dtype: str
    ours: Sequence[float]
    peer: Sequence[float]
    unit: str
    difference: float
    note: str = ""

    @property
    def ratio(self) -> float:
        """Median of ours over the peer's: below 1 is better."""
        return statistics.median(self.ours) / statistics.median(self.peer)

    @property
    def is_worse(self) -> bool:
        return self.ratio > 1 + NOISE


def quantity(value: float, unit: str) -> str:
    """``value`` with three significant digits: seconds as s or ms, bytes as MiB."""
    if unit == "B":
        return f"{value / 2**20:,.0f} MiB"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.0f} ms"


def markdown(rows: Sequence[Row]) -> str:
    """A table, one line per row, and one closing line that names the rows where ours is worse."""
    header = ("row", "version", "dtype", "ours", "peer", "ours / peer", "noise", "difference", "note")
    lines = [header, tuple("---" for _ in header), *(_cells(row) for row in rows)]
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    worse = [f"{row.what} {row.version} {row.dtype}" for row in rows if row.is_worse]
    verdict = f"Worse than the peer: {', '.join(worse)}." if worse else "No row is worse than the peer."
    return f"{table}\n\n{verdict}\n"


def _cells(row: Row) -> tuple[str, ...]:
    ratio = f"{row.ratio:.2f}"
    return (
        row.what,
        row.version,
        row.dtype,
        quantity(statistics.median(row.ours), row.unit),
        quantity(statistics.median(row.peer), row.unit),
        f"**{ratio}**" if row.is_worse else ratio,
        f"±{100 * max(spread(row.ours), spread(row.peer)):.0f} %",
        f"{row.difference:.0e}",
        row.note,
    )
