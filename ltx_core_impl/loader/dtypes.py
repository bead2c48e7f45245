"""The dtype names of safetensors headers."""

from __future__ import annotations

import torch

BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
    "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4,
    "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}  # fmt: skip

TORCH = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
    "I16": torch.int16, "F16": torch.float16, "BF16": torch.bfloat16,
    "I32": torch.int32, "F32": torch.float32,
    "I64": torch.int64, "F64": torch.float64, "C64": torch.complex64,
}  # fmt: skip


def torch_dtype(name: str) -> torch.dtype:
    """The torch dtype of a header's dtype name; ``ValueError`` for one torch cannot hold.

    E8M0 and the unsigned types are looked up by name because old torch versions lack them; E8M0 is then its raw byte.
    """
    extra = {"F8_E8M0": "float8_e8m0fnu", "U16": "uint16", "U32": "uint32", "U64": "uint64"}
    absent = torch.uint8 if name == "F8_E8M0" else None
    dtype = TORCH.get(name) or getattr(torch, extra.get(name, ""), absent)
    if dtype is None:
        raise ValueError(f"dtype {name} is not known to this version of torch")
    return dtype
