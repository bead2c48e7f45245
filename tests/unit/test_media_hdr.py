"""EXR files and the preview of linear light (spec 07 §7.5, §13.7)."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
import torch

from ltx_core_impl.light.curves import logc3_decompress
from ltx_core_impl.media import srgb_curve, tone_mapped, write_exr
from ltx_core_impl.media.exr import exr_bytes


def test_preview_of_linear_light() -> None:
    linear = logc3_decompress(torch.tensor([0.2, 0.4, 0.8]))
    torch.testing.assert_close(linear, torch.tensor([0.0225570, 0.1965507, 8.5406809]))
    expected = torch.tensor([0.2298158, 0.5677349, 0.9752845])
    torch.testing.assert_close(tone_mapped(linear, exposure=1.0), expected, atol=1e-6, rtol=1e-6)
    assert tone_mapped(torch.tensor([-1.0, 0.0])).tolist() == [0.0, 0.0]


def test_srgb_curve() -> None:
    values = srgb_curve(torch.tensor([-1.0, 0.0, 0.001, 0.18, 1.0, 7.0]))
    torch.testing.assert_close(values, torch.tensor([0.0, 0.0, 0.01292, 0.461356, 1.0, 1.0]))


def test_an_exr_file_keeps_the_light(tmp_path: Path) -> None:
    picture = torch.rand(6, 8, 3, generator=torch.Generator().manual_seed(0)) * 60 - 0.02
    write_exr(tmp_path / "new" / "frame_00000.exr", picture, half=False)
    with av.open(str(tmp_path / "new" / "frame_00000.exr")) as container:
        frame = next(container.decode(video=0))
    assert torch.equal(torch.from_numpy(frame.to_ndarray()), picture)


def test_half_precision_halves_the_channels() -> None:
    picture = torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(0))
    full, half = exr_bytes(picture, half=False), exr_bytes(picture, half=True)
    assert full[:4] == half[:4] == bytes([0x76, 0x2F, 0x31, 0x01])
    # The pixel type follows the channel's name: 1 is half, 2 is float.
    assert (full[full.index(b"R\x00") + 2], half[half.index(b"R\x00") + 2]) == (2, 1)
    assert len(half) < 0.7 * len(full)


@pytest.mark.parametrize("picture", [torch.zeros(2, 4, 4, 3), torch.zeros(4, 4, 4), torch.zeros(4, 4, 3).byte()])
def test_other_pictures_are_refused(picture: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="EXR picture"):
        exr_bytes(picture)
