"""Files for the loader's tests: toy checkpoints, and full-size ones that take no disk space."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from ltx_core_impl.loader.dtypes import BYTES
from tests.conftest import TESTS


class Toy(nn.Module):
    """Two linears, the second without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = nn.Linear(4, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x))


class ToyConfigurator:
    """Builds a ``Toy`` from any config."""

    @classmethod
    def from_config(cls, config: Mapping) -> Toy:
        return Toy()


class Blocks(nn.Module):
    """Linears at places where the quantization policies look."""

    def __init__(self, layers: int = 3, width: int = 16) -> None:
        super().__init__()
        self.patchify_proj = nn.Linear(width, width)
        self.transformer_blocks = nn.ModuleList()
        for _ in range(layers):
            block = nn.Module()
            block.attn1 = nn.Module()
            block.attn1.to_q = nn.Linear(width, width)
            block.attn1.to_gate_logits = nn.Linear(width, 4)
            block.attn1.q_norm = nn.LayerNorm(width, bias=False)
            self.transformer_blocks.append(block)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patchify_proj(x)
        for block in self.transformer_blocks:
            x = x + block.attn1.q_norm(block.attn1.to_q(x))
        return x


class BlocksConfigurator:
    """Builds ``Blocks``; every name of the file is the model's."""

    layers: ClassVar[int] = 3

    @classmethod
    def from_config(cls, config: Mapping) -> Blocks:
        return Blocks(cls.layers)


def toy_tensors(dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """The tensors of a ``Toy``."""
    generator = torch.Generator().manual_seed(1)
    shapes = {"a.weight": (4, 4), "a.bias": (4,), "b.weight": (4, 4)}
    return {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}


def inventory(size: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the full-size combined checkpoint ``19b`` or ``22b``."""
    lines = (TESTS / "inventory" / f"inventory-{size}.tsv").read_text().splitlines()
    pairs = (line.split("\t") for line in lines if line)
    return {name: tuple(int(n) for n in shape.split(",")) if shape else () for name, shape in pairs}


def published_config(size: str) -> str:
    """The published config of ``19b`` or ``22b``."""
    return (TESTS / "inventory" / f"config-{size}.json").read_text()


def sparse_checkpoint(
    folder: Path,
    shapes: Mapping[str, tuple[int, ...]],
    metadata: Mapping[str, str] | None = None,
    dtype: str = "BF16",
    name: str = "sparse.safetensors",
) -> Path:
    """A file with a real header whose tensors are a hole: of full size, but empty on disk."""
    header: dict = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for key, shape in shapes.items():
        end = position + math.prod(shape) * BYTES[dtype]
        header[key] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header).encode()
    path = folder / name
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + position)
    return path
