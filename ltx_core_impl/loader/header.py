"""Reading a safetensors header: names, dtypes, shapes and metadata, without touching a tensor (spec 01 §2.1).

Everything in the header is untrusted: lengths and offsets are checked against the file before they are used.
"""

from __future__ import annotations

import json
import math
import os
import stat
import struct
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from .dtypes import BYTES
from .errors import CheckpointNotFoundError, HeaderError
from .foreign import SNIFF_BYTES, name_foreign_file
from .gguf_header import MAGIC, read_gguf_header
from .header_types import Header, TensorEntry

__all__ = ["Header", "TensorEntry", "parse_header", "read_header"]

MAX_HEADER_BYTES = 100_000_000
"""The limit of the format itself; real headers are below 5 MB."""

MAX_DIMENSIONS = 16

_LENGTH = struct.Struct("<Q")


def read_header(path: str | os.PathLike[str]) -> Header:
    """Read and check the header of a safetensors or GGUF file.

    Raises:
        CheckpointNotFoundError: no file there.
        HeaderError: empty, truncated, of another kind (named), or with a header that contradicts the file.
    """
    path = Path(path)
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise HeaderError(f"{path} is a folder; a single .safetensors file is needed")
        if not stat.S_ISREG(status.st_mode):
            raise HeaderError(f"{path} is not a regular file; a .safetensors file is needed")
        with open(path, "rb") as file:
            start = file.read(SNIFF_BYTES)
            if start.startswith(MAGIC) and start[4:9] != b"\x00\x00\x00\x00{":
                file.seek(0)
                return read_gguf_header(path, file, status.st_size)
            length = _header_length(path, start, status.st_size)
            file.seek(_LENGTH.size)
            raw = file.read(length)
    except FileNotFoundError as error:
        raise CheckpointNotFoundError(f"No such file or directory: {path}. Check the name and the folder") from error
    except HeaderError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        raise HeaderError(f"{str(path)!r} cannot be read: {error}") from error
    if len(raw) != length:
        raise HeaderError(f"{path} ended while its header was read: it is being written, or damaged; try again")
    return parse_header(raw, path=path, data_bytes=status.st_size - _LENGTH.size - length)


def _header_length(path: Path, start: bytes, file_bytes: int) -> int:
    """The header's length in bytes, checked against the file's size."""
    if file_bytes == 0:
        raise HeaderError(f"{path} is empty (0 bytes): the download did not finish; download it again")
    foreign = name_foreign_file(start)
    if foreign:
        raise HeaderError(f"{path} is not a safetensors file: {foreign}")
    if file_bytes < _LENGTH.size + 2:
        raise HeaderError(f"{path} has only {file_bytes} bytes, too few for a safetensors file; download it again")
    (length,) = _LENGTH.unpack_from(start)
    if length > MAX_HEADER_BYTES:
        raise HeaderError(
            f"{path} is not a safetensors file: its first 8 bytes give a header of {length} bytes, "
            f"the format allows {MAX_HEADER_BYTES}; check that this is the right file"
        )
    if _LENGTH.size + length > file_bytes:
        raise HeaderError(
            f"{path} is truncated: the header needs {_LENGTH.size + length} bytes, the file has {file_bytes}; "
            "download it again"
        )
    return length


@lru_cache(maxsize=8)
def parse_header(raw: bytes, *, path: Path, data_bytes: int) -> Header:
    """Check header JSON against the number of data bytes that follow it; ``HeaderError`` when they disagree.

    Remembered by its bytes: a combined file is asked for each of its components, and its header takes a sixth of a
    second to check.
    """
    try:
        content = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique_object)
    except (ValueError, RecursionError) as error:
        raise HeaderError(f"{path} is not a safetensors file: its header is not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise HeaderError(f"{path}: the header is a JSON {type(content).__name__}, an object is needed")
    metadata = _metadata(path, content.pop("__metadata__", None))
    tensors = {name: _entry(path, name, value) for name, value in content.items()}
    _check_offsets(path, tensors, data_bytes)
    data_start = _LENGTH.size + len(raw)
    return Header(path=path, tensors=tensors, metadata=metadata, data_start=data_start)


def _unique_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name occurs twice")
    return result


def _metadata(path: Path, value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise HeaderError(f"{path}: __metadata__ is a {type(value).__name__}, an object of strings is needed")
    for key, text in value.items():
        if not isinstance(text, str):
            raise HeaderError(f"{path}: metadata entry {key!r} is a {type(text).__name__}, a string is needed")
    return value


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _entry(path: Path, name: str, value: object) -> TensorEntry:
    """One tensor's description, with its byte count checked against dtype and shape."""
    where = f"{path}: tensor {name!r}"
    if not isinstance(value, dict):
        raise HeaderError(f"{where} is described by a {type(value).__name__}, an object is needed")
    dtype, shape, offsets = value.get("dtype"), value.get("shape"), value.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in BYTES:
        raise HeaderError(f"{where} has the unknown dtype {dtype!r:.40}; known are {', '.join(sorted(BYTES))}")
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(_is_size(size) for size in shape):
        raise HeaderError(f"{where} has the shape {shape!r:.200}; a list of at most {MAX_DIMENSIONS} sizes is needed")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_size(offset) for offset in offsets):
        raise HeaderError(f"{where} has data_offsets {offsets!r:.200}; two numbers >= 0 are needed")
    begin, end = offsets
    needed = math.prod(shape) * BYTES[dtype]
    if end - begin != needed:
        raise HeaderError(f"{where}: {dtype} {tuple(shape)} needs {needed} bytes, its offsets give {end - begin}")
    return TensorEntry(dtype=dtype, shape=tuple(shape), begin=begin, end=end)


def _check_offsets(path: Path, tensors: Mapping[str, TensorEntry], data_bytes: int) -> None:
    """The tensors must fill the data exactly: no overlap, no gap, nothing beyond the end."""
    position = 0
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != position:
            fault = "overlaps the tensor before it" if entry.begin < position else "leaves a gap before it"
            raise HeaderError(f"{path}: tensor {name!r} begins at byte {entry.begin} and {fault} (end {position})")
        position = entry.end
    if position > data_bytes:
        raise HeaderError(
            f"{path} is truncated: its tensors need {position} bytes, {data_bytes} are there "
            f"({position - data_bytes} missing); download it again"
        )
    if position < data_bytes:
        raise HeaderError(f"{path} has {data_bytes - position} bytes after its last tensor: it is damaged")
