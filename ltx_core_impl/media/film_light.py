"""HDR films on an SDR screen: PQ and HLG code values to the light they stand for, and that light tone-mapped.

Sources: ITU-R BT.2100 (PQ, HLG), BT.2390 section 5.4 (the roll-off), BT.2408 (203 cd/m2 is SDR's white).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ..light.curves import hlg_to_scene, light_to_pq, pq_to_light
from ..light.films import BT709_POINT, BT2020_POINT, HLG, P3_POINT, PQ, PRIMARIES
from ..light.hlg import KB, KG, KR
from ..light.primaries import REC709, matrix

BT709, BT2020, P3 = BT709_POINT, BT2020_POINT, P3_POINT
SDR_WHITE, HDR_PEAK = 203.0, 1000.0
"""Light in cd/m2: what SDR calls 1, and the screen that HDR films are made on."""
HLG_SYSTEM_GAMMA = 1.2
SCREEN_GAMMA = 2.4


def hlg_to_light(code: Tensor) -> Tensor:
    """HLG values ``(..., 3)`` in [0, 1], in BT.2020 primaries, to cd/m2 on a screen of 1000 cd/m2."""
    scene = hlg_to_scene(code)
    luminance = (scene * scene.new_tensor([KR, KG, KB])).sum(-1, keepdim=True)
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
    return matrix(PRIMARIES[primaries], REC709).float()


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
