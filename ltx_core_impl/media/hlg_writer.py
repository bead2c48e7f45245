"""Writing HLG masters chunk by chunk: 10-bit HEVC in BT.2020 and AAC in MP4 (spec 08 §2.5)."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from os import PathLike

import av
import numpy as np
from torch import Tensor

from ..light.films import BT2020_POINT, HLG
from ..light.hlg import Planes, hlg_codes
from ..light.primaries import Primaries
from ..types import Audio
from .video_writer import LIMITED_RANGE_TAG, VideoWriter

CODEC, PIXELS, TAG = "libx265", "yuv420p10le", "hvc1"
CRF, PRESET = 12, "medium"
BT2020_MATRIX = 9
SMALLEST_SIDE = 64
"""Pixels. Of smaller pictures libx265 refuses some, and writes beyond its memory for others (34 x 34)."""
# Without frames that look ahead: of clips of two pictures libx265 gives them times that no file can hold.
_X265 = (
    "bframes=0:repeat-headers=1:colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc:range=limited:"
    "log-level=error"
)


def check_hlg_encoder() -> None:
    """Raise ValueError where PyAV was built without the encoder of HLG masters."""
    try:
        av.Codec(CODEC, "w")
    except ValueError:  # av.codec.codec.UnknownCodecError is one
        raise ValueError(
            f"This PyAV has no encoder {CODEC}, which an HLG master needs. Install PyAV's own wheel ('pip install "
            "--force-reinstall av'), or switch the master off."
        ) from None


class HLGWriter(VideoWriter):
    """Context manager that encodes chunks of linear light, and optionally sound, into an HLG master.

    Linear 1.0 becomes the signal 0.75, highlights roll off towards 1. Otherwise like `VideoWriter`; sound is stereo.

    Args:
        path: the file to create or replace.
        fps: frames per second, kept exactly.
        primaries: those of the light.
        audio: as for `VideoWriter`; one channel is doubled.
        metadata: texts for the file's header.

    Raises:
        ValueError: a wrong rate, waveform, or frame size, or no encoder.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        fps: float | Fraction,
        primaries: Primaries,
        audio: Audio | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        check_hlg_encoder()
        super().__init__(path, fps=fps, audio=audio and _stereo(audio), crf=CRF, metadata=metadata)
        self._primaries = primaries

    def write(self, frames: Tensor) -> None:
        """Encode linear light ``(f, H, W, 3)``. An odd last row or column is left out."""
        if frames.ndim != 4 or frames.shape[-1] != 3 or min(frames.shape[1:3]) < SMALLEST_SIDE:
            raise ValueError(
                f"Frames of an HLG master are (frames, height, width, 3 colours) of {SMALLEST_SIDE} x {SMALLEST_SIDE} "
                f"pixels or more; got {tuple(frames.shape)}."
            )
        for picture in frames:  # one by one: a chunk of 4K light is large
            planes = hlg_codes(picture[None], self._primaries)
            size = tuple(planes.luma.shape[1:])
            if self._size is None:
                self._open_streams(*size)
            elif self._size != size:
                raise ValueError(f"All chunks have the size of the first, {self._size}; got {size}.")
            self._encode(_frame(planes))
        self._follow_with_sound()

    def _open_streams(self, height: int, width: int) -> None:
        self._size = (height, width)
        options = {"crf": str(self._crf), "preset": PRESET, "x265-params": _X265}
        stream = self._container.add_stream(CODEC, rate=self.rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, PIXELS
        codec = stream.codec_context
        codec.time_base, codec.codec_tag = 1 / self.rate, TAG
        codec.color_primaries, codec.color_trc, codec.colorspace = BT2020_POINT, HLG, BT2020_MATRIX
        codec.color_range = LIMITED_RANGE_TAG
        self._stream = stream
        if self._audio is not None:
            self._audio.open(self._container)


def _stereo(audio: Audio) -> Audio:
    if audio.waveform.shape[-2] != 1:
        return audio
    return Audio(audio.waveform.repeat_interleave(2, dim=-2), audio.sampling_rate)


def _frame(planes: Planes) -> av.VideoFrame:
    _, height, width = planes.luma.shape
    frame = av.VideoFrame(width, height, PIXELS)
    for plane, codes in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size // 2), np.uint16)
        rows[:, : plane.width] = codes[0].cpu().numpy()
        plane.update(rows.tobytes())
    return frame
