"""Curves and primaries between linear HDR light and what the VAE sees (spec 03 §9, §14).

Pictures are ``(..., 3)`` RGB; linear light is unbounded above, curves give [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

ACESCG_TO_REC709 = torch.tensor(
    [[1.70505, -0.62179, -0.08326], [-0.13026, 1.1408, -0.01055], [-0.024, -0.12897, 1.15297]],
    dtype=torch.float64,
    device="cpu",
)
REC709_TO_ACESCG = torch.linalg.inv(ACESCG_TO_REC709)

# ARRI LogC3 at exposure index 800.
LOGC3_A, LOGC3_B, LOGC3_C, LOGC3_D, LOGC3_E, LOGC3_F = 5.555556, 0.052272, 0.247190, 0.385537, 5.367655, 0.092809
LOGC3_CUT = 0.010591

ACESCCT_CUT, ACESCCT_CURVE_CUT = 0.0078125, 0.155251141552511
ACESCCT_SLOPE, ACESCCT_OFFSET = 10.5402377416545, 0.0729055341958355
ACESCCT_LOG_SCALE, ACESCCT_LOG_OFFSET = 17.52, 9.72


def logc3_compress(linear: Tensor) -> Tensor:
    """Linear light -> LogC3 in [0, 1]; 1 is reached at about 55."""
    x = linear.clamp_min(0)
    log = LOGC3_C * torch.log10(LOGC3_A * x + LOGC3_B) + LOGC3_D
    return torch.where(x >= LOGC3_CUT, log, LOGC3_E * x + LOGC3_F).clamp(0, 1)


def logc3_decompress(curve: Tensor) -> Tensor:
    """LogC3, clamped to [0, 1], -> linear light; black gives a little below 0."""
    y = curve.clamp(0, 1)
    exponential = (torch.pow(10.0, (y - LOGC3_D) / LOGC3_C) - LOGC3_B) / LOGC3_A
    return torch.where(y >= LOGC3_E * LOGC3_CUT + LOGC3_F, exponential, (y - LOGC3_F) / LOGC3_E)


def acescct_compress(linear: Tensor) -> Tensor:
    """Linear light -> ACEScct in [0, 1]."""
    x = linear.clamp_min(0)
    log = (torch.log2(x.clamp_min(1e-12)) + ACESCCT_LOG_OFFSET) / ACESCCT_LOG_SCALE
    return torch.where(x > ACESCCT_CUT, log, ACESCCT_SLOPE * x + ACESCCT_OFFSET).clamp(0, 1)


def acescct_decompress(curve: Tensor) -> Tensor:
    """ACEScct, clamped to [0, 1], -> linear light."""
    y = curve.clamp(0, 1)
    exponential = torch.exp2(ACESCCT_LOG_SCALE * y - ACESCCT_LOG_OFFSET)
    return torch.where(y > ACESCCT_CURVE_CUT, exponential, (y - ACESCCT_OFFSET) / ACESCCT_SLOPE)


def convert_primaries(linear: Tensor, matrix: Tensor) -> Tensor:
    """Multiply ``(..., 3)`` linear RGB by a 3×3 matrix."""
    return linear @ matrix.to(linear).T


@dataclass(frozen=True)
class HdrCurve:
    """A curve and the primaries it is defined on.

    Attributes:
        compress, decompress: linear light in those primaries <-> curve values.
        from_rec709, to_rec709: 3×3 matrices; None for a curve on Rec.709.
    """

    compress: Callable[[Tensor], Tensor]
    decompress: Callable[[Tensor], Tensor]
    from_rec709: Tensor | None = None
    to_rec709: Tensor | None = None

    def to_working_space(self, linear: Tensor) -> Tensor:
        """Linear Rec.709 ``(..., 3)`` -> curve values."""
        if self.from_rec709 is not None:
            linear = convert_primaries(linear, self.from_rec709)
        return self.compress(linear.clamp_min(0))

    def to_linear(self, curve: Tensor) -> Tensor:
        """Curve values ``(..., 3)`` -> linear Rec.709, not below 0."""
        linear = self.decompress(curve)
        if self.to_rec709 is not None:
            linear = convert_primaries(linear, self.to_rec709)
        return linear.clamp_min(0)


LOGC3 = HdrCurve(compress=logc3_compress, decompress=logc3_decompress)
ACESCCT = HdrCurve(
    compress=acescct_compress,
    decompress=acescct_decompress,
    from_rec709=REC709_TO_ACESCG,
    to_rec709=ACESCG_TO_REC709,
)
