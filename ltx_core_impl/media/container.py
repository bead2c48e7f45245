"""Opening media files and decoding their packets one by one: damage costs the packets that it hit, not the run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike

import av

logger = logging.getLogger(__name__)


class UnreadableMediaError(ValueError):
    """The file is no film and no sound, or so damaged that it cannot be opened."""


@contextmanager
def open_media(path: str | PathLike[str]) -> Iterator[av.container.InputContainer]:
    """Open a file for reading.

    Raises:
        UnreadableMediaError: the container cannot be read.
        OSError: there is no such file, or it may not be read.
    """
    try:
        container = av.open(path)
    except av.error.InvalidDataError as error:
        raise UnreadableMediaError(
            f"{path} cannot be opened as a film or a sound: its beginning or its index is damaged or missing, as in a "
            "file that was cut off or is still being written. Copy or export it again."
        ) from error
    with container:
        yield container


def container_start(container: av.container.InputContainer) -> float:
    """Seconds at which the file begins: parts of a broadcast do not begin at 0."""
    return max(0.0, (container.start_time or 0) / av.time_base)


class PacketDecoder:
    """Frames of one stream, from where the container stands. Packets that cannot be decoded are left out and said.

    ``decoder`` stands in for the stream's own.

    Attributes:
        stream: the stream that is decoded.
        last_pts: the latest presentation time among the packets so far, in the stream's time base; None before any.
        last_duration: how long the file says that this packet lasts, in the same unit; 0 where it does not say.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        stream: av.VideoStream | av.AudioStream,
        path: str | PathLike[str],
        decoder: av.CodecContext | None = None,
    ) -> None:
        self._container, self.stream, self._path = container, stream, path
        self._decoder = decoder or stream
        self.last_pts: int | None = None
        self.last_duration = 0

    def packets(self) -> Iterator[av.Packet]:
        """Packets as far as the file can be read; an empty one at the end flushes the decoder."""
        packets = self._container.demux(self.stream)
        try:
            for packet in packets:
                if packet.pts is not None and (self.last_pts is None or packet.pts >= self.last_pts):
                    self.last_pts, self.last_duration = packet.pts, packet.duration or 0
                yield packet
        except av.FFmpegError:
            place = "" if self.last_pts is None else f" after {self._seconds(self.last_pts):.2f} s"
            logger.warning("%s cannot be read further%s; the rest is left out.", self._path, place)
            yield av.Packet()

    def frames(self) -> Iterator[av.VideoFrame | av.AudioFrame]:
        """Decode to the end of the file; what was damaged is logged with its time when the frames end."""
        damaged, first = 0, 0.0
        shown: int | None = None
        try:
            for packet in self.packets():
                try:
                    frames = self._decoder.decode(packet if packet.size else None)
                except av.FFmpegError:
                    # Decoders with threads complain late, but frames come in order: what is damaged follows the last.
                    first = first if damaged else self._seconds(shown or 0)
                    damaged += 1
                    continue
                for frame in frames:
                    if frame.pts is not None:
                        shown = frame.pts + (getattr(frame, "duration", 0) or 0)
                    yield frame
        finally:
            if damaged:
                logger.warning(
                    "%s: %d packet%s of %s could not be decoded and were left out, the first at %.2f s. The file is "
                    "damaged; copy or export it again.",
                    self._path,
                    damaged,
                    "" if damaged == 1 else "s",
                    "the picture" if self.stream.type == "video" else "the sound",
                    first,
                )

    def _seconds(self, pts: int) -> float:
        return float(pts * self.stream.time_base) - container_start(self._container)
