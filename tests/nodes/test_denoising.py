"""How many forward passes a step takes, which decides the memory that the sampler asks for."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch

WEAK, STRONG = {}, {"cfg_scale": 3.0, "stg_scale": 1.0, "modality_scale": 3.0}


@pytest.mark.parametrize(
    ("video", "audio", "force_uncond", "passes"),
    [
        (WEAK, WEAK, False, 1),
        (WEAK, WEAK, True, 2),
        ({"cfg_scale": 3.0}, WEAK, False, 2),
        (WEAK, {"stg_scale": 1.0}, False, 2),
        ({"cfg_scale": 3.0}, {"modality_scale": 2.0}, False, 3),
        (STRONG, STRONG, False, 4),
    ],
)
def test_passes_of_a_step(nodes: dict[str, Any], video: dict, audio: dict, force_uncond: bool, passes: int) -> None:
    assert _denoising(_guidance(**video), _guidance(**audio), force_uncond).passes == passes


def test_a_schedule_counts_its_costliest_range(nodes: dict[str, Any]) -> None:
    schedule = _handles().GuidanceSchedule(((1.0, _guidance()), (0.5, _guidance(**STRONG))))
    assert _denoising(schedule, _guidance(), force_uncond=False).passes == 4


def _handles() -> ModuleType:
    return sys.modules["ltx2_pack.nodes.wires.handles"]


def _guidance(**values: float) -> Any:
    return _handles().Guidance(**values)


def _denoising(video: Any, audio: Any, force_uncond: bool) -> Any:
    context = _handles().Context(torch.zeros(1, 4, 8), torch.zeros(1, 4, 8), version="2.3")
    return sys.modules["ltx2_pack.nodes.sampling.denoising"].Denoising(
        guider=_handles().Guider(positive=context, negative=context, video=video, audio=audio),
        sigmas=torch.tensor([1.0, 0.0]),
        windows=_handles().Windows(),
        corrections=_handles().Corrections(),
        force_uncond=force_uncond,
        rows_at_once=None,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
