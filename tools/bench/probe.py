"""What one side does in a process of its own, so that its memory is its own: ``python -m tools.bench.probe JSON``.

Prints one line of JSON: seconds, how far memory rose, and what is needed to compare the two sides.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from . import ours
from .inputs import random_inputs
from .measure import PeakMemory
from .model import SIZES, model_config
from .peer_keys import peer_transformer_key

PAGE_BYTES = 4096
REPO = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Task:
    """What to run.

    Attributes:
        kind: ``"load"`` (transformer with a LoRA) or ``"decode"``.
        side: ``"ours"`` or ``"peer"``.
        weights: our checkpoint, or for ``"load"`` of the peer its folder.
        lora: the LoRA file.
        version, size, dtype, device: as in the command.
    """

    kind: str
    side: str
    weights: str
    lora: str
    version: str
    size: str
    dtype: str
    device: str


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        seconds: time of the task.
        peak: bytes above the start.
        result_bytes: size of the loaded weights, or of the video.
        fingerprint: numbers by which two results can be compared, by tensor name (the peer's spelling).
    """

    seconds: float
    peak: int
    result_bytes: int
    fingerprint: dict[str, tuple[float, float]]


def run_apart(task: Task, threads: int) -> Outcome:
    """Runs ``task`` in a fresh process.

    Raises:
        RuntimeError: it failed; the message ends with what it wrote.
    """
    command = [sys.executable, "-m", "tools.bench.probe", json.dumps(dataclasses.asdict(task))]
    # Large blocks go back to the system when they are freed, else a peak would depend on the allocator's mood.
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MALLOC_MMAP_THRESHOLD_": "1048576"}
    result = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{task.kind} of {task.side} failed:\n{result.stderr[-2000:]}")
    return Outcome(**json.loads(result.stdout.splitlines()[-1]))


def main() -> None:
    task = Task(**json.loads(sys.argv[1]))
    torch.set_grad_enabled(False)
    outcome = (_load if task.kind == "load" else _decode)(task)
    print(json.dumps(dataclasses.asdict(outcome)))


def _load(task: Task) -> Outcome:
    weights, lora = Path(task.weights), Path(task.lora)
    dtype, device = getattr(torch, task.dtype), torch.device(task.device)
    if task.side == "peer":
        from . import peer

        return _measured_load(lambda: peer.build_transformer(weights, dtype, device, lora), device, rename=str)
    build = functools.partial(ours.build_transformer, weights, dtype, device, lora)
    return _measured_load(build, device, rename=peer_transformer_key)


def _measured_load(build: Callable[[], nn.Module], device: torch.device, rename: Callable[[str], str]) -> Outcome:
    # What the first arithmetic of a process costs has nothing to do with loading.
    torch.ones(8, 8, device=device) @ torch.ones(8, 8, device=device)
    started = time.perf_counter()
    with PeakMemory() as memory:
        weights = build().state_dict()
        _touch(weights)
        seconds = time.perf_counter() - started
    size = sum(tensor.nbytes for tensor in weights.values())
    return Outcome(seconds, memory.rise, size, {rename(name): _fingerprint(w) for name, w in weights.items()})


def _touch(weights: dict[str, Tensor]) -> None:
    """Reads something of every page: a weight that is only mapped is not loaded yet."""
    sum(tensor.flatten()[:: PAGE_BYTES // tensor.element_size()].float().sum() for tensor in weights.values()).item()


def _decode(task: Task) -> Outcome:
    dtype, device = getattr(torch, task.dtype), torch.device(task.device)
    size = SIZES[task.size]
    config = model_config(task.version, size)
    decoder: nn.Module = ours.build_decoder(Path(task.weights), dtype, device)
    run = ours.decode
    if task.side == "peer":
        from . import peer

        decoder, run = peer.share_decoder(decoder.state_dict(), task.version, size), peer.decode
    run(decoder, random_inputs(config, SIZES["tiny"], dtype, device))
    inputs = random_inputs(config, size, dtype, device)
    started = time.perf_counter()
    with PeakMemory(device) as memory:
        (video,) = run(decoder, inputs)
    seconds = time.perf_counter() - started
    return Outcome(seconds, memory.rise, video.nbytes, {"video": _fingerprint(video)})


def _fingerprint(tensor: Tensor) -> tuple[float, float]:
    """A projection on a fixed direction and the norm: two tensors that differ by 1 % differ here by about 1 %."""
    values = tensor.flatten().double()
    direction = torch.arange(1, values.numel() + 1, device=values.device, dtype=torch.float64).mul_(0.7).sin_()
    return (values @ direction).item(), values.norm().item()


def fingerprint_difference(ours: Outcome, peer: Outcome) -> float:
    """The largest difference of the projections, relative to what a tensor of that norm projects to.

    Raises:
        ValueError: the sides have different tensors.
    """
    if ours.fingerprint.keys() != peer.fingerprint.keys():
        names = sorted(ours.fingerprint.keys() ^ peer.fingerprint.keys())
        raise ValueError(f"tensors that only one side has: {', '.join(names[:3])}")
    return max(
        abs(projection - peer.fingerprint[name][0]) / max(peer.fingerprint[name][1], 1e-30)
        for name, (projection, _) in ours.fingerprint.items()
    )


if __name__ == "__main__":
    main()
