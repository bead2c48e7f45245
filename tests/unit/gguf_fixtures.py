"""GGUF files for the tests: written byte by byte, so that damaged ones can be made too."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ltx_core_impl.quantization.gguf_blocks import BLOCK_TYPES

ALIGNMENT = 32
_IDS = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "Q2_K": 10, "Q3_K": 11, "Q4_K": 12}
_IDS |= {"Q5_K": 13, "Q6_K": 14, "IQ4_NL": 20, "BF16": 30}
_HALVES = {
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "Q4_1": (0, 2),
    "Q5_1": (0, 2),
}
_DTYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def random_blocks(name: str, shape: tuple[int, int], seed: int = 0) -> Tensor:
    """Random bytes of a block type for a weight of this shape, with scales of a sane size."""
    inputs, size = BLOCK_TYPES[name]
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.randint(0, 256, (shape[0], shape[1] // inputs, size), dtype=torch.uint8, generator=generator)
    for place in _HALVES.get(name, (0,)):
        scale = torch.rand(*blocks.shape[:2], 1, generator=generator).mul(0.01).half()
        blocks[:, :, place : place + 2] = scale.view(torch.uint8)
    return blocks.flatten(1)


def gguf_bytes(
    tensors: Mapping[str, Tensor | tuple[str, tuple[int, ...], Tensor]],
    metadata: Mapping[str, str | tuple[int, ...]] | None = None,
) -> bytes:
    """A file of plain tensors, and of packed ones given as ``(type, logical shape, bytes)``."""
    infos, data = b"", b""
    for name, value in tensors.items():
        kind, shape, raw = value if isinstance(value, tuple) else (_DTYPES[value.dtype], value.shape, value)
        data += bytes(-len(data) % ALIGNMENT)
        infos += text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", s) for s in reversed(shape))
        infos += struct.pack("<IQ", _IDS[kind], len(data))
        data += raw.contiguous().flatten().view(torch.uint8).numpy().tobytes()
    entries = b""
    for key, value in (metadata or {}).items():
        entries += text(key)
        if isinstance(value, str):
            entries += struct.pack("<I", 8) + text(value)
        else:
            entries += struct.pack("<IIQ", 9, 5, len(value)) + struct.pack(f"<{len(value)}i", *value)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata or {})) + entries + infos
    return head + bytes(-len(head) % ALIGNMENT) + data


def save_gguf(path: Path, *args: object) -> Path:
    path.write_bytes(gguf_bytes(*args))
    return path
