"""Rotary embedding of (time, height, width) positions (spec 03 §13.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from .params import Size

THETA = 10000.0


def axis_dims(head_dim: int) -> Size:
    """How a head's channels are shared out to the axes: about a quarter to time, the rest to height and width."""
    time = 2 * (head_dim // 4 // 2)
    if (head_dim - time) // 2 % 2:
        time -= 2
    space = (head_dim - time) // 2
    return time, space, space


def inverse_frequencies(dims: int) -> Tensor:
    """Float32 ``(dims/2,)``, computed in float64."""
    exponent = torch.arange(0, dims, 2, dtype=torch.float64, device="cpu") / dims
    return (THETA**-exponent).float()


def rotate_(x: Tensor) -> Tensor:
    """Rotate ``(B, T, H, W, heads, d)`` in place by each token's position in this tensor.

    Channel pairs (2i, 2i+1) of each axis rotate in float32.
    """
    offset = 0
    for axis, dims in enumerate(axis_dims(x.shape[-1]), start=1):
        positions = torch.arange(x.shape[axis], dtype=torch.float32, device=x.device)
        angles = positions[:, None] * inverse_frequencies(dims).to(x.device)
        shape = [1] * x.ndim
        shape[axis], shape[-1] = angles.shape
        cos, sin = angles.cos().view(shape), angles.sin().view(shape)
        even, odd = x[..., offset : offset + dims : 2], x[..., offset + 1 : offset + dims : 2]
        rotated_even = even.float() * cos - odd.float() * sin
        odd.copy_(even.float() * sin + odd.float() * cos)
        even.copy_(rotated_even)
        offset += dims
    return x
