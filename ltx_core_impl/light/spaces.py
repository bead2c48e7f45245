"""Pictures into ACEScct code, the working signal of LTX-2.5's HDR graphs, and out of a log code for EXR files.

Spec 08 §2.3 and §2.4. ACEScct here always has the primaries of ACEScg (AP1).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .curves import acescct_compress, acescct_decompress, logc3_decompress, srgb_to_linear
from .primaries import AP1, REC709, Primaries, convert_primaries, matrix

SRGB_GAMMA, SRGB_LINEAR, ACESCG, ACESCCT_CODE, LINEAR = "srgb_gamma", "srgb_linear", "acescg", "acescct", "linear"
PICTURE_SPACES = (SRGB_GAMMA, SRGB_LINEAR, ACESCG, ACESCCT_CODE)
"""What a picture may be declared to be in. A screen's picture is srgb_gamma; the two linear ones are unbounded."""
LOG_CODES = ("LogC3", "ACEScct")
"""What a decoded picture may be in: LogC3 has the primaries of Rec.709."""
BRIGHTEST = 10000.0
_HIGHEST_HALF = 65504.0


class Tags(NamedTuple):
    """How an EXR file says what its numbers mean."""

    primaries: Primaries
    color_space: str


EXR_SPACES: dict[str, Tags | None] = {
    SRGB_LINEAR: Tags(REC709, "sRGB"),
    ACESCG: Tags(AP1, "ACEScg"),
    ACESCCT_CODE: Tags(AP1, "ACEScct"),
    LINEAR: None,
}
"""What an EXR file may be written in. "linear" is the decoded light in its own primaries, without tags."""


def to_code(picture: Tensor, space: str) -> Tensor:
    """A picture ``(..., 3 or 4)`` in one of `PICTURE_SPACES` as ACEScct code in [0, 1]; a fourth channel is kept.

    NaN counts as black, light without end as the brightest that the code knows (222.86).
    """
    colours, rest = picture[..., :3].nan_to_num(nan=0.0, posinf=_HIGHEST_HALF), picture[..., 3:]
    if space == ACESCCT_CODE:
        code = colours.clamp(0, 1)
    else:
        linear = srgb_to_linear(colours) if space == SRGB_GAMMA else colours
        code = light_to_code(linear, AP1 if space == ACESCG else REC709)
    return torch.cat([code, rest], dim=-1) if rest.shape[-1] else code


def light_to_code(linear: Tensor, primaries: Primaries) -> Tensor:
    """Linear light ``(..., 3)`` in these primaries as ACEScct code; what lies outside AP1 is clipped to it."""
    if primaries != AP1:
        linear = convert_primaries(linear, matrix(primaries, AP1))
    return acescct_compress(linear.clamp_min(0))


def primaries_of(log: str) -> Primaries:
    """The primaries of the light behind one of `LOG_CODES`."""
    return AP1 if log == "ACEScct" else REC709


def from_code(code: Tensor, log: str) -> Tensor:
    """A decoded picture ``(..., 3)`` in one of `LOG_CODES` as linear light in [0, 10000], in `primaries_of` it."""
    decode = acescct_decompress if log == "ACEScct" else logc3_decompress
    return decode(code).clamp(0, BRIGHTEST)


def to_rec709(code: Tensor, log: str) -> Tensor:
    """A decoded picture ``(..., 3)`` as linear light in Rec.709; of LogC3 black may lie a little below 0."""
    if log != "ACEScct":
        return logc3_decompress(code)
    return convert_primaries(acescct_decompress(code), matrix(AP1, REC709)).clamp_min(0)


def delivered(code: Tensor, log: str, space: str) -> Tensor:
    """A decoded picture ``(..., 3)`` in one of `LOG_CODES` as the values of an EXR file in one of `EXR_SPACES`."""
    if space == SRGB_LINEAR:
        return to_rec709(code, log)
    if space == ACESCCT_CODE and log == "ACEScct":
        return code.clamp(0, 1)
    linear = from_code(code, log)
    if space == LINEAR:
        return linear
    if space == ACESCCT_CODE:
        return light_to_code(linear, primaries_of(log))
    return linear if log == "ACEScct" else convert_primaries(linear, matrix(REC709, AP1)).clamp_min(0)
