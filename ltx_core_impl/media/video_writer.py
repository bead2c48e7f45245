"""Writing MP4 files chunk by chunk: H.264 in BT.709 and AAC (spec 07 §7.4, spec 04 §12)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import ClassVar

import av
from torch import Tensor

from ..types import Audio
from .audio_track import AudioTrack
from .color import rgb_to_i420
from .image import check_crf

DEFAULT_CRF = 19
PRESET = "veryfast"
# Without it x264 picks arithmetic by the CPU, and its choices depend on what its memory held before: the same frames
# give another file now and then.
REPRODUCIBLE = "cpu-independent=1"
# Code points of ITU-T H.273 and of FFmpeg's AVColorRange.
BT709_TAG = 1
LIMITED_RANGE_TAG = 1
NTSC_TOLERANCE = 1e-3
MAX_RATE_DENOMINATOR = 1001


def frame_rate(fps: float | Fraction) -> Fraction:
    """The exact rate behind a displayed one: 23.976 is 24000/1001, 29.97 is 30000/1001, 24.0 is 24.

    Raises:
        ValueError: the rate is not a positive number.
    """
    if not math.isfinite(fps) or fps <= 0:
        raise ValueError(f"A frame rate is a positive number of frames per second; got {fps}.")
    if isinstance(fps, Fraction | int):
        return Fraction(fps)
    ntsc = Fraction(round(fps * 1001 / 1000) * 1000, 1001)
    if ntsc and fps != round(fps) and abs(fps - ntsc) < NTSC_TOLERANCE:
        return ntsc
    return Fraction(fps).limit_denominator(MAX_RATE_DENOMINATOR)


class VideoWriter:
    """Context manager that encodes chunks of frames, and optionally sound, into an MP4 file.

    Sound is cut, or continued with silence, to the length of the frames written. When the block raises, or no
    frame was written, the partial file is removed.

    Args:
        path: the file to create or replace; missing folders are created.
        fps: frames per second, kept exactly (see `frame_rate`).
        audio: waveform of one or two channels, ``(channels, samples)`` or ``(1, channels, samples)``, in [-1, 1].
        crf: quality of libx264, 0 (lossless) to 51.
        metadata: texts for the file's header, e.g. a prompt or a workflow as JSON.

    Raises:
        ValueError: a wrong rate, quality, waveform, or frame size.
    """

    _container_format = "mp4"
    _container_options: ClassVar[dict[str, str]] = {"movflags": "use_metadata_tags+faststart"}
    _sound_codec = "aac"
    _channels = 3

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        fps: float | Fraction,
        audio: Audio | None = None,
        crf: int = DEFAULT_CRF,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        check_crf(crf)
        self.path = Path(path)
        self.rate = frame_rate(fps)
        self.frames_written = 0
        self._crf = crf
        self._metadata = dict(metadata or {})
        self._audio = AudioTrack(audio, self._sound_codec) if audio is not None else None
        self._size: tuple[int, int] | None = None

    def __enter__(self) -> VideoWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(
            str(self.path), "w", format=self._container_format, container_options=dict(self._container_options)
        )
        self._container.metadata.update(self._metadata)
        return self

    def write(self, frames: Tensor) -> None:
        """Encode ``(f, H, W, 3)`` uint8, or float in [0, 1]; H and W are even and the same in every chunk."""
        if frames.ndim != 4 or frames.shape[-1] != self._channels:
            kind = "3 colours" if self._channels == 3 else "4 channels: colours and alpha"
            raise ValueError(f"Frames are (frames, height, width, {kind}); got shape {tuple(frames.shape)}.")
        if self._size is None:
            self._open_streams(*frames.shape[1:3])
        elif self._size != tuple(frames.shape[1:3]):
            raise ValueError(f"All chunks have the size of the first, {self._size}; got {tuple(frames.shape[1:3])}.")
        for picture in frames:
            self._encode(self._frame(picture))
        self._follow_with_sound()

    def _encode(self, frame: av.VideoFrame) -> None:
        frame.pts, frame.time_base = self.frames_written, 1 / self.rate
        self._container.mux(self._stream.encode(frame))
        self.frames_written += 1

    def _follow_with_sound(self) -> None:
        if self._audio is not None:
            self._audio.encode_until(self.frames_written / self.rate)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None and self.frames_written:
            try:
                self._finish()
            except BaseException:
                self._discard()
                raise
            return
        self._discard()
        if kind is None:
            raise ValueError(f"No frames were written to {self.path}; a video needs at least one.")

    def _frame(self, picture: Tensor) -> av.VideoFrame:
        return av.VideoFrame.from_ndarray(rgb_to_i420(picture).cpu().numpy(), format="yuv420p")

    def _add_stream(self) -> av.VideoStream:
        options = {"crf": str(self._crf), "preset": PRESET, "x264-params": REPRODUCIBLE}
        stream = self._container.add_stream("libx264", rate=self.rate, options=options)
        stream.pix_fmt = "yuv420p"
        return stream

    def _open_streams(self, height: int, width: int) -> None:
        if height % 2 or width % 2 or not height or not width:
            raise ValueError(
                f"A film needs an even width and height; got {width}x{height}. "
                f"Crop to {width // 2 * 2}x{height // 2 * 2}."
            )
        self._size = (height, width)
        stream = self._add_stream()
        stream.width, stream.height = width, height
        codec = stream.codec_context
        codec.time_base = 1 / self.rate
        codec.colorspace = codec.color_primaries = codec.color_trc = BT709_TAG
        codec.color_range = LIMITED_RANGE_TAG
        self._stream = stream
        if self._audio is not None:
            self._audio.open(self._container)

    def _finish(self) -> None:
        self._container.mux(self._stream.encode())
        if self._audio is not None:
            self._audio.finish(self.frames_written / self.rate)
        self._container.close()

    def _discard(self) -> None:
        with contextlib.suppress(av.FFmpegError, OSError):
            self._container.close()
        self.path.unlink(missing_ok=True)


def write_video(
    path: str | PathLike[str],
    chunks: Iterable[Tensor],
    *,
    fps: float | Fraction,
    audio: Audio | None = None,
    crf: int = DEFAULT_CRF,
    metadata: Mapping[str, str] | None = None,
    callback: Callable[[int], None] | None = None,
) -> int:
    """Encode an iterator of frame chunks as it yields, and return the number of frames; see `VideoWriter`.

    ``callback`` gets the number of frames written after each chunk.
    """
    with VideoWriter(path, fps=fps, audio=audio, crf=crf, metadata=metadata) as writer:
        for chunk in chunks:
            writer.write(chunk)
            if callback is not None:
                callback(writer.frames_written)
    return writer.frames_written
