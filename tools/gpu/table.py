"""The rows of the GPU check and how they are printed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tools.bench.table import quantity


@dataclass(frozen=True)
class GpuRow:
    """One measurement beside what it is compared with.

    Attributes:
        what: the row's name.
        ours: seconds of each call.
        other: seconds of what it is compared with; empty where that is not here.
        against: what ``other`` is.
        wanted: the largest ratio ours / other that is good enough; None where none is set.
        bytes: memory above the weights at the peak, None where it was not measured.
        note: anything a reader must know.
    """

    what: str
    ours: Sequence[float]
    other: Sequence[float] = ()
    against: str = ""
    wanted: float | None = None
    bytes: int | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Median of ours over the median of the other, None without another."""
        return statistics.median(self.ours) / statistics.median(self.other) if self.other else None

    @property
    def verdict(self) -> str:
        """``yes`` or ``no`` where a wanted ratio can be judged, else a dash."""
        if self.ratio is None or self.wanted is None:
            return "-"
        return "yes" if self.ratio <= self.wanted else "NO"


def markdown(rows: Sequence[GpuRow], title: str, judged: bool) -> str:
    """A table under a line that says which card gave the numbers; ``judged`` fills the column "reached"."""
    header = ("row", "ours", "compared with", "its time", "ratio", "wanted", "reached", "memory", "note")
    lines = [header, tuple("---" for _ in header)]
    for row in rows:
        ratio = row.ratio
        lines.append(
            (
                row.what,
                quantity(statistics.median(row.ours), "s"),
                row.against or "-",
                quantity(statistics.median(row.other), "s") if row.other else "not here",
                "-" if ratio is None else f"{ratio:.2f}",
                "-" if row.wanted is None else f"{row.wanted:.2f}",
                row.verdict if judged else "-",
                "-" if row.bytes is None else quantity(row.bytes, "B"),
                row.note,
            )
        )
    return f"{title}\n\n" + "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"
