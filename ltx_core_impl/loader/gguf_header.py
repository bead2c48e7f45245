"""Reading the header of a GGUF file: names, block types, shapes and texts, without touching a tensor.

Everything in it is untrusted: lengths and offsets are checked against the file before they are used.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from ..quantization.gguf_blocks import BLOCK_TYPES, packed_shape
from .dtypes import BYTES
from .errors import HeaderError
from .header_types import Header, TensorEntry

MAGIC = b"GGUF"
MAX_COUNT = 1_000_000
MAX_NAME_BYTES = 4096
MAX_TEXT_BYTES = 4_000_000
MAX_DIMENSIONS = 8
_ORIGINAL_SHAPE = "comfy.gguf.orig_shape."

_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K",
    13: "Q5_K", 14: "Q6_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S",
    22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 30: "BF16",
    34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}  # fmt: skip
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9


def read_gguf_header(path: Path, file: BinaryIO, file_bytes: int) -> Header:
    """Names, shapes and texts of a GGUF file that is open at its start.

    The dtype of a packed tensor is its block type (``"Q4_K"``), its shape the logical one, outermost size first.

    Raises:
        HeaderError: cut off, a version or type that is not known, or a header that contradicts the file.
    """
    try:
        return _read(path, _Cursor(file, file_bytes), file_bytes)
    except (ValueError, OverflowError, MemoryError) as error:
        if isinstance(error, HeaderError):
            raise
        raise HeaderError(f"{path} is a damaged GGUF file: {error}; download it again") from error


class _Cursor:
    """Reads numbers and texts one after the other; never beyond the file's end."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size, self.at = file, size, 0

    def take(self, count: int) -> bytes:
        if count > self._size - self.at:
            raise ValueError(f"it is cut off within its header, at byte {self._size}")
        raw = self._file.read(count)
        if len(raw) != count:
            raise ValueError("it ended while its header was read")
        self.at += count
        return raw

    def skip(self, count: int) -> None:
        if count > self._size - self.at:
            raise ValueError(f"it is cut off within its header, at byte {self._size}")
        self.at += count
        self._file.seek(self.at)

    def numbers(self, kinds: str) -> tuple[int | float | bool, ...]:
        return struct.unpack("<" + kinds, self.take(struct.calcsize("<" + kinds)))

    def number(self, kind: str) -> int | float | bool:
        return self.numbers(kind)[0]

    def text(self, limit: int) -> str:
        length = self.number("Q")
        if length > limit:
            raise ValueError(f"a text of {length} bytes, at most {limit} are read")
        return self.take(length).decode("utf-8")

    def count(self, what: str) -> int:
        count = self.number("Q")
        if count > MAX_COUNT:
            raise ValueError(f"it claims {count} {what}, at most {MAX_COUNT} are read")
        return count


def _read(path: Path, cursor: _Cursor, file_bytes: int) -> Header:
    cursor.take(len(MAGIC))
    version = cursor.number("I")
    if version not in (2, 3):
        raise HeaderError(f"{path} is a GGUF file of version {version}; 2 and 3 are read. Use a newer conversion")
    tensor_count, entry_count = cursor.count("tensors"), cursor.count("entries")
    if not tensor_count:
        raise HeaderError(f"{path} is a GGUF file without tensors; choose the model's own file, or download it again")
    entries = dict(_entry(cursor) for _ in range(entry_count))
    parts = entries.get("split.count", 0)
    if isinstance(parts, int) and parts > 1:
        raise HeaderError(
            f"{path} is one of {parts} parts of a split GGUF file; join them with `llama-gguf-split --merge`"
        )
    alignment = entries.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise ValueError(f"an alignment of {alignment!r}, a power of 2 is needed")
    tensors: dict[str, TensorEntry] = {}
    for _ in range(tensor_count):
        name, entry = _tensor(cursor, entries)
        if name in tensors:
            raise ValueError(f"tensor {name!r} occurs twice")
        tensors[name] = entry
    start = -(-cursor.at // alignment) * alignment
    _check_offsets(path, tensors, file_bytes - start)
    texts = {key: value for key, value in entries.items() if isinstance(value, str)}
    return Header(path=path, tensors=tensors, metadata=texts, data_start=start, format="gguf")


def _entry(cursor: _Cursor) -> tuple[str, object]:
    """One key with its value; arrays are skipped, but for the short ones of numbers."""
    key, kind = cursor.text(MAX_NAME_BYTES), cursor.number("I")
    if kind == _TEXT:
        return key, cursor.text(MAX_TEXT_BYTES)
    if kind in _NUMBERS:
        return key, cursor.number(_NUMBERS[kind])
    if kind != _ARRAY:
        raise ValueError(f"entry {key!r:.100} is of the unknown type {kind}")
    item, count = cursor.number("I"), cursor.count("array items")
    if item == _TEXT:
        for _ in range(count):
            cursor.skip(cursor.number("Q"))
        return key, None
    if item not in _NUMBERS:
        raise ValueError(f"entry {key!r:.100} is an array of the unknown type {item}")
    if count > MAX_DIMENSIONS:
        cursor.skip(count * struct.calcsize("<" + _NUMBERS[item]))
        return key, None
    return key, cursor.numbers(f"{count}{_NUMBERS[item]}")


def _tensor(cursor: _Cursor, entries: Mapping[str, object]) -> tuple[str, TensorEntry]:
    name, dimensions = cursor.text(MAX_NAME_BYTES), cursor.number("I")
    if dimensions > MAX_DIMENSIONS:
        raise ValueError(f"tensor {name!r:.100} has {dimensions} dimensions")
    *sizes, kind, begin = cursor.numbers(f"{dimensions}QIQ")
    stored = tuple(reversed(sizes))
    dtype = _TYPES.get(kind)
    if dtype is None:
        raise ValueError(f"tensor {name!r:.100} is of the unknown type {kind}")
    nbytes = math.prod(packed_shape(dtype, stored)) if dtype in BLOCK_TYPES else math.prod(stored) * BYTES[dtype]
    shape = entries.get(f"{_ORIGINAL_SHAPE}{name}", stored)
    if not isinstance(shape, tuple) or math.prod(shape) != math.prod(stored) or any(size < 0 for size in shape):
        raise ValueError(f"tensor {name!r:.100} of shape {stored} cannot have been {shape!r:.100}")
    return name, TensorEntry(dtype=dtype, shape=shape, begin=begin, end=begin + nbytes)


def _check_offsets(path: Path, tensors: Mapping[str, TensorEntry], data_bytes: int) -> None:
    position = 0
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin < position:
            raise ValueError(f"tensor {name!r:.100} begins at byte {entry.begin} and overlaps the one before it")
        position = entry.end
    if position > data_bytes:
        raise HeaderError(
            f"{path} is truncated: its tensors need {position} bytes, {max(data_bytes, 0)} are there; download it again"
        )
