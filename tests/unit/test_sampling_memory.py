"""What a forward pass is said to need before it runs: every token that a run will have is counted."""

from __future__ import annotations

import json

import pytest
import torch

from ltx_core_impl.components.patchifiers import AudioPatchifier
from ltx_core_impl.conditioning import (
    AudioConditionByReferenceLatent,
    ConditioningItemAttentionStrengthWrapper,
    VideoConditionByKeyframeIndex,
    VideoConditionByLatentIndex,
    VideoConditionByReferenceLatent,
    VideoGeneratedKeyframeSlots,
    positions_before_start,
)
from ltx_core_impl.conditioning.tools import AudioLatentTools, VideoLatentTools
from ltx_core_impl.model.transformer import LTXModelConfigurator
from ltx_core_impl.sampling.memory import forward_bytes, token_count
from ltx_core_impl.sampling.stage import StageModality
from ltx_core_impl.types import AudioLatentShape, VideoLatentShape
from tests.conftest import TESTS

SHAPE = VideoLatentShape(batch=1, channels=4, frames=3, height=2, width=3)
TOOLS = VideoLatentTools(SHAPE, fps=25.0)


def frames(count: int, height: int = 2, width: int = 3) -> torch.Tensor:
    return torch.zeros(1, 4, count, height, width)


REFERENCE = VideoConditionByReferenceLatent(frames(3, 1, 1), downscale_factor=2)


@pytest.mark.parametrize(
    "items",
    [
        [],
        [VideoConditionByLatentIndex(frames(1), latent_idx=0, strength=1.0)],
        [VideoConditionByKeyframeIndex(frames(2), 8, strength=1.0)],
        [REFERENCE],
        [ConditioningItemAttentionStrengthWrapper(REFERENCE, 0.5)],
        [VideoGeneratedKeyframeSlots([8, 16])],
        [VideoConditionByKeyframeIndex(frames(1), 0, strength=1.0), REFERENCE],
    ],
    ids=lambda items: "+".join(type(item).__name__ for item in items) or "nothing",
)
def test_the_tokens_of_a_run_are_counted_before_it(items: list) -> None:
    state = TOOLS.create_initial_state("cpu", torch.float32)
    for item in items:
        state = item.apply_to(state, TOOLS)
    assert token_count(StageModality(tools=TOOLS, conditionings=items)) == state.latent.shape[1]


def test_a_reference_recording_is_counted() -> None:
    shape = AudioLatentShape(batch=1, channels=8, frames=5, mel_bins=16)
    item = AudioConditionByReferenceLatent(torch.zeros(1, 5, 128), positions_before_start(shape, AudioPatchifier()))
    tools = AudioLatentTools(shape._replace(frames=7))
    assert token_count(StageModality(tools=tools, conditionings=[item])) == 12


def test_the_estimate_is_what_an_h200_showed() -> None:
    config = json.loads((TESTS / "inventory" / "config-22b.json").read_text())
    with torch.device("meta"):
        options = LTXModelConfigurator.from_config(config).options
    measured = 0.59 * 2**30
    estimate = forward_bytes(options, video_tokens=6144, audio_tokens=126, itemsize=2)
    assert measured <= estimate <= 1.2 * measured
