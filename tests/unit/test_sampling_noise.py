"""Noise: the mixing rule, the order of draws and batches of seeds."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ltx_core_impl.components.noisers import GaussianNoiser, draw_noise, seeded_generators
from ltx_core_impl.conditioning.video_items import VideoConditionByKeyframeIndex
from ltx_core_impl.sampling.res2s import channelwise_normalised_noise
from ltx_core_impl.types import LatentState, VideoPixelShape
from tests.sampling_helpers import tools


def test_mixing_rule() -> None:
    latent = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    mask = torch.tensor([1.0, 0.25]).view(1, 2, 1)
    positions = torch.zeros(1, 1, 2, 2)

    def noised(clean: torch.Tensor) -> torch.Tensor:
        state = LatentState(latent=latent, denoise_mask=mask, positions=positions, clean_latent=clean)
        return GaussianNoiser(seeded_generators(10))(state, noise_scale=0.909375).latent.flatten()

    same = noised(latent)
    torch.testing.assert_close(same, torch.tensor([-0.456266582, -0.739228308, 2.24924994, 2.81151819]))
    other = noised(torch.tensor([[[5.0, 6.0], [7.0, 8.0]]]))
    torch.testing.assert_close(
        other, torch.tensor([-0.456266612, -0.739228308, 5.24924946, 5.81151819]), rtol=1e-7, atol=0
    )


VIDEO_BF16 = [0.1513671875, 0.76953125, 1.9375, -0.26171875]
VIDEO_FLOAT32 = [-0.817333996, -0.555568516, -0.826689541, -1.29695439]
AUDIO_BF16 = [-1.1328125, 0.177734375, 1.6953125, 2.109375]
AUDIO_BF16_AFTER_KEYFRAME = [1.1875, -1.0703125, 1.453125, -0.19140625]
AUDIO_FLOAT32 = [-0.269080162, 0.939517617, -0.530512154, 0.057146695]


@pytest.mark.parametrize(
    ("dtype", "keyframe", "video_start", "audio_start"),
    [
        (torch.bfloat16, False, VIDEO_BF16, AUDIO_BF16),
        (torch.bfloat16, True, VIDEO_BF16, AUDIO_BF16_AFTER_KEYFRAME),
        (torch.float32, False, VIDEO_FLOAT32, AUDIO_FLOAT32),
    ],
)
def test_draw_order(dtype: torch.dtype, keyframe: bool, video_start: list, audio_start: list) -> None:
    video_tools, audio_tools = tools(VideoPixelShape(batch=1, frames=121, height=512, width=768, fps=25.0))
    video = video_tools.create_initial_state("cpu", dtype)
    if keyframe:
        item = VideoConditionByKeyframeIndex(torch.zeros(1, 128, 1, 16, 24), frame_idx=40, strength=1.0)
        video = item.apply_to(video, video_tools)
        assert video.latent.shape[1] == 6528
    noiser = GaussianNoiser(seeded_generators(10))
    assert noiser(video).latent[0, 0, :4].tolist() == pytest.approx(video_start, abs=1e-7)
    audio = noiser(audio_tools.create_initial_state("cpu", dtype))
    assert audio.latent[0, 0, :4].tolist() == pytest.approx(audio_start, abs=1e-7)


@given(seeds=st.lists(st.integers(-1, 2**63 - 1), min_size=1, max_size=4), tokens=st.integers(1, 9))
def test_a_batch_of_seeds_gives_each_what_it_gets_alone(seeds: list[int], tokens: int) -> None:
    like = torch.empty(len(seeds), tokens, 6)
    together, alone = seeded_generators(seeds), [seeded_generators(seed) for seed in seeds]
    for draw in (draw_noise, channelwise_normalised_noise):
        noise = draw(like, together)
        for sample, generator in enumerate(alone):
            torch.testing.assert_close(noise[sample : sample + 1], draw(like[:1], generator), rtol=1e-12, atol=1e-12)


def test_wrong_number_of_seeds_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2 noise generators.*batch of 3"):
        draw_noise(torch.empty(3, 2, 2), seeded_generators([1, 2]))


def test_res2s_noise() -> None:
    noise = channelwise_normalised_noise(torch.empty(1, 4, 3), seeded_generators(-1))
    expected = [
        1.672286956, -0.505031304997, 1.40674416781, -0.478626122756, -0.0764249542656, -1.67317860842,
        0.477409527958, -0.887969896589, -0.33157052147, 0.28441396573, -0.87179635453, 0.983743145523,
    ]  # fmt: skip
    assert noise.dtype == torch.float64
    assert noise.flatten().tolist() == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize(("seed", "same"), [(2**64, 0), (2**64 + 5, 5), (-1, 2**64 - 1)])
def test_seeds_beyond_64_bits_start_again(seed: int, same: int) -> None:
    like = torch.empty(1, 8)
    assert torch.equal(draw_noise(like, seeded_generators([seed])), draw_noise(like, seeded_generators([same])))
