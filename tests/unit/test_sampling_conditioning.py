"""Conditioning items: positions, masks, attention and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ltx_core_impl.components.patchifiers import AudioPatchifier
from ltx_core_impl.conditioning.attention_mask import attention_weights_from_mask, extended_attention_mask
from ltx_core_impl.conditioning.attention_strength import ConditioningItemAttentionStrengthWrapper
from ltx_core_impl.conditioning.item import ConditioningError
from ltx_core_impl.conditioning.keyframe_slots import VideoGeneratedKeyframeSlots, spread_keyframes
from ltx_core_impl.conditioning.reference_audio import AudioConditionByReferenceLatent, positions_before_start
from ltx_core_impl.conditioning.region_mask import TemporalRegionMask
from ltx_core_impl.conditioning.rules import LTX_2_5_RULES, LTX_2_RULES
from ltx_core_impl.conditioning.tools import AudioLatentTools, VideoLatentTools
from ltx_core_impl.conditioning.video_items import (
    VideoConditionByKeyframeIndex,
    VideoConditionByLatentIndex,
    VideoConditionByMask,
    VideoConditionByReferenceLatent,
)
from ltx_core_impl.types import AudioLatentShape, LatentState, VideoLatentShape

SHAPE = VideoLatentShape(batch=1, channels=4, frames=3, height=2, width=3)
TOOLS = VideoLatentTools(SHAPE, fps=25.0)
CELLS = SHAPE.height * SHAPE.width


def content(frames: int = 1, height: int = 2, width: int = 3, channels: int = 4, batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(frames)
    return torch.randn(batch, channels, frames, height, width, generator=generator)


def start(tools: VideoLatentTools | AudioLatentTools = TOOLS, dtype: torch.dtype = torch.float32) -> LatentState:
    return tools.create_initial_state("cpu", dtype)


def times(item: object, tools: VideoLatentTools = TOOLS) -> list[list[float]]:
    """Distinct appended time spans, in order."""
    appended = item.apply_to(start(tools), tools).positions[0, 0, tools.target_shape.token_count() :]
    return [list(span) for span in dict.fromkeys(tuple(row) for row in appended.tolist())]


def approx(spans: list[list[float]]) -> list:
    return [pytest.approx(span, abs=1e-6) for span in spans]


@pytest.mark.parametrize(
    ("frame_idx", "frames", "pixel_frames", "expected"),
    [
        (0, 1, 1, [[0, 0.04]]),
        (3, 1, 1, [[0.12, 0.16]]),
        (8, 1, 1, [[0.32, 0.36]]),
        (40, 1, 1, [[1.6, 1.64]]),
        (-8, 1, 1, [[-0.32, -0.28]]),
        (-1, 1, 1, [[-0.04, 0]]),
        (-16, 2, 16, [[-0.64, -0.32], [-0.32, 0]]),
        (0, 2, 9, [[0, 0.04], [0.04, 0.36]]),
        (8, 2, 9, [[0.32, 0.64], [0.64, 0.96]]),
    ],
)
def test_keyframe_times(frame_idx: int, frames: int, pixel_frames: int, expected: list) -> None:
    item = VideoConditionByKeyframeIndex(content(frames), frame_idx, strength=1.0, num_pixel_frames=pixel_frames)
    assert times(item) == approx(expected)


@pytest.mark.parametrize(
    ("frame_idx", "frames", "pixel_frames", "expected"),
    [
        (-1, 1, 1, [[-0.04, 0]]),
        (-8, 1, 8, [[-0.32, 0]]),
        (9, 1, 8, [[0.36, 0.68]]),
        (16, 1, 1, [[0.64, 0.68]]),
    ],
)
def test_references_that_do_not_start_with_the_clip(
    frame_idx: int, frames: int, pixel_frames: int, expected: list
) -> None:
    """A still at -1 ends where the first frame starts (spec 08 §5.8); the factor acts on the picture alone."""
    item = VideoConditionByReferenceLatent(content(frames), 2, frame_idx=frame_idx, num_pixel_frames=pixel_frames)
    assert times(item) == approx(expected)
    plain = VideoConditionByReferenceLatent(content(frames), 2).apply_to(start(), TOOLS)
    moved = item.apply_to(start(), TOOLS)
    assert torch.equal(moved.positions[:, 1:], plain.positions[:, 1:])
    with pytest.raises(ValueError, match="2 times sparser in time starts with the clip"):
        replace(item, temporal_scale_factor=2).apply_to(start(), TOOLS)


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (1, [[0, 0.04], [0.04, 0.36], [0.36, 0.68]]),
        (2, [[0, 0.04], [0.04, 0.68], [0.68, 1.32]]),
        (4, [[0, 0.04], [0.04, 1.32], [1.32, 2.6]]),
    ],
)
def test_reference_times(factor: int, expected: list) -> None:
    assert times(VideoConditionByReferenceLatent(content(3), temporal_scale_factor=factor)) == approx(expected)


def test_reference_cells_cover_the_target() -> None:
    item = VideoConditionByReferenceLatent(content(3, height=1, width=1), downscale_factor=2)
    state = item.apply_to(start(), TOOLS)
    assert state.positions[0, 1:, SHAPE.token_count()].tolist() == [[0, 64], [0, 64]]


def test_slot_times_and_spread() -> None:
    slots = VideoGeneratedKeyframeSlots([4, 12])
    assert times(slots) == approx([[0.16, 0.20], [0.48, 0.52]])
    assert [spread_keyframes(n, 121) for n in (1, 2, 3, 4)] == [[60], [40, 80], [30, 60, 90], [24, 48, 72, 96]]
    with pytest.raises(ValueError, match="at most 7"):
        spread_keyframes(8, 9)


def test_reference_audio_ends_before_the_start() -> None:
    seconds = positions_before_start(AudioLatentShape(1, 8, 5, 16), AudioPatchifier())
    torch.testing.assert_close(seconds[0, 0, 0], torch.tensor([-0.21, -0.20]))
    torch.testing.assert_close(seconds[0, 0, -1], torch.tensor([-0.08, -0.04]))


@pytest.mark.parametrize(
    ("window", "expected"), [((0.1, 0.4), [0, 1, 1]), ((0.36, 0.4), [0, 0, 1]), ((-1.0, 0.01), [1, 0, 0])]
)
def test_video_region(window: tuple[float, float], expected: list[int]) -> None:
    state = TemporalRegionMask(*window).apply_to(start(), TOOLS)
    assert state.denoise_mask[0, ::CELLS, 0].tolist() == expected


def test_audio_region() -> None:
    tools = AudioLatentTools(AudioLatentShape(1, 8, 6, 16))
    state = TemporalRegionMask(0.05, 0.13).apply_to(start(tools), tools)
    assert state.denoise_mask.flatten().tolist() == [0, 0, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("window", "frames", "video", "audio"),
    [
        ((1.0, 3.0), 16, (3, 9), (25, 75)),
        ((5.04, 7.36), 31, (15, 22), (126, 184)),
        ((6.70, 9.03), 31, (20, 27), (168, 226)),
    ],
)
def test_retake_windows(window: tuple, frames: int, video: tuple, audio: tuple) -> None:
    video_tools = VideoLatentTools(VideoLatentShape(1, 4, frames, 1, 1), fps=24.0)
    audio_tools = AudioLatentTools(AudioLatentShape(1, 8, 260, 16))
    for tools, (first, last) in ((video_tools, video), (audio_tools, audio)):
        mask = TemporalRegionMask(*window).apply_to(start(tools), tools).denoise_mask.flatten()
        assert mask.nonzero().flatten().tolist() == list(range(first, last + 1))


def test_region_leaves_appended_tokens_alone() -> None:
    state = VideoConditionByKeyframeIndex(content(), frame_idx=8, strength=0.8).apply_to(start(), TOOLS)
    masked = TemporalRegionMask(0.1, 0.4).apply_to(state, TOOLS)
    assert torch.equal(masked.denoise_mask[:, SHAPE.token_count() :], state.denoise_mask[:, SHAPE.token_count() :])


def test_strength_is_rounded_like_the_reference_does() -> None:
    state = start(dtype=torch.bfloat16)
    appended = VideoConditionByKeyframeIndex(content(), frame_idx=8, strength=0.9).apply_to(state, TOOLS)
    assert appended.denoise_mask[0, -1, 0].item() == 0.10009765625
    assert appended.denoise_mask.dtype == torch.float32
    replaced = VideoConditionByLatentIndex(content(), strength=0.9, latent_idx=0).apply_to(state, TOOLS)
    assert replaced.denoise_mask[0, 0, 0].item() == pytest.approx(0.1, abs=1e-7)
    masked = VideoConditionByMask(content(3), mask=torch.ones(1, 3, 2, 3), strength=0.9).apply_to(state, TOOLS)
    assert masked.denoise_mask[0, 0, 0].item() == 0.10009765625
    assert masked.denoise_mask.dtype == torch.float32


def test_rules_decide_whether_items_write_the_latent() -> None:
    for rules in (LTX_2_RULES, LTX_2_5_RULES):
        tools = replace(TOOLS, rules=rules)
        for item in (
            VideoConditionByLatentIndex(content(), strength=1.0, latent_idx=1),
            VideoConditionByKeyframeIndex(content(), frame_idx=8, strength=1.0),
            VideoConditionByReferenceLatent(content(2)),
        ):
            state = item.apply_to(start(tools), tools)
            assert state.clean_latent.any()
            assert torch.equal(state.latent, state.clean_latent) == rules.items_write_latent


def test_items_do_not_change_the_state_they_get() -> None:
    state = start()
    before = [tensor.clone() for tensor in (state.latent, state.clean_latent, state.denoise_mask, state.positions)]
    for item in (
        VideoConditionByLatentIndex(content(), strength=1.0, latent_idx=0),
        VideoConditionByKeyframeIndex(content(), frame_idx=0, strength=1.0),
        VideoConditionByMask(content(3), mask=torch.ones(1, 3, 2, 3)),
        TemporalRegionMask(0.0, 0.1),
    ):
        item.apply_to(state, TOOLS)
    for old, new in zip(before, (state.latent, state.clean_latent, state.denoise_mask, state.positions), strict=True):
        assert torch.equal(old, new)


def test_one_guide_serves_a_batch() -> None:
    tools = replace(TOOLS, target_shape=SHAPE._replace(batch=3))
    item = VideoConditionByKeyframeIndex(content(), frame_idx=8, strength=1.0)
    many, one = item.apply_to(start(tools), tools), item.apply_to(start(), TOOLS)
    for sample in range(3):
        assert torch.equal(many.clean_latent[sample], one.clean_latent[0])
        assert torch.equal(many.positions[sample], one.positions[0])


def test_attention_mask_of_groups() -> None:
    tools = replace(TOOLS, target_shape=SHAPE._replace(height=2, width=2))
    state = VideoConditionByKeyframeIndex(content(width=2), frame_idx=8, strength=1.0).apply_to(start(tools), tools)
    assert state.attention_mask is None
    reference = VideoConditionByReferenceLatent(content(3, height=1, width=1))
    state = ConditioningItemAttentionStrengthWrapper(reference, attention_mask=0.5).apply_to(state, tools)
    mask = state.attention_mask[0]
    assert mask.shape == (19, 19)
    assert all(row == [1.0] * 16 + [0.5] * 3 for row in mask[:12].tolist())
    assert all(row == [1.0] * 16 + [0.0] * 3 for row in mask[12:16].tolist())
    assert all(row == [0.5] * 12 + [0.0] * 4 + [1.0] * 3 for row in mask[16:].tolist())
    later = VideoConditionByKeyframeIndex(content(width=2), frame_idx=0, strength=1.0).apply_to(state, tools)
    assert torch.equal(later.attention_mask[0, :19, :19], mask)
    assert all(row == [1.0] * 12 + [0.0] * 7 + [1.0] * 4 for row in later.attention_mask[0, 19:].tolist())


def test_wrapping_an_item_that_appends_nothing_changes_nothing() -> None:
    item = VideoConditionByLatentIndex(content(), strength=1.0, latent_idx=0)
    state = ConditioningItemAttentionStrengthWrapper(item, attention_mask=0.5).apply_to(start(), TOOLS)
    assert state.attention_mask is None


@given(
    target=st.integers(1, 5),
    groups=st.lists(st.tuples(st.integers(1, 3), st.one_of(st.none(), st.floats(0.0, 1.0))), min_size=1, max_size=4),
)
def test_attention_mask_invariants(target: int, groups: list[tuple[int, float | None]]) -> None:
    state = LatentState(
        latent=torch.zeros(1, target, 2),
        denoise_mask=torch.ones(1, target, 1),
        positions=torch.zeros(1, 1, target, 2),
        clean_latent=torch.zeros(1, target, 2),
    )
    seen_weight = False
    spans = []
    for size, weight in groups:
        weights = None if weight is None else torch.full((1, size), weight)
        mask = extended_attention_mask(state, target_tokens=target, new_tokens=size, weights=weights)
        seen_weight = seen_weight or weight is not None
        spans.append((state.latent.shape[1], size, 1.0 if weight is None else weight, seen_weight))
        state = replace(state, latent=torch.zeros(1, state.latent.shape[1] + size, 2), attention_mask=mask)
        if not seen_weight:
            assert mask is None
            continue
        assert torch.equal(mask, mask.transpose(1, 2))
        assert bool((mask >= 0).all() & (mask <= 1).all())
        assert bool((mask.diagonal(dim1=1, dim2=2) == 1).all())
        assert bool((mask[:, :target, :target] == 1).all())
        for first, length, value, masked in spans:
            part = slice(first, first + length)
            assert bool((mask[:, part, part] == 1).all())
            torch.testing.assert_close(mask[:, :target, part], torch.full((1, target, length), value))
            if masked:
                assert not mask[:, target:first, part].any()


def test_weights_from_a_pixel_mask() -> None:
    mask = torch.zeros(1, 1, 9, 64, 64)
    mask[:, :, 0] = 1
    mask[:, :, 1:5, :32] = 1
    grid = VideoLatentShape(1, 128, 2, 2, 2)
    assert attention_weights_from_mask(mask, grid).tolist() == [[1, 1, 1, 1, 0.5, 0.5, 0, 0]]
    assert attention_weights_from_mask(mask, grid, strength=0.5)[0, 0] == 0.5
    assert attention_weights_from_mask(mask, grid._replace(frames=1)).tolist() == [[1, 1, 1, 1]]
    with pytest.raises(ValueError, match=r"mask of 9 frames.*4 latent frames.*multiple of 3.*10 in all"):
        attention_weights_from_mask(mask, grid._replace(frames=4))


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (VideoConditionByLatentIndex(content(height=4), 1.0, 0), "4x3 latent cells.*2x3: resize"),
        (VideoConditionByLatentIndex(content(channels=8), 1.0, 0), "8 channels.*have 4"),
        (VideoConditionByLatentIndex(content(2), 1.0, 2), "index 2 leaves no room for 2 of the 3.*0 to 1"),
        (VideoConditionByLatentIndex(content(), 1.0, -1), "index -1"),
        (VideoConditionByKeyframeIndex(content(channels=8), 0, 1.0), "keyframe latent has 8 channels"),
        (VideoConditionByKeyframeIndex(content(batch=2), 0, 1.0), "batch of 2; this run needs 1 or 1"),
        (VideoConditionByReferenceLatent(content(channels=8)), "reference latent has 8 channels"),
        (VideoConditionByMask(content(2), torch.ones(1, 2, 2, 3)), r"2 frames.*needs 3 frames.*\(batch, 3, 2, 3\)"),
        (VideoConditionByMask(content(3), torch.ones(1, 3, 4, 3)), r"\(1, 3, 4, 3\)"),
        (VideoGeneratedKeyframeSlots([4, 4]), r"0 to 16; got \[4, 4\]"),
        (VideoGeneratedKeyframeSlots([17]), r"0 to 16; got \[17\]"),
        (VideoGeneratedKeyframeSlots([]), "strictly increasing"),
        (VideoGeneratedKeyframeSlots([3], content(2)), r"1 keyframe slots must have shape \(batch, 4, 1, 2, 3\)"),
    ],
)
def test_what_does_not_fit_is_refused(item: object, words: str) -> None:
    with pytest.raises(ConditioningError, match=words):
        item.apply_to(start(), TOOLS)


def test_slots_are_given_once() -> None:
    state = VideoGeneratedKeyframeSlots([4]).apply_to(start(), TOOLS)
    with pytest.raises(ConditioningError, match="one list"):
        VideoGeneratedKeyframeSlots([8]).apply_to(state, TOOLS)


@pytest.mark.parametrize("weights", [torch.ones(2), torch.ones(2, CELLS), torch.ones(1, 1, CELLS), 1.5, -0.1])
def test_wrong_attention_weights_are_refused(weights: object) -> None:
    item = VideoConditionByKeyframeIndex(content(), frame_idx=0, strength=1.0)
    with pytest.raises(ValueError, match="Attention weights"):
        ConditioningItemAttentionStrengthWrapper(item, attention_mask=weights).apply_to(start(), TOOLS)


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="strength lies between"):
        VideoConditionByKeyframeIndex(content(), frame_idx=0, strength=1.1).apply_to(start(), TOOLS)
    with pytest.raises(ValueError, match="whole numbers"):
        VideoConditionByReferenceLatent(content(), downscale_factor=0).apply_to(start(), TOOLS)
    with pytest.raises(ValueError, match="end after it starts"):
        TemporalRegionMask(2.0, 1.0)
    tools = AudioLatentTools(AudioLatentShape(1, 8, 6, 16))
    with pytest.raises(ConditioningError, match="needs \\(batch, tokens, 128\\)"):
        AudioConditionByReferenceLatent(torch.ones(1, 2, 64), torch.zeros(1, 1, 2, 2)).apply_to(start(tools), tools)
    with pytest.raises(ConditioningError, match="2 reference audio tokens need positions"):
        AudioConditionByReferenceLatent(torch.ones(1, 2, 128), torch.zeros(1, 1, 3, 2)).apply_to(start(tools), tools)
