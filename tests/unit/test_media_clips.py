"""Clips in memory: fitted, padded, with sound of the right length, painted green."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ltx_core_impl.media.clips import INPAINT_GREEN, fill_masked, fit_frames, fit_waveform, pad_frames, resize_mask
from ltx_core_impl.media.resize import resize_and_center_crop


@pytest.mark.parametrize(("height", "width"), [(512, 768), (64, 96), (90, 200)])
def test_fitting_is_the_reference_resize_frame_by_frame(height: int, width: int) -> None:
    frames = torch.rand(3, 90, 200, 3, generator=torch.Generator().manual_seed(0))
    fitted = fit_frames(frames, height, width)
    assert fitted.shape == (3, height, width, 3)
    assert torch.equal(fitted, resize_and_center_crop(frames, height, width).movedim(1, -1))


@given(before=st.integers(0, 9), after=st.integers(0, 9), count=st.integers(1, 5))
def test_padding_repeats_the_ends(before: int, after: int, count: int) -> None:
    frames = torch.arange(count).view(-1, 1, 1, 1).expand(-1, 2, 2, 3)
    padded = pad_frames(frames, before, after)[:, 0, 0, 0].tolist()
    assert padded == [0] * before + list(range(count)) + [count - 1] * after


@given(samples=st.integers(0, 50), length=st.integers(1, 30), offset=st.integers(0, 40))
def test_a_sound_is_placed_cut_and_padded(samples: int, length: int, offset: int) -> None:
    waveform = torch.arange(1, length + 1).float().expand(1, 2, -1)
    fitted = fit_waveform(waveform, samples, offset)
    assert fitted.shape == (1, 2, samples)
    expected = ([0.0] * offset + waveform[0, 0].tolist() + [0.0] * samples)[:samples]
    assert fitted[0, 1].tolist() == expected


def test_green_where_the_mask_is_white() -> None:
    frames = torch.full((2, 2, 2, 3), 0.5)
    mask = torch.tensor([[[1.0, 0.0], [0.5, 0.0]]])
    filled = fill_masked(frames, mask)
    torch.testing.assert_close(filled[1, 0, 0], torch.tensor(INPAINT_GREEN))
    torch.testing.assert_close(filled[0, 1, 0], (torch.tensor(INPAINT_GREEN) + 0.5) / 2)
    assert (filled[:, :, 1] == 0.5).all()


def test_masks_are_resized_by_area() -> None:
    mask = torch.tensor([[[1.0, 0.0], [1.0, 1.0]]])
    assert resize_mask(mask, 1, 1).item() == pytest.approx(0.75)
    assert resize_mask(mask, 4, 4)[0, 0].tolist() == [1, 1, 0, 0]
