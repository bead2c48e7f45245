"""The benchmark's arithmetic and its table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tools.bench.measure import interleaved, relative_difference, spread
from tools.bench.probe import Outcome, fingerprint_difference
from tools.bench.table import Row, markdown, quantity

ROOT = Path(__file__).parents[2]


def row(ours: list[float], peer: list[float], **changes: object) -> Row:
    return Row(**({"what": "forward", "version": "2.3", "dtype": "float32", "ours": ours, "peer": peer, "unit": "s",
                   "difference": 4.2e-7} | changes))  # fmt: skip


def test_the_ratio_is_that_of_the_medians() -> None:
    assert row([1.0, 2.0, 90.0], [4.0, 4.0, 1.0]).ratio == 0.5


@pytest.mark.parametrize(("ours", "is_worse"), [(0.9, False), (1.02, False), (1.04, True)])
def test_worse_is_beyond_the_noise(ours: float, is_worse: bool) -> None:
    assert row([ours], [1.0]).is_worse is is_worse


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(1.234, "s", "1.23 s"), (0.0567, "s", "57 ms"), (3 * 2**30, "B", "3,072 MiB"), (1.5 * 2**20, "B", "2 MiB")],
)
def test_quantities(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


def test_the_table_has_one_line_per_row_and_names_the_worse_ones() -> None:
    table = markdown([row([2.0, 2.0, 2.2], [4.0, 4.0, 4.0]), row([2.0], [1.0], what="decode", note="2 times")])
    lines = table.splitlines()
    assert lines[2] == "| forward | 2.3 | float32 | 2.00 s | 4.00 s | 0.50 | ±5 % | 4e-07 |  |"
    assert lines[3] == "| decode | 2.3 | float32 | 2.00 s | 1.00 s | **2.00** | ±0 % | 4e-07 | 2 times |"
    assert lines[-1] == "Worse than the peer: decode 2.3 float32."
    assert len({line.count("|") for line in lines[:4]}) == 1
    assert markdown([row([1.0], [1.0])]).endswith("No row is worse than the peer.\n")


def test_sides_take_turns_and_the_order_alternates() -> None:
    calls: list[str] = []
    seconds = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=3)
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}


def test_spread_is_half_the_quartile_distance_over_the_median() -> None:
    assert spread([1.0]) == 0.0
    assert spread([9.0, 10.0, 11.0]) == pytest.approx(0.1)


def test_the_difference_is_relative_to_the_largest_value_of_the_worst_pair() -> None:
    one, other = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0])
    assert relative_difference([one, other], [one, one]) == 1.0
    with pytest.raises(ValueError, match="shape"):
        relative_difference([one], [one[:1]])
    with pytest.raises(ValueError, match="not finite"):
        relative_difference([one / 0], [one])


def test_fingerprints_are_compared_by_name_and_relative_to_the_norm() -> None:
    ours, peer = (Outcome(1.0, 1, 1, {"w": (projection, 10.0)}) for projection in (3.0, 2.0))
    assert fingerprint_difference(ours, peer) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="only one side has: v"):
        fingerprint_difference(ours, Outcome(1.0, 1, 1, {"w": (2.0, 10.0), "v": (0.0, 1.0)}))


MEASURE_PEAKS = """
import torch
from tools.bench.measure import PeakMemory

with PeakMemory() as freed_again:
    torch.ones(96 * 2**20, dtype=torch.uint8).max()
with PeakMemory() as little:
    torch.ones(8).sum()
print(freed_again.rise, little.rise)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="resident peaks are read from /proc")
def test_peak_memory_counts_what_was_freed_again() -> None:
    """In a process of its own: this one's memory moves with whatever other tests leave behind."""
    result = subprocess.run([sys.executable, "-c", MEASURE_PEAKS], capture_output=True, text=True, check=True, cwd=ROOT)
    size = 96 * 2**20
    freed_again, little = map(int, result.stdout.split())
    assert 0.9 * size < freed_again < 1.5 * size
    assert little < 0.5 * size
