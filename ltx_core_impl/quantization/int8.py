"""Decoding ComfyUI's int8 weights, also rotated ones ("convrot").

A weight ``(out, in)`` is stored as int8 with one scale per row, or one for all. Rotated weights were multiplied by an
orthogonal matrix in groups of inputs before rounding, which spreads outliers; multiplying once more undoes it. The
format is that of comfy-kitchen's ``TensorWiseINT8Layout``.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

DEFAULT_GROUP = 256
_H4 = ((1, 1, 1, -1), (1, 1, -1, 1), (1, -1, 1, 1), (-1, 1, 1, 1))


def dequantize_int8(codes: Tensor, scale: Tensor, rotation: int, dtype: torch.dtype) -> Tensor:
    """The weight ``(out, in)`` in ``dtype``, computed in float32.

    Args:
        codes: int8 ``(out, in)``.
        scale: ``()``, ``(1,)``, ``(out,)`` or ``(out, 1)``.
        rotation: inputs per rotated group; 0 for a weight that was not rotated.

    Raises:
        ValueError: groups that do not divide the inputs, or a size that has no such matrix.
    """
    wide = codes.float().mul_(scale.float().reshape(-1, 1))
    if rotation:
        if wide.shape[1] % rotation:
            raise ValueError(f"a weight of {wide.shape[1]} inputs has no whole groups of {rotation}")
        wide = (wide.unflatten(1, (-1, rotation)) @ rotation_matrix(rotation).to(wide.device)).flatten(1)
    return wide.to(dtype)


@lru_cache
def rotation_matrix(size: int) -> Tensor:
    """The regular Hadamard matrix of a power of 4, scaled to be orthogonal: symmetric, so its own inverse.

    Raises:
        ValueError: not a power of 4.
    """
    matrix, base = torch.ones(1, 1), torch.tensor(_H4, dtype=torch.float32)
    while len(matrix) < size:
        matrix = torch.kron(matrix, base)
    if len(matrix) != size:
        raise ValueError(f"rotated groups have 4, 16, 64, 256 ... inputs; got {size}")
    return matrix / size**0.5
