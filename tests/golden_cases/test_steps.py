"""Single solver steps against the reference's."""

from __future__ import annotations

import pytest
import torch

from ltx_core_impl.components.diffusion_steps import (
    EulerAncestralDiffusionStep,
    EulerCfgPpDiffusionStep,
    EulerDiffusionStep,
    Res2sDiffusionStep,
)
from tests.conftest import assert_close, golden

CASE_25 = golden("2.5", "steps")


def test_euler_and_res2s() -> None:
    case = golden("2.0", "steps")
    euler = EulerDiffusionStep().step(case["sample"], case["denoised"], case["sigmas"], step_index=3)
    assert_close(euler, case["euler"], tolerance=1e-6)
    res2s = Res2sDiffusionStep().step(
        case["sample"], case["denoised"], case["sigmas"], step_index=3, noise=case["noise"]
    )
    assert_close(res2s, case["res2s"], tolerance=1e-6)


@pytest.mark.parametrize("name", [name for name in sorted(CASE_25) if name.startswith(("default_", "distilled_"))])
def test_steps_25(name: str) -> None:
    schedule, index, kind, *options = name.split("_")
    sigmas = CASE_25[f"sigmas_{schedule}"]
    sample, denoised = CASE_25["sample"], CASE_25["denoised"]
    if kind == "euler":
        result = EulerDiffusionStep().step(sample, denoised, sigmas, int(index))
    else:
        eta, s_noise = map(float, options)
        rule = {"ancestral": EulerAncestralDiffusionStep, "cfgpp": EulerCfgPpDiffusionStep}[kind](eta, s_noise)
        result = rule.step(
            sample, denoised, sigmas, int(index), noise=CASE_25["noise"], uncond_denoised=CASE_25["uncond"]
        )
    assert result.dtype == torch.float32
    assert_close(result, CASE_25[name], tolerance=1e-6)
