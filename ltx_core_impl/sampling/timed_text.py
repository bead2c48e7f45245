"""Several prompts in one clip: which tokens read which of them.

A token reads the prompt of the shot in which the middle of its time lies. Around a cut, prompts are cross-faded: the
results of the text attention are mixed, by shares that sum to 1. Tokens of references read the prompt of the time that
they show. Those before the start (references of identity, whatever the window) read what the start reads, those after
the end what the end reads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ..model.transformer.text_reading import TextReading, TextRun


@dataclass(frozen=True)
class Shots:
    """Where shots meet, in seconds of the positions.

    Attributes:
        cuts: ascending, one fewer than there are shots.
        border: length of the cross-fade around each cut; 0 changes the prompt at once.
    """

    cuts: tuple[float, ...]
    border: float = 0.0

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (*self.cuts, self.border))) or self.border < 0:
            raise ValueError(f"Cuts and border are finite seconds, the border not negative; got {self}.")
        if any(after <= before for before, after in pairwise(self.cuts)):
            raise ValueError(f"Cuts between shots must ascend; got {', '.join(f'{cut:g}' for cut in self.cuts)} s.")

    def seen_from(self, start: float, pace: float = 1.0) -> Shots:
        """The shots in a part of the clip: ``start`` becomes time 0, a second becomes ``pace`` seconds."""
        return Shots(tuple((cut - start) * pace for cut in self.cuts), self.border * pace)

    def shares(self, times: Tensor) -> Tensor:
        """Share of each shot at ``times`` ``(N,)`` in seconds: float64 ``(shots, N)``, columns sum to 1."""
        times = times.to("cpu", torch.float64)
        begun = [torch.ones_like(times), *(self._begun(times, cut) for cut in self.cuts), torch.zeros_like(times)]
        return torch.stack([here - after for here, after in pairwise(begun)])

    def _begun(self, times: Tensor, cut: float) -> Tensor:
        """How far what follows a cut has begun: 0 before it, 1 after it, a ramp across the border."""
        if not self.border:
            return (times >= cut).to(times.dtype)
        return ((times - cut) / self.border + 0.5).clamp(0, 1)


@dataclass(frozen=True, eq=False)
class TimedText:
    """The text contexts of all shots for one stream, in place of a single one.

    Attributes:
        texts: for each shot ``(1 or B, S, D)``, of equal shapes.
        shots: when they are read.
    """

    texts: tuple[Tensor, ...]
    shots: Shots

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.shots.cuts) + 1 or len({text.shape for text in self.texts}) != 1:
            raise ValueError(
                f"{len(self.shots.cuts)} cuts need {len(self.shots.cuts) + 1} texts of one shape; got "
                f"{[tuple(text.shape) for text in self.texts]}."
            )

    @classmethod
    def split(cls, joined: Tensor, shots: Shots) -> TimedText:
        """From the texts of all shots one after another: ``(1 or B, shots * S, D)``."""
        return cls(joined.chunk(len(shots.cuts) + 1, dim=1), shots)

    @property
    def shape(self) -> torch.Size:
        """Of one text."""
        return self.texts[0].shape


Text = Tensor | TimedText
"""A context ``(1 or B, S, D)`` for all tokens, or one for each shot."""


def lay_out_texts(
    contexts: Sequence[Text], samples: Sequence[int], positions: Tensor
) -> tuple[list[Tensor], TextReading | None]:
    """The text rows of a batch and who reads them.

    Args:
        contexts: of each batch row.
        samples: which sample each batch row is.
        positions: ``(samples or 1, axes, N, 2)``, time on the first axis. Waits for their device: call it once per run.

    Returns:
        Each text that is read, ``(1, S, D)``, and the reading; or, where every row reads one text only, the context
        of each row as it was given, and ``None``.
    """
    texts: list[Tensor] = []
    numbers: dict[tuple[int, int], int] = {}

    def number_of(text: Tensor, sample: int) -> int:
        row = sample if text.shape[0] > 1 else 0
        number = numbers.setdefault((id(text), row), len(texts))
        if number == len(texts):
            texts.append(text[row : row + 1])
        return number

    runs_of = [
        _runs(context, sample, positions) if isinstance(context, TimedText) else None
        for context, sample in zip(contexts, samples, strict=True)
    ]
    if all(runs is None or (len(runs) == 1 and len(runs[0].texts) == 1) for runs in runs_of):
        alone = zip(contexts, runs_of, strict=True)
        return [context if runs is None else context.texts[runs[0].texts[0]] for context, runs in alone], None
    rows = []
    for context, sample, runs in zip(contexts, samples, runs_of, strict=True):
        if runs is None:
            rows.append((TextRun(positions.shape[2], (number_of(context, sample),)),))
            continue
        rows.append(
            tuple(
                TextRun(run.stop, tuple(number_of(context.texts[shot], sample) for shot in run.texts), run.weights)
                for run in runs
            )
        )
    return texts, TextReading(tuple(rows))


def _runs(context: TimedText, sample: int, positions: Tensor) -> list[TextRun]:
    """The runs of a sample's tokens; their texts are numbers of shots."""
    times = positions[sample if positions.shape[0] > 1 else 0, 0].double().mean(dim=-1).clamp(min=0)
    shares = context.shots.shares(times)
    read = shares > 0
    changes = (read[:, 1:] != read[:, :-1]).any(dim=0).nonzero().flatten() + 1
    runs = []
    for start, stop in pairwise([0, *changes.tolist(), shares.shape[1]]):
        shots = tuple(read[:, start].nonzero().flatten().tolist())
        weights = None
        if len(shots) > 1:
            weights = shares[list(shots), start:stop, None].to(positions.device, torch.float32)
        runs.append(TextRun(stop, shots, weights))
    return runs
