"""How fast and how large our classes are beside diffusers' LTX-2 classes, on the same weights in one process.

    pip install -c constraints/peer.txt diffusers peft accelerate
    python3 tools/benchmark.py
    python3 tools/benchmark.py --device cuda --size wide --dtypes bfloat16

Writes a synthetic model of random weights to a temporary folder, checks that both sides give the same numbers, and then
times them in turns. docs/benchmark.md explains the rows.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from tools.bench import ours
from tools.bench.inputs import Inputs, random_inputs
from tools.bench.measure import interleaved, relative_difference
from tools.bench.model import SIZES, VERSIONS, VIDEO_HEAD_DIM, ModelSize, model_config, write_checkpoint, write_lora
from tools.bench.probe import Outcome, Task, fingerprint_difference, run_apart
from tools.bench.table import Row, markdown

if TYPE_CHECKING:
    from types import ModuleType

PEER_PACKAGES = ("diffusers", "peft", "accelerate")
ROWS = ("forward", "guided", "decode", "load")
# How much two correct implementations may differ: by the order of float32 sums, or by bfloat16 roundings.
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}
# Fused weights are rounded to bfloat16 once.
LOAD_TOLERANCE = 1e-2


class Disagreement(Exception):
    """The two sides give different numbers: comparing their times would mean nothing."""


@dataclass(frozen=True)
class Setting:
    """Everything that one version's rows share; ``folder`` holds the synthetic files."""

    version: str
    size_name: str
    device: torch.device
    repeats: int
    folder: Path

    @property
    def size(self) -> ModelSize:
        return SIZES[self.size_name]

    @property
    def config(self) -> dict[str, Any]:
        return model_config(self.version, self.size)

    @property
    def checkpoint(self) -> Path:
        return self.folder / f"{self.version}.safetensors"

    @property
    def lora(self) -> Path:
        return self.folder / f"{self.version}.lora.safetensors"

    @property
    def peer_folder(self) -> Path:
        return self.folder / f"{self.version}.peer"


def main() -> int:
    arguments = _parser().parse_args()
    missing = [name for name in PEER_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"error: the peer is not here ({', '.join(missing)}): "
            f"pip install -c constraints/peer.txt {' '.join(PEER_PACKAGES)}",
            file=sys.stderr,
        )
        return 1
    torch.set_grad_enabled(False)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    rows: list[Row] = []
    try:
        with tempfile.TemporaryDirectory(prefix="ltx2-benchmark-") as folder:
            for version in arguments.versions:
                setting = Setting(
                    version, arguments.size, torch.device(arguments.device), arguments.repeats, Path(folder)
                )
                for row in _measure(setting, arguments.dtypes, arguments.rows):
                    rows.append(row)
                    print(f"{row.what} {version} {row.dtype}: ours / peer {row.ratio:.2f}", file=sys.stderr, flush=True)
    except Disagreement as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(markdown(rows))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--versions", nargs="+", choices=VERSIONS, default=VERSIONS, help="model versions")
    parser.add_argument("--dtypes", nargs="+", choices=tuple(TOLERANCE), default=tuple(TOLERANCE), help="dtypes")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS, help="what to measure")
    parser.add_argument("--size", choices=tuple(SIZES), default="medium", help="how large the synthetic model is")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ...")
    parser.add_argument("--repeats", type=int, default=5, help="measurements per side and row; the median counts")
    parser.add_argument(
        "--threads",
        type=int,
        help="CPU threads (PyTorch's choice if not given); one thread is timed by its processor time, which other "
        "processes do not disturb",
    )
    return parser


def _measure(setting: Setting, dtypes: list[str], rows: list[str]) -> Iterator[Row]:
    from tools.bench import peer

    shapes = ours.published_shapes(setting.config)
    write_checkpoint(setting.checkpoint, setting.version, setting.config, shapes)
    write_lora(setting.lora, shapes, setting.size.heads * VIDEO_HEAD_DIM)
    for dtype in dtypes:
        inputs = random_inputs(setting.config, setting.size, getattr(torch, dtype), setting.device)
        if "forward" in rows or "guided" in rows:
            yield from _transformer_rows(setting, dtype, inputs, peer, rows)
        if "decode" in rows:
            yield from _decode_rows(setting, dtype, inputs, peer)
    if "load" in rows:
        yield from _load_rows(setting, peer)


def _transformer_rows(setting: Setting, dtype: str, inputs: Inputs, peer: ModuleType, rows: list[str]) -> Iterator[Row]:
    model = ours.build_transformer(setting.checkpoint, getattr(torch, dtype), setting.device)
    peer_model = peer.share_transformer(model.state_dict(), setting.config)
    block = setting.size.perturbed_block
    if "forward" in rows:
        yield _compared(setting, "transformer forward", dtype, ours.forward, peer.forward, (model, peer_model), inputs)
    if "guided" in rows:
        sides = [functools.partial(side.guided_step, perturbed_block=block) for side in (ours, peer)]
        with model.keep_text():  # as in a run of several steps
            row = _compared(setting, "guided step (4 passes)", dtype, *sides, (model, peer_model), inputs)
        yield row


def _decode_rows(setting: Setting, dtype: str, inputs: Inputs, peer: ModuleType) -> Iterator[Row]:
    decoder = ours.build_decoder(setting.checkpoint, getattr(torch, dtype), setting.device)
    vae = peer.share_decoder(decoder.state_dict(), setting.version, setting.size)
    yield _compared(setting, "VAE decode, time", dtype, ours.decode, peer.decode, (decoder, vae), inputs)
    del decoder, vae
    outcomes = _apart(setting, "decode", dtype, {"ours": setting.checkpoint, "peer": setting.checkpoint}, repeats=1)
    yield _memory_row(setting, "VAE decode, peak memory", dtype, outcomes, "the video")


def _load_rows(setting: Setting, peer: ModuleType) -> Iterator[Row]:
    """As people load it: a bfloat16 file into a bfloat16 model."""
    dtype = "bfloat16"
    model = ours.build_transformer(setting.checkpoint, torch.bfloat16, torch.device("cpu"))
    peer.write_transformer(model.state_dict(), setting.config, setting.peer_folder)
    del model
    weights = {"ours": setting.checkpoint, "peer": setting.peer_folder}
    outcomes = _apart(setting, "load", dtype, weights, repeats=setting.repeats)
    seconds = {side: [outcome.seconds for outcome in outcomes[side]] for side in outcomes}
    difference = _agreement("load with a LoRA", setting, _fingerprints(outcomes), LOAD_TOLERANCE)
    yield Row("load with a LoRA, time", setting.version, dtype, **seconds, unit="s", difference=difference)
    yield _memory_row(setting, "load with a LoRA, peak memory", dtype, outcomes, "the model")


def _compared(
    setting: Setting, what: str, dtype: str, our_run: Any, peer_run: Any, models: tuple[Any, Any], inputs: Inputs
) -> Row:
    """One timed row; both sides run once before, and must agree."""
    our_model, peer_model = models
    difference = relative_difference(our_run(our_model, inputs), peer_run(peer_model, inputs))
    _agreement(what, setting, difference, TOLERANCE[dtype])
    seconds = interleaved(
        {"ours": lambda: our_run(our_model, inputs), "peer": lambda: peer_run(peer_model, inputs)},
        setting.repeats,
        setting.device,
    )
    return Row(what, setting.version, dtype, **seconds, unit="s", difference=difference)


def _apart(setting: Setting, kind: str, dtype: str, weights: dict[str, Path], repeats: int) -> dict[str, list[Outcome]]:
    """Both sides in turns, each time in a fresh process."""
    outcomes: dict[str, list[Outcome]] = {side: [] for side in weights}
    for _ in range(repeats):
        for side, path in weights.items():
            task = Task(
                kind=kind,
                side=side,
                weights=str(path),
                lora=str(setting.lora),
                version=setting.version,
                size=setting.size_name,
                dtype=dtype,
                device=str(setting.device),
            )
            outcomes[side].append(run_apart(task, torch.get_num_threads()))
    return outcomes


def _memory_row(setting: Setting, what: str, dtype: str, outcomes: dict[str, list[Outcome]], reference: str) -> Row:
    peaks = {side: [outcome.peak for outcome in results] for side, results in outcomes.items()}
    times = {side: max(peaks[side]) / outcomes[side][0].result_bytes for side in peaks}
    note = f"{times['ours']:.2f} and {times['peer']:.2f} times {reference}"
    tolerance = LOAD_TOLERANCE if reference == "the model" else TOLERANCE[dtype]
    difference = _agreement(what, setting, _fingerprints(outcomes), tolerance)
    return Row(what, setting.version, dtype, **peaks, unit="B", difference=difference, note=note)


def _fingerprints(outcomes: dict[str, list[Outcome]]) -> float:
    return fingerprint_difference(outcomes["ours"][0], outcomes["peer"][0])


def _agreement(what: str, setting: Setting, difference: float, tolerance: float) -> float:
    if difference > tolerance:
        raise Disagreement(
            f"{what} {setting.version}: ours and the peer differ by {difference:.1e}, at most {tolerance:.0e} may be "
            "rounding; find out which side is wrong before timing them"
        )
    return difference


if __name__ == "__main__":
    sys.exit(main())
