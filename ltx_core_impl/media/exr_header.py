"""The header of OpenEXR files: what a file says of its channels and colours, whether it is whole, and adding tags.

Format: "OpenEXR File Layout" (openexr.com). Read here because FFmpeg hands out no chromaticities, writes none, and
makes the missing part of a file black without a word.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from ..light.spaces import Tags

_MAGIC, _VERSION = 20000630, 2
_TILED, _DEEP, _MULTIPART = 0x200, 0x800, 0x1000
COMPRESSIONS = ("NONE", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB")
_ROWS_PER_CHUNK = (1, 1, 1, 16, 32, 16, 32, 32, 32, 256)
PIXEL_TYPES = ("uint", "half", "float")
_LONGEST_NAME, _LARGEST_SIDE = 255, 65535
_CHROMATICITIES, _COLOR_SPACE = "chromaticities", "colorSpace"


class Channel(NamedTuple):
    """One channel: its name, index into `PIXEL_TYPES`, and every how many pixels it has a value."""

    name: str
    pixel_type: int
    x_sampling: int
    y_sampling: int


class Window(NamedTuple):
    """A rectangle of whole pixels, its last row and column included."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top + 1, self.right - self.left + 1


@dataclass(frozen=True)
class ExrHeader:
    """The header of a file's first part; ``end`` is where its last byte, a zero, stands."""

    flags: int
    attributes: dict[str, bytes]
    end: int

    @property
    def is_plain(self) -> bool:
        """One part of flat pixels, in rows or tiles."""
        return not self.flags & (_DEEP | _MULTIPART)

    @property
    def channels(self) -> list[Channel]:
        """In the order of the file, which is that of the alphabet."""
        data, found, at = self.attributes["channels"], [], 0
        while data[at] != 0:
            name, at = _text(data, at)
            found.append(Channel(name, *struct.unpack_from("<i4xii", data, at)))
            at += 16
        return found

    @property
    def compression(self) -> str:
        """Its name, or its number where it is none of `COMPRESSIONS`."""
        number = self.attributes["compression"][0]
        return COMPRESSIONS[number] if number < len(COMPRESSIONS) else str(number)

    @property
    def data_window(self) -> Window:
        """Where the pixels that are stored lie."""
        return Window(*struct.unpack("<4i", self.attributes["dataWindow"]))

    @property
    def display_window(self) -> Window:
        """What of the plane is shown."""
        return Window(*struct.unpack("<4i", self.attributes["displayWindow"]))

    @property
    def color_space(self) -> str:
        """The text of ``colorSpace``; "" without."""
        return self.attributes.get(_COLOR_SPACE, b"").decode("utf-8", "replace")

    @property
    def chromaticities(self) -> tuple[float, ...] | None:
        """x and y of red, green, blue and white; None without."""
        data = self.attributes.get(_CHROMATICITIES, b"")
        return struct.unpack("<8f", data) if len(data) == 32 else None

    @property
    def chunks(self) -> int:
        """Blocks of rows, or tiles of the full size."""
        height, width = self.data_window.size
        if self.flags & _TILED:
            columns, rows = struct.unpack_from("<2I", self.attributes["tiles"])
            return -(-width // columns) * -(-height // rows)
        return -(-height // _ROWS_PER_CHUNK[COMPRESSIONS.index(self.compression)])


def read_header(data: bytes) -> ExrHeader:
    """The header of the first part.

    Raises:
        ValueError: no OpenEXR file, or one that ends or makes no sense within its header.
    """
    try:
        magic, version = struct.unpack_from("<iI", data)
        if magic != _MAGIC or version & 0xFF != _VERSION:
            raise ValueError("it does not begin as one")
        attributes, at = {}, 8
        while data[at] != 0:
            name, at = _text(data, at)
            _, at = _text(data, at)
            [size] = struct.unpack_from("<i", data, at)
            at += 4
            if not 0 <= size <= len(data) - at:
                raise ValueError(f"its attribute '{name[:40]}' is longer than the file")
            attributes[name], at = bytes(data[at : at + size]), at + size
        header = ExrHeader(version & ~0xFF, attributes, at)
        sides = (*header.data_window.size, *header.display_window.size)
        if not header.channels or not all(1 <= side <= _LARGEST_SIDE for side in sides) or not header.compression:
            raise ValueError("it has no pixels, or too many")
        return header
    except (struct.error, IndexError, KeyError) as error:
        raise ValueError(f"its header is damaged ({error})") from None


def missing_chunks(data: bytes, header: ExrHeader) -> int:
    """How many blocks of rows, or tiles, of a plain file are not there in full: 0 for a whole file."""
    place = 16 if header.flags & _TILED else 4  # where the tile, or the row, of a block is said
    count, table = header.chunks, header.end + 1
    if table + 8 * count > len(data):
        return count
    missing = 0
    for offset in struct.unpack_from(f"<{count}Q", data, table):
        if offset < table + 8 * count or offset + place + 4 > len(data):
            missing += 1
            continue
        [size] = struct.unpack_from("<i", data, offset + place)
        missing += size < 0 or offset + place + 4 + size > len(data)
    return missing


def with_tags(data: bytes, tags: Tags) -> bytes:
    """A plain file of rows with ``chromaticities`` and ``colorSpace`` added, which it must not have."""
    header = read_header(data)
    text = tags.color_space.encode("utf-8")
    added = _attribute(_CHROMATICITIES, _CHROMATICITIES, struct.pack("<8f", *tags.primaries.numbers))
    added += _attribute(_COLOR_SPACE, "string", text)
    table, count = header.end + 1, header.chunks
    offsets = [offset + len(added) for offset in struct.unpack_from(f"<{count}Q", data, table)]
    head = data[: header.end] + added + data[header.end : table]
    return head + struct.pack(f"<{count}Q", *offsets) + data[table + 8 * count :]


def _attribute(name: str, kind: str, value: bytes) -> bytes:
    return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value


def _text(data: bytes, at: int) -> tuple[str, int]:
    """A text that ends with a zero, and where the next thing begins."""
    end = data.index(0, at, at + _LONGEST_NAME + 1)
    return data[at:end].decode("utf-8", "replace"), end + 1
