"""The light behind the code values of a film: PQ, HLG and SDR, in whatever primaries, to ACEScct code.

Code points are those of ITU-T H.273. Sources: ITU-R BT.2100; BT.2408 for the white of both (203 cd/m2, 75 %).
"""

from __future__ import annotations

from torch import Tensor

from .curves import HLG_WHITE, hlg_to_scene, pq_to_light, srgb_to_linear
from .primaries import P3, REC709, REC2020
from .spaces import light_to_code

BT709_POINT, BT2020_POINT, P3_POINT = 1, 9, 12
PQ, HLG = 16, 18
PRIMARIES = {BT709_POINT: REC709, BT2020_POINT: REC2020, P3_POINT: P3}
WHITE = 203.0
"""Light in cd/m2 that PQ films show as the white of a page."""


def film_to_light(rgb: Tensor, transfer: int) -> Tensor:
    """Code values ``(..., 3)`` in [0, 1] to linear light in the film's own primaries, 1 = the white of a page.

    HLG is undone to the light of the scene, as `hlg.hlg_codes` writes it (without its roll-off): its top is 3.77. PQ is
    the light of the screen, whose top is 49. All else is taken for sRGB, as pictures are.
    """
    if transfer == PQ:
        return pq_to_light(rgb) / WHITE
    if transfer == HLG:
        return hlg_to_scene(rgb) / HLG_WHITE
    return srgb_to_linear(rgb)


def film_to_code(rgb: Tensor, transfer: int, primaries: int) -> Tensor:
    """Code values ``(..., 3)`` in [0, 1] of a film to ACEScct code; unknown primaries are BT.709's."""
    return light_to_code(film_to_light(rgb, transfer), PRIMARIES.get(primaries, REC709))
