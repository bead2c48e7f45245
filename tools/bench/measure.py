"""Timing two sides fairly, and a process's peak memory."""

from __future__ import annotations

import gc
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_PAGE = 4096


def interleaved(
    sides: Mapping[str, Callable[[], object]], repeats: int, device: torch.device | str = "cpu"
) -> dict[str, list[float]]:
    """Seconds of each call, ``repeats`` per side, after one unmeasured call each.

    The sides take turns, and every second round runs in the opposite order, so that a machine that slows down or is
    shared slows both alike. One thread on a CPU is timed by the processor time it used, which is the time that passes
    on an idle machine and does not grow when others want the processor too.
    """
    is_cpu = torch.device(device).type == "cpu"
    clock = time.process_time if is_cpu and torch.get_num_threads() == 1 else time.perf_counter
    for run in sides.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    order = list(sides)
    for _ in range(repeats):
        for name in order:
            _synchronise(device)
            started = clock()
            sides[name]()
            _synchronise(device)
            seconds[name].append(clock() - started)
        order.reverse()
    return seconds


def spread(values: Sequence[float]) -> float:
    """Half the distance between the quartiles, relative to the median: how noisy a measurement is."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4)
    return (high - low) / 2 / statistics.median(values)


def relative_difference(ours: Sequence[torch.Tensor], peer: Sequence[torch.Tensor]) -> float:
    """The largest ``max |ours - peer| / max |peer|`` of the tensor pairs.

    Raises:
        ValueError: a pair's shapes differ, or a value is not finite.
    """
    worst = 0.0
    for a, b in zip(ours, peer, strict=True):
        if a.shape != b.shape:
            raise ValueError(f"ours has shape {tuple(a.shape)}, the peer's {tuple(b.shape)}")
        a, b = a.double(), b.double()
        if not (a.isfinite().all() and b.isfinite().all()):
            raise ValueError("a result has values that are not finite")
        worst = max(worst, ((a - b).abs().max() / b.abs().max().clamp_min(1e-30)).item())
    return worst


class PeakMemory:
    """``with PeakMemory(device) as peak``: how far memory rose above its start (``peak.rise``, bytes).

    On a CPU it is the process's resident memory as Linux counts it (file pages mapped into it included), on CUDA what
    the allocator handed out.

    Raises:
        RuntimeError: this is no Linux, where resident peaks cannot be reset.
    """

    rise = 0

    def __init__(self, device: torch.device | str = "cpu"):
        self._device = torch.device(device)
        self._start = 0

    def __enter__(self) -> PeakMemory:
        gc.collect()  # what is freed later, while the work runs, would hide as much of its rise
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            self._start = torch.cuda.memory_allocated(self._device)
            return self
        if not _STATUS.exists():
            raise RuntimeError("peak memory is read from /proc: run this row on Linux")
        _STATUS.with_name("clear_refs").write_text("5")  # VmHWM := VmRSS
        self._start = _resident("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        if self._device.type == "cuda":
            self.rise = max(torch.cuda.max_memory_allocated(self._device) - self._start, _PAGE)
        else:
            self.rise = max(_resident("VmHWM") - self._start, _PAGE)


def _resident(field: str) -> int:
    return int(re.search(rf"{field}:\s+(\d+) kB", _STATUS.read_text())[1]) * 1024


def _synchronise(device: torch.device | str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
