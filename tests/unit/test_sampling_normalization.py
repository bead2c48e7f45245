"""Statistics of latents, and corrections of the predictions of chosen steps."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ltx_core_impl.components.latent_statistics import adain, normalize_statistics
from ltx_core_impl.sampling.denoisers import SimpleDenoiser
from ltx_core_impl.sampling.loops import euler_denoising_loop
from ltx_core_impl.sampling.normalization import AdainSteps, CorrectingDenoiser, ScaleSteps
from ltx_core_impl.sampling.res2s import res2s_denoising_loop
from ltx_core_impl.types import VideoPixelShape
from tests.sampling_helpers import tools

GENERATOR = torch.Generator().manual_seed(5)
LATENT = torch.randn(2, 4, 3, 5, 6, generator=GENERATOR) * 2 + 1
REFERENCE = torch.randn(1, 4, 3, 2, 2, generator=GENERATOR) * 0.5 - 3
TOOLS = tools(VideoPixelShape(batch=1, frames=9, height=64, width=64, fps=24.0))
SIGMAS = torch.tensor([1.0, 0.7, 0.4, 0.0])


def test_adain_reaches_the_statistics_of_the_reference() -> None:
    matched = adain(LATENT, REFERENCE)
    for sample in range(2):
        torch.testing.assert_close(matched[sample].mean((1, 2, 3)), REFERENCE[0].mean((1, 2, 3)))
        torch.testing.assert_close(matched[sample].std((1, 2, 3)), REFERENCE[0].std((1, 2, 3)))
    per_frame = adain(LATENT, REFERENCE, per_frame=True)
    torch.testing.assert_close(per_frame[0].mean((2, 3)), REFERENCE[0].mean((2, 3)))


@given(st.floats(-2, 2))
def test_the_factor_of_adain_mixes(factor: float) -> None:
    torch.testing.assert_close(adain(LATENT, REFERENCE, factor), torch.lerp(LATENT, adain(LATENT, REFERENCE), factor))


def test_adain_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="same channels"):
        adain(LATENT, REFERENCE[:, :2])
    with pytest.raises(ValueError, match="needs 3 latent frames; it has 2"):
        adain(LATENT, REFERENCE[:, :, :2], per_frame=True)


def test_statistics_ignore_outliers() -> None:
    values = torch.arange(-50.0, 51.0).view(1, 1, -1, 1)
    values[0, 0, -1] = 1e6
    normal = normalize_statistics(values, mean=2.0, deviation=3.0, percentile=90.0)
    central = normal[0, 0, 5:-5]
    torch.testing.assert_close(central.mean(), torch.tensor(2.0))
    torch.testing.assert_close(central.std(), torch.tensor(3.0))
    assert torch.equal(normalize_statistics(values, factor=0.0), values)
    with pytest.raises(ValueError, match="percentile"):
        normalize_statistics(values, percentile=0)


def states() -> tuple:
    return tuple(one.create_initial_state(device="cpu", dtype=torch.float32) for one in TOOLS)


def ones(video: object, audio: object, perturbations: object, forks: object) -> tuple:
    return tuple(torch.ones_like(one.latent) for one in (video, audio))


def denoiser(video: tuple = (), audio: tuple = ()) -> CorrectingDenoiser:
    plain = SimpleDenoiser(torch.zeros(1, 2, 4), torch.zeros(1, 2, 4))
    return CorrectingDenoiser(plain, SIGMAS.tolist(), TOOLS, (video, audio))


def test_each_step_has_its_factor_and_each_modality_its_corrections() -> None:
    one = denoiser(audio=(ScaleSteps((1.0, 0.25)),))
    predictions = [one(ones, *states(), SIGMAS, step) for step in range(3)]
    assert [audio.denoised.mean().item() for _, audio in predictions] == [1, 0.25, 1]
    assert all(video.denoised.mean() == 1 for video, _ in predictions)


def test_a_step_is_told_by_its_sigma() -> None:
    one = denoiser(video=(ScaleSteps((1.0, 0.5, 0.25)),))
    between = [one(ones, *states(), torch.tensor([sigma]), 0)[0].denoised.mean().item() for sigma in (1.0, 0.71, 0.5)]
    assert between == [1, 1, 0.5]


def test_the_corrected_prediction_is_what_solvers_use() -> None:
    video, _ = euler_denoising_loop(SIGMAS, *states(), ones, denoiser(video=(ScaleSteps((1.0, 1.0, 0.5)),)))
    torch.testing.assert_close(video.latent, torch.full_like(video.latent, 0.5))
    res2s_denoising_loop(SIGMAS, *states(), ones, denoiser(video=(ScaleSteps((0.9,)),)))


def test_adain_of_steps_acts_in_its_steps_only() -> None:
    def noisy(video: object, audio: object, perturbations: object, forks: object) -> tuple:
        return tuple(
            torch.randn(one.latent.shape, generator=torch.Generator().manual_seed(1)) for one in (video, audio)
        )

    reference = torch.randn(1, 128, 2, 2, 2, generator=GENERATOR) + 5
    one = denoiser(video=(AdainSteps((1.0, 0.0), reference),))
    means = [one(noisy, *states(), SIGMAS, step)[0].denoised.mean().item() for step in range(3)]
    assert means[0] == pytest.approx(reference.mean().item(), abs=1e-4)
    assert max(map(abs, means[1:])) < 0.1
