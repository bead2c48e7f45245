"""Images, resizing and codec degradation (spec 06 §13, spec 07 §7.2 and §7.3)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from ltx_core_impl.media import (
    conditioning_image,
    conditioning_video,
    h264_round_trip,
    load_image,
    resize_and_center_crop,
    resize_and_reflect_pad,
)

EXIF_ORIENTATION = 274


def gradient(height: int = 64, width: int = 96) -> torch.Tensor:
    """Red rises to the right, green downwards, blue is 128."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 / (width - 1), y * 255 / (height - 1), np.full((height, width), 128)], axis=-1)
    return torch.from_numpy(pixels.astype(np.uint8))


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_exif_orientation(tmp_path: Path, orientation: int, turns: int) -> None:
    pixels = gradient(4, 6)
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    Image.fromarray(pixels.numpy()).save(tmp_path / "turned.png", exif=exif)
    assert torch.equal(load_image(tmp_path / "turned.png"), torch.rot90(pixels, turns))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    suffix = "tif" if mode == "CMYK" else "png"
    image = Image.new("RGB", (6, 4), (255, 255, 255)).convert(mode)
    image.save(tmp_path / f"image.{suffix}")
    loaded = load_image(tmp_path / f"image.{suffix}")
    assert loaded.shape == (4, 6, 3) and loaded.dtype == torch.uint8
    assert loaded.min() == 255


def test_sixteen_bit_grey_keeps_its_brightness(tmp_path: Path) -> None:
    values = np.array([[0, 0x80FF, 0xFFFF]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    assert load_image(tmp_path / "deep.png")[0, :, 0].tolist() == [0, 128, 255]


def test_colour_profile_is_converted(tmp_path: Path) -> None:
    image = Image.new("RGB", (2, 2), (200, 100, 50))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(tmp_path / "srgb.png", icc_profile=srgb)
    assert (load_image(tmp_path / "srgb.png")[0, 0] - torch.tensor([200, 100, 50])).abs().max() <= 1
    image.save(tmp_path / "broken.png", icc_profile=b"no profile")
    assert load_image(tmp_path / "broken.png")[0, 0].tolist() == [200, 100, 50]


@pytest.mark.parametrize(("crf", "expected"), [(18, 1.619195), (33, 2.451660), (51, 5.576823)])
def test_round_trip_loss(crf: int, expected: float) -> None:
    """The reference's means with x264 core 165; another build of the encoder may differ a little."""
    image = gradient()
    degraded = h264_round_trip(image, crf)
    assert degraded.shape == image.shape and degraded.dtype == torch.uint8
    assert (degraded.float() - image.float()).abs().mean().item() == pytest.approx(expected, rel=0.05)


def test_round_trip_sizes() -> None:
    image = gradient(33, 51)
    assert h264_round_trip(image, 0) is image
    assert h264_round_trip(image, 33).shape == (32, 50, 3)
    line = gradient(64, 96)[:1]
    assert h264_round_trip(line, 33) is line
    with pytest.raises(ValueError, match="between 0"):
        h264_round_trip(image, 52)


def test_resized_ramp() -> None:
    ramp = (10 * torch.arange(18)).view(1, 2, 3, 3).to(torch.uint8)
    resized = resize_and_center_crop(ramp, 4, 4)
    expected = [[7.5, 22.5, 37.5, 52.5], [30, 45, 60, 75], [75, 90, 105, 120], [97.5, 112.5, 127.5, 142.5]]
    torch.testing.assert_close(resized[0, 0], torch.tensor(expected), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("source", "target", "resized", "top", "left"),
    [
        ((1080, 1920), (544, 960), (544, 968), 0, 4),
        ((1080, 1920), (512, 768), (512, 911), 0, 71),
        ((100, 333), (64, 96), (64, 214), 0, 59),
        ((768, 1024), (512, 768), (576, 768), 32, 0),
        ((1080, 1920), (1088, 1920), (1088, 1935), 0, 7),
    ],
)
def test_cover_crop_window(
    source: tuple[int, int], target: tuple[int, int], resized: tuple[int, int], top: int, left: int
) -> None:
    frame = torch.randint(0, 256, (1, *source, 1), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    whole = torch.nn.functional.interpolate(frame.permute(0, 3, 1, 2).float(), size=resized, mode="bilinear")
    expected = whole[:, :, top : top + target[0], left : left + target[1]]
    assert torch.equal(resize_and_center_crop(frame, *target), expected)


def test_equal_size_is_untouched() -> None:
    image = gradient()[None]
    assert torch.equal(resize_and_center_crop(image, 64, 96), image.permute(0, 3, 1, 2).float())


def test_reflect_pad() -> None:
    frames = torch.arange(12.0).view(1, 3, 4, 1)
    padded = resize_and_reflect_pad(frames, 5, 6)
    assert padded[0, 0, 0].tolist() == [0, 1, 2, 3, 2, 1]
    assert padded[0, 0, :, 0].tolist() == [0, 4, 8, 4, 0]
    assert resize_and_reflect_pad(frames, 9, 4)[0, 0, :, 0].tolist() == [0, 4, 8, 8, 8, 8, 8, 8, 8]
    assert resize_and_reflect_pad(torch.zeros(2, 10, 20, 3), 8, 10).shape == (2, 3, 8, 10)


def test_conditioning_values() -> None:
    levels = torch.tensor([0, 1, 128, 254, 255], dtype=torch.uint8).view(1, 1, 5, 1).expand(1, 1, 5, 3)
    video = conditioning_video(levels, 1, 5)
    expected = torch.tensor([-1, -0.992156863, 0.003921628, 0.992156863, 1])
    torch.testing.assert_close(video[0, 0, 0, 0], expected, rtol=0, atol=1e-7)
    rounded = conditioning_video(
        torch.tensor([127, 200], dtype=torch.uint8).view(2, 1, 1, 1).expand(-1, 1, 1, 3), 1, 1, torch.bfloat16
    )
    assert rounded[0, 0, :, 0, 0].tolist() == pytest.approx([-0.003936768, 0.5703125], rel=1e-6)


def test_conditioning_image_degrades_before_resizing() -> None:
    image = gradient(66, 99)
    degraded = h264_round_trip(image, 33)
    expected = resize_and_center_crop(degraded[None], 32, 64)[0] / 127.5 - 1
    result = conditioning_image(image, 32, 64, crf=33)
    assert result.shape == (1, 3, 1, 32, 64)
    assert torch.equal(result[0, :, 0], expected)
