"""Reading video frames in chunks with PyAV (spec 07 §7.1).

Frames come out as RGB ``(f, H, W, 3)`` as an SDR screen shows them (see `display`), upright and with square pixels,
all of the first frame's size: uint8, or float32 in [0, 1] where the film has more than 8 bits, HDR or wide primaries.
Times are seconds from the start of the file. Damaged packets are left out with a warning.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike

import av
import torch
from torch import Tensor

from .alpha_reader import AlphaDisplay, alpha_decoder, has_alpha
from .container import PacketDecoder, container_start, open_media
from .display import Display

DEFAULT_CHUNK_FRAMES = 32
# Timestamps are multiples of a time base; the user's seconds are not.
TIME_TOLERANCE = 1e-6
# Matroska and WebM round times and durations to milliseconds: the sum of both is up to this far from what was meant.
COARSEST_ROUNDING = Fraction(1, 1000)


class NoVideoStreamError(ValueError):
    """The file has no video stream, or no frame in it."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds; sizes are as displayed, after rotation.

    ``fps`` is the average rate. A variable frame rate shows in ``frames / fps`` differing from the duration that
    the timestamps tell.
    """

    fps: Fraction
    width: int
    height: int
    frames: int
    has_audio: bool
    has_alpha: bool = False

    @property
    def duration(self) -> float:
        """Seconds that ``frames`` last at ``fps``."""
        return float(self.frames / self.fps)


def probe_video(path: str | PathLike[str]) -> VideoInfo:
    """Describe a video file; frames are counted by decoding when the container does not tell.

    Raises:
        NoVideoStreamError: there is no video in the file.
    """
    with open_media(path) as container:
        stream = _video_stream(container, path)
        frames = PacketDecoder(container, stream, path).frames()
        first = next(frames, None)
        if first is None:
            raise NoVideoStreamError(f"No frame could be decoded from the video in {path}. Copy or export it again.")
        height, width = Display(stream)(first).shape[:2]
        count = stream.frames or 1 + sum(1 for _ in frames)
        return VideoInfo(
            fps=_rate(stream),
            width=width,
            height=height,
            frames=count,
            has_audio=bool(container.streams.audio),
            has_alpha=has_alpha(stream),
        )


def read_frames(
    path: str | PathLike[str],
    start_frame: int = 0,
    max_frames: int | None = None,
    chunk_frames: int = DEFAULT_CHUNK_FRAMES,
    show: type[Display] = Display,
) -> Iterator[Tensor]:
    """Frames by index, whatever their timestamps say: chunks of at most ``chunk_frames``.

    ``show`` turns decoded frames into pictures: `Display` for a screen's, `WorkingCode` for HDR.
    """
    _check_range(start_frame, max_frames)
    with open_media(path) as container:
        stream = _video_stream(container, path)
        frames = PacketDecoder(container, stream, path).frames()
        stop = None if max_frames is None else start_frame + max_frames
        yield from _chunks(itertools.islice(frames, start_frame, stop), show(stream), chunk_frames)


def read_time_range(
    path: str | PathLike[str],
    start: float = 0.0,
    duration: float | None = None,
    chunk_frames: int = DEFAULT_CHUNK_FRAMES,
) -> Iterator[Tensor]:
    """Frames whose time ``t`` fulfils ``start <= t < start + duration``: uint8 chunks.

    Where the file carries no timestamps, frames are timed by index at the average rate.
    """
    _check_range(start, duration)
    end = math.inf if duration is None else start + duration - TIME_TOLERANCE
    with open_media(path) as container:
        stream = _video_stream(container, path)
        timed = _timed_frames(container, stream, PacketDecoder(container, stream, path), start)
        until_end = itertools.takewhile(lambda item: item[0] < end, timed)
        chosen = (frame for time, frame in until_end if time > start - TIME_TOLERANCE)
        yield from _chunks(chosen, Display(stream), chunk_frames)


def read_at_rate(
    path: str | PathLike[str],
    fps: float | Fraction,
    start: float = 0.0,
    max_frames: int | None = None,
    chunk_frames: int = DEFAULT_CHUNK_FRAMES,
    alpha: bool = False,
    show: type[Display] = Display,
) -> Iterator[Tensor]:
    """The video at a constant rate, in chunks, whatever the file's own rate, constant or not.

    Output frame ``k`` is the picture on screen at ``start + k / fps`` seconds: pictures are repeated or left out,
    never mixed. The last picture stays on screen as long as the file says (or, where it does not, as long as the one
    before it did); an only picture stays as long as the sound. ``show`` is as for `read_frames`.

    ``alpha`` gives the alpha of the same frames instead, float32 ``(f, H, W)``; all 1 where there is none.
    """
    _check_range(start, max_frames)
    if fps <= 0:
        raise ValueError(f"fps must be positive; got {fps}.")
    with open_media(path) as container:
        stream = _video_stream(container, path)
        decoder = PacketDecoder(container, stream, path, alpha_decoder(stream) if alpha else None)
        shown = _hold(
            _timed_frames(container, stream, decoder, start),
            fps,
            start,
            lambda *at: _end(container, decoder, *at),
            _rounding(stream),
        )
        display = AlphaDisplay(stream) if alpha else show(stream)
        yield from _chunks(itertools.islice(shown, max_frames), display, chunk_frames)


def count_at_rate(path: str | PathLike[str], fps: float | Fraction, start: float = 0.0) -> int:
    """How many frames `read_at_rate` gives from ``start`` to the end, without decoding where the file has timestamps.

    Raises:
        NoVideoStreamError: there is no video in the file.
    """
    _check_range(start, None)
    with open_media(path) as container:
        stream = _video_stream(container, path)
        decoder = PacketDecoder(container, stream, path)
        shown = [packet.pts for packet in decoder.packets() if packet.size]
        if not shown:
            raise NoVideoStreamError(f"No frame was found in the video in {path}.")
        if None in shown:
            rounding = TIME_TOLERANCE
            end = len(shown) / float(_rate(stream))
        else:
            offset, rounding = container_start(container), _rounding(stream)
            times = [float(pts * stream.time_base) - offset for pts in sorted(shown)[-2:]]
            end = _end(container, decoder, times[-1], times[-1] - times[0] if len(times) > 1 else None)
    return max(0, math.ceil((end - start - rounding) * float(fps)))


def _end(container: av.container.InputContainer, decoder: PacketDecoder, last: float, interval: float | None) -> float:
    """Seconds at which the last picture, shown from ``last`` on, leaves the screen.

    ``interval`` is how long the picture before it stayed; None where there was none.
    """
    stream = decoder.stream
    end = last + (interval or float(1 / _rate(stream)))
    if decoder.last_pts is not None and decoder.last_duration:
        offset = container_start(container)
        end = float((decoder.last_pts + decoder.last_duration) * stream.time_base) - offset
    if interval is None and last < TIME_TOLERANCE and container.streams.audio and container.duration:
        end = max(end, container.duration / av.time_base)
    return end


def _video_stream(container: av.container.InputContainer, path: str | PathLike[str]) -> av.VideoStream:
    if not container.streams.video:
        raise NoVideoStreamError(f"{path} has no video stream. Choose a file with video.")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    return stream


def _rounding(stream: av.VideoStream) -> float:
    return float(min(stream.time_base, COARSEST_ROUNDING)) + TIME_TOLERANCE


def _rate(stream: av.VideoStream) -> Fraction:
    return stream.average_rate or stream.guessed_rate


def _check_range(start: float, length: float | None) -> None:
    if start < 0 or (length is not None and length < 0):
        raise ValueError(f"A range starts at 0 or later and its length is not negative; got {start} and {length}.")


def _timed_frames(
    container: av.container.InputContainer, stream: av.VideoStream, decoder: PacketDecoder, start: float
) -> Iterator[tuple[float, av.VideoFrame]]:
    """Frames with their times, from the last key frame before ``start`` on."""
    offset = container_start(container)
    if start > 0:
        container.seek(int((start + offset) / stream.time_base), stream=stream)
    frames = decoder.frames()
    first = next(frames, None)
    if first is None:
        return
    if first.pts is None:
        container.seek(0, stream=stream)
        yield from ((float(i / _rate(stream)), frame) for i, frame in enumerate(decoder.frames()))
        return
    for frame in itertools.chain([first], frames):
        yield float(frame.pts * stream.time_base) - offset, frame


def _hold(
    timed: Iterator[tuple[float, av.VideoFrame]],
    fps: float | Fraction,
    start: float,
    end_of: Callable[[float, float | None], float],
    rounding: float,
) -> Iterator[av.VideoFrame]:
    """The frame on screen at ``start``, ``start + 1 / fps``, ...; ``end_of(last time, last interval)`` ends it.

    A picture that comes less than ``rounding`` seconds later was meant for that time.
    """
    shown = 0

    def until(end: float) -> Iterator[av.VideoFrame]:
        nonlocal shown
        while start + float(shown / fps) < end - rounding:
            yield held
            shown += 1

    held, held_since, interval = None, 0.0, None
    for time, frame in timed:
        if held is not None:
            yield from until(time)
            interval = time - held_since
        held, held_since = frame, time
    if held is not None:
        yield from until(end_of(held_since, interval))


def _chunks(frames: Iterator[av.VideoFrame], show: Display, chunk_frames: int) -> Iterator[Tensor]:
    if chunk_frames < 1:
        raise ValueError(f"A chunk holds at least one frame; got chunk_frames {chunk_frames}.")
    pictures = map(show, frames)
    while chunk := list(itertools.islice(pictures, chunk_frames)):
        yield torch.stack(chunk)
