"""Linear light to what a screen shows (spec 07 §7.5, §13.7)."""

from __future__ import annotations

import torch
from torch import Tensor

_TOE, _SLOPE, _OFFSET, _GAMMA = 0.0031308, 12.92, 0.055, 2.4


def srgb_curve(linear: Tensor) -> Tensor:
    """Linear light, clipped to [0, 1], to sRGB values in [0, 1]."""
    x = linear.clamp(0, 1)
    return torch.where(x <= _TOE, x * _SLOPE, (1 + _OFFSET) * x.clamp_min(_TOE) ** (1 / _GAMMA) - _OFFSET)


def tone_mapped(linear: Tensor, exposure: float = 0.0) -> Tensor:
    """A preview of linear light: ``exposure`` stops brighter, highlights rolled off (Reinhard), in sRGB.

    Values in [0, 1], for any light from 0 up; negative light is black.
    """
    light = linear.clamp_min(0) * 2.0**exposure
    return srgb_curve(light / (1 + light))
