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

    Attributes:
        last_pts: the latest presentation time among the packets so far, in the stream's time base; None before any.
        last_duration: how long the file says that this packet lasts, in the same unit; 0 where it does not say.
    """

    def __init__(
        self, container: av.container.InputContainer, stream: av.VideoStream | av.AudioStream, path: str | PathLike[str]
    ) -> None:
        self._container, self._stream, self._path = container, stream, path
        self.last_pts: int | None = None
        self.last_duration = 0

    def frames(self) -> Iterator[av.VideoFrame | av.AudioFrame]:
        """Decode to the end of the file; what was damaged is logged with its time when the frames end."""
        damaged: list[float | None] = []
        packets = self._container.demux(self._stream)
        try:
            while True:
                try:
                    packet = next(packets)
                except StopIteration:
                    return
                except av.FFmpegError:
                    logger.warning("%s ends in damage%s; what is behind it is lost.", self._path, self._place())
                    yield from self._decoded(None, damaged)
                    return
                self._note(packet)
                yield from self._decoded(packet, damaged)
        finally:
            if damaged:
                known = [time for time in damaged if time is not None]
                where = f" between {min(known):.2f} s and {max(known):.2f} s" if known else ""
                logger.warning(
                    "%s: %d damaged packets of %s%s could not be decoded and were left out.",
                    self._path,
                    len(damaged),
                    "the picture" if self._stream.type == "video" else "the sound",
                    where,
                )

    def _decoded(
        self, packet: av.Packet | None, damaged: list[float | None]
    ) -> list[av.VideoFrame] | list[av.AudioFrame]:
        try:
            return self._stream.decode(packet)
        except av.FFmpegError:
            pts = None if packet is None else packet.pts if packet.pts is not None else packet.dts
            damaged.append(None if pts is None else self._seconds(pts))
            return []

    def _note(self, packet: av.Packet) -> None:
        if packet.pts is not None and (self.last_pts is None or packet.pts >= self.last_pts):
            self.last_pts, self.last_duration = packet.pts, packet.duration or 0

    def _seconds(self, pts: int) -> float:
        return float(pts * self._stream.time_base) - container_start(self._container)

    def _place(self) -> str:
        return "" if self.last_pts is None else f" after {self._seconds(self.last_pts):.2f} s"
