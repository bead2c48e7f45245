"""Pyramid blending: what stays, what mixes, and how wide the transition is."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltx_core_impl.media.blending import FRAMES_AT_ONCE, SOFT_GRID, pyramid_blend, softly_grown


def film(seed: int, frames: int = 2, height: int = 64, width: int = 96) -> torch.Tensor:
    return torch.rand(frames, height, width, 3, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 99), height=st.integers(1, 70), width=st.integers(1, 70), levels=st.integers(0, 9),
    frames=st.sampled_from([1, FRAMES_AT_ONCE + 1]),
)  # fmt: skip
def test_equal_pictures_and_plain_masks_change_nothing(
    seed: int, height: int, width: int, levels: int, frames: int
) -> None:
    upper, lower = film(seed, frames, height, width), film(seed + 1, frames, height, width)
    mask = film(seed + 2, frames, height, width)[..., 0]
    torch.testing.assert_close(pyramid_blend(upper, upper, mask, levels), upper)
    torch.testing.assert_close(pyramid_blend(upper, lower, torch.ones(1, height, width), levels), upper)
    torch.testing.assert_close(pyramid_blend(upper, lower, torch.zeros(1, height, width), levels), lower)


def test_every_frame_has_its_mask_whatever_the_chunks() -> None:
    frames = FRAMES_AT_ONCE + 3
    upper, lower = film(1, frames), film(2, frames)
    mask = (film(3, frames)[..., 0] > 0.5).float()
    whole = pyramid_blend(upper, lower, mask)
    for index in (0, FRAMES_AT_ONCE - 1, FRAMES_AT_ONCE, frames - 1):
        one = slice(index, index + 1)
        torch.testing.assert_close(whole[one], pyramid_blend(upper[one], lower[one], mask[one]))


def test_colours_change_over_many_pixels_and_detail_over_few() -> None:
    mask = torch.zeros(1, 128, 256)
    mask[:, :, :128] = 1
    white, black = torch.ones(1, 128, 256, 3), torch.zeros(1, 128, 256, 3)
    row = pyramid_blend(white, black, mask, levels=4)[0, 64, :, 0]
    assert row[0] > 0.99 and row[-1] < 0.01
    assert (row[1:] <= row[:-1] + 1e-6).all()
    assert ((row > 0.1) & (row < 0.9)).sum() > 8
    assert torch.equal(pyramid_blend(white, black, mask, levels=0)[0, :, :, 0], mask[0])
    # Stripes of a pixel are left out of the lower picture's half soon behind the edge.
    stripes = torch.full((1, 128, 256, 3), 0.5)
    stripes[:, ::2] += 0.2
    contrast = pyramid_blend(stripes, torch.full_like(stripes, 0.5), mask, levels=4)[0, 64:66, :, 0].diff(dim=0).abs()
    assert contrast[0, :120].min() > 0.15 and contrast[0, 136:].max() < 0.03


def test_a_mask_grows_in_64ths_of_the_longer_side() -> None:
    mask = torch.zeros(1, SOFT_GRID // 2, SOFT_GRID)
    mask[0, 10:12, 30:32] = 1
    wanted = torch.zeros_like(mask)
    wanted[0, 5:17, 25:37] = 1  # in its own size: a plain square of 11 around every white pixel
    assert torch.equal(softly_grown(mask, 5), wanted)
    large = softly_grown(mask.repeat_interleave(4, 1).repeat_interleave(4, 2), 5)
    assert large.shape == (1, 128, 256)
    assert (large[0, 24:64, 104:144] == 1).all() and not large[0, :16].any() and not large[0, :, 152:].any()
    soft = large[0, 40, 96:104]  # the edge of a cell of 4 pixels
    assert (soft[1:] >= soft[:-1]).all() and ((soft > 0) & (soft < 1)).any()
    assert softly_grown(mask, 0) is mask


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="same shape"):
        pyramid_blend(film(1), film(1, frames=3), torch.ones(1, 64, 96))
    with pytest.raises(ValueError, match=r"need \(1 or 2, 64, 96\)"):
        pyramid_blend(film(1), film(2), torch.ones(3, 64, 96))
