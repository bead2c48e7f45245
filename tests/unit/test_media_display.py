"""Films as a player shows them: matrix, range, depth, primaries, HDR, pixel shape, time and damage."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from ltx_core_impl.media import conditioning_video, count_at_rate, probe_video, read_at_rate, read_frames
from ltx_core_impl.media.film_light import (
    HLG,
    PQ,
    hlg_to_light,
    light_to_pq,
    pq_to_light,
    rolled_off,
    shown_as_sdr,
    to_bt709,
)

UNSAID, BT2020_MATRIX = 2, 9
LUMA = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}


def write_flat(
    path: Path, codes: tuple[int, int, int], pix_fmt: str, size: tuple[int, int] = (64, 48), **tags: int
) -> None:
    """One lossless picture of one Y'CbCr code, tagged as named."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        frame = av.VideoFrame(*size, pix_fmt)
        frame.color_range = tags.get("color_range", 1)
        kind = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
        for plane, code in zip(frame.planes, codes, strict=True):
            plane.update(np.full(plane.buffer_size // np.dtype(kind).itemsize, code, kind).tobytes())
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def first_pixel(path: Path) -> Tensor:
    picture = next(read_frames(path))[0]
    pixel = picture[picture.shape[0] // 2, picture.shape[1] // 2]
    return pixel / 255 if pixel.dtype == torch.uint8 else pixel


def rgb_of(luma: float, cb: float, cr: float, matrix: int) -> list[float]:
    red, blue = LUMA[matrix]
    r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    return [r, (luma - red * r - blue * b) / (1 - red - blue), b]


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("tag", "size", "shown"),
    [(1, (64, 48), 1), (5, (64, 48), 5), (9, (64, 48), 9), (UNSAID, (64, 48), 5), (UNSAID, (1280, 32), 1)],
)
def test_matrix_and_range(tmp_path: Path, bits: int, full: bool, tag: int, size: tuple[int, int], shown: int) -> None:
    path, unit = tmp_path / "flat.mkv", 2 ** (bits - 8)
    codes = tuple(code * unit for code in (120, 100, 150))
    pix_fmt = "yuv420p" if bits == 8 else "yuv420p10le"
    write_flat(path, codes, pix_fmt, size, colorspace=tag, color_range=2 if full else 1)
    if full:
        most = 2**bits - 1
        values = codes[0] / most, *((code - 128 * unit) / most for code in codes[1:])
    else:
        values = (codes[0] / unit - 16) / 219, *((code / unit - 128) / 224 for code in codes[1:])
    tolerance = 1e-5 if bits == 10 else 2.5 / 255
    assert first_pixel(path).tolist() == pytest.approx(rgb_of(*values, shown), abs=tolerance)


def test_ten_bits_stay_ten_bits_up_to_the_encoder(tmp_path: Path) -> None:
    levels = set()
    for code in range(500, 508):
        write_flat(tmp_path / f"{code}.mkv", (code, 512, 512), "yuv420p10le", colorspace=1)
        frames = next(read_frames(tmp_path / f"{code}.mkv"))
        assert frames.dtype == torch.float32
        levels.add(round(conditioning_video(frames, 32, 32)[0, 0, 0, 0, 0].item(), 5))
    assert sorted(levels) == pytest.approx([(code - 64) / 876 * 2 - 1 for code in range(500, 508)], abs=2e-5)


def test_known_points_of_the_hdr_curves() -> None:
    """BT.2408: SDR white, 203 cd/m2, is 58 % of PQ and 75 % of HLG; BT.2100: 1000 cd/m2 is 75.2 % of PQ."""
    assert light_to_pq(torch.tensor([0.0, 203.0, 1000.0, 10000.0])).tolist() == pytest.approx(
        [0, 0.5807, 0.7518, 1], abs=1e-4
    )
    levels = torch.linspace(0, 1, 101)
    torch.testing.assert_close(light_to_pq(pq_to_light(levels)), levels, rtol=1e-4, atol=1e-4)
    white = hlg_to_light(torch.tensor([0.0, 0.5, 0.75, 1.0])[:, None].expand(-1, 3))[:, 0]
    assert white.tolist() == pytest.approx([0, 1000 * (1 / 12) ** 1.2, 203, 1000], rel=2e-3, abs=1e-3)


def test_the_roll_off_keeps_dark_tones_hues_and_order() -> None:
    light = torch.linspace(0, 1000, 2001)[:, None] * torch.tensor([1.0, 0.5, 0.25])
    mapped = rolled_off(light)
    assert (mapped[::100, 0].diff() > 0).all()
    assert mapped[-1, 0].item() == pytest.approx(1.0, abs=1e-3)
    torch.testing.assert_close(mapped[:150], light[:150] / 203, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(mapped[1:, 1] / mapped[1:, 0], torch.full((2000,), 0.5))


def test_primaries() -> None:
    published = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    torch.testing.assert_close(to_bt709(9), torch.tensor(published), atol=1e-4, rtol=0)
    assert to_bt709(12).sum(1).tolist() == pytest.approx([1, 1, 1], abs=1e-5)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_hdr_films_are_tone_mapped(tmp_path: Path, transfer: int) -> None:
    path = tmp_path / "hdr.mkv"
    tags = {"colorspace": BT2020_MATRIX, "color_primaries": 9, "color_trc": transfer}
    write_flat(path, (600, 480, 560), "yuv420p10le", **tags)
    code = rgb_of((600 - 64) / 876, (480 - 512) / 896, (560 - 512) / 896, 9)
    expected = shown_as_sdr(torch.tensor(code), transfer, 9)
    torch.testing.assert_close(first_pixel(path), expected, atol=1e-4, rtol=0)
    light = pq_to_light(torch.tensor(code)) if transfer == PQ else hlg_to_light(torch.tensor(code))
    linear = (rolled_off(light) @ to_bt709(9).T).clamp(0, 1)
    torch.testing.assert_close(expected**2.4, linear, atol=1e-4, rtol=0)
    # A grey stays grey, and SDR's white is almost white.
    write_flat(path, (round(64 + 876 * (0.5807 if transfer == PQ else 0.75)), 512, 512), "yuv420p10le", **tags)
    white = first_pixel(path)
    assert white.max() - white.min() < 1e-3
    assert 0.85 < white[0] < 0.95


@pytest.mark.parametrize(
    ("shape", "shown"), [((16, 11), (93, 48)), ((1, 2), (64, 96)), ((1, 1), (64, 48)), ((100, 1), (64, 48))]
)
def test_pixels_that_are_not_square(tmp_path: Path, shape: tuple[int, int], shown: tuple[int, int]) -> None:
    path = tmp_path / "shape.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(*shape)
        stream.sample_aspect_ratio = Fraction(*shape)
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="rgb24")
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    info = probe_video(path)
    assert (info.width, info.height) == shown
    assert next(read_frames(path)).shape == (1, shown[1], shown[0], 3)


def test_a_gif_lasts_as_long_as_it_says(tmp_path: Path) -> None:
    from PIL import Image

    pictures = [Image.new("RGB", (32, 32), (level, level, level)) for level in (40, 200)]
    path = tmp_path / "still.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[200, 3000], loop=0)
    assert count_at_rate(path, 10) == 32
    levels = [round(frame.float().mean().item()) for chunk in read_at_rate(path, 10) for frame in chunk]
    assert levels == [40] * 2 + [200] * 30
    assert count_at_rate(path, 10, start=1.0) == sum(map(len, read_at_rate(path, 10, start=1.0))) == 22


def write_film(path: Path, pictures: int, seconds_of_sound: float = 0.0, **options: Any) -> None:
    """Grey pictures that grow brighter, all key frames, 10 per second."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10, options={"g": "1", "crf": "5", **options})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("aac", rate=48000, layout="mono") if seconds_of_sound else None
        for index in range(pictures):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * index, np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if audio is not None:
            for begin in range(0, round(seconds_of_sound * 48000), 1024):
                block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                block.sample_rate, block.pts, block.time_base = 48000, begin, Fraction(1, 48000)
                container.mux(audio.encode(block))
            container.mux(audio.encode())


def test_one_picture_lasts_as_long_as_its_sound(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    write_film(path, 1, 4.0)
    assert count_at_rate(path, 10) == pytest.approx(40, abs=1)
    assert sum(map(len, read_at_rate(path, 10))) == count_at_rate(path, 10)
    write_film(tmp_path / "film.mp4", 10, 4.0)
    assert count_at_rate(tmp_path / "film.mp4", 10) == 10


@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_a_damaged_packet_costs_its_picture(tmp_path: Path, caplog: pytest.LogCaptureFixture, container: str) -> None:
    path = tmp_path / f"film.{container}"
    write_film(path, 20)
    with av.open(str(path)) as opened:
        packet = [bytes(one) for one in opened.demux(video=0) if one.size][12]
    path.write_bytes(path.read_bytes().replace(packet, b"\xff" * len(packet)))
    with caplog.at_level(logging.WARNING):
        levels = [round(frame.float().mean().item()) for chunk in read_at_rate(path, 10) for frame in chunk]
    held = [10 * index for index in range(20)]
    held[12] = 110
    assert levels == pytest.approx(held, abs=3)
    assert f"film.{container}: 1 packet of the picture could not be decoded" in caplog.text
    assert "the first at 1.20 s" in caplog.text


def test_a_film_whose_end_is_missing_gives_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    write_film(path, 20)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    levels = [round(frame.float().mean().item()) for chunk in read_at_rate(path, 10) for frame in chunk]
    assert 8 < len(levels) < 20
    assert len(levels) == count_at_rate(path, 10)
