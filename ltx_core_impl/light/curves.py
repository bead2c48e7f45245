"""Curves between linear light and code values in [0, 1]: ACEScct, LogC3, sRGB, HLG, PQ.

Sources: spec 03 §9 and §14, spec 08 §2.1 and §2.5, ITU-R BT.2100 (PQ, HLG), IEC 61966-2-1 (sRGB).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# ARRI LogC3 at exposure index 800.
LOGC3_A, LOGC3_B, LOGC3_C, LOGC3_D, LOGC3_E, LOGC3_F = 5.555556, 0.052272, 0.247190, 0.385537, 5.367655, 0.092809
LOGC3_CUT = 0.010591

ACESCCT_CUT, ACESCCT_CURVE_CUT = 0.0078125, 0.155251141552511
ACESCCT_SLOPE, ACESCCT_OFFSET = 10.5402377416545, 0.0729055341958355
ACESCCT_LOG_SCALE, ACESCCT_LOG_OFFSET = 17.52, 9.72

_SRGB_TOE, _SRGB_KNEE, _SRGB_SLOPE, _SRGB_OFFSET, _SRGB_GAMMA = 0.0031308, 0.04045, 12.92, 0.055, 2.4

_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073
HLG_WHITE_SIGNAL = 0.75
"""The HLG signal of reference white (BT.2408)."""

PQ_PEAK = 10000.0
"""Light in cd/m2 at the top of the PQ scale."""
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


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
    """Linear light -> ACEScct in [0, 1]; 1 is reached at 222.86."""
    x = linear.clamp_min(0)
    log = (torch.log2(x.clamp_min(1e-12)) + ACESCCT_LOG_OFFSET) / ACESCCT_LOG_SCALE
    return torch.where(x > ACESCCT_CUT, log, ACESCCT_SLOPE * x + ACESCCT_OFFSET).clamp(0, 1)


def acescct_decompress(curve: Tensor) -> Tensor:
    """ACEScct, clamped to [0, 1], -> linear light; codes below that of black give a little below 0."""
    y = curve.clamp(0, 1)
    exponential = torch.exp2(ACESCCT_LOG_SCALE * y - ACESCCT_LOG_OFFSET)
    return torch.where(y > ACESCCT_CURVE_CUT, exponential, (y - ACESCCT_OFFSET) / ACESCCT_SLOPE)


def srgb_curve(linear: Tensor) -> Tensor:
    """Linear light, clipped to [0, 1], to sRGB values in [0, 1]."""
    x = linear.clamp(0, 1)
    bent = (1 + _SRGB_OFFSET) * x.clamp_min(_SRGB_TOE) ** (1 / _SRGB_GAMMA) - _SRGB_OFFSET
    return torch.where(x <= _SRGB_TOE, x * _SRGB_SLOPE, bent)


def srgb_to_linear(values: Tensor) -> Tensor:
    """sRGB values, clipped to [0, 1], to linear light in [0, 1]."""
    y = values.clamp(0, 1)
    return torch.where(y <= _SRGB_KNEE, y / _SRGB_SLOPE, ((y + _SRGB_OFFSET) / (1 + _SRGB_OFFSET)) ** _SRGB_GAMMA)


def pq_to_light(code: Tensor) -> Tensor:
    """PQ values in [0, 1] to cd/m2."""
    power = code.clamp(0, 1) ** (1 / _M2)
    return PQ_PEAK * ((power - _C1).clamp_min(0) / (_C2 - _C3 * power)) ** (1 / _M1)


def light_to_pq(light: Tensor) -> Tensor:
    """cd/m2 to PQ values in [0, 1]."""
    power = (light / PQ_PEAK).clamp(0, 1) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def hlg_to_scene(code: Tensor) -> Tensor:
    """HLG values in [0, 1] to the light of the scene, 1 = the top of the curve."""
    x = code.clamp(0, 1)
    return torch.where(x <= 0.5, x**2 / 3, (((x - _HLG_C) / _HLG_A).exp() + _HLG_B) / 12)


def scene_to_hlg(scene: Tensor) -> Tensor:
    """The light of the scene, clipped to [0, 1], to HLG values in [0, 1]."""
    x = scene.clamp(0, 1)
    log = _HLG_A * (12 * x - _HLG_B).clamp_min(1e-6).log() + _HLG_C
    return torch.where(x <= 1 / 12, (3 * x).sqrt(), log).clamp(0, 1)


HLG_WHITE = (math.exp((HLG_WHITE_SIGNAL - _HLG_C) / _HLG_A) + _HLG_B) / 12
"""The scene light of reference white: `hlg_to_scene` of 0.75, 0.265."""


def rolled_into_hlg(linear: Tensor) -> Tensor:
    """Linear light, 1 = reference white, to HLG's scene light in [0, 1): white lands on the signal 0.75.

    Up to white it is scaled; above, the curve goes on with the same slope and bends towards 1. Negative light and NaN
    are black.
    """
    light = linear.nan_to_num(nan=0.0).clamp_min(0)
    slope = HLG_WHITE / (1 - HLG_WHITE)
    above = 1 - (1 - HLG_WHITE) * torch.exp(-slope * (light - 1).clamp_min(0))
    return torch.where(light <= 1, light * HLG_WHITE, above)
