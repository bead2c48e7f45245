"""Shared fixtures: where the golden files lie and how a result is compared with one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings
from safetensors import safe_open
from safetensors.torch import load_file

TESTS = Path(__file__).parent
GOLDEN = TESTS / "golden"
GOLDEN_25 = TESTS / "golden25"
VERSIONS = ("2.0", "2.3")

# No test is judged by the clock: the machine may be busy.
settings.register_profile("without a clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("without a clock")


def golden_path(version: str, case: str) -> Path:
    """Path of a golden case file, e.g. ``golden_path("2.3", "transformer")``."""
    folder = GOLDEN_25 if version == "2.5" else GOLDEN
    return folder / f"ltx-{version}-tiny.{case}.safetensors"


def golden(version: str, case: str) -> dict[str, torch.Tensor]:
    """All tensors of a golden case."""
    return load_file(golden_path(version, case))


def checkpoint_path(version: str) -> Path:
    """The combined tiny checkpoint of LTX-2 ("2.0") or LTX-2.3 ("2.3")."""
    return GOLDEN / f"ltx-{version}-tiny.safetensors"


def metadata(path: Path) -> dict[str, str]:
    """The header metadata of a safetensors file."""
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def config(path: Path) -> dict:
    """The architecture description in a checkpoint's header."""
    return json.loads(metadata(path)["config"])


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """``‖actual − expected‖ / ‖expected‖`` in float64; shapes must agree."""
    assert actual.shape == expected.shape, f"shape {tuple(actual.shape)}, expected {tuple(expected.shape)}"
    expected = expected.double()
    return ((actual.double() - expected).norm() / expected.norm().clamp_min(1e-30)).item()


def assert_close(actual: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-5) -> None:
    """Fail when the relative error reaches ``tolerance``."""
    error = relative_error(actual, expected)
    assert error < tolerance, f"relative error {error:.3e}, allowed {tolerance:.0e}"


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    """Runs a test for LTX-2 and for LTX-2.3."""
    return request.param
