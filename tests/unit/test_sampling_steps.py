"""Prediction conversions and single solver steps: the spec's numbers."""

from __future__ import annotations

import pytest
import torch

from ltx_core_impl.components.diffusion_steps import (
    EulerAncestralDiffusionStep,
    EulerCfgPpDiffusionStep,
    EulerDiffusionStep,
    Res2sDiffusionStep,
    sde_coefficients,
)
from ltx_core_impl.components.predictions import blend_clean, to_denoised, to_velocity

X, D, U, NOISE = (
    torch.tensor(values).view(1, 2, 2)
    for values in ([1, -2, 0.5, 3], [0.8, -1, 0.25, 2], [0.7, -1.2, 0.2, 2.2], [0.1, -0.2, 0.3, 0.4])
)
SIGMAS = torch.tensor([0.909375, 0.725])


def check(actual: torch.Tensor, *expected: float, rtol: float = 2e-7) -> None:
    torch.testing.assert_close(
        actual.double().flatten(), torch.tensor(expected, dtype=torch.float64), rtol=rtol, atol=3e-7
    )


def test_euler() -> None:
    check(EulerDiffusionStep().step(X, D, SIGMAS, 0), 0.959450185, -1.79725087, 0.449312717, 2.79725099)


def test_euler_rounds_the_velocity_to_the_sample_dtype() -> None:
    x, d = X.bfloat16(), D.bfloat16()
    velocity = to_velocity(x, d, SIGMAS[0].item())
    assert velocity.flatten().tolist() == [0.21875, -1.1015625, 0.275390625, 1.1015625]
    result = EulerDiffusionStep().step(x, d, SIGMAS, 0)
    assert result.flatten().tolist() == [0.9609375, -1.796875, 0.44921875, 2.796875]


def test_masked_step() -> None:
    x = torch.tensor([[[1, -2], [0.5, 3], [0.2, 0.4]]])
    clean = torch.tensor([[[0, 0], [0.4, 2.5], [0.2, 0.4]]])
    mask = torch.tensor([1, 0.1, 0]).view(1, 3, 1)
    velocity = torch.tensor([[[0.3, -0.6], [0.1, 0.8], [0.9, -0.7]]])
    timesteps = mask * SIGMAS[0].item()
    check(timesteps, 0.909375012, 0.0909375027, 0)
    denoised = to_denoised(x, velocity, timesteps)
    check(denoised, 0.727187514, -1.45437503, 0.490906239, 2.92724991, 0.2, 0.4)
    pinned = blend_clean(denoised, mask, clean)
    check(pinned, 0.727187514, -1.45437503, 0.409090608, 2.54272509, 0.2, 0.4)
    following = EulerDiffusionStep().step(x, pinned, SIGMAS, 0)
    check(following, 0.944687486, -1.88937497, 0.481568187, 2.90728784, 0.2, 0.4)


def test_partial_strength_example() -> None:
    """Clean 1, noise -1, mask 0.3, a denoiser that always says 0.5 (spec 07 §13.9)."""
    mask, clean = torch.full((1, 1, 1), 0.3), torch.ones(1, 1, 1)
    x = mask * -1 + (1 - mask) * clean
    sigmas = torch.tensor([1.0, 0.5, 0.0])
    for index, expected in enumerate((0.625, 0.85)):
        denoised = blend_clean(torch.full((1, 1, 1), 0.5), mask, clean)
        x = EulerDiffusionStep().step(x, denoised, sigmas, index)
        assert x.item() == pytest.approx(expected, abs=1e-6)


def test_velocity_and_denoised_are_inverse() -> None:
    generator = torch.Generator().manual_seed(0)
    x, v = torch.randn(2, 2, 3, 4, generator=generator)
    torch.testing.assert_close(to_velocity(x, to_denoised(x, v, 0.7), 0.7), v)
    with pytest.raises(ValueError, match="sigma 0"):
        to_velocity(x, v, 0.0)


def test_blend_keeps_the_prediction_dtype() -> None:
    mask = torch.full((1, 2, 1), 0.5)
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        assert blend_clean(D.to(dtype), mask, X.bfloat16()).dtype == dtype


@pytest.mark.parametrize(
    ("sigma", "expected"),
    [
        (0.725, (0.902868417744, 0.695415196062, 0.3625)),
        (0.421875, (0.943479467222, 0.387241566897, 0.2109375)),
        (0.0011, (0.999852627944, 0.000952768355594, 0.00055)),
        (1.0, (0.866025403784, 1.0, 0.5)),
    ],
)
def test_sde_coefficients(sigma: float, expected: tuple[float, ...]) -> None:
    found = sde_coefficients(torch.tensor(sigma, dtype=torch.float64), eta=0.5)
    assert [value.item() for value in found] == pytest.approx(expected, abs=1e-12)


def test_res2s_step_adds_nothing_at_the_end_or_without_eta() -> None:
    rule = Res2sDiffusionStep()
    assert torch.equal(rule.step(X, D, torch.tensor([0.5, 0.0]), 0, noise=NOISE), D)
    assert torch.equal(rule.step(X, D, SIGMAS, 0, noise=NOISE, eta=0.0), D)
    assert not torch.equal(rule.step(X, D, SIGMAS, 0, noise=NOISE), D)


def test_ancestral() -> None:
    full = EulerAncestralDiffusionStep(eta=1.0).step(X, D, SIGMAS, 0, noise=NOISE)
    check(full, 0.666124046, -1.18977058, 0.452310592, 1.96533442)
    half = EulerAncestralDiffusionStep(eta=0.5).step(X, D, SIGMAS, 0, noise=NOISE)
    check(half, 0.795470297, -1.45668089, 0.491969436, 2.34802389)
    plain = EulerAncestralDiffusionStep(eta=0.0)
    torch.testing.assert_close(plain.step(X, D, SIGMAS, 0), EulerDiffusionStep().step(X, D, SIGMAS, 0))
    assert torch.equal(plain.step(X, D, torch.tensor([0.5, 0.0]), 0), D)


def test_cfg_pp() -> None:
    zero = EulerCfgPpDiffusionStep(eta=0.0).step(X, D, SIGMAS, 0, uncond_denoised=U)
    check(zero, 0.966675282, -1.78280067, 0.452925265, 2.78280067)
    one = EulerCfgPpDiffusionStep(eta=1.0)
    check(one.step(X, D, SIGMAS, 0, noise=NOISE, uncond_denoised=U), 0.486127257, -0.811050951, 0.379543543, 1.41643643)
    start = one.step(X, D, torch.tensor([1.0, 0.99375]), 0, noise=NOISE, uncond_denoised=U)
    check(start, 0.104375012, -0.205000013, 0.299687505, 0.410000026, rtol=1e-6)


def test_missing_inputs_are_named() -> None:
    with pytest.raises(ValueError, match="unconditional prediction"):
        EulerCfgPpDiffusionStep().step(X, D, SIGMAS, 0, noise=NOISE)
    with pytest.raises(ValueError, match="adds noise"):
        EulerAncestralDiffusionStep().step(X, D, SIGMAS, 0)
