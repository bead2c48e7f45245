"""What can be loaded: one example of each stored format, for the tables of the help pages and for their tests.

Nothing here decides anything: the tables run these examples through the code that does.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from .formats import StoredTensor
from .gguf_blocks import BLOCK_TYPES, decodes_in_torch

FP8, E5M2, E8M0 = torch.float8_e4m3fn, torch.float8_e5m2, torch.uint8
OUT, IN = 256, 256


class Example(NamedTuple):
    """A format by the words that people use, who makes such files, and the tensors of one layer ``(256, 256)``."""

    name: str
    makers: str
    weight: StoredTensor
    auxiliary: dict[str, StoredTensor]


def _number(dtype: torch.dtype = torch.float32) -> StoredTensor:
    return StoredTensor(dtype, ())


EXAMPLES = (
    Example("bf16, fp16, fp32", "Lightricks and everyone", StoredTensor(torch.bfloat16, (OUT, IN)), {}),
    Example("fp8 (e4m3 or e5m2) without scales", "Kijai and others", StoredTensor(FP8, (OUT, IN)), {}),
    Example(
        "fp8 with one scale per tensor (`fp8`, `fp8_scaled`)",
        "Lightricks, ComfyUI, Kijai",
        StoredTensor(FP8, (OUT, IN)),
        {"weight_scale": _number(), "input_scale": _number()},
    ),
    Example(
        "fp8 with a scale per row",
        "conversion tools",
        StoredTensor(FP8, (OUT, IN)),
        {"weight_scale": StoredTensor(torch.float32, (OUT, 1))},
    ),
    Example(
        "fp8 with a scale per block (of inputs, or 128 x 128)",
        "trainers, conversion tools",
        StoredTensor(FP8, (OUT, IN)),
        {"weight_scale_inv": StoredTensor(torch.float32, (OUT // 128, IN // 128))},
    ),
    Example(
        "mxfp8 (`mxfp8_block32`)",
        "ComfyUI (comfy-kitchen), Kijai",
        StoredTensor(FP8, (OUT, IN)),
        {"weight_scale": StoredTensor(E8M0, (OUT, 8))},
    ),
    Example(
        "nvfp4 (`fp4`, `nvfp4`, `fp4_mixed`)",
        "Lightricks, ComfyUI",
        StoredTensor(torch.uint8, (OUT, IN // 2)),
        {"weight_scale": StoredTensor(FP8, (OUT, 16)), "weight_scale_2": _number()},
    ),
    Example(
        "int8, also rotated (`int8`, `int8-convrot`)",
        "Lightricks, ComfyUI",
        StoredTensor(torch.int8, (OUT, IN)),
        {"weight_scale": StoredTensor(torch.float32, (OUT, 1)), "comfy_quant": StoredTensor(torch.uint8, (64,))},
    ),
    *(
        Example(f"GGUF: {', '.join(names)}", makers, StoredTensor(torch.uint8, (OUT, IN), names[0]), {})
        for names, makers in (
            ([name for name in BLOCK_TYPES if decodes_in_torch(name)], "Kijai and others"),
            ([name for name in BLOCK_TYPES if not decodes_in_torch(name)], "llama.cpp's tools"),
        )
    ),
)
