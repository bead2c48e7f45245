"""Denoising loops with a toy denoiser: the spec's numbers, callbacks, batches of seeds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from unittest.mock import patch

import pytest
import torch

from ltx_core_impl.sampling.denoisers import Prediction
from ltx_core_impl.sampling.loops import (
    euler_ancestral_denoising_loop,
    euler_cfg_pp_denoising_loop,
    euler_denoising_loop,
    gradient_estimating_euler_denoising_loop,
)
from ltx_core_impl.sampling.res2s import phi, res2s_coefficients, res2s_denoising_loop
from ltx_core_impl.sampling.validation import checked_sigmas
from ltx_core_impl.types import LatentState

X = torch.tensor([1, -2, 0.5, 3]).view(1, 2, 2)
NOISE = torch.tensor([0.1, -0.2, 0.3, 0.4]).view(1, 2, 2)
SIGMAS = torch.tensor([0.909375, 0.725, 0.421875, 0.0])
LOOPS = (
    euler_denoising_loop,
    gradient_estimating_euler_denoising_loop,
    euler_ancestral_denoising_loop,
    euler_cfg_pp_denoising_loop,
    res2s_denoising_loop,
)


def state(latent: torch.Tensor, mask: float = 1.0) -> LatentState:
    batch, tokens, _ = latent.shape
    return LatentState(
        latent=latent,
        denoise_mask=torch.full((batch, tokens, 1), mask),
        positions=torch.zeros(batch, 1, tokens, 2),
        clean_latent=torch.full_like(latent, 7.0),
    )


class ToyDenoiser:
    """0.5·x + 0.1·σ in float64; unconditional 0.4·x + 0.05·σ. Remembers the sigmas it was asked at."""

    def __init__(self) -> None:
        self.sigmas: list[float] = []

    def __call__(self, transformer: object, video: object, audio: object, sigmas: torch.Tensor, index: int) -> tuple:
        sigma = sigmas[index].item()
        self.sigmas.append(sigma)
        return tuple(
            None
            if one is None
            else Prediction(
                denoised=(0.5 * one.latent.double() + 0.1 * sigma).to(one.latent.dtype),
                uncond=(0.4 * one.latent.double() + 0.05 * sigma).to(one.latent.dtype),
            )
            for one in (video, audio)
        )


def run(loop: Callable, sigmas: torch.Tensor = SIGMAS, latent: torch.Tensor = X, **options: object) -> torch.Tensor:
    options.setdefault("denoiser", ToyDenoiser())
    video, audio = loop(sigmas=sigmas, video_state=state(latent), audio_state=None, transformer=None, **options)
    assert audio is None
    return video.latent


def check(actual: torch.Tensor, *expected: float, rtol: float = 3e-7) -> None:
    torch.testing.assert_close(actual.double().flatten(), torch.tensor(expected).double(), rtol=rtol, atol=3e-7)


def constant_noise(module: str, name: str) -> object:
    return patch(f"ltx_core_impl.sampling.{module}.{name}", lambda like, generator: NOISE.expand_as(like).double())


def test_euler_and_gradient_estimation() -> None:
    check(run(euler_denoising_loop), 0.420018434525, -0.646130919456, 0.242326870561, 1.13078451157)
    gradient = run(gradient_estimating_euler_denoising_loop)
    check(gradient, 0.407494962215, -0.626865565777, 0.235101535916, 1.0970685482)
    plain = run(partial(gradient_estimating_euler_denoising_loop, ge_gamma=1.0))
    torch.testing.assert_close(plain, run(euler_denoising_loop))


def test_ancestral_and_cfg_pp() -> None:
    with constant_noise("loops", "draw_noise"):
        half = run(partial(euler_ancestral_denoising_loop, eta=0.5))
        full = run(euler_ancestral_denoising_loop)
        zero = run(partial(euler_cfg_pp_denoising_loop, eta=0.0))
        one = run(euler_cfg_pp_denoising_loop)
    check(half, 0.311648488, -0.426469803, 0.267464966, 0.835261703)
    check(full, 0.237515256, -0.276744545, 0.238718718, 0.61512059)
    check(zero, 0.434496939, -0.661967695, 0.251752824, 1.16547334)
    check(one, 0.176329166, -0.149972543, 0.210430115, 0.429257512)


def test_phi_and_res2s_coefficients() -> None:
    assert [phi(j, -0.01) for j in (1, 2, 3)] == pytest.approx(
        [0.9950166250831893, 0.4983374916811556, 0.1662508318789335], abs=1e-9
    )
    assert [phi(j, 0.0) for j in (1, 2, 3)] == [1.0, 0.5, 1 / 6]
    for h, expected in {
        0.01: (0.498752080731768, -0.0016583582791, 0.9966749833623),
        0.226585895505: (0.472716749660, -0.033762643845, 0.928563003953),
        1.0: (0.393469340287, -0.103638323514, 0.735758882343),
    }.items():
        assert res2s_coefficients(h) == pytest.approx(expected, abs=1e-9)


def test_res2s() -> None:
    first, second = SIGMAS[:2], SIGMAS[1:3]
    with constant_noise("res2s", "channelwise_normalised_noise"):
        check(run(res2s_denoising_loop, first), 0.781086742878, -1.50482809544, 0.580396652222, 2.3771481514)
        plain = run(partial(res2s_denoising_loop, bongmath=False), first)
        check(plain, 0.837240874767, -1.61942338943, 0.52960896492, 2.5157418251)
        long = run(res2s_denoising_loop, second)
        check(long, 0.730146586895, -1.37558400631, 0.448483198881, 2.16168379784)
        denoiser = ToyDenoiser()
        whole = run(res2s_denoising_loop, denoiser=denoiser)
    check(whole, 0.0347445458, -0.0495226569, 0.0316228345, 0.0952917784, rtol=1e-6)
    visited = [0.909375, 0.811971, 0.725, 0.5530455542, 0.421875, 0.0215421099, 0.0011]
    assert denoiser.sigmas == pytest.approx(visited, abs=1e-6)


def test_res2s_noise_of_the_reference_seeds() -> None:
    check(run(res2s_denoising_loop), 0.0305850115, -0.0393422060, 0.0371733867, 0.0575055145, rtol=1e-6)


def test_noise_depends_on_the_seed() -> None:
    for loop in (euler_ancestral_denoising_loop, euler_cfg_pp_denoising_loop, res2s_denoising_loop):
        first, again, other = (run(partial(loop, noise_seed=seed)) for seed in (3, 3, 4))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)


@pytest.mark.parametrize("loop", LOOPS[2:])
def test_a_batch_of_seeds_gives_each_what_it_gets_alone(loop: Callable) -> None:
    seeds = [5, 11, 5]
    latent = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0))
    together = run(partial(loop, noise_seed=seeds), latent=latent)
    for sample, seed in enumerate(seeds):
        alone = run(partial(loop, noise_seed=seed), latent=latent[sample : sample + 1])
        torch.testing.assert_close(together[sample : sample + 1], alone)


@pytest.mark.parametrize("loop", LOOPS)
def test_both_modalities_move_and_kept_tokens_stay(loop: Callable) -> None:
    video, audio = loop(
        sigmas=SIGMAS,
        video_state=state(X),
        audio_state=state(torch.full((1, 3, 2), 7.0), mask=0.0),
        transformer=None,
        denoiser=ToyDenoiser(),
    )
    assert bool((audio.latent == 7.0).all())
    assert not torch.equal(video.latent, X)


@pytest.mark.parametrize("loop", LOOPS)
def test_callback_sees_every_step_and_can_stop(loop: Callable) -> None:
    calls = []
    result = run(loop, callback=lambda *told: calls.append(told))
    steps = 4 if loop is res2s_denoising_loop else 3
    assert [(index, total) for index, total, _, _ in calls] == [(index, steps) for index in range(steps)]
    assert all(audio is None for *_, audio in calls)
    torch.testing.assert_close(calls[-1][2].latent, result)

    def stop(*_: object) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        run(loop, callback=stop)


@pytest.mark.parametrize("loop", LOOPS)
def test_latents_keep_their_dtype_and_inputs_their_values(loop: Callable) -> None:
    latent = X.bfloat16()
    assert run(loop, latent=latent).dtype == torch.bfloat16
    assert torch.equal(latent, X.bfloat16())


@pytest.mark.parametrize(
    ("sigmas", "words"),
    [
        ([1.0], "at least 2 sigmas"),
        ([[1.0, 0.0]], r"shape \(1, 2\)"),
        ([0.5, 0.5, 0.0], "number 1 is 0.5 and number 2 is 0.5"),
        ([0.5, 0.7, 0.0], "must descend; number 1 is 0.5 and number 2 is 0.7"),
        ([14.6, 1.0, 0.0], "between 0 and 1; got"),
        ([1.0, float("nan"), 0.0], "between 0 and 1; got"),
        ([0.5, -0.1], "between 0 and 1; got"),
    ],
)
def test_wrong_schedules_are_refused(sigmas: list, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        checked_sigmas(sigmas)


def test_res2s_refuses_a_schedule_without_room_for_its_last_sigma() -> None:
    with pytest.raises(ValueError, match=r"0.0011 before 0.*0.001:"):
        run(res2s_denoising_loop, torch.tensor([0.5, 0.001, 0.0]))


def test_cfg_pp_refuses_a_denoiser_without_unconditional_predictions() -> None:
    def conditional_only(*arguments: object) -> tuple:
        video, audio = ToyDenoiser()(*arguments)
        return Prediction(video.denoised), audio

    with pytest.raises(ValueError, match="force_uncond"):
        run(euler_cfg_pp_denoising_loop, denoiser=conditional_only)
