"""HDR films on an SDR screen: PQ and HLG code values to the light they stand for, and that light tone-mapped.

Sources: ITU-R BT.2100 (PQ, HLG), BT.2390 section 5.4 (the roll-off), BT.2408 (203 cd/m2 is SDR's white).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

# Code points of ITU-T H.273.
BT709, BT2020, P3 = 1, 9, 12
PQ, HLG = 16, 18

CHROMATICITIES = {
    BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_WHITE = (0.3127, 0.3290)
SDR_WHITE, HDR_PEAK, PQ_PEAK = 203.0, 1000.0, 10000.0
"""Light in cd/m2: what SDR calls 1, the screen that HDR films are made on, and the top of the PQ scale."""
HLG_SYSTEM_GAMMA = 1.2
SCREEN_GAMMA = 2.4
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073


def pq_to_light(code: Tensor) -> Tensor:
    """PQ values in [0, 1] to cd/m2."""
    power = code.clamp(0, 1) ** (1 / _M2)
    return PQ_PEAK * ((power - _C1).clamp_min(0) / (_C2 - _C3 * power)) ** (1 / _M1)


def light_to_pq(light: Tensor) -> Tensor:
    """cd/m2 to PQ values in [0, 1]."""
    power = (light / PQ_PEAK).clamp(0, 1) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def hlg_to_light(code: Tensor) -> Tensor:
    """HLG values ``(..., 3)`` in [0, 1], in BT.2020 primaries, to cd/m2 on a screen of 1000 cd/m2."""
    x = code.clamp(0, 1)
    scene = torch.where(x <= 0.5, x**2 / 3, (((x - _HLG_C) / _HLG_A).exp() + _HLG_B) / 12)
    luminance = (scene * scene.new_tensor([0.2627, 0.6780, 0.0593])).sum(-1, keepdim=True)
    return HDR_PEAK * luminance.clamp_min(1e-9) ** (HLG_SYSTEM_GAMMA - 1) * scene


def rolled_off(light: Tensor) -> Tensor:
    """Light ``(..., 3)`` of an HDR film in cd/m2 to SDR's range, 1 = white.

    Dark and middle tones stay, highlights bend. The curve acts on the brightest of the three colours and scales the
    others with it, so that hues stay.
    """
    top = light.amax(-1, keepdim=True).clamp_min(1e-6)
    peak, target = (light_to_pq(top.new_tensor(one)) for one in (HDR_PEAK, SDR_WHITE))
    code, most = light_to_pq(top) / peak, target / peak
    knee = 1.5 * most - 0.5
    t = ((code.clamp_max(1) - knee) / (1 - knee)).clamp(0, 1)
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    mapped = pq_to_light(torch.where(code < knee, code, bent) * peak)
    return light * (mapped / top) / SDR_WHITE


@lru_cache(maxsize=4)
def to_bt709(primaries: int) -> Tensor:
    """The matrix ``(3, 3)`` from linear RGB in other primaries to those of BT.709; both have the white of D65."""
    return (torch.linalg.inv(_to_xyz(BT709)) @ _to_xyz(primaries)).float()


def _to_xyz(primaries: int) -> Tensor:
    points = [(x, y, 1 - x - y) for x, y in (*CHROMATICITIES[primaries], _WHITE)]
    columns = torch.tensor([[value / y for value in (x, y, z)] for x, y, z in points], dtype=torch.float64).T
    return columns[:, :3] * torch.linalg.solve(columns[:, :3], columns[:, 3])


def shown_as_sdr(rgb: Tensor, transfer: int, primaries: int) -> Tensor:
    """Code values ``(..., 3)`` in [0, 1] of a film to BT.709 code values in [0, 1], as an SDR screen shows it.

    ``transfer`` and ``primaries`` are code points of ITU-T H.273; those that are not known here are BT.709's.
    """
    if transfer == PQ:
        light = rolled_off(pq_to_light(rgb))
    elif transfer == HLG:
        light = rolled_off(hlg_to_light(rgb))
    elif primaries in (BT2020, P3):
        light = rgb.clamp(0, 1) ** SCREEN_GAMMA
    else:
        return rgb.clamp(0, 1)
    if primaries in (BT2020, P3):
        light = light @ to_bt709(primaries).to(light.device).T
    return light.clamp(0, 1) ** (1 / SCREEN_GAMMA)
