"""Pictures to OpenEXR files, with FFmpeg's encoder (spec 07 §7.5, spec 08 §2.4)."""

from __future__ import annotations

from fractions import Fraction
from os import PathLike
from pathlib import Path

import av
import numpy as np
from torch import Tensor

from ..light.spaces import Tags
from .exr_header import with_tags

COMPRESSION = "zip16"
HIGHEST_HALF = 65504.0


def exr_bytes(picture: Tensor, half: bool = True, tags: Tags | None = None) -> bytes:
    """One picture ``(H, W, 3)`` as an OpenEXR file: channels R, G, B, ZIP, values rounded to 16 or 32 bits.

    ``tags`` become its ``chromaticities`` and ``colorSpace``; a file without means Rec.709 by the format's definition.

    Raises:
        ValueError: not one RGB picture of floats.
    """
    if picture.ndim != 3 or picture.shape[-1] != 3 or not picture.is_floating_point():
        raise ValueError(
            f"An EXR picture is (height, width, 3 colours) of floats; got {tuple(picture.shape)}, {picture.dtype}."
        )
    height, width, _ = picture.shape
    encoder = av.CodecContext.create("exr", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "gbrpf32le"
    encoder.time_base = Fraction(1, 1)
    encoder.options = {"compression": COMPRESSION, "format": "half" if half else "float"}
    values = picture.detach().cpu().float()
    if half:  # FFmpeg cuts the digits that do not fit off; rounded here, there is nothing to cut
        values = values.clamp(-HIGHEST_HALF, HIGHEST_HALF).half().float()
    pixels = np.ascontiguousarray(values.numpy())
    frame = av.VideoFrame.from_ndarray(pixels, format="gbrpf32le")
    frame.pts = 0
    data = b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
    return data if tags is None else with_tags(data, tags)


def write_exr(path: str | PathLike[str], picture: Tensor, half: bool = True, tags: Tags | None = None) -> None:
    """Write one picture; see `exr_bytes`. Missing folders are created."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(exr_bytes(picture, half=half, tags=tags))
