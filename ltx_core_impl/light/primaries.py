"""Primaries, and the matrices between them, computed from chromaticities with Bradford adaptation (spec 08 §2.2)."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

D65, ACES_WHITE = (0.3127, 0.3290), (0.32168, 0.33767)
_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))


class Primaries(NamedTuple):
    """CIE 1931 chromaticities (x, y) of the three colours and of white."""

    red: tuple[float, float]
    green: tuple[float, float]
    blue: tuple[float, float]
    white: tuple[float, float] = D65

    @property
    def numbers(self) -> tuple[float, ...]:
        """The eight numbers in the order of EXR's ``chromaticities``."""
        return (*self.red, *self.green, *self.blue, *self.white)


REC709 = Primaries((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
REC2020 = Primaries((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
P3 = Primaries((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
AP1 = Primaries((0.713, 0.293), (0.165, 0.830), (0.128, 0.044), ACES_WHITE)


@lru_cache(maxsize=16)
def matrix(source: Primaries, target: Primaries) -> Tensor:
    """The float64 matrix ``(3, 3)`` with ``target_i = sum_j M[i, j] * source_j`` for linear light."""
    adapted = _to_xyz(source)
    if source.white != target.white:
        adapted = _adaptation(source.white, target.white) @ adapted
    return torch.linalg.inv(_to_xyz(target)) @ adapted


def convert_primaries(linear: Tensor, by: Tensor) -> Tensor:
    """Multiply ``(..., 3)`` linear RGB by a 3×3 matrix."""
    return linear @ by.to(linear).T


def _to_xyz(primaries: Primaries) -> Tensor:
    columns = torch.stack([_xyz(point) for point in primaries], dim=1)
    return columns[:, :3] * torch.linalg.solve(columns[:, :3], columns[:, 3])


def _xyz(point: tuple[float, float]) -> Tensor:
    """A colour of this chromaticity with a luminance of 1."""
    x, y = point
    return torch.tensor([value / y for value in (x, y, 1 - x - y)], dtype=torch.float64, device="cpu")


def _adaptation(source: tuple[float, float], target: tuple[float, float]) -> Tensor:
    cones = torch.tensor(_BRADFORD, dtype=torch.float64, device="cpu")
    gains = (cones @ _xyz(target)) / (cones @ _xyz(source))
    return torch.linalg.solve(cones, gains[:, None] * cones)
