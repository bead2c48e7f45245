"""Which text each token reads, where not all tokens read the same one: the shots of a clip.

The tokens of a stream lie in runs that read the same texts. Each run attends to its own texts and to no other, without
any mask; where it reads several, the results are mixed by weights. So a token costs what it costs with a single text,
and in a cross-fade once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from .attention_functions import AttentionFunction, attend


@dataclass(frozen=True, eq=False)
class TextRun:
    """Neighbouring tokens of a batch row that read the same texts.

    Attributes:
        stop: the token after the run; it starts where the run before stops.
        texts: rows of ``Modality.context``.
        weights: ``(len(texts), n, 1)`` float32, the share of each text in each of the n tokens; ``None`` for one text.
    """

    stop: int
    texts: tuple[int, ...]
    weights: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class TextReading:
    """The runs of every batch row. Rows that read the same text have the same sigma, which modulates it."""

    rows: tuple[tuple[TextRun, ...], ...]

    def take(self, rows: Sequence[int]) -> TextReading:
        """The runs of batch rows ``rows``; the texts stay where they are."""
        return TextReading(tuple(self.rows[row] for row in rows))

    def part(self, start: int, stop: int) -> TextReading:
        """The runs of tokens ``start`` to ``stop`` of every row, which count from 0 then."""
        return TextReading(tuple(tuple(_part(runs, start, stop)) for runs in self.rows))

    def renumbered(self) -> tuple[TextReading, tuple[int, ...]]:
        """The same with the texts that are read, numbered without gaps, and which texts those were."""
        read = sorted({text for runs in self.rows for run in runs for text in run.texts})
        number = {text: place for place, text in enumerate(read)}
        rows = (
            tuple(replace(run, texts=tuple(number[text] for text in run.texts)) for run in runs) for runs in self.rows
        )
        return TextReading(tuple(rows)), tuple(read)

    def first_readers(self) -> tuple[int, ...]:
        """For each text, the first batch row that reads it.

        Raises:
            ValueError: a text is read by no row.
        """
        readers: dict[int, int] = {}
        for row, runs in enumerate(self.rows):
            for run in runs:
                for text in run.texts:
                    readers.setdefault(text, row)
        if sorted(readers) != list(range(len(readers))):
            raise ValueError(f"The runs read the texts {sorted(readers)}; they must be numbered without gaps.")
        return tuple(readers[text] for text in range(len(readers)))


def _part(runs: Sequence[TextRun], start: int, stop: int) -> Iterator[TextRun]:
    begun = 0
    for run in runs:
        first, last = max(begun, start), min(run.stop, stop)
        if first < last:
            weights = None if run.weights is None else run.weights[:, first - begun : last - begun]
            yield TextRun(last - start, run.texts, weights)
        begun = run.stop


def attend_texts(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, reading: TextReading, function: AttentionFunction
) -> torch.Tensor:
    """Attention of every token to the texts of its run.

    Args:
        q: ``(B, H, T, d)``.
        k: ``(N, H, S, d)``, one row for each text.
        v: like ``k``.
        reading: one entry for each of the B rows, their runs T tokens long.
        function: back-end, see :func:`attend`.

    Returns:
        ``(B, H, T, d)``.
    """
    return torch.cat([_attend_runs(q[row : row + 1], k, v, runs, function) for row, runs in enumerate(reading.rows)])


def _attend_runs(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, runs: Sequence[TextRun], function: AttentionFunction
) -> torch.Tensor:
    pieces, start = [], 0
    for run in runs:
        queries = q[:, :, start : run.stop]
        results = [attend(queries, k[text : text + 1], v[text : text + 1], None, function) for text in run.texts]
        pieces.append(results[0] if run.weights is None else _mixed(results, run.weights))
        start = run.stop
    return torch.cat(pieces, dim=2)


def _mixed(results: Sequence[torch.Tensor], weights: torch.Tensor) -> torch.Tensor:
    total = results[0].float() * weights[0]
    for result, share in zip(results[1:], weights[1:], strict=True):
        total = torch.addcmul(total, result.float(), share)
    return total.to(results[0].dtype)
