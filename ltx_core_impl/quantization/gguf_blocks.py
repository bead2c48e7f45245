"""The block types of GGUF files: their sizes, and decoding them in PyTorch.

A row of a weight is cut into blocks of 32 or 256 inputs; each block holds its codes and its scales in a few bytes. The
names and the meaning of the bytes are those of ggml.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable

import torch
from torch import Tensor

BLOCK_TYPES = {
    "Q4_0": (32, 18), "Q4_1": (32, 20), "Q5_0": (32, 22), "Q5_1": (32, 24), "Q8_0": (32, 34),
    "Q2_K": (256, 84), "Q3_K": (256, 110), "Q4_K": (256, 144), "Q5_K": (256, 176), "Q6_K": (256, 210),
    "IQ2_XXS": (256, 66), "IQ2_XS": (256, 74), "IQ3_XXS": (256, 98), "IQ1_S": (256, 50), "IQ4_NL": (32, 18),
    "IQ3_S": (256, 110), "IQ2_S": (256, 82), "IQ4_XS": (256, 136), "IQ1_M": (256, 56), "TQ1_0": (256, 54),
    "TQ2_0": (256, 66), "MXFP4": (32, 17),
}  # fmt: skip
"""Inputs and bytes of a block, by the type's name."""

INSTALL = "pip install gguf"

AT_ONCE = 1 << 24
"""Values that are decoded at a time: in between they take some 16 bytes each."""


def packed_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape in bytes of a tensor of this type and logical shape.

    Raises:
        ValueError: rows that are no whole number of blocks.
    """
    inputs, size = BLOCK_TYPES[name]
    if not shape or shape[-1] % inputs:
        raise ValueError(
            f"rows of {shape[-1] if shape else 1} values are no whole blocks of {inputs}, which {name} has"
        )
    return (*shape[:-1], shape[-1] // inputs * size)


def decodes_in_torch(name: str) -> bool:
    """Whether layers may keep this type packed: the others are decoded once, by the gguf package."""
    return name in _DECODERS


def require_decoder(name: str) -> None:
    """Raise ``ValueError``, with the command that helps, for a type that only the absent gguf package decodes."""
    if not decodes_in_torch(name) and importlib.util.find_spec("gguf") is None:
        raise ValueError(f"the GGUF type {name} is decoded by the package gguf, which is not installed: {INSTALL}")


def dequantize_gguf(packed: Tensor, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor of logical ``shape`` in ``dtype`` from its bytes (uint8, any shape), computed in float32.

    Raises:
        ValueError: too few or too many bytes, or a type whose decoder is not installed.
    """
    inputs, size = BLOCK_TYPES[name]
    if math.prod(shape) * size != packed.numel() * inputs:
        raise ValueError(f"{name} of shape {tuple(shape)} cannot have {packed.numel()} bytes")
    blocks = packed.reshape(-1, size)
    decode = _DECODERS.get(name)
    if decode is None:
        return _by_package(blocks, name).reshape(shape).to(dtype)
    values = torch.empty(len(blocks), inputs, dtype=dtype, device=packed.device)
    step = AT_ONCE // inputs
    for start in range(0, len(blocks), step):
        values[start : start + step] = decode(blocks[start : start + step]).reshape(-1, inputs)
    return values.reshape(shape)


def _by_package(blocks: Tensor, name: str) -> Tensor:
    require_decoder(name)
    gguf = importlib.import_module("gguf")
    try:
        values = gguf.quants.dequantize(blocks.cpu().numpy(), getattr(gguf.GGMLQuantizationType, name))
    except (AttributeError, NotImplementedError) as error:
        raise ValueError(f"this version of the package gguf cannot decode {name}: {INSTALL} --upgrade") from error
    return torch.from_numpy(values).to(blocks.device)


def _half(blocks: Tensor, start: int) -> Tensor:
    """The float16 at a byte of every block, as float32 ``(blocks, 1)``."""
    return blocks[:, start : start + 2].contiguous().view(torch.float16).float()


def _nibbles(codes: Tensor) -> Tensor:
    """``(blocks, n)`` bytes to ``(blocks, 2 n)``: all low halves, then all high halves."""
    return torch.cat((codes & 15, codes >> 4), dim=1)


def _fifth_bits(blocks: Tensor, start: int) -> Tensor:
    """32 bits from 4 bytes, ``(blocks, 32)``."""
    shifts = torch.arange(8, device=blocks.device, dtype=torch.uint8)
    return ((blocks[:, start : start + 4, None] >> shifts) & 1).flatten(1)


def _q4_0(blocks: Tensor) -> Tensor:
    return _half(blocks, 0) * (_nibbles(blocks[:, 2:]).float() - 8)


def _q4_1(blocks: Tensor) -> Tensor:
    return _half(blocks, 0) * _nibbles(blocks[:, 4:]).float() + _half(blocks, 2)


def _q5_0(blocks: Tensor) -> Tensor:
    codes = _nibbles(blocks[:, 6:]) | _fifth_bits(blocks, 2) << 4
    return _half(blocks, 0) * (codes.float() - 16)


def _q5_1(blocks: Tensor) -> Tensor:
    codes = _nibbles(blocks[:, 8:]) | _fifth_bits(blocks, 4) << 4
    return _half(blocks, 0) * codes.float() + _half(blocks, 2)


def _q8_0(blocks: Tensor) -> Tensor:
    return _half(blocks, 0) * blocks[:, 2:].contiguous().view(torch.int8).float()


def _pairs_of_bits(codes: Tensor, shifts: tuple[int, ...]) -> Tensor:
    """``(blocks, 2 halves, 32)`` bytes to ``(blocks, 2, 4, 32)`` codes of two bits."""
    return (codes[:, :, None, :] >> torch.tensor(shifts, device=codes.device, dtype=torch.uint8)[:, None]) & 3


def _q2_k(blocks: Tensor) -> Tensor:
    scales = blocks[:, :16]
    codes = _pairs_of_bits(blocks[:, 16:80].unflatten(1, (2, 32)), (0, 2, 4, 6)).reshape(-1, 16, 16).float()
    scale = _half(blocks, 80) * (scales & 15).float()
    least = _half(blocks, 82) * (scales >> 4).float()
    return scale[:, :, None] * codes - least[:, :, None]


def _q3_k(blocks: Tensor) -> Tensor:
    low = _pairs_of_bits(blocks[:, 32:96].unflatten(1, (2, 32)), (0, 2, 4, 6)).flatten(1, 2)
    bits = torch.arange(8, device=blocks.device, dtype=torch.uint8)[:, None]
    high = (blocks[:, None, :32] >> bits) & 1
    codes = (low | high << 2).reshape(-1, 16, 16).float() - 4
    packed = blocks[:, 96:108]
    shifts = torch.tensor((0, 2, 4, 6), device=blocks.device, dtype=torch.uint8)[:, None]
    scales = _nibbles(packed[:, :8]) | ((packed[:, None, 8:] >> shifts) & 3).flatten(1) << 4
    return (_half(blocks, 108) * (scales.float() - 32))[:, :, None] * codes


def _scales_and_minima(packed: Tensor) -> tuple[Tensor, Tensor]:
    """Eight scales and eight minima of 6 bits each from 12 bytes; both ``(blocks, 8)``, as float32."""
    first, second, third = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = torch.cat((first & 63, third & 15 | first >> 6 << 4), dim=1)
    minima = torch.cat((second & 63, third >> 4 | second >> 6 << 4), dim=1)
    return scales.float(), minima.float()


def _with_minima(blocks: Tensor, codes: Tensor) -> Tensor:
    """Codes ``(blocks, 8, 32)`` of the two K types that begin with a scale and a minimum per block."""
    scales, minima = _scales_and_minima(blocks[:, 4:16])
    return (_half(blocks, 0) * scales)[:, :, None] * codes.float() - (_half(blocks, 2) * minima)[:, :, None]


def _in_halves(codes: Tensor) -> Tensor:
    """128 bytes ``(blocks, 128)`` to ``(blocks, 8, 32)``: of every 32 bytes first the low halves, then the high."""
    codes = codes.unflatten(1, (4, 1, 32))
    return torch.cat((codes & 15, codes >> 4), dim=2).flatten(1, 2)


def _q4_k(blocks: Tensor) -> Tensor:
    return _with_minima(blocks, _in_halves(blocks[:, 16:]))


def _q5_k(blocks: Tensor) -> Tensor:
    bits = torch.arange(8, device=blocks.device, dtype=torch.uint8)[:, None]
    fifth = (blocks[:, None, 16:48] >> bits) & 1
    return _with_minima(blocks, _in_halves(blocks[:, 48:]) | fifth << 4)


def _q6_k(blocks: Tensor) -> Tensor:
    low = blocks[:, :128].unflatten(1, (2, 1, 64))
    low = torch.cat((low & 15, low >> 4), dim=2).unflatten(3, (2, 32)).flatten(2, 3)
    high = _pairs_of_bits(blocks[:, 128:192].unflatten(1, (2, 32)), (0, 2, 4, 6))
    codes = (low | high << 4).reshape(-1, 16, 16).float() - 32
    scales = blocks[:, 192:208].contiguous().view(torch.int8).float()
    return (_half(blocks, 208) * scales)[:, :, None] * codes


_DECODERS: dict[str, Callable[[Tensor], Tensor]] = {
    "Q4_0": _q4_0, "Q4_1": _q4_1, "Q5_0": _q5_0, "Q5_1": _q5_1, "Q8_0": _q8_0,
    "Q2_K": _q2_k, "Q3_K": _q3_k, "Q4_K": _q4_k, "Q5_K": _q5_k, "Q6_K": _q6_k,
}  # fmt: skip
