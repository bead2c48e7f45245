"""A checkpoint of the published names and shapes with random weights, written as fast as the disk takes it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tools.provision import REPO

INVENTORY = REPO / "tests" / "inventory"
_BYTES = torch.bfloat16.itemsize


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of every tensor of the combined LTX-2.3 file."""
    shapes = {}
    for line in (INVENTORY / "inventory-22b.tsv").read_text().splitlines():
        name, _, sizes = line.partition("\t")
        shapes[name] = tuple(int(size) for size in sizes.split(",") if size)
    return shapes


def published_file_config() -> dict[str, Any]:
    """The config that the combined file of LTX-2.3 carries."""
    return json.loads((INVENTORY / "config-22b.json").read_text())


def write_random_checkpoint(
    path: Path, shapes: dict[str, tuple[int, ...]], config: dict[str, Any], device: torch.device
) -> int:
    """Writes a bfloat16 safetensors file tensor by tensor, its values made on ``device``; returns its bytes.

    A weight lies around 0 with a deviation of one over the root of its inputs, so that activations stay finite.
    """
    header: dict[str, Any] = {"__metadata__": {"config": json.dumps(config), "model_version": "2.3.0"}}
    offset = 0
    for name, shape in shapes.items():
        size = math.prod(shape) * _BYTES
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    generator = torch.Generator(device).manual_seed(0)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name, shape in shapes.items():
            scale, shift = _scale(name, shape)
            values = torch.empty(shape, dtype=torch.bfloat16, device=device).normal_(generator=generator)
            values = values.mul_(scale).add_(shift)
            if "std" in name:
                values = values.abs_()
            file.write(values.cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return path.stat().st_size


def write_random_context(path: Path, widths: tuple[int, int], tokens: int = 1024) -> None:
    """An encoded prompt as 'LTX-2 Save Context' writes it, so that no text encoder is needed."""
    generator = torch.Generator().manual_seed(1)
    video, audio = (torch.randn((1, tokens, width), generator=generator) for width in widths)
    save_file({"video_context": video, "audio_context": audio}, path, {"model_version": "2.3", "prompt": "random"})


def _scale(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    if "std" in name or "norm" in name:
        return 0.1, 1.0
    if len(shape) < 2 or "table" in name:
        return 0.1, 0.0
    return 1 / math.sqrt(math.prod(shape[1:])), 0.0
