"""Sigma schedules against the reference's."""

from __future__ import annotations

import pytest
import torch

from ltx_core_impl.components.schedulers import BetaScheduler, LinearQuadraticScheduler, LTX2Scheduler
from tests.conftest import golden

CASE = golden("2.0", "schedules")


def computed(name: str) -> torch.Tensor:
    """The schedule a golden name describes: KIND_[LATENT_]STEPS."""
    kind, *middle, steps = name.split("_")
    if kind == "beta":
        return BetaScheduler().execute(int(steps))
    if kind == "linquad":
        return LinearQuadraticScheduler().execute(int(steps))
    latent = None
    if middle[0] != "default":
        latent = torch.empty(1, 128, *(int(size) for size in middle[0].split("x")))
    return LTX2Scheduler().execute(int(steps), latent=latent)


@pytest.mark.parametrize("name", [name for name in sorted(CASE) if torch.isfinite(CASE[name]).all()])
def test_schedule_is_bit_equal(name: str) -> None:
    assert torch.equal(computed(name), CASE[name])


@pytest.mark.parametrize("name", [name for name in sorted(CASE) if not torch.isfinite(CASE[name]).all()])
def test_undefined_schedule_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="at least 2 steps"):
        computed(name)
