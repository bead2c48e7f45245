"""Decoded frames as a player shows them: matrix, range, depth, primaries, HDR, the shape of pixels, and rotation."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np
import torch
from torch import Tensor

from ..light.films import film_to_code
from .film_light import BT2020, HLG, P3, PQ, shown_as_sdr

# Code points of ITU-T H.273 for matrices; 2 is "not said".
_UNSAID = 2
_LUMA_WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087)}
_LUMA_WEIGHTS |= {9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
_FULL_RANGE = 2
# Pixels of films are at most four times as long as wide; other numbers are mistakes of the file.
_MOST_STRETCHED = 4
# What players take for high definition where a file does not say its matrix.
_HD_WIDTH, _HD_HEIGHT = 1280, 576


@dataclass
class Display:
    """How frames of a stream are shown. All come out in the size of the first one."""

    stream: av.VideoStream
    size: tuple[int, int] | None = field(default=None, init=False)

    def __call__(self, frame: av.VideoFrame) -> Tensor:
        """A frame as RGB ``(H, W, 3)``, upright, in BT.709 and SDR: uint8, or float32 in [0, 1] where it has more than
        8 bits, or light or primaries that 8 bits would band."""
        size, transfer, primaries = self._measured(frame)
        if frame.format.components[0].bits > 8 or transfer in (PQ, HLG) or primaries in (BT2020, P3):
            picture = shown_as_sdr(_deep(frame, size, _matrix(frame, primaries)), transfer, primaries)
        else:
            picture = torch.from_numpy(_eight_bit(frame, size))
        return _upright(picture, frame)

    def _measured(self, frame: av.VideoFrame) -> tuple[tuple[int, int], int, int]:
        """Width and height of all frames, and the code points of the film's curve and primaries."""
        self.size = self.size or shown_size(frame.width, frame.height, self.stream.sample_aspect_ratio)
        context = self.stream.codec_context
        return self.size, int(context.color_trc), int(context.color_primaries)


class WorkingCode(Display):
    """How frames are read for HDR: the light that they stand for as ACEScct code, without tone mapping."""

    def __call__(self, frame: av.VideoFrame) -> Tensor:
        """A frame as ACEScct code ``(H, W, 3)`` in float32, upright; see `film_to_code`."""
        size, transfer, primaries = self._measured(frame)
        if frame.format.components[0].bits > 8:
            values = _deep(frame, size, _matrix(frame, primaries))
        else:
            values = torch.from_numpy(_eight_bit(frame, size)).float() / 255
        return _upright(film_to_code(values, transfer, primaries), frame)


def _upright(picture: Tensor, frame: av.VideoFrame) -> Tensor:
    return torch.rot90(picture, k=round(frame.rotation / 90))


def shown_size(width: int, height: int, pixel_shape: Fraction | None) -> tuple[int, int]:
    """Width and height with square pixels; no row and no column is lost."""
    if not pixel_shape or not Fraction(1, _MOST_STRETCHED) <= pixel_shape <= _MOST_STRETCHED:
        return width, height
    if pixel_shape >= 1:
        return round(width * pixel_shape), height
    return width, round(height / pixel_shape)


def _matrix(frame: av.VideoFrame, primaries: int = _UNSAID) -> int:
    """The matrix that a frame is tagged with; without a tag what players take."""
    if int(frame.colorspace) != _UNSAID:
        return int(frame.colorspace)
    if primaries == BT2020:
        return 9
    return 1 if frame.width >= _HD_WIDTH or frame.height > _HD_HEIGHT else 5


def _eight_bit(frame: av.VideoFrame, size: tuple[int, int]) -> np.ndarray:
    # RGB has no matrix; naming one makes older PyAV heed the matrix of the source.
    source = "ITU709" if int(frame.colorspace) == _UNSAID and _matrix(frame) == 1 else None
    width, height = size
    return frame.to_ndarray(format="rgb24", width=width, height=height, src_colorspace=source, dst_colorspace="ITU601")


def _deep(frame: av.VideoFrame, size: tuple[int, int], matrix: int) -> Tensor:
    """Code values ``(H, W, 3)`` in [0, 1], not rounded to 8 bits."""
    width, height = size
    if frame.format.is_rgb or len(frame.format.components) < 3:
        codes = frame.to_ndarray(format="rgb48le", width=width, height=height)
        return torch.from_numpy(codes.astype(np.float32) / 65535)
    codes = torch.from_numpy(frame.to_ndarray(format="yuv444p16le", width=width, height=height).astype(np.float32))
    bits = frame.format.components[0].bits
    codes /= 2.0 ** (16 - bits)
    if int(frame.color_range) == _FULL_RANGE:
        luma, chroma = codes[..., :1] / (2**bits - 1), (codes[..., 1:] - 2 ** (bits - 1)) / (2**bits - 1)
    else:
        unit = 2.0 ** (bits - 8)
        luma, chroma = (codes[..., :1] / unit - 16) / 219, (codes[..., 1:] / unit - 128) / 224
    red, blue = _LUMA_WEIGHTS.get(matrix, _LUMA_WEIGHTS[1])
    r = luma + 2 * (1 - red) * chroma[..., 1:]
    b = luma + 2 * (1 - blue) * chroma[..., :1]
    g = (luma - red * r - blue * b) / (1 - red - blue)
    return torch.cat([r, g, b], dim=-1).clamp_(0, 1)
