"""Linear light to what a screen shows (spec 07 §7.5, §13.7)."""

from __future__ import annotations

from torch import Tensor

from ..light.curves import srgb_curve


def tone_mapped(linear: Tensor, exposure: float = 0.0) -> Tensor:
    """A preview of linear light: ``exposure`` stops brighter, highlights rolled off (Reinhard), in sRGB.

    Values in [0, 1], for any light from 0 up; negative light is black.
    """
    light = linear.clamp_min(0) * 2.0**exposure
    return srgb_curve(light / (1 + light))
