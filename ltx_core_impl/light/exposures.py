"""Two exposures of one picture to one of high range (spec 08 §2.6)."""

from __future__ import annotations

import torch
from torch import Tensor

_LUMA = (0.2126, 0.7152, 0.0722)
_MIDDLE, _LEAST = 0.5, 1e-5


def blend_exposures(
    dark: Tensor, bright: Tensor, dark_stops: float, bright_stops: float, smoothness: float
) -> tuple[Tensor, Tensor]:
    """Linear light ``(..., 3)`` of both, and the weight ``(...)`` of the dark exposure.

    Each is brought to the same light by its stops (those of a dark exposure are negative); where that is bright the
    dark one counts, elsewhere the bright one, with a border as soft as ``smoothness``. Light is 0 or more.
    """
    low, high = dark * 2.0**-dark_stops, bright * 2.0**-bright_stops
    luma = (low * low.new_tensor(_LUMA)).sum(-1)
    weight = torch.sigmoid((luma - _MIDDLE) / max(smoothness, _LEAST))
    return torch.lerp(high, low, weight[..., None]).clamp_min(0), weight
