"""Writes docs/memory.md: what LTX-2.3 needs on cards of 8 to 80 GB, from the estimates that the nodes go by.

    python3 tools/memory_table.py     # after a change of the estimates; a test compares the page with the code

Weights are counted on models without data, activations by the formulas of ltx_core_impl. Nothing here is measured.
"""

from __future__ import annotations

import functools
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import nn

from ltx_core_impl.loader.module_ops import ModuleOps, create_meta_model
from ltx_core_impl.loader.streaming import plan_streaming, smallest_budget
from ltx_core_impl.model.transformer import LTXModelConfigurator
from ltx_core_impl.model.video_vae import VideoDecoderConfigurator
from ltx_core_impl.model.video_vae.memory import convolution_bytes
from ltx_core_impl.quantization import QuantizationPolicy
from ltx_core_impl.quantization.linear import CastLinear
from ltx_core_impl.sampling.memory import forward_bytes
from ltx_core_impl.types import AudioLatentShape, VideoLatentShape, VideoPixelShape
from tools.provision import REPO

PAGE = REPO / "docs" / "memory.md"
GIB = 2**30
CARDS = (8, 12, 16, 24, 32, 80)
RESERVE = int(1.2 * GIB)
"""What the driver, PyTorch and ComfyUI keep of a card."""
FRAME_RATE = 24.0
ITEMSIZE = torch.bfloat16.itemsize
MEASURED_FORWARD, MEASURED_DECODE = 0.59, 3.6
SIZES = ((768, 512, 121), (1280, 704, 121), (1280, 704, 241), (1920, 1088, 121))
# Sizes of the published files.
GEMMA_BYTES = {"bf16": 24e9, "fp8": 13e9}
OTHER_BYTES = 3.5e9  # projection and connectors, both VAEs, vocoder


@dataclass(frozen=True)
class Weights:
    """A transformer without data whose tensors have the sizes that they have in a run."""

    name: str
    model: nn.Module

    @property
    def bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.model.parameters())


@functools.cache
def transformers() -> tuple[Weights, ...]:
    """LTX-2.3 in bfloat16, and with the layers of fp8_cast in fp8."""
    config = _config()

    def build(operations: tuple[ModuleOps, ...]) -> nn.Module:
        model = create_meta_model(LTXModelConfigurator, config, operations).to(torch.bfloat16)
        for module in model.modules():
            if isinstance(module, CastLinear):
                module.to(torch.float8_e4m3fn)
        return model

    return Weights("bf16", build(())), Weights("fp8", build(QuantizationPolicy.fp8_cast().module_ops))


def activations(model: nn.Module, size: tuple[int, int, int], rows: int) -> int:
    """Bytes that a step with this many passes at once needs besides the weights."""
    width, height, frames = size
    pixels = VideoPixelShape(1, frames, height, width, FRAME_RATE)
    video = VideoLatentShape.from_pixel_shape(pixels).token_count()
    audio = AudioLatentShape.from_video_pixel_shape(pixels).token_count()
    return rows * forward_bytes(model.options, video, audio, ITEMSIZE)


def placement(weights: Weights, size: tuple[int, int, int], card: int) -> str:
    """How many blocks stay on a card of so many GiB; the others visit it one by one."""
    blocks = weights.model.transformer_blocks
    budget = card * GIB - RESERVE - activations(weights.model, size, rows=1)
    if budget >= weights.bytes:
        return "all"
    if budget < smallest_budget(weights.model, blocks):
        return "no"
    return f"{plan_streaming(weights.model, blocks, budget).resident_blocks} of {len(blocks)}"


def main_memory(weights: Weights) -> float:
    """Bytes of a whole model: the transformer, its text encoder and everything else."""
    return weights.bytes + GEMMA_BYTES[weights.name] + OTHER_BYTES


def page() -> str:
    """The whole of docs/memory.md."""
    header = ("weights", "size", "activations", *(f"{card} GB" for card in CARDS))
    lines = [header, tuple("---" for _ in header)]
    for weights in transformers():
        for size in SIZES:
            cells = (placement(weights, size, card) for card in CARDS)
            needed = f"{activations(weights.model, size, rows=1) / GIB:.1f} GB"
            lines.append((weights.name, "x".join(map(str, size)), needed, *cells))
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    bf16, fp8 = transformers()
    blocks = len(bf16.model.transformer_blocks)
    fewest, most = map(main_memory, (fp8, bf16))
    paragraphs = (
        "# Will it fit my card?",
        "Computed by `tools/memory_table.py` from the estimates that the nodes go by, for LTX-2.3 (22B); LTX-2 (19B) "
        "needs a little less, LTX-2.5 the same. **Not measured on these cards.** Two measurements stand behind it, "
        f"both on an H200: {MEASURED_FORWARD:.2f} GiB of activations at 768x512x121 (the estimate says "
        f"{activations(bf16.model, SIZES[0], rows=1) / GIB:.2f}) and {MEASURED_DECODE:.1f} GiB for decoding that clip "
        f"whole (the estimate says {convolution_bytes(math.prod(SIZES[0]), ITEMSIZE) / GIB:.1f}).",
        f"How many of the transformer's {blocks} blocks stay on the card while it samples, one pass at a time "
        "(distilled models). With guidance a step has up to four passes; as many as a quarter of the card holds run "
        "at once. The other blocks come from main memory while the ones before them compute. `no`: make the clip "
        f"smaller, or divide it with 'LTX-2 Context Windows'. {RESERVE / GIB:.1f} GB of each card are left to the "
        "driver, PyTorch and ComfyUI.",
        table,
        f"Main memory: transformer {_gb(bf16.bytes)} in bf16 or {_gb(fp8.bytes)} in fp8, Gemma "
        f"{_gb(GEMMA_BYTES['bf16'])} or {_gb(GEMMA_BYTES['fp8'])}, everything else {_gb(OTHER_BYTES)}. With "
        f"everything in fp8 {_gb(fewest)}, in bf16 {_gb(most)}, less what the card holds.",
        "The other parts take their turn: the text encoder is streamed layer by layer in the same way, the VAE decodes "
        f"in tiles where a whole clip does not fit (the default tiles need {_gb(_tile_bytes())}, its weights "
        "included), and the vocoder is small.",
    )
    return "\n\n".join(paragraphs) + "\n"


def _tile_bytes() -> int:
    width, height, frames = 512, 352, 64
    with torch.device("meta"):
        decoder = VideoDecoderConfigurator.from_config(_config()).to(torch.bfloat16)
    weights = sum(tensor.nbytes for tensor in decoder.parameters())
    return weights + convolution_bytes(width * height * frames, ITEMSIZE)


def _config() -> dict[str, Any]:
    return json.loads((REPO / "tests" / "inventory" / "config-22b.json").read_text())


def _gb(count: float) -> str:
    return f"{count / 1e9:.0f} GB" if count >= 10e9 else f"{count / 1e9:.1f} GB"


def main() -> int:
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(REPO)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
