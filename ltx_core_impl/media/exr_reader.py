"""OpenEXR files and sequences to pictures, with FFmpeg's decoder, or the package OpenEXR where that is not enough.

FFmpeg reads the common compressions exactly. What it reads wrongly without an error (DWAA and DWAB, where a block
fails) or not at all (several parts, newer compressions) is left to the package, which only that needs (spec 08 §2.3).
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

from .exr_header import COMPRESSIONS, PIXEL_TYPES, Channel, ExrHeader, missing_chunks, read_header

FFMPEG_READS = frozenset(COMPRESSIONS) - {"DWAA", "DWAB"}
EXTENSION = ".exr"
_UINT = PIXEL_TYPES.index("uint")


class ExrError(ValueError):
    """A file is no OpenEXR picture, is damaged, or is of a kind that cannot be read here."""


def exr_files(path: str | PathLike[str]) -> list[Path]:
    """The file itself, or the EXR files of a folder in the order of their numbers: 9 comes before 10.

    Raises:
        ExrError: there is none.
    """
    place = Path(path)
    if not place.is_dir():
        return [place]
    found = [one for one in place.iterdir() if one.suffix.lower() == EXTENSION and not one.name.startswith(".")]
    if not found:
        raise ExrError(f"{place} holds no EXR files. Choose the folder with the sequence, or a single file.")
    return sorted(found, key=lambda one: _natural(one.name))


def _natural(name: str) -> tuple[list[int | str], str]:
    parts = re.split(r"([0-9]+)", name.casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], name


def exr_info(path: str | PathLike[str]) -> ExrHeader:
    """The header of a file, without its pixels. Raises `ExrError` when it has none."""
    with open(path, "rb") as file:
        return _header(file.read(1 << 20), path)


def read_exr(path: str | PathLike[str]) -> Tensor:
    """One picture ``(H, W, 3)`` in float32, values as they are, in the size of its display window.

    Grey is repeated for the three colours, other channels are dropped; of files whose colours lie in layers the first
    layer is taken. Half and float channels only.

    Raises:
        ExrError: see there.
        OSError: there is no such file, or it may not be read.
    """
    data = Path(path).read_bytes()
    header = _header(data, path)
    layer, channels = _colours(header, path)
    if not header.is_plain or header.compression not in FFMPEG_READS:
        return _by_package(path, header, channels)
    missing = missing_chunks(data, header)
    if missing:
        raise ExrError(
            f"{path} is damaged: {missing} of its {header.chunks} blocks are missing. It was cut off or is still being "
            "written; copy or render it again."
        )
    return _by_ffmpeg(data, path, layer)


def read_exr_sequence(files: Iterable[str | PathLike[str]]) -> Iterator[Tensor]:
    """The pictures of a sequence, one by one. Raises `ExrError` also when one has another size than the first."""
    size = None
    for path in files:
        picture = read_exr(path)
        size = size or picture.shape[:2]
        if picture.shape[:2] != size:
            raise ExrError(
                f"{path} is {picture.shape[1]} x {picture.shape[0]}, the files before it are {size[1]} x {size[0]}. A "
                "sequence has one size: take the file out, or render it again."
            )
        yield picture


def _header(data: bytes, path: str | PathLike[str]) -> ExrHeader:
    try:
        return read_header(data)
    except ValueError as error:
        raise ExrError(f"{path} is no OpenEXR file that can be read: {error}. Copy or render it again.") from None


def _colours(header: ExrHeader, path: str | PathLike[str]) -> tuple[str, list[Channel]]:
    """The layer ("" for none) and the channels of its colours: R, G, B, or one for grey."""
    channels = {channel.name: channel for channel in header.channels}
    layers = ["", *(name[:-1] for name in channels if name.endswith(".R"))]
    for layer in layers:
        names = [layer + colour for colour in "RGB"]
        if all(name in channels for name in names):
            return layer.removesuffix("."), _readable([channels[name] for name in names], path)
    if "Y" in channels and not {"RY", "BY"} & channels.keys():
        return "", _readable([channels["Y"]], path)
    raise ExrError(
        f"{path} has no colours R, G, B and no grey Y, but {', '.join(list(channels)[:8])}. Write them as R, G, B."
    )


def _readable(channels: list[Channel], path: str | PathLike[str]) -> list[Channel]:
    for channel in channels:
        if channel.pixel_type == _UINT or (channel.x_sampling, channel.y_sampling) != (1, 1):
            raise ExrError(
                f"The channel {channel.name} of {path} holds whole numbers or not every pixel. Write it as half or "
                "float, for every pixel."
            )
    return channels


def _by_ffmpeg(data: bytes, path: str | PathLike[str], layer: str) -> Tensor:
    decoder = av.CodecContext.create("exr", "r")
    if layer:
        decoder.options = {"layer": layer}
    try:
        frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    except av.FFmpegError as error:
        raise ExrError(f"{path} cannot be decoded ({error.strerror}). Copy or render it again.") from None
    if not frames or "f" not in frames[0].format.name:
        raise ExrError(f"{path} cannot be decoded. Write its colours as half or float, all of one kind.")
    planes = [_plane(plane, frames[0].format.name) for plane in frames[0].planes]
    # FFmpeg keeps the planes as green, blue, red.
    red, green, blue = (planes[2], planes[0], planes[1]) if len(planes) >= 3 else planes[:1] * 3
    return torch.from_numpy(np.stack([red, green, blue], axis=-1))


def _plane(plane: av.video.plane.VideoPlane, format_name: str) -> np.ndarray:
    kind = np.dtype(np.float16 if "f16" in format_name else np.float32)
    rows = np.frombuffer(plane, kind).reshape(plane.height, plane.line_size // kind.itemsize)
    return rows[:, : plane.width].astype(np.float32)


def _by_package(path: str | PathLike[str], header: ExrHeader, channels: list[Channel]) -> Tensor:
    try:
        package = importlib.import_module("OpenEXR")
    except ImportError:
        kind = f"compression {header.compression}" if header.is_plain else "several parts or deep pixels"
        raise ExrError(
            f"{path} has {kind}, which needs the Python package OpenEXR. Install it ('pip install OpenEXR'), or write "
            "the files as one part with ZIP or PIZ."
        ) from None
    try:
        part = package.File(str(path), separate_channels=True).parts[0]
        pixels = [np.asarray(part.channels[channel.name].pixels, np.float32) for channel in channels]
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ExrError(f"{path} cannot be read by OpenEXR ({error}). Copy or render it again.") from None
    if any(plane.ndim != 2 for plane in pixels):
        raise ExrError(f"{path} holds deep pixels. Flatten it first.")
    return _in_display_window(torch.from_numpy(np.stack(pixels * (3 // len(pixels)), axis=-1)), header)


def _in_display_window(picture: Tensor, header: ExrHeader) -> Tensor:
    """Pixels of the data window where they lie in the display window; black around them."""
    stored, shown = header.data_window, header.display_window
    result = torch.zeros(*shown.size, 3)
    top, bottom = max(stored.top, shown.top), min(stored.bottom, shown.bottom) + 1
    left, right = max(stored.left, shown.left), min(stored.right, shown.right) + 1
    if top < bottom and left < right:
        seen = picture[top - stored.top : bottom - stored.top, left - stored.left : right - stored.left]
        result[top - shown.top : bottom - shown.top, left - shown.left : right - shown.left] = seen
    return result
