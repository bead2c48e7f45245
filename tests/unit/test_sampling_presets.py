"""Defaults by model version, valid sizes and lengths."""

from __future__ import annotations

import pytest

from ltx_core_impl.presets import (
    DFR_TEMPORAL_SIGMAS,
    DISTILLED_SIGMAS,
    HQ_PRESET,
    LTX_2_3_PRESET,
    LTX_2_4_PRESET,
    LTX_2_5_PRESET,
    LTX_2_PRESET,
    STAGE_2_DISTILLED_SIGMAS,
    preset_for_version,
)
from ltx_core_impl.sampling.grid import frames_for_duration, require_frames, require_size, snap_frames
from ltx_core_impl.types import SpatioTemporalScaleFactors


@pytest.mark.parametrize(
    ("version", "preset"),
    [
        (None, LTX_2_PRESET), ("", LTX_2_PRESET), ("2", LTX_2_PRESET), ("2.0.1", LTX_2_PRESET), ("x.9", LTX_2_PRESET),
        ("2.3", LTX_2_3_PRESET), ("2.3.1", LTX_2_3_PRESET), ("2-3-rc", LTX_2_3_PRESET), ("2.4", LTX_2_4_PRESET),
        ("2.5", LTX_2_5_PRESET), ("2.5-dev", LTX_2_5_PRESET), ("2.10", LTX_2_5_PRESET), ("3", LTX_2_5_PRESET),
    ],
)  # fmt: skip
def test_choice_by_version(version: str | None, preset: object) -> None:
    assert preset_for_version(version) is preset


def test_values() -> None:
    def numbers(guidance: object) -> tuple:
        return (guidance.cfg_scale, guidance.stg_scale, guidance.stg_blocks, guidance.rescale_scale,
                guidance.modality_scale, guidance.skip_step)  # fmt: skip

    rows = {
        LTX_2_PRESET: (40, 512, 768, (29,), 0.7, 0.7, 1, 33),
        LTX_2_3_PRESET: (30, 512, 768, (28,), 0.7, 0.7, 1, 33),
        LTX_2_5_PRESET: (30, 512, 768, (28,), 0.7, 0.7, 1, 18),
        HQ_PRESET: (15, 544, 960, (), 0.45, 1.0, 0, 33),
    }
    for preset, (steps, height, width, blocks, video_rescale, audio_rescale, stg, crf) in rows.items():
        assert (preset.steps, preset.height, preset.width, preset.image_crf) == (steps, height, width, crf)
        assert (preset.seed, preset.frames, preset.fps) == (10, 121, 24.0)
        assert numbers(preset.video_guidance) == (3.0, stg, blocks, video_rescale, 3.0, 0)
        assert numbers(preset.audio_guidance) == (7.0, stg, blocks, audio_rescale, 3.0, 0)


def test_negative_prompt() -> None:
    terms = LTX_2_PRESET.negative_prompt.split(", ")
    assert len(terms) == 58
    assert terms[0] == "blurry"
    assert terms[-1] == "or AI artifacts."
    tags = "has_subtitles, has_blurbox, transition from black, transition to black, speech_ending_short, "
    assert LTX_2_5_PRESET.negative_prompt == tags + LTX_2_PRESET.negative_prompt


def test_schedules_share_their_ends() -> None:
    assert DISTILLED_SIGMAS[-4:] == STAGE_2_DISTILLED_SIGMAS
    assert DISTILLED_SIGMAS[4:] == DFR_TEMPORAL_SIGMAS


def test_sizes() -> None:
    require_size(512, 768, multiple=64)
    require_size(1088, 1920, multiple=64)
    require_size(544, 960, multiple=32)
    with pytest.raises(ValueError, match="Height 1080 and width 1920 must be multiples of 64: use 1088 x 1920"):
        require_size(1080, 1920, multiple=64)
    with pytest.raises(ValueError, match="use 32 x 64"):
        require_size(0, 70, multiple=32)


def test_frames() -> None:
    for frames in (1, 9, 121):
        require_frames(frames, time_factor=8)
    with pytest.raises(ValueError, match=r"got 120\. The nearest lengths are 113 and 121"):
        require_frames(120, time_factor=8)
    with pytest.raises(ValueError, match="got 0"):
        require_frames(0, time_factor=8)
    assert [snap_frames(frames, 8) for frames in (120, 121, 128)] == [113, 121, 121]


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.2, 25), (2.5, 57), (5.0, 113), (5.04, 121), (7.3, 169), (19.9, 473), (25, 473)]
)
def test_frames_of_a_duration(seconds: float, expected: int) -> None:
    assert frames_for_duration(seconds, fps=24.0, scale_factors=SpatioTemporalScaleFactors.default()) == expected


def test_wrong_duration_limits_are_refused() -> None:
    with pytest.raises(ValueError, match=r"3\.0 s and 2\.0 s"):
        frames_for_duration(1.0, 24.0, SpatioTemporalScaleFactors.default(), min_seconds=3.0, max_seconds=2.0)


def test_durations_stay_on_the_grid_and_below_the_maximum() -> None:
    scale = SpatioTemporalScaleFactors.default()
    assert frames_for_duration(1.0, 24.0, scale, min_seconds=1.0, max_seconds=1.0) == 17
    assert frames_for_duration(0.1, 8.0, scale, min_seconds=0.1, max_seconds=0.5) == 1
    assert frames_for_duration(2.0, 25.0, scale._replace(time=4)) == 49


@pytest.mark.parametrize(("seconds", "fps"), [(float("nan"), 24.0), (float("inf"), 24.0), (1.0, 0.0), (1.0, -24.0)])
def test_durations_without_a_frame_count_are_refused(seconds: float, fps: float) -> None:
    with pytest.raises(ValueError, match="has no frame count"):
        frames_for_duration(seconds, fps, SpatioTemporalScaleFactors.default())
