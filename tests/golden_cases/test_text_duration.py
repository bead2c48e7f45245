"""The duration head of LTX-2.5, as the reference computes it."""

from __future__ import annotations

import pytest
import torch

from ltx_core_impl.loader.builder import SingleGPUModelBuilder
from ltx_core_impl.sampling.grid import frames_for_duration
from ltx_core_impl.text_encoders.duration_head import DurationHead, DurationHeadConfigurator
from ltx_core_impl.types import SpatioTemporalScaleFactors
from tests.conftest import GOLDEN_25, assert_close, golden

PATH = GOLDEN_25 / "model_patches" / "ltx-2.5-tiny-duration-head-bf16.safetensors"


@pytest.fixture(scope="module")
def head() -> DurationHead:
    builder = SingleGPUModelBuilder(model_class_configurator=DurationHeadConfigurator, model_path=PATH)
    return builder.build(device="cpu", dtype=torch.float32)


def test_seconds(head: DurationHead) -> None:
    case = golden("2.5", "duration-head")
    video, audio = case["video_tokens"], case["audio_tokens"]
    assert_close(head(video, audio), case["seconds_both"])
    assert_close(head(video=video), case["seconds_video"])
    assert_close(head(audio=audio), case["seconds_audio"])


def test_seconds_of_the_contexts_of_a_prompt(head: DurationHead) -> None:
    text = golden("2.5", "text-pos")
    assert_close(head(text["video_context"], text["audio_context"]), golden("2.5", "duration-head")["seconds_pos"])


@pytest.mark.parametrize("limits", [(24, 1.0, 20.0), (25, 0.2, 3.0), (30, 2.5, 4.0)])
def test_frames(head: DurationHead, limits: tuple[int, float, float]) -> None:
    case = golden("2.5", "duration-head")
    fps, shortest, longest = limits
    seconds = head(case["video_tokens"], case["audio_tokens"]).tolist()
    scale = SpatioTemporalScaleFactors.default()
    frames = [frames_for_duration(value, fps, scale, min_seconds=shortest, max_seconds=longest) for value in seconds]
    assert frames == case[f"frames_{fps}_{shortest}_{longest}"].tolist()
