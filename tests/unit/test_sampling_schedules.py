"""Sigma schedules: the spec's tables and the beta quantile."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ltx_core_impl.components.beta_quantile import beta_cdf, beta_quantile
from ltx_core_impl.components.schedulers import BetaScheduler, LinearQuadraticScheduler, LTX2Scheduler
from ltx_core_impl.presets import DISTILLED_SIGMAS

FULL_HD_LATENT = torch.empty(1, 128, 16, 17, 30)
TABLES = {
    (8, None): "0.999999881 0.965711713 0.921874762 0.863856077 0.783445477 0.664579272 0.471002698 0.100000024 0",
    (15, FULL_HD_LATENT): "1 0.993490696 0.986014903 0.977339625 0.967150748 0.955014586 0.940313637 0.922139645 "
    "0.899096012 0.868923068 0.827707231 0.768027544 0.673896551 0.503377855 0.100000024 0",
    (20, None): "0.99999994 0.99146682 0.982119143 0.9718346 0.960465014 0.94782877 0.933702171 0.917804778 "
    "0.899781227 0.879174709 0.855387032 0.827619672 0.794783175 0.755349636 0.707109332 0.646740854 0.569013 "
    "0.465180457 0.319438994 0.0999999642 0",
    (40, torch.empty(1, 128, 16, 16, 24)): "1 0.997984588 0.995869994 0.993648648 0.991312444 0.988851964 0.986257255 "
    "0.983516753 0.980618179 0.977547109 0.974287927 0.970822752 0.967131317 0.963190854 0.958975136 0.954454184 "
    "0.949594021 0.944354475 0.938689649 0.932545543 0.925858557 0.918553472 0.910540342 0.901711047 0.891934216 "
    "0.881048739 0.868854523 0.855100691 0.839467287 0.821541131 0.800777674 0.776445389 0.747537971 0.71263063 "
    "0.669639587 0.615388751 0.544788241 0.449135602 0.312220275 0.100000024 0",
}


def values(text: str) -> torch.Tensor:
    return torch.tensor([float(value) for value in text.split()])


@pytest.mark.parametrize(("steps", "latent"), TABLES, ids=lambda value: str(getattr(value, "shape", value)))
def test_ltx2_tables_are_bit_equal(steps: int, latent: torch.Tensor | None) -> None:
    assert torch.equal(LTX2Scheduler().execute(steps, latent=latent), values(TABLES[steps, latent]))


def test_ltx2_without_stretch() -> None:
    expected = "0.99999994 0.981941462 0.95885396 0.9282974 0.885947704 0.823344707 0.721394181 0.52599901 0"
    assert torch.equal(LTX2Scheduler().execute(8, stretch=False), values(expected))


@pytest.mark.parametrize("steps", [1, 2, 5, 30])
def test_ltx2_ends_at_terminal_and_descends(steps: int) -> None:
    sigmas = LTX2Scheduler().execute(steps, terminal=0.2)
    assert sigmas.shape == (steps + 1,)
    assert sigmas[-2].item() == pytest.approx(0.2, abs=1e-6)
    assert bool((sigmas[:-1] > sigmas[1:]).all())


def test_linear_quadratic() -> None:
    scheduler = LinearQuadraticScheduler()
    assert torch.equal(scheduler.execute(1), values("1 0"))
    assert torch.equal(scheduler.execute(2), values("1 0.975 0"))
    assert torch.equal(scheduler.execute(3), values("1 0.975 0.71875 0"))
    assert torch.equal(scheduler.execute(8), torch.tensor(DISTILLED_SIGMAS))
    expected = values(
        "1 0.9975 0.995 0.9925 0.99 0.9875 0.985 0.9825 0.98 0.9775 0.975 0.963 0.932 0.882 0.813 0.725 0.618 0.492 "
        "0.347 0.183 0"
    )
    assert torch.equal(scheduler.execute(20), expected)
    only_linear = scheduler.execute(4, linear_steps=4)
    assert torch.allclose(only_linear, values("1 0.99375 0.9875 0.98125 0"))


def test_beta() -> None:
    eight = "0.99999994 0.994360507 0.980463803 0.956117034 0.914542139 0.840117157 0.695282578 0.394019485 0"
    assert torch.equal(BetaScheduler().execute(8), values(eight))
    assert torch.equal(BetaScheduler().execute(3), values("0.99999994 0.9656896 0.80267626 0"))


def test_beta_takes_coinciding_entries_once() -> None:
    sigmas = BetaScheduler().execute(2000, alpha=0.05, beta=0.05)
    assert len(sigmas) < 2001
    assert bool((sigmas[:-1] > sigmas[1:]).all())


@given(
    probability=st.floats(1e-6, 1.0 - 1e-6),
    alpha=st.floats(0.2, 5.0),
    beta=st.floats(0.2, 5.0),
)
def test_beta_quantile_is_scipys(probability: float, alpha: float, beta: float) -> None:
    quantile = beta_quantile(probability, alpha, beta)
    assert quantile == pytest.approx(stats.beta.ppf(probability, alpha, beta), abs=1e-9)
    assert beta_cdf(quantile, alpha, beta) == pytest.approx(stats.beta.cdf(quantile, alpha, beta), abs=1e-12)


@given(alpha=st.floats(0.2, 5.0), beta=st.floats(0.2, 5.0))
def test_the_beta_distribution_where_both_its_sides_meet(alpha: float, beta: float) -> None:
    """Rounding puts the border between the sides on one of them, or on neither."""
    border = (alpha + 1.0) / (alpha + beta + 2.0)
    for x in (math.nextafter(border, 0.0), border, math.nextafter(border, 1.0)):
        assert beta_cdf(x, alpha, beta) == pytest.approx(stats.beta.cdf(x, alpha, beta), abs=1e-12)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LTX2Scheduler().execute(0), "at least 1 step; got 0"),
        (lambda: LTX2Scheduler().execute(1, latent=FULL_HD_LATENT), "at least 2 steps"),
        (lambda: LTX2Scheduler().execute(8, terminal=1.0), "terminal.*got 1.0"),
        (lambda: LTX2Scheduler().execute(8, latent=torch.empty(1, 6144, 128)), r"unpatchified.*\(1, 6144, 128\)"),
        (lambda: LinearQuadraticScheduler().execute(4, linear_steps=5), "between 1 and the 4 steps; got 5"),
        (lambda: BetaScheduler().execute(4, alpha=0.0), "positive; got alpha 0.0"),
    ],
)
def test_wrong_values_are_refused(make: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
