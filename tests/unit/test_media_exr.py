"""EXR files in and out: precision, tags, layers, windows, damage, sequences; OpenEXR is the peer (spec 08 §2)."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ltx_core_impl.light.primaries import AP1
from ltx_core_impl.light.spaces import EXR_SPACES, to_code
from ltx_core_impl.media.exr import exr_bytes, write_exr
from ltx_core_impl.media.exr_header import COMPRESSIONS, read_header
from ltx_core_impl.media.exr_reader import ExrError, exr_files, exr_info, read_exr, read_exr_sequence

PEER_ONLY = ("DWAA", "DWAB", "HTJ2K32", "ZSTD")


def light(height: int = 40, width: int = 37) -> torch.Tensor:
    """Bright and dark, smooth and noisy, a little below 0 and beyond any screen."""
    picture = torch.rand(height, width, 3, generator=torch.Generator().manual_seed(0)) * 20 - 0.02
    picture[0, 0] = torch.tensor([60000.0, 1e-4, 222.0])
    picture[0, 1] = torch.tensor([3e-6, -2e-7, 65519.0])
    return picture


def peer() -> Any:
    return pytest.importorskip("OpenEXR", reason="the peer; pip install OpenEXR")


def write_by_peer(path: Path, channels: dict[str, np.ndarray], compression: str = "ZIP", **header: Any) -> Path:
    package = peer()
    if not hasattr(package, f"{compression}_COMPRESSION"):
        pytest.skip(f"this OpenEXR has no {compression}")
    kind = {"compression": getattr(package, f"{compression}_COMPRESSION"), "type": package.scanlineimage}
    package.File({**kind, **header}, channels).write(str(path))
    return path


def read_by_peer(path: Path) -> tuple[dict[str, Any], torch.Tensor]:
    file = peer().File(str(path))
    return file.header(), torch.from_numpy(np.array(file.channels()["RGB"].pixels, dtype=np.float32))


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("space", EXR_SPACES)
def test_a_tagged_file_is_read_by_others(tmp_path: Path, space: str, half: bool) -> None:
    picture, tags = light(), EXR_SPACES[space]
    write_exr(tmp_path / "one.exr", picture, half=half, tags=tags)
    header, found = read_by_peer(tmp_path / "one.exr")
    assert torch.equal(found, picture.half().float() if half else picture)
    assert torch.equal(read_exr(tmp_path / "one.exr"), found)
    if tags is None:
        assert "chromaticities" not in header and "colorSpace" not in header
        return
    assert header["colorSpace"] == tags.color_space == exr_info(tmp_path / "one.exr").color_space
    assert tuple(header["chromaticities"]) == pytest.approx(tags.primaries.numbers)
    assert exr_info(tmp_path / "one.exr").chromaticities == pytest.approx(tags.primaries.numbers)


def test_tags_are_those_of_the_spaces() -> None:
    assert [tags and tags.color_space for tags in EXR_SPACES.values()] == ["sRGB", "ACEScg", "ACEScct", None]
    assert AP1.numbers == (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("compression", [*COMPRESSIONS, "HTJ2K32", "ZSTD"])
def test_every_compression_is_read_as_the_peer_reads_it(tmp_path: Path, compression: str, dtype: type) -> None:
    name = "NO" if compression == "NONE" else compression
    path = write_by_peer(tmp_path / "one.exr", {"RGB": light().numpy().astype(dtype)}, name)
    assert torch.equal(read_exr(path), read_by_peer(path)[1])


@pytest.mark.parametrize("compression", PEER_ONLY)
def test_what_needs_the_package_names_it(tmp_path: Path, compression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_by_peer(tmp_path / "one.exr", {"RGB": light().numpy()}, compression)
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(ExrError, match="needs the Python package OpenEXR"):
        read_exr(path)


def test_tiles_parts_and_windows(tmp_path: Path) -> None:
    package, picture = peer(), light()
    tiled = {"type": package.tiledimage, "tiles": package.TileDescription()}
    path = write_by_peer(tmp_path / "tiled.exr", {"RGB": picture.numpy()}, **tiled)
    assert torch.equal(read_exr(path), picture)
    kind = {"compression": package.PIZ_COMPRESSION, "type": package.scanlineimage}
    parts = [package.Part(dict(kind), {"RGB": picture.numpy() * factor}, name=str(factor)) for factor in (1, 2)]
    package.File(parts).write(str(tmp_path / "parts.exr"))
    assert torch.equal(read_exr(tmp_path / "parts.exr"), picture)
    for compression in ("ZIP", "DWAA"):  # FFmpeg's way and the package's
        windows = {
            "dataWindow": (np.array([3, -2], np.int32), np.array([39, 37], np.int32)),
            "displayWindow": (np.array([0, 0], np.int32), np.array([35, 47], np.int32)),
        }
        path = write_by_peer(tmp_path / "window.exr", {"RGB": picture.numpy()}, compression, **windows)
        shown = read_exr(path)
        assert shown.shape == (48, 36, 3) and not shown[:, :3].any() and not shown[38:].any()
        tolerance = {"rtol": 0, "atol": 0} if compression == "ZIP" else {"rtol": 0.2, "atol": 0.5}
        torch.testing.assert_close(shown[1:38, 3:], picture[3:, :33], **tolerance)


def test_channels(tmp_path: Path) -> None:
    red, green, blue = (plane.numpy().copy() for plane in light().unbind(-1))
    colours = {"R": red, "G": green, "B": blue}
    path = write_by_peer(tmp_path / "more.exr", {**colours, "A": red, "Z": blue, "depth.Z": green})
    assert torch.equal(read_exr(path), light())
    path = write_by_peer(tmp_path / "layer.exr", {f"beauty.{name}": plane for name, plane in colours.items()})
    assert torch.equal(read_exr(path), light())
    path = write_by_peer(tmp_path / "grey.exr", {"Y": red})
    assert torch.equal(read_exr(path), light()[..., :1].expand(-1, -1, 3))
    path = write_by_peer(tmp_path / "whole.exr", {name: plane.astype(np.uint32) for name, plane in colours.items()})
    with pytest.raises(ExrError, match="whole numbers"):
        read_exr(path)
    with pytest.raises(ExrError, match="no colours R, G, B and no grey Y, but Z"):
        read_exr(write_by_peer(tmp_path / "depth.exr", {"Z": red}))


@pytest.mark.parametrize("cut", [10, 3000, 300, 100])
def test_a_file_that_was_cut_off_is_said(tmp_path: Path, cut: int) -> None:
    data = exr_bytes(light(), half=False)
    path = tmp_path / "cut.exr"
    path.write_bytes(data[:-cut] if cut > 100 else data[:cut])
    with pytest.raises(ExrError, match=r"blocks are missing|no OpenEXR file"):
        read_exr(path)


def test_any_bytes_are_an_error_not_a_crash(tmp_path: Path) -> None:
    data = bytearray(exr_bytes(light(8, 8), tags=EXR_SPACES["acescg"]))
    generator, end = np.random.default_rng(0), read_header(bytes(data)).end
    for _ in range(300):
        changed = bytearray(data)
        changed[int(generator.integers(4, end))] = int(generator.integers(256))
        (tmp_path / "odd.exr").write_bytes(changed)
        try:
            assert read_exr(tmp_path / "odd.exr").ndim == 3
        except ExrError:
            continue
    (tmp_path / "odd.exr").write_bytes(b"")
    with pytest.raises(ExrError, match="no OpenEXR file"):
        read_exr(tmp_path / "odd.exr")
    assert struct.unpack_from("<i", data)[0] == 20000630


def test_a_folder_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    names = ["shot_9.EXR", "shot_10.exr", "Shot_1.exr", "shot_100.exr"]
    for index, name in enumerate([*names, "notes.txt", "._shot_2.exr"]):
        write_exr(tmp_path / name, torch.full((8, 8, 3), float(index)))
    files = exr_files(tmp_path)
    assert [path.name for path in files] == ["Shot_1.exr", "shot_9.EXR", "shot_10.exr", "shot_100.exr"]
    assert [picture[0, 0, 0].item() for picture in read_exr_sequence(files)] == [2, 0, 1, 3]
    assert exr_files(tmp_path / "shot_9.EXR") == [tmp_path / "shot_9.EXR"]
    write_exr(tmp_path / "shot_101.exr", torch.zeros(8, 9, 3))
    with pytest.raises(ExrError, match=r"shot_101\.exr is 9 x 8, the files before it are 8 x 8"):
        list(read_exr_sequence(exr_files(tmp_path)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ExrError, match="holds no EXR files"):
        exr_files(tmp_path / "empty")


@pytest.mark.parametrize("space", ["srgb_linear", "acescg", "acescct"])
def test_from_file_to_file_within_half_precision(tmp_path: Path, space: str) -> None:
    from ltx_core_impl.light.spaces import delivered

    picture = torch.exp2(torch.rand(16, 16, 3, generator=torch.Generator().manual_seed(3)) * 10 - 5)
    if space == "acescct":
        picture = to_code(picture, "acescg")
    write_exr(tmp_path / "in.exr", picture, tags=EXR_SPACES[space])
    first = read_exr(tmp_path / "in.exr")
    write_exr(tmp_path / "out.exr", delivered(to_code(first, space), "ACEScct", space), tags=EXR_SPACES[space])
    torch.testing.assert_close(read_exr(tmp_path / "out.exr"), first, rtol=2.0**-11, atol=2e-5)
