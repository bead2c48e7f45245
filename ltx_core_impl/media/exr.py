"""Linear light to OpenEXR files, with FFmpeg's encoder (spec 07 §7.5)."""

from __future__ import annotations

from fractions import Fraction
from os import PathLike
from pathlib import Path

import av
import numpy as np
from torch import Tensor

COMPRESSION = "zip16"


def exr_bytes(picture: Tensor, half: bool = True) -> bytes:
    """One picture ``(H, W, 3)`` of linear light as an OpenEXR file: channels R, G, B, ZIP, 16 or 32 bit floats.

    The file carries no chromaticities, which by the format's definition means those of Rec.709.

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
    pixels = np.ascontiguousarray(picture.detach().cpu().float().numpy())
    frame = av.VideoFrame.from_ndarray(pixels, format="gbrpf32le")
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def write_exr(path: str | PathLike[str], picture: Tensor, half: bool = True) -> None:
    """Write one picture; see `exr_bytes`. Missing folders are created."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(exr_bytes(picture, half=half))
