"""Linear light to the code values of an HLG film: BT.2020, 10 bits, limited range, 4:2:0 (spec 08 §2.5)."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from .curves import rolled_into_hlg, scene_to_hlg
from .primaries import REC2020, Primaries, convert_primaries, matrix

KR, KG, KB = 0.2627, 0.6780, 0.0593
_CB_RANGE, _CR_RANGE = 1.8814, 1.4746


class Planes(NamedTuple):
    """10-bit codes as int32: luma ``(f, H, W)``, chroma ``(f, H / 2, W / 2)``."""

    luma: Tensor
    cb: Tensor
    cr: Tensor


def hlg_signal(linear: Tensor, primaries: Primaries) -> Tensor:
    """Linear light ``(..., 3)``, 1 = reference white, to HLG values in [0, 1] in BT.2020; 1.0 lands on 0.75."""
    wide = convert_primaries(linear, matrix(primaries, REC2020))
    return scene_to_hlg(rolled_into_hlg(wide))


def hlg_codes(linear: Tensor, primaries: Primaries) -> Planes:
    """Pictures ``(f, H, W, 3)`` of linear light as planes of codes. An odd last row or column is left out."""
    height, width = (side // 2 * 2 for side in linear.shape[1:3])
    red, green, blue = hlg_signal(linear[:, :height, :width], primaries).unbind(-1)
    luma = KR * red + KG * green + KB * blue
    chroma = ((blue - luma) / _CB_RANGE, (red - luma) / _CR_RANGE)
    quads = (F.avg_pool2d(plane[:, None], kernel_size=2)[:, 0] for plane in chroma)
    return Planes(_code(luma * 876 + 64), *(_code(plane * 896 + 512) for plane in quads))


def _code(values: Tensor) -> Tensor:
    return values.round().clamp(0, 1023).int()
