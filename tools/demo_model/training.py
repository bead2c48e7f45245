"""What every training step shares: seeded batches, checkpoints that survive an interruption, progress, loss plots."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .optimizer import Muon

LOG_EVERY, PLOT_SIZE = 20, (640, 320)
Losses = dict[str, Tensor]


def batch_generator(seed: int, step: int) -> torch.Generator:
    """The randomness of one step, the same whether or not the run was interrupted before it."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def cosine_rate(step: int, steps: int, peak: float, warmup: int = 20, floor: float = 0.02) -> float:
    """Learning rate: linear warm-up, then a cosine down to ``floor`` of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))


class Trainer:
    """Muon with a cosine rate, an exponential average of the weights, and a state on disk.

    Args:
        name: of the files ``NAME.safetensors`` (state), ``NAME.log.jsonl`` and ``NAME.png`` (losses).
        folder: where they go.
        model: trained in place; parameters that need no gradient are left alone.
        steps: optimiser steps in all; a run that was cut off continues from its last state.
        peak: highest learning rate.
        average: decay of the average of the weights, 0 for none.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        model: nn.Module,
        *,
        steps: int,
        peak: float,
        average: float = 0.0,
        clip: float = 1.0,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.log, self.plot = (folder / f"{name}{end}" for end in (".safetensors", ".log.jsonl", ".png"))
        self.name, self.model, self.steps, self.peak, self.average, self.clip = name, model, steps, peak, average, clip
        self.parameters = {key: value for key, value in model.named_parameters() if value.requires_grad}
        self.optimizer = Muon(self.parameters.values(), lr=peak)
        self.averaged = {key: value.detach().clone() for key, value in self.parameters.items()} if average else {}
        self.step = self._resume()

    def run(self, losses: Callable[[int], Losses], until: int | None = None, save_seconds: float = 120.0) -> None:
        """Train to the end, or until a step; ``losses`` gives the terms of a step, whose sum is minimised."""
        end = self.steps if until is None else until
        began = saved = time.monotonic()
        first, recent = self.step, []
        while self.step < end:
            for group in self.optimizer.param_groups:
                group["lr"] = cosine_rate(self.step, self.steps, self.peak)
            terms = losses(self.step)
            total = sum(terms.values())
            self.optimizer.zero_grad(set_to_none=True)
            total.backward()
            nn.utils.clip_grad_norm_(self.parameters.values(), self.clip)
            self.optimizer.step()
            self._update_average()
            self.step += 1
            recent.append({key: float(value.detach()) for key, value in terms.items()})
            if self.step % LOG_EVERY == 0 or self.step == end:
                rate = (self.step - first) / (time.monotonic() - began)
                self._report(recent, rate)
                recent = []
            if time.monotonic() - saved > save_seconds:
                self.save()
                saved = time.monotonic()
        self.save()

    def save(self) -> None:
        """Write the state, then the plot."""
        tensors = {f"model.{key}": value.detach() for key, value in self.model.state_dict().items()}
        tensors |= {f"average.{key}": value for key, value in self.averaged.items()}
        for key, parameter in self.parameters.items():
            for name, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}.{key}"] = value
        temporary = self.path.with_suffix(".partial")
        save_file(
            {key: value.contiguous().clone() for key, value in tensors.items()}, temporary, {"step": str(self.step)}
        )
        temporary.replace(self.path)
        plot_log(self.log, self.plot)

    def _resume(self) -> int:
        if not self.path.is_file():
            return 0
        with safe_open(self.path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}
            step = int(file.metadata()["step"])
        self.model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
        for key, parameter in self.parameters.items():
            if self.averaged:
                self.averaged[key].copy_(tensors[f"average.{key}"])
            names = ("steps", "exp_avg", "exp_avg_sq", "momentum")
            state = {name: tensors[f"optimizer.{name}.{key}"] for name in names if f"optimizer.{name}.{key}" in tensors}
            self.optimizer.state[parameter] = state
        print(f"{self.name}: continuing at step {step} of {self.steps}", flush=True)
        return step

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.average, (1 + self.step) / (10 + self.step))
        for key, value in self.averaged.items():
            value.lerp_(self.parameters[key], 1 - decay)

    def _report(self, recent: list[dict[str, float]], rate: float) -> None:
        mean = {key: sum(entry[key] for entry in recent) / len(recent) for key in recent[0]}
        with self.log.open("a") as file:
            file.write(json.dumps({"step": self.step, **mean}) + "\n")
        terms = " ".join(f"{key} {value:.4f}" for key, value in mean.items())
        print(f"{self.name} {self.step}/{self.steps} {rate:.2f} steps/s {terms}", flush=True)


def load_trained(path: Path, model: nn.Module) -> nn.Module:
    """Load the (averaged, where there is one) weights of a training state."""
    with safe_open(path, framework="pt") as file:
        keys = list(file.keys())
        state = {key.removeprefix("model."): file.get_tensor(key) for key in keys if key.startswith("model.")}
        state |= {key.removeprefix("average."): file.get_tensor(key) for key in keys if key.startswith("average.")}
    model.load_state_dict(state)
    return model.eval()


def plot_log(log: Path, target: Path) -> None:
    """Draw the losses of a log, logarithmic, one line per term."""
    entries = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    if len(entries) < 2:
        return
    names = [key for key in entries[-1] if key != "step"]
    series = {name: [(e["step"], e[name]) for e in entries if e.get(name, 0) > 0] for name in names}
    plot_lines(series, target, title=log.name.removesuffix(".log.jsonl"))


def plot_lines(series: dict[str, Iterable[tuple[float, float]]], target: Path, title: str) -> None:
    """A line chart as PNG, vertical axis logarithmic."""
    lines = {name: list(points) for name, points in series.items() if points}
    width, height = PLOT_SIZE
    margin, colors = 48, ("#1f6fb4", "#d0562a", "#3a9a4d", "#8a4fb0", "#777777")
    xs = [x for points in lines.values() for x, _ in points]
    ys = [math.log10(y) for points in lines.values() for _, y in points]
    low, high = math.floor(min(ys) * 2) / 2, math.ceil(max(ys) * 2) / 2
    high += 0.5 * (high == low)
    image = Image.new("RGB", PLOT_SIZE, "white")
    draw = ImageDraw.Draw(image)

    def place(x: float, y: float) -> tuple[float, float]:
        right, bottom = width - 16, height - margin / 2
        return (
            margin + (x - min(xs)) / max(1e-9, max(xs) - min(xs)) * (right - margin),
            bottom - (math.log10(y) - low) / (high - low) * (bottom - margin),
        )

    for exponent in torch.arange(low, high + 0.01, 0.5).tolist():
        level = place(min(xs), 10**exponent)[1]
        draw.line([(margin, level), (width - 16, level)], fill="#dddddd")
        draw.text((4, level - 6), f"{10**exponent:.2g}", fill="black")
    for points, color in zip(lines.values(), colors * 3, strict=False):
        draw.line([place(x, y) for x, y in points], fill=color, width=2)
    legend = "   ".join(lines)
    draw.text((margin, 6), f"{title}: {legend}", fill="black")
    offset = margin
    for name, color in zip(lines, colors * 3, strict=False):
        draw.line([(offset, 28), (offset + 18, 28)], fill=color, width=3)
        draw.text((offset + 22, 22), name, fill=color)
        offset += 40 + 7 * len(name)
    draw.text((width - 90, height - 14), f"step {max(xs):g}", fill="black")
    image.save(target)
