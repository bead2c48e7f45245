"""The distilled graph in a real ComfyUI: seconds of each node, the first time and again with other seeds."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from tools.provision import REPO
from tools.server import Client, Event, Prompt

GRAPH = REPO / "workflows" / "api" / "text-to-video-distilled.json"
RUNS = 3
SEED = 10


@dataclass(frozen=True)
class HostRun:
    """One run of the graph.

    Attributes:
        label: what was special, e.g. how much of the card was free.
        number: 1 is the first run on a fresh server.
        seconds: from the queue to the end.
        nodes: seconds of each node that ran, by its class.
        peak: bytes of the card in use at the highest reading, 0 without a card.
    """

    label: str
    number: int
    seconds: float
    nodes: dict[str, float]
    peak: int


def graph(checkpoint: str, context: str, size: tuple[int, int, int] | None = None) -> Prompt:
    """The example graph with this checkpoint, its text encoder replaced by a stored context."""
    prompt: Prompt = json.loads(GRAPH.read_text())
    nodes = {node["class_type"]: (key, node) for key, node in prompt.items()}
    nodes["LTX2CheckpointLoader"][1]["inputs"]["checkpoint"] = checkpoint
    del prompt[nodes["LTX2TextEncoderLoader"][0]]
    key, text = nodes["LTX2TextEncode"]
    prompt[key] = {"class_type": "LTX2LoadContext", "inputs": {"file": context}, "_meta": text.get("_meta", {})}
    if size is not None:
        nodes["LTX2EmptyLatents"][1]["inputs"] |= dict(zip(("width", "height", "length"), size, strict=True))
    return prompt


def repeated(client: Client, prompt: Prompt, label: str, runs: int = RUNS) -> Iterator[HostRun]:
    """Runs the graph with one seed after another.

    Raises:
        RuntimeError: a run failed; says what the server said.
    """
    noise = next(node for node in prompt.values() if node["class_type"] == "LTX2LatentNoise")
    for number in range(1, runs + 1):
        noise["inputs"]["seed"] = SEED + number
        clock = _NodeClock(prompt)
        started = time.perf_counter()
        result = client.run(prompt, clock.note)
        if result.status != "success":
            raise RuntimeError(f"run {number} of the graph ended with {result.status}: {result.error}")
        yield HostRun(label, number, time.perf_counter() - started, clock.seconds, clock.peak)


class _NodeClock:
    """Adds up the time between the server's messages "executing NODE"."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt, self._node, self._since = prompt, None, 0.0
        self.seconds: dict[str, float] = {}
        self.peak = 0

    def note(self, event: Event) -> None:
        """Takes a message of the server."""
        self.peak = max(self.peak, card_bytes())
        if event["type"] != "executing":
            return
        now = time.perf_counter()
        if self._node in self._prompt:
            name = self._prompt[self._node]["class_type"]
            self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._node, self._since = event["data"]["node"], now


def card_bytes() -> int:
    """Bytes of the card that all processes use together; 0 without a card."""
    if not torch.cuda.is_available():
        return 0
    free, total = torch.cuda.mem_get_info()
    return total - free


@contextmanager
def filled(free: int | None) -> Iterator[None]:
    """Holds the card's memory in another process until only ``free`` bytes are left; None leaves it alone."""
    if free is None:
        yield
        return
    spawn = get_context("spawn")
    ready, stop = spawn.Event(), spawn.Event()
    process = spawn.Process(target=_hold, args=(free, ready, stop), daemon=True)
    process.start()
    try:
        if not ready.wait(60):
            raise RuntimeError(f"the card could not be filled up to {free / 2**30:.0f} GiB")
        yield
    finally:
        stop.set()
        process.join(30)


def _hold(free: int, ready: Any, stop: Any) -> None:
    held = torch.empty(max(0, torch.cuda.mem_get_info()[0] - free), dtype=torch.uint8, device="cuda")
    ready.set()
    stop.wait()
    del held


def markdown(runs: Sequence[HostRun]) -> str:
    """A table, one line per run."""
    names = sorted({name for run in runs for name in run.nodes}, key=lambda name: -max(_of(runs, name)))[:6]
    header = ("card", "run", "seconds", *names, "peak of the card")
    lines = [header, tuple("---" for _ in header)]
    for run in runs:
        seconds = (f"{run.nodes[name]:.1f}" if name in run.nodes else "kept" for name in names)
        lines.append((run.label, str(run.number), f"{run.seconds:.1f}", *seconds, f"{run.peak / 2**30:.1f} GiB"))
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def _of(runs: Sequence[HostRun], name: str) -> list[float]:
    return [run.nodes.get(name, 0.0) for run in runs]


def link_models(folder: Path, checkpoint: Path, context: Path) -> Path:
    """A folder of models with these two files for ``--extra-model-paths-config``; returns that configuration."""
    for name, file in (("checkpoints", checkpoint), ("embeddings", context)):
        target = folder / name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target != file and not target.exists():
            target.symlink_to(file)
    config = folder / "extra_model_paths.yaml"
    config.write_text(f"random:\n  base_path: {folder}\n  checkpoints: checkpoints\n  embeddings: embeddings\n")
    return config
