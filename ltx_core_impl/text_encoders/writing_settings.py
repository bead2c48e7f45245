"""How Gemma writes: sampling, seed and length, and what the published graphs choose (spec 05 §12.4, 08 §1.4)."""

from __future__ import annotations

from dataclasses import dataclass

TEMPERATURE = 0.7
TOP_K = 50


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: divides the scores; near 0 the likeliest token wins.
        top_k: only so many of the likeliest tokens; 0 for all.
        top_p: only the likeliest tokens that together have this probability, in (0, 1].
        min_p: only tokens at least so likely relative to the likeliest, in [0, 1].
        repetition_penalty: divides the scores of tokens that were there already; 1 for none.
    """

    temperature: float = TEMPERATURE
    top_k: int = TOP_K
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if not (
            0 < self.temperature
            and self.top_k >= 0
            and 0 < self.top_p <= 1
            and 0 <= self.min_p <= 1
            and 0 < self.repetition_penalty
        ):
            raise ValueError(
                "Sampling needs a temperature and a repetition penalty above 0, top_k from 0 on, top_p above 0 up to 1 "
                f"and min_p from 0 to 1; got {self}."
            )


DEFAULT_SEED = 42
MAX_NEW_TOKENS = 512
PUBLISHED_SETTINGS = {
    "LTX-2.5 HDR graphs, text": (600, Sampling(temperature=0.01, top_k=0, repetition_penalty=1.15)),
    "LTX-2.5 HDR graphs, image": (512, Sampling(0.7, top_k=64, top_p=0.95, min_p=0.05, repetition_penalty=1.05)),
    "LTX-2.5 templates": (600, Sampling(0.7, top_k=64, top_p=0.95, min_p=0.05, repetition_penalty=1.15)),
}
"""Longest answer in tokens, and sampling, in the published LTX-2.5 graphs (spec 08 §1.4)."""
