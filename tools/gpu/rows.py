"""The timed rows: one model at a time on the device, ours and what it is compared with in turns."""

from __future__ import annotations

import copy
import functools
import gc
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ltx_core_impl.loader.streaming import BlockStreamer, plan_streaming, smallest_budget
from ltx_core_impl.model.transformer import LTXModelConfigurator
from ltx_core_impl.model.video_vae import DiffusionVideoDecoder, VideoDecoderConfigurator
from ltx_core_impl.model.video_vae.tiling import TilingConfig
from ltx_core_impl.quantization import QuantizationPolicy
from tools.bench import ours
from tools.bench.inputs import Inputs
from tools.bench.measure import PeakMemory, interleaved, relative_difference
from tools.bench.model import SIZES, ModelSize

from . import models
from .table import GpuRow

# How far results in bfloat16 and fp8 may lie from float32 on the small case before timing means nothing.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2}
FP8_TOLERANCE = 0.25
STREAM_BUDGET = 6 * 2**30
LATENT_FRAMES_OF_DIFFUSION = 6  # 41 frames
TINY_REPEATS, REPEATS = 2, 5
FORWARD_WANTED = 345 / 489
"""Of diffusers' time: 345 ms against the 489 ms that it takes on an H200."""


@dataclass(frozen=True)
class Setting:
    """What all rows share."""

    device: torch.device
    tiny: bool

    @property
    def size(self) -> ModelSize:
        return SIZES["tiny"] if self.tiny else models.PUBLISHED

    @property
    def config(self) -> dict[str, Any]:
        return models.tiny_config() if self.tiny else models.published_config()

    @property
    def repeats(self) -> int:
        return TINY_REPEATS if self.tiny else REPEATS

    @property
    def dtype(self) -> torch.dtype:
        return torch.bfloat16

    @property
    def version(self) -> str:
        return "2.3"


def check_numbers(setting: Setting) -> str:
    """Compares the device's bfloat16 and fp8 with the CPU's float32 on a small model; returns a line that says so.

    Raises:
        ArithmeticError: a result lies further away than rounding explains.
    """
    config, size = models.tiny_config(), SIZES["tiny"]
    cpu = torch.device("cpu")
    reference = models.random_model(LTXModelConfigurator, config, torch.float32, cpu)
    inputs = models.inputs_for(config, size, torch.float32, cpu)
    expected = ours.forward(reference, inputs)
    parts = []
    cases = {
        "bf16": (None, TOLERANCE[torch.bfloat16]),
        "fp8_cast": (QuantizationPolicy.fp8_cast(), FP8_TOLERANCE),
        "fp8_scaled_mm": (QuantizationPolicy.fp8_scaled_mm(), FP8_TOLERANCE),
    }
    half = copy.deepcopy(reference).to(setting.device, torch.bfloat16)
    for name, (policy, tolerance) in cases.items():
        # Quantised last: moved to bfloat16 afterwards, codes that are only cast would be no codes any more.
        model = half if policy is None else models.quantised(half, LTXModelConfigurator, config, policy)
        got = ours.forward(model, models.inputs_for(config, size, torch.bfloat16, setting.device))
        difference = relative_difference([one.cpu() for one in got], expected)
        if not difference <= tolerance:
            raise ArithmeticError(
                f"{name} on {setting.device} differs from float32 by {difference:.1e}, allowed is {tolerance:.0e}; the "
                "times below would mean nothing. Find out which kernel is wrong first."
            )
        parts.append(f"{name} {difference:.1e}")
    return "small case against float32: " + ", ".join(parts)


def transformer_rows(setting: Setting) -> Iterator[GpuRow]:
    """Forward, guided step, fp8, streaming and compiled blocks of one transformer."""
    config, size = setting.config, setting.size
    model = models.random_model(LTXModelConfigurator, config, setting.dtype, setting.device)
    inputs = models.inputs_for(config, size, setting.dtype, setting.device)
    peer = _peer()
    twin = peer.share_transformer(model.state_dict(), config) if peer else None
    forward = functools.partial(ours.forward, model, inputs)
    yield _compared(
        setting,
        "forward, bf16",
        forward,
        twin and functools.partial(peer.forward, twin, inputs),
        "diffusers",
        345 / 489,
    )
    guided = functools.partial(ours.guided_step, model, inputs, size.perturbed_block)
    theirs = twin and functools.partial(peer.guided_step, twin, inputs, size.perturbed_block)
    with model.keep_text():
        yield _compared(setting, "guided step, 4 passes", guided, theirs, "diffusers, 3 calls", 0.65)
    del twin, theirs
    yield from _fp8_rows(setting, model, inputs, forward)
    yield from _compiled_rows(setting, model, forward)


def _fp8_rows(setting: Setting, model: nn.Module, inputs: Inputs, plain: Callable[[], object]) -> Iterator[GpuRow]:
    quantised = functools.partial(models.quantised, model, LTXModelConfigurator, setting.config)
    cast = quantised(QuantizationPolicy.fp8_cast())
    yield _compared(setting, "fp8_cast", functools.partial(ours.forward, cast, inputs), plain, "bf16", 1.03)
    yield from _streamed_rows(setting, cast, inputs)
    del cast
    empty_cache(setting.device)
    dynamic = quantised(QuantizationPolicy.fp8_scaled_mm())
    run = functools.partial(ours.forward, dynamic, inputs)
    yield _compared(setting, "fp8_scaled_mm, dynamic scales", run, plain, "bf16", 0.70)
    del dynamic, run
    empty_cache(setting.device)
    with tempfile.TemporaryDirectory() as folder:
        file = models.calibration(model, plain, Path(folder) / "amax.json")
        calibrated = quantised(QuantizationPolicy.fp8_scaled_mm(file))
    run = functools.partial(ours.forward, calibrated, inputs)
    yield _compared(setting, "fp8_scaled_mm, calibrated", run, plain, "bf16", 0.65)
    del calibrated, run
    empty_cache(setting.device)


def _streamed_rows(setting: Setting, model: nn.Module, inputs: Inputs) -> Iterator[GpuRow]:
    """Against the larger of computing and copying, which is the least that streaming can take."""
    resident = functools.partial(ours.forward, model, inputs)
    compute = statistics.median(_seconds(setting, resident))
    model.to("cpu")
    blocks = model.transformer_blocks
    budget = max(smallest_budget(model, blocks), min(STREAM_BUDGET, models.weight_bytes(model) // 2))
    plan = plan_streaming(model, blocks, budget)
    moved = sum(models.weight_bytes(block) for block in list(blocks)[plan.resident_blocks :])
    rate = copy_rate(setting.device)
    with BlockStreamer(model, blocks, setting.device, budget=budget):
        seconds = _seconds(setting, functools.partial(ours.forward, model, inputs))
    least = max(compute, moved / rate)
    yield GpuRow(
        "streamed forward, fp8 weights",
        seconds,
        [least],
        "the larger of computing and copying",
        1.15,
        note=f"budget {budget / 2**30:.1f} GiB, {moved / 2**30:.1f} GiB copied at {rate / 1e9:.0f} GB/s",
    )


def _compiled_rows(setting: Setting, model: nn.Module, plain: Callable[[], object]) -> Iterator[GpuRow]:
    eager = _seconds(setting, plain)
    started = time.perf_counter()
    with compiled(model, setting.tiny):
        plain()
        _wait(setting.device)
        first = time.perf_counter() - started
        seconds = _seconds(setting, plain)
    yield GpuRow("blocks compiled", seconds, eager, "eager", 1.0, note=f"first forward {first:.0f} s")


@contextmanager
def compiled(model: nn.Module, tiny: bool) -> Iterator[None]:
    """The model with compiled blocks; a tiny one only traced, since a CPU check has no time for a compiler."""
    model.compile_blocks(**({"backend": "eager"} if tiny else {}))
    try:
        yield
    finally:
        for block in model.transformer_blocks:
            del block.forward  # the class's own is behind it


def decoder_rows(setting: Setting) -> Iterator[GpuRow]:
    """The convolutional decoder whole and in its default tiles."""
    config, size = setting.config, setting.size
    decoder = models.random_model(VideoDecoderConfigurator, config, setting.dtype, setting.device)
    inputs = models.inputs_for(config, size, setting.dtype, setting.device)
    peer = _peer()
    vae = peer.share_decoder(decoder.state_dict(), setting.version, size) if peer else None
    whole = functools.partial(ours.decode, decoder, inputs)
    yield _compared(
        setting, "VAE decode, whole", whole, vae and functools.partial(peer.decode, vae, inputs), "diffusers", 0.90
    )
    del vae
    tiled = functools.partial(_drain, decoder, inputs.vae_latent, TilingConfig.default())
    yield _compared(setting, "VAE decode, default tiles", tiled, whole, "whole", None)


def diffusion_decoder_rows(setting: Setting) -> Iterator[GpuRow]:
    """LTX-2.5's diffusion decoder with whatever neighbourhood attention is here."""
    config = models.diffusion_decoder_config(setting.tiny)
    decoder: DiffusionVideoDecoder = models.random_model(
        VideoDecoderConfigurator, config, setting.dtype, setting.device
    )
    shape = (1, 128, 2, 8, 8) if setting.tiny else (1, 128, LATENT_FRAMES_OF_DIFFUSION, 16, 24)
    latent = torch.randn(shape, generator=torch.Generator().manual_seed(models.SEED)).to(setting.device, setting.dtype)

    def decode() -> Tensor:
        return decoder(latent, generator=torch.Generator(setting.device).manual_seed(models.SEED))

    yield _compared(setting, f"diffusion decoder, {8 * shape[2] - 7} frames", decode, None, "", None)


def copy_rate(device: torch.device) -> float:
    """Bytes per second from page-locked memory to the device; on a CPU, from memory to memory."""
    pinned = device.type == "cuda"
    source = torch.empty(2**28 if pinned else 2**24, dtype=torch.uint8, pin_memory=pinned)
    target = torch.empty_like(source, device=device)
    runs = []
    for _ in range(5):
        _wait(device)
        started = time.perf_counter()
        target.copy_(source, non_blocking=True)
        _wait(device)
        runs.append(time.perf_counter() - started)
    return source.nbytes / statistics.median(runs)


def _compared(
    setting: Setting,
    what: str,
    run: Callable[[], object],
    other: Callable[[], object] | None,
    against: str,
    wanted: float | None,
) -> GpuRow:
    sides = {"ours": run} | ({"other": other} if other else {})
    seconds = interleaved(sides, setting.repeats, setting.device)
    with PeakMemory(setting.device) as memory:
        run()
    return GpuRow(what, seconds["ours"], seconds.get("other", ()), against, wanted, memory.rise)


def _seconds(setting: Setting, run: Callable[[], object]) -> list[float]:
    return interleaved({"ours": run}, setting.repeats, setting.device)["ours"]


def _drain(decoder: nn.Module, latent: Tensor, tiling: TilingConfig) -> None:
    for _ in decoder.tiled_decode(latent, tiling):
        pass


def _peer() -> Any:
    """The module of diffusers' side, None where diffusers is not installed."""
    if importlib.util.find_spec("diffusers") is None:
        return None
    from tools.bench import peer

    return peer


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def empty_cache(device: torch.device) -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
