"""HLG masters as files: signal, tags, sound and memory (spec 08 §2.5); HDR films read as light."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from ltx_core_impl.light.curves import acescct_decompress
from ltx_core_impl.light.films import HLG, PQ, film_to_code
from ltx_core_impl.light.hlg import hlg_codes
from ltx_core_impl.light.primaries import AP1, REC709
from ltx_core_impl.light.spaces import to_code
from ltx_core_impl.media import read_frames
from ltx_core_impl.media.display import WorkingCode
from ltx_core_impl.media.hlg_writer import HLGWriter
from ltx_core_impl.types import Audio
from tests.unit.test_media_display import write_flat


def light(frames: int = 3, height: int = 64, width: int = 96) -> torch.Tensor:
    """A soft picture, from black to highlights of 8."""
    rows, columns = torch.linspace(0, 3, height)[:, None], torch.linspace(0, 4, width)[None]
    picture = torch.stack([(rows + columns) / 7, (rows.sin() + 1) / 2 + 0 * columns, (columns - rows).cos() + 1], -1)
    return (picture**3 + torch.zeros(frames, 1, 1, 1)).float()


def patches(frames: int = 3) -> torch.Tensor:
    """Six patches of 32 x 32 pixels, one colour each, from dark to a highlight of 8."""
    colours = torch.tensor([[0.02] * 3, [0.18] * 3, [1, 0.4, 0.2], [0.1, 0.8, 0.3], [0.2, 0.2, 1], [8, 6, 4]])
    rows = colours.view(1, 2, 3, 3).repeat_interleave(32, 1).repeat_interleave(32, 2)
    return rows.expand(frames, -1, -1, -1)


def planes_of(path: Path) -> list[list[np.ndarray]]:
    with av.open(str(path)) as container:
        return [
            [
                np.frombuffer(plane, np.uint16).reshape(plane.height, -1)[:, : plane.width].astype(int)
                for plane in frame.planes
            ]
            for frame in container.decode(video=0)
        ]


def test_the_signal_tags_rate_and_sound(tmp_path: Path) -> None:
    path, pictures = tmp_path / "master.mp4", patches()
    sound = Audio(torch.sin(torch.arange(30000) * 0.05)[None] * 0.3, 48000)
    with HLGWriter(path, fps=23.976, primaries=AP1, audio=sound, metadata={"prompt": "light"}) as writer:
        writer.write(pictures[:1])
        writer.write(pictures[1:])
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        context = video.codec_context
        assert (context.name, context.codec_tag, context.pix_fmt) == ("hevc", "hvc1", "yuv420p10le")
        tags = context.color_primaries, context.color_trc, context.colorspace, context.color_range
        assert [int(tag) for tag in tags] == [9, 18, 9, 1]
        assert video.average_rate == Fraction(24000, 1001) and video.frames == 3
        assert (audio.codec_context.name, audio.layout.nb_channels) == ("aac", 2)
        assert container.metadata["prompt"] == "light"
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    frames = planes_of(path)
    assert len(frames) == 3
    for planes, wanted in zip(frames, zip(*hlg_codes(pictures, AP1), strict=True), strict=True):
        for found, codes in zip(planes, wanted, strict=True):
            size = 32 * codes.shape[1] // pictures.shape[2]  # of a patch in this plane
            for top in range(0, codes.shape[0], size):
                for left in range(0, codes.shape[1], size):
                    inner = (slice(top + size // 4, top + size * 3 // 4), slice(left + size // 4, left + size * 3 // 4))
                    assert np.abs(found[inner] - codes[inner].numpy()).max() <= 2


def test_white_is_three_quarters(tmp_path: Path) -> None:
    with HLGWriter(tmp_path / "white.mp4", fps=24, primaries=REC709) as writer:
        writer.write(torch.ones(2, 65, 67, 3))
    for luma, cb, cr in planes_of(tmp_path / "white.mp4"):
        assert (luma.shape, cb.shape) == ((64, 66), (32, 33))
        assert np.abs(luma - 721).max() <= 1 and np.abs(cb - 512).max() <= 1 and np.abs(cr - 512).max() <= 1


def test_a_master_that_failed_leaves_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="64 x 64 pixels or more"),
        HLGWriter(tmp_path / "a.mp4", fps=24, primaries=AP1) as writer,
    ):
        writer.write(torch.ones(1, 34, 34, 3))
    with (
        pytest.raises(ValueError, match="All chunks have the size of the first"),
        HLGWriter(tmp_path / "a.mp4", fps=24, primaries=AP1) as writer,
    ):
        writer.write(torch.ones(1, 64, 64, 3))
        writer.write(torch.ones(1, 64, 66, 3))
    assert list(tmp_path.iterdir()) == []


# Reading


def test_a_master_is_read_as_the_light_it_was_written_from(tmp_path: Path) -> None:
    pictures = light() / 9
    with HLGWriter(tmp_path / "master.mp4", fps=24, primaries=AP1) as writer:
        writer.write(pictures)
    [code] = read_frames(tmp_path / "master.mp4", show=WorkingCode)
    assert code.dtype == torch.float32 and code.shape == pictures.shape
    wanted = to_code(pictures, "acescg")
    # Colour is stored for 2 x 2 pixels; below two percent of white 10 bits are few.
    bright = (pictures > 0.02).all(-1) & (pictures < 1).all(-1)
    assert bright.float().mean() > 0.3
    assert (code - wanted)[bright].abs().mean() < 2e-3


@pytest.mark.parametrize(("transfer", "luma"), [(PQ, 573), (HLG, 721), (1, 940)])
def test_the_white_of_each_film_is_one(tmp_path: Path, transfer: int, luma: int) -> None:
    path = tmp_path / "flat.mkv"
    tags = {"color_primaries": 9, "color_trc": transfer, "colorspace": 9, "color_range": 1}
    write_flat(path, (luma, 512, 512), "yuv420p10le", **tags)
    [code] = read_frames(path, show=WorkingCode)
    assert acescct_decompress(code).flatten().tolist() == pytest.approx([1.0] * code.numel(), rel=0.02)
    [shown] = read_frames(path)
    assert shown.max() <= 1


def test_an_eight_bit_film_is_a_picture_in_srgb(tmp_path: Path) -> None:
    write_flat(tmp_path / "flat.mkv", (126, 128, 128), "yuv420p", colorspace=1, color_range=1)
    [shown] = read_frames(tmp_path / "flat.mkv")
    [code] = read_frames(tmp_path / "flat.mkv", show=WorkingCode)
    assert shown.dtype == torch.uint8
    torch.testing.assert_close(code, film_to_code(shown / 255, 1, 1))


def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    """Peak memory of a process that writes 40 and 140 pictures, which as light take 18 and 62 MB."""
    code = """
import resource, sys, torch
from ltx_core_impl.light.primaries import AP1
from ltx_core_impl.light.spaces import EXR_SPACES, delivered
from ltx_core_impl.media.exr import write_exr
from ltx_core_impl.media import hlg_writer
from ltx_core_impl.media.hlg_writer import HLGWriter
torch.set_num_threads(1)
hlg_writer.PRESET = "ultrafast"
with HLGWriter(sys.argv[1], fps=24, primaries=AP1) as writer:
    for number in range(int(sys.argv[2])):
        code = torch.full((1, 144, 256, 3), 0.3 + number / 1000)
        writer.write(delivered(code, "ACEScct", "acescg"))
        write_exr(sys.argv[1] + ".exr", code[0], tags=EXR_SPACES["acescct"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    peaks = [
        int(
            subprocess.run(
                [sys.executable, "-c", code, str(tmp_path / f"{frames}.mp4"), str(frames)],
                check=True,
                capture_output=True,
                text=True,
                cwd=Path(__file__).parents[2],
            ).stdout
        )
        for frames in (40, 140)
    ]
    assert peaks[1] - peaks[0] < 15, peaks
