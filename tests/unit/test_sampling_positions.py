"""Shapes, token layout, positions and the life of a state."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ltx_core_impl.components.patchifiers import AudioPatchifier, VideoLatentPatchifier
from ltx_core_impl.conditioning.tools import AudioLatentTools, VideoLatentTools
from ltx_core_impl.types import AudioLatentShape, SpatioTemporalScaleFactors, VideoLatentShape, VideoPixelShape
from tests.sampling_helpers import tools


@pytest.mark.parametrize(
    ("frames", "fps", "expected"),
    [(121, 25, 121), (121, 24, 126), (97, 24, 101), (257, 25, 257), (121, 30, 101), (481, 50, 240), (25, 24, 26),
     (1, 24, 1), (161, 24, 168), (241, 24, 251), (49, 30, 41), (120, 24, 125)],
)  # fmt: skip
def test_audio_lasts_as_long_as_the_video(frames: int, fps: float, expected: int) -> None:
    pixels = VideoPixelShape(batch=1, frames=frames, height=512, width=768, fps=float(fps))
    assert AudioLatentShape.from_video_pixel_shape(pixels) == (1, 8, expected, 16)


def test_audio_length_rounds_half_to_even_and_follows_the_rates() -> None:
    assert AudioLatentShape.from_duration(1, 0.5, sample_rate=16000, hop_length=160).frames == 12
    assert AudioLatentShape.from_duration(1, 0.54, channels=4, mel_bins=8) == (1, 4, 14, 8)
    assert AudioLatentShape.from_duration(1, 2.0, sample_rate=32000, hop_length=320).frames == 50
    assert AudioLatentShape.from_duration(1, 2.0, audio_latent_downsample_factor=8).frames == 25


def test_video_shapes() -> None:
    pixels = VideoPixelShape(batch=2, frames=121, height=512, width=768, fps=24.0)
    latent = VideoLatentShape.from_pixel_shape(pixels)
    assert latent == (2, 128, 16, 16, 24)
    assert latent.token_count() == 6144
    assert latent.upscale() == (2, 3, 121, 512, 768)
    assert latent.mask_shape() == (2, 1, 16, 16, 24)
    assert VideoLatentShape.from_torch_shape(torch.empty(latent.to_torch_shape()).shape) == latent
    scale = SpatioTemporalScaleFactors(time=4, height=16, width=8)
    other = VideoLatentShape.from_pixel_shape(pixels, latent_channels=16, scale_factors=scale)
    assert other == (2, 16, 31, 32, 96)
    assert other.upscale(scale) == (2, 3, 121, 512, 768)
    with pytest.raises(ValueError, match=r"5 dimensions.*\(1, 2, 3\)"):
        VideoLatentShape.from_torch_shape((1, 2, 3))


def test_video_tokens() -> None:
    latent = torch.arange(48.0).view(2, 3, 2, 2, 2)
    patchifier = VideoLatentPatchifier()
    tokens = patchifier.patchify(latent)
    assert tokens[0, 0].tolist() == [0, 8, 16]
    assert tokens[0, :, 0].tolist() == list(range(8))
    assert torch.equal(patchifier.unpatchify(tokens, VideoLatentShape.from_torch_shape(latent.shape)), latent)


def test_audio_tokens() -> None:
    latent = torch.arange(2 * 8 * 5 * 16.0).view(2, 8, 5, 16)
    patchifier = AudioPatchifier()
    tokens = patchifier.patchify(latent)
    assert tokens[1, 3, 2 * 16 + 7] == latent[1, 2, 3, 7]
    assert torch.equal(patchifier.unpatchify(tokens, AudioLatentShape.from_torch_shape(latent.shape)), latent)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_video_positions_are_float32(dtype: torch.dtype) -> None:
    video_tools, _ = tools(VideoPixelShape(batch=1, frames=121, height=512, width=768, fps=25.0))
    positions = video_tools.create_initial_state("cpu", dtype).positions
    assert positions.dtype == torch.float32
    table = {
        0: ([0, 0.0399999991], [0, 32], [0, 32]),
        1: ([0, 0.0399999991], [0, 32], [32, 64]),
        23: ([0, 0.0399999991], [0, 32], [736, 768]),
        24: ([0, 0.0399999991], [32, 64], [0, 32]),
        383: ([0, 0.0399999991], [480, 512], [736, 768]),
        384: ([0.0399999991, 0.3600000143], [0, 32], [0, 32]),
        768: ([0.3600000143, 0.6800000072], [0, 32], [0, 32]),
        5760: ([4.5199999809, 4.8400001526], [0, 32], [0, 32]),
        6143: ([4.5199999809, 4.8400001526], [480, 512], [736, 768]),
    }
    for token, bounds in table.items():
        assert torch.equal(positions[0, :, token], torch.tensor(bounds)), token


def test_latent_times_at_24_frames_per_second() -> None:
    tools_24 = VideoLatentTools(VideoLatentShape(1, 128, 16, 1, 1), fps=24.0)
    times = tools_24.target_positions()[0, 0]
    torch.testing.assert_close(times[[1, 15]], torch.tensor([[0.04166667, 0.375], [4.70833349, 5.04166651]]))


def test_positions_follow_the_vae() -> None:
    scale = SpatioTemporalScaleFactors(time=4, height=16, width=8)
    shape = VideoLatentShape(2, 16, 2, 2, 1)
    positions = VideoLatentTools(shape, fps=10.0, scale_factors=scale).target_positions()
    assert positions.shape == (2, 3, 4, 2)
    torch.testing.assert_close(positions[1, 0, :, 1], torch.tensor([0.1, 0.1, 0.5, 0.5]))
    assert positions[1, 1, 1].tolist() == [16, 32]
    assert positions[1, 2, 0].tolist() == [0, 8]
    plain = VideoLatentTools(shape, fps=10.0, scale_factors=scale, causal_fix=False).target_positions()
    torch.testing.assert_close(plain[0, 0, :, 1], torch.tensor([0.4, 0.4, 0.8, 0.8]))


def test_audio_positions() -> None:
    seconds = AudioPatchifier().bounds_seconds(AudioLatentShape(2, 8, 121, 16))
    assert seconds.shape == (2, 1, 121, 2)
    assert seconds.dtype == torch.float32
    expected = torch.tensor([[0, 0.01], [0.01, 0.05], [0.05, 0.09], [0.09, 0.13]])
    assert torch.equal(seconds[0, 0, :4], expected)
    assert torch.equal(seconds[1, 0, 120], torch.tensor([4.77, 4.81]))
    other = AudioPatchifier(sample_rate=32000, hop_length=320, downsample_factor=2, is_causal=False)
    torch.testing.assert_close(other.bounds_seconds(AudioLatentShape(1, 8, 2, 16))[0, 0, 1], torch.tensor([0.02, 0.04]))


def test_initial_state() -> None:
    pixels = VideoPixelShape(batch=2, frames=9, height=64, width=64, fps=25.0)
    video_tools, audio_tools = tools(pixels)
    state = video_tools.create_initial_state("cpu", torch.bfloat16)
    assert state.latent.shape == (2, 8, 128)
    assert state.latent.dtype == torch.bfloat16
    assert state.denoise_mask.dtype == torch.float32
    assert state.keyframes_mask[0, :, 0].tolist() == [1] * 4 + [0] * 4
    assert audio_tools.create_initial_state("cpu", torch.bfloat16).keyframes_mask is None
    given = torch.randn(2, 128, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    started = video_tools.create_initial_state("cpu", torch.float32, initial_latent=given)
    back = video_tools.unpatchify(video_tools.clear_conditioning(started))
    assert torch.equal(back.latent, given)
    assert torch.equal(back.clean_latent, given)
    assert back.denoise_mask.shape == (2, 1, 2, 2, 2)


def test_clearing_resets_the_mask_and_drops_appended_tokens() -> None:
    shape = AudioLatentShape(1, 8, 4, 16)
    audio_tools = AudioLatentTools(shape)
    state = audio_tools.create_initial_state("cpu", torch.float32)
    longer = replace(
        state,
        latent=torch.cat([state.latent, torch.ones(1, 3, 128)], dim=1),
        clean_latent=torch.cat([state.clean_latent, torch.ones(1, 3, 128)], dim=1),
        denoise_mask=torch.zeros(1, 7, 1),
        positions=torch.cat([state.positions, torch.zeros(1, 1, 3, 2)], dim=2),
        attention_mask=torch.ones(1, 7, 7),
    )
    cleared = audio_tools.unpatchify(audio_tools.clear_conditioning(longer))
    assert cleared.latent.shape == (1, 8, 4, 16)
    assert not cleared.latent.any()
    assert torch.equal(cleared.denoise_mask, torch.ones(1, 1, 4, 1))
    assert cleared.positions.shape == (1, 1, 4, 2)
    assert cleared.attention_mask is None


def test_wrong_initial_latent_and_rate_are_refused() -> None:
    video_tools, _ = tools(VideoPixelShape(batch=1, frames=9, height=64, width=64, fps=25.0))
    with pytest.raises(ValueError, match=r"\(1, 128, 3, 2, 2\), this run needs \(1, 128, 2, 2, 2\)"):
        video_tools.create_initial_state("cpu", torch.float32, initial_latent=torch.zeros(1, 128, 3, 2, 2))
    with pytest.raises(ValueError, match="frame rate must be positive"):
        replace(video_tools, fps=0.0)
