"""Noise masks: time windows, pixel masks, and what a run keeps."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ltx_core_impl.components.patchifiers import AudioPatchifier
from ltx_core_impl.conditioning.item import ConditioningError
from ltx_core_impl.conditioning.noise_mask import (
    LatentNoiseMask,
    grow_mask,
    latent_mask_from_pixels,
    pixel_mask_from_latent,
    restore_kept,
    time_window_mask,
)
from ltx_core_impl.conditioning.region_mask import TemporalRegionMask
from ltx_core_impl.conditioning.tools import AudioLatentTools, VideoLatentTools
from ltx_core_impl.types import AudioLatentShape, VideoLatentShape


def video_tools(frames: int = 16, fps: float = 24.0, height: int = 1, width: int = 1) -> VideoLatentTools:
    return VideoLatentTools(VideoLatentShape(batch=1, channels=2, frames=frames, height=height, width=width), fps=fps)


def video_spans(frames: int = 16, fps: float = 24.0) -> torch.Tensor:
    return video_tools(frames, fps).target_positions()[0, 0]


def audio_spans(frames: int) -> torch.Tensor:
    return AudioPatchifier().bounds_seconds(AudioLatentShape(1, 8, frames, 16))[0, 0]


def set_range(mask: torch.Tensor) -> tuple[int, int]:
    indices = mask.nonzero().flatten()
    assert len(indices) == indices[-1] - indices[0] + 1
    return indices[0].item(), indices[-1].item()


# Spec 07 §13.5.
@pytest.mark.parametrize(
    ("window", "latents", "video", "audio"),
    [
        ((1.0, 3.0), (16, 126), (3, 9), (25, 75)),
        ((5.04, 7.36), (31, 251), (15, 22), (126, 184)),
        ((6.70, 9.03), (31, 251), (20, 27), (168, 226)),
    ],
)
def test_windows_of_the_spec(window: tuple, latents: tuple, video: tuple, audio: tuple) -> None:
    assert set_range(time_window_mask(video_spans(latents[0]), *window)) == video
    assert set_range(time_window_mask(audio_spans(latents[1]), *window)) == audio


@given(st.floats(0, 4), st.floats(0.01, 3), st.integers(1, 16), st.sampled_from([23.976, 24.0, 25.0, 30.0, 50.0]))
def test_a_window_is_the_region_item_of_the_reference(start: float, length: float, frames: int, fps: float) -> None:
    tools = video_tools(frames, fps)
    state = TemporalRegionMask(start, start + length).apply_to(tools.create_initial_state("cpu", torch.float32), tools)
    assert torch.equal(time_window_mask(video_spans(frames, fps), start, start + length), state.denoise_mask[0, :, 0])


@given(st.integers(0, 5), st.integers(1, 6), st.integers(0, 5), st.sampled_from([23.976, 24.0, 25.0, 29.97, 48.0]))
def test_the_outside_keeps_exactly_the_whole_cells_inside(before: int, kept: int, after: int, fps: float) -> None:
    frames = before + kept + after
    spans = video_spans(frames, fps)
    start, end = spans[before, 0].item(), spans[before + kept - 1, 1].item()
    mask = time_window_mask(spans, start, end, outside=True)
    assert mask.tolist() == [1.0] * before + [0.0] * kept + [1.0] * after
    # A window that is a little smaller touches the cells at its edges, unless they are the clip's own.
    smaller = time_window_mask(spans, start + 0.01, end - 0.01, outside=True)
    assert smaller[before] == 1 and smaller[before + kept - 1] == 1


def test_ramps_fall_on_either_side() -> None:
    spans = torch.tensor([[i, i + 1] for i in range(9)], dtype=torch.float32)
    inside = time_window_mask(spans, 3, 6, ramp=2.0)
    torch.testing.assert_close(inside, torch.tensor([0, 0.25, 0.75, 1, 1, 1, 0.75, 0.25, 0]))
    outside = time_window_mask(spans, 3, 9, ramp=2.0, outside=True)
    torch.testing.assert_close(outside, torch.tensor([1, 1, 1, 0.75, 0.25, 0, 0, 0, 0]))


@pytest.mark.parametrize("window", [(1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0)])
def test_a_window_without_length_is_refused(window: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="end after it starts"):
        time_window_mask(video_spans(), *window)


def test_pixel_masks_mark_every_cell_they_touch() -> None:
    shape = VideoLatentShape(1, 2, frames=3, height=2, width=3)
    mask = torch.zeros(17, 64, 96)
    mask[0, 0, 0] = 1  # first frame, first cell
    mask[16, 63, 95] = 0.5  # last frame, last cell
    latent = latent_mask_from_pixels(mask, shape, time_factor=8)
    expected = torch.zeros(3, 2, 3)
    expected[0, 0, 0], expected[2, 1, 2] = 1, 0.5
    assert torch.equal(latent, expected)
    mean = latent_mask_from_pixels(mask, shape, time_factor=8, largest=False)
    assert mean[0, 0, 0] == pytest.approx(1 / 1024)
    assert mean[2, 1, 2] == pytest.approx(0.5 / 8192)


@pytest.mark.parametrize(("height", "width"), [(64, 96), (10, 10), (1, 1), (123, 77)])
def test_a_mask_of_any_picture_size_and_of_one_frame(height: int, width: int) -> None:
    shape = VideoLatentShape(1, 2, frames=3, height=2, width=3)
    assert torch.equal(latent_mask_from_pixels(torch.ones(1, height, width), shape, 8), torch.ones(3, 2, 3))


def test_a_mask_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="5 frames; the clip has 17"):
        latent_mask_from_pixels(torch.ones(5, 4, 4), VideoLatentShape(1, 2, 3, 2, 3), 8)


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**31))
def test_pixels_of_a_latent_mask_give_it_back(frames: int, height: int, width: int, seed: int) -> None:
    mask = torch.rand(frames, height, width, generator=torch.Generator().manual_seed(seed))
    pixels = pixel_mask_from_latent(mask, 8, height * 32, width * 32)
    assert pixels.shape == (8 * (frames - 1) + 1, height * 32, width * 32)
    shape = VideoLatentShape(1, 1, frames, height, width)
    assert torch.equal(latent_mask_from_pixels(pixels, shape, 8), mask)
    # A mean of a thousand equal float32 values rounds a thousand times.
    mean = latent_mask_from_pixels(pixels, shape, 8, largest=False)
    torch.testing.assert_close(mean, mask, rtol=1e-4, atol=1e-4)


def test_growing_a_mask() -> None:
    mask = torch.zeros(1, 41, 41)
    mask[0, 20, 20] = 1
    grown = grow_mask(mask, 15)
    assert grown.sum() == 961  # spec 07 §13.14
    assert grown[0, 5, 35] == 1
    assert grow_mask(mask, 0) is mask


def test_the_item_scales_the_mask_of_the_target_only() -> None:
    tools = AudioLatentTools(AudioLatentShape(2, 8, 4, 16))
    state = tools.create_initial_state("cpu", torch.float32)
    changed = LatentNoiseMask(torch.tensor([[0, 0.5, 1, 1]])).apply_to(state, tools)
    assert changed.denoise_mask[:, :, 0].tolist() == [[0, 0.5, 1, 1]] * 2
    assert torch.equal(state.denoise_mask, torch.ones(2, 4, 1))
    assert changed.clean_latent is state.clean_latent
    with pytest.raises(ConditioningError, match="needs 4 values"):
        LatentNoiseMask(torch.ones(1, 5)).apply_to(state, tools)
    with pytest.raises(ConditioningError, match="1 or 2 samples"):
        LatentNoiseMask(torch.ones(3, 4)).apply_to(state, tools)


def test_kept_parts_are_restored_exactly() -> None:
    latent, kept = torch.randn(1, 2, 3, 1, 1), torch.randn(1, 2, 3, 1, 1)
    mask = torch.tensor([0, 0.5, 1]).view(1, 1, 3, 1, 1)
    restored = restore_kept(latent, kept, mask)
    assert torch.equal(restored[:, :, 0], kept[:, :, 0])
    assert torch.equal(restored[:, :, 1:], latent[:, :, 1:])
