"""A whole stage: conditioning, noise, loop and cleaning up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltx_core_impl.components.noisers import GaussianNoiser, seeded_generators
from ltx_core_impl.conditioning.keyframe_slots import VideoGeneratedKeyframeSlots
from ltx_core_impl.conditioning.rules import LTX_2_5_RULES, LTX_2_RULES
from ltx_core_impl.conditioning.video_items import (
    VideoConditionByKeyframeIndex,
    VideoConditionByLatentIndex,
    VideoConditionByReferenceLatent,
)
from ltx_core_impl.model.transformer import X0Model
from ltx_core_impl.sampling.denoisers import SimpleDenoiser
from ltx_core_impl.sampling.loops import (
    euler_ancestral_denoising_loop,
    euler_denoising_loop,
    gradient_estimating_euler_denoising_loop,
)
from ltx_core_impl.sampling.res2s import res2s_denoising_loop
from ltx_core_impl.sampling.stage import StageModality, denoise_stage
from ltx_core_impl.types import VideoPixelShape
from tests.sampling_helpers import tools
from tests.transformer_helpers import load_transformer

PIXELS = VideoPixelShape(batch=1, frames=17, height=64, width=96, fps=25.0)
CONTEXT = torch.zeros(1, 2, 4)
SIGMAS = torch.tensor([1.0, 0.6, 0.0])
LOOPS = (
    euler_denoising_loop,
    gradient_estimating_euler_denoising_loop,
    euler_ancestral_denoising_loop,
    res2s_denoising_loop,
)


def halving(video: object, audio: object, perturbations: object, forks: object) -> tuple:
    """A model that predicts half of its input."""
    return tuple(None if one is None else one.latent / 2 for one in (video, audio))


def latent(frames: int, height: int = 2, width: int = 3) -> torch.Tensor:
    return torch.randn(1, 128, frames, height, width, generator=torch.Generator().manual_seed(frames))


def run(pixels: VideoPixelShape = PIXELS, seeds: object = 10, **options: object) -> tuple:
    video_tools, audio_tools = tools(pixels)
    defaults = {
        "transformer": halving,
        "denoiser": SimpleDenoiser(CONTEXT, CONTEXT),
        "sigmas": SIGMAS,
        "noiser": GaussianNoiser(seeded_generators(seeds)),
        "device": "cpu",
        "dtype": torch.float32,
        "video": StageModality(video_tools),
        "audio": StageModality(audio_tools),
    }
    return denoise_stage(**(defaults | options))


guides = st.one_of(
    st.builds(VideoConditionByLatentIndex, st.just(latent(1)), st.floats(0, 1), st.integers(0, 2)),
    st.builds(VideoConditionByKeyframeIndex, st.just(latent(1)), st.integers(-20, 40), st.floats(0, 1)),
    st.builds(VideoConditionByKeyframeIndex, st.just(latent(2)), st.integers(-20, 40), st.floats(0, 1), st.just(9)),
    st.builds(VideoConditionByReferenceLatent, st.just(latent(3, 1, 1)), st.integers(1, 3), st.integers(1, 4)),
)


@given(items=st.lists(guides, max_size=4), rules=st.sampled_from([LTX_2_RULES, LTX_2_5_RULES]))
@settings(max_examples=40, deadline=None)
def test_frames_out_are_frames_asked_for_any_guides(items: list, rules: object) -> None:
    video_tools = replace(tools(PIXELS)[0], rules=rules)
    video, audio = run(video=StageModality(video_tools, conditionings=items))
    assert video.latent.shape == (1, 128, 3, 2, 3)
    assert video.latent.isfinite().all()
    assert audio.latent.shape == (1, 8, 17, 16)


@pytest.mark.parametrize("loop", LOOPS)
def test_fully_kept_content_is_returned_exactly(loop: Callable) -> None:
    image = latent(1)
    item = VideoConditionByLatentIndex(image, strength=1.0, latent_idx=1)
    video, _ = run(video=StageModality(tools(PIXELS)[0], conditionings=[item]), loop=loop)
    torch.testing.assert_close(video.latent[:, :, 1:2], image)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_batch_of_seeds_gives_each_what_it_gets_alone(loop: Callable) -> None:
    seeds = [1, 22, 333]

    def with_seeds(value: object) -> Callable:
        stochastic = loop in (euler_ancestral_denoising_loop, res2s_denoising_loop)
        return partial(loop, noise_seed=value) if stochastic else loop

    together = run(PIXELS._replace(batch=3), seeds=seeds, loop=with_seeds(seeds))
    for sample, seed in enumerate(seeds):
        alone = run(seeds=seed, loop=with_seeds(seed))
        for many, one in zip(together, alone, strict=True):
            torch.testing.assert_close(many.latent[sample : sample + 1], one.latent)


def test_audio_noise_follows_the_video_noise() -> None:
    with_video = run()
    alone = run(video=None)
    again = run()
    assert torch.equal(with_video[1].latent, again[1].latent)
    assert not torch.equal(with_video[1].latent, alone[1].latent)
    assert alone[0] is None


@pytest.mark.parametrize(("rules", "sigma"), [(LTX_2_RULES, 1.0), (LTX_2_5_RULES, 0.0)])
def test_frozen_audio_stays_and_still_draws(rules: object, sigma: float) -> None:
    seen = []

    def model(video: object, audio: object, **rest: object) -> tuple:
        seen.append((audio.latent.clone(), audio.sigma[0].item(), audio.timesteps.abs().max().item()))
        return halving(video, audio, **rest)

    audio_tools = replace(tools(PIXELS)[1], rules=rules)
    given = torch.randn(1, 8, 17, 16, generator=torch.Generator().manual_seed(3))
    noiser = GaussianNoiser(seeded_generators(10))
    video, audio = run(
        transformer=model, noiser=noiser, audio=StageModality(audio_tools, frozen=True, initial_latent=given)
    )
    assert torch.equal(audio.latent, given)
    assert torch.equal(video.latent, run()[0].latent)
    assert seen[0][1:] == (sigma, 0.0)
    assert torch.equal(audio_tools.patchifier.unpatchify(seen[0][0], audio_tools.target_shape), given)
    other = GaussianNoiser(seeded_generators(10))
    run(noiser=other)
    assert torch.equal(noiser.generator.get_state(), other.generator.get_state())


def test_refinement_starts_from_the_given_latent() -> None:
    start = latent(3)
    stage = StageModality(tools(PIXELS)[0], noise_scale=0.0, initial_latent=start)
    seen = []

    def model(video: object, audio: object, **rest: object) -> tuple:
        seen.append(video.latent)
        return halving(video, audio, **rest)

    run(transformer=model, video=stage, sigmas=[0.5, 0.0])
    assert torch.equal(seen[0], stage.tools.patchifier.patchify(start))


def test_callback_gets_unpatchified_predictions_without_guides() -> None:
    item = VideoConditionByKeyframeIndex(latent(1), frame_idx=8, strength=1.0)
    calls = []
    video, audio = run(
        video=StageModality(tools(PIXELS)[0], conditionings=[item]), callback=lambda *told: calls.append(told)
    )
    assert [told[:2] for told in calls] == [(0, 2), (1, 2)]
    assert all(told[2].latent.shape == (1, 128, 3, 2, 3) for told in calls)
    torch.testing.assert_close(calls[-1][2].latent, video.latent)
    torch.testing.assert_close(calls[-1][3].latent, audio.latent)


def test_slots_need_a_model_with_a_keyframe_embedding() -> None:
    stage = StageModality(tools(PIXELS)[0], conditionings=[VideoGeneratedKeyframeSlots([8])])
    for model in (halving, X0Model(load_transformer("2.3"))):
        with pytest.raises(ValueError, match=r"LTX-2\.5"):
            run(transformer=model, video=stage)


def test_what_cannot_run_is_refused() -> None:
    with pytest.raises(ValueError, match="got neither"):
        run(video=None, audio=None)
    with pytest.raises(ValueError, match="must descend"):
        run(sigmas=[0.5, 0.9, 0.0])
    with pytest.raises(ValueError, match="frozen modality needs an initial latent"):
        StageModality(tools(PIXELS)[1], frozen=True)
    with pytest.raises(ValueError, match="as does one that continues"):
        StageModality(tools(PIXELS)[0], continues=True)
    with pytest.raises(ValueError, match=r"got 1\.5"):
        StageModality(tools(PIXELS)[0], noise_scale=1.5)
    with pytest.raises(ValueError, match=r"this run needs \(1, 128, 3, 2, 3\)"):
        run(video=StageModality(tools(PIXELS)[0], initial_latent=latent(2)))
