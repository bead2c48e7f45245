"""The temporal rounds of DFR: cutting, guiding and joining tiles."""

from __future__ import annotations

import pytest
import torch

from ltx_core_impl.conditioning.item import ConditioningError
from ltx_core_impl.conditioning.keyframe_slots import clips_as_keyframes, join_keyframes, keyframes_as_clips
from ltx_core_impl.conditioning.rules import LTX_2_5_RULES
from ltx_core_impl.conditioning.tools import VideoLatentTools
from ltx_core_impl.conditioning.video_items import (
    VideoConditionByKeyframeIndex,
    VideoConditionByLatentIndex,
    VideoConditionByReferenceLatent,
)
from ltx_core_impl.presets import dfr_tile_seeds
from ltx_core_impl.sampling.dfr_layout import dfr_canvas, dfr_tiles
from ltx_core_impl.sampling.dfr_rounds import (
    carried_keyframes,
    doubled,
    join_tiles,
    tile_anchors,
    tile_images,
    tile_latent,
    tile_slots,
)
from ltx_core_impl.types import VideoLatentShape

CANVAS = dfr_canvas(121)
TILES = dfr_tiles(CANVAS, temporal_round=1, time_factor=8)
LATENT = torch.arange(31.0).reshape(1, 1, 31, 1, 1).expand(1, 2, 31, 2, 2)  # 241 frames; each holds its own index


def keyframe(value: float) -> torch.Tensor:
    return torch.full((1, 2, 1, 2, 2), float(value))


def test_tiles_hold_the_latent_frames_of_the_spec() -> None:
    parts = [tile_latent(LATENT, tile, time_factor=8)[0, 0, :, 0, 0].tolist() for tile in TILES]
    assert parts == [list(range(19)), list(range(12, 31))]


@pytest.mark.parametrize("temporal_round", [1, 2])
@pytest.mark.parametrize("frames", [25, 49, 65, 97, 121, 193])
def test_joined_tiles_are_the_clip(frames: int, temporal_round: int) -> None:
    canvas = dfr_canvas(frames)
    count = (canvas.frames - 1) * 2**temporal_round // 8 + 1
    latent = torch.randn(1, 3, count, 2, 2, generator=torch.Generator().manual_seed(frames))
    tiles = dfr_tiles(canvas, temporal_round, time_factor=8)
    assert torch.equal(join_tiles([tile_latent(latent, tile, 8) for tile in tiles], tiles), latent)


def test_a_latent_of_the_round_before_is_refused() -> None:
    with pytest.raises(ValueError, match="latent frames 12 to 30; the latent has 16"):
        tile_latent(LATENT[:, :, :16], TILES[1], time_factor=8)


def test_tiles_out_of_order_are_refused() -> None:
    parts = [tile_latent(LATENT, tile, 8) for tile in TILES]
    with pytest.raises(ValueError, match="do not follow"):
        join_tiles(parts[::-1], TILES[::-1])


def test_anchors_are_the_carried_keyframes_at_doubled_frames() -> None:
    carried = doubled({frame: keyframe(frame) for frame in CANVAS.keyframes})
    anchors = tile_anchors(carried, TILES[1])
    assert [(one.frame_idx, one.strength, one.keyframes[0, 0, 0, 0, 0].item()) for one in anchors] == [
        (0, 0.95, 48.0),
        (48, 0.95, 72.0),
        (96, 0.95, 96.0),
        (144, 0.95, 120.0),
    ]
    with pytest.raises(ValueError, match=r"those at \[240\] are not given"):
        tile_anchors({frame: latent for frame, latent in carried.items() if frame != 240}, TILES[1])


def test_slots_start_from_the_nearest_latent_frame() -> None:
    slots = tile_slots(tile_latent(LATENT, TILES[1], 8), TILES[1], time_factor=8)
    assert slots.pixel_indices == [24, 72, 120]
    assert slots.initial_keyframes[0, 0, :, 0, 0].tolist() == [12 + 3, 12 + 9, 12 + 15]
    tools = VideoLatentTools(VideoLatentShape(1, 2, 19, 2, 2), fps=48.0, rules=LTX_2_5_RULES)
    state = slots.apply_to(tools.create_initial_state("cpu", torch.float32), tools)
    assert state.latent.shape[1] == 19 * 4 + 3 * 4


def test_images_move_with_their_frames() -> None:
    images = [
        VideoConditionByLatentIndex(keyframe(0), strength=1.0, latent_idx=0),
        VideoConditionByKeyframeIndex(keyframe(48), frame_idx=48, strength=0.7),
        VideoConditionByKeyframeIndex(keyframe(120), frame_idx=120, strength=0.8),
    ]
    first, second = (tile_images(images, tile, doublings=1) for tile in TILES)
    assert [type(item) for item in first] == [VideoConditionByLatentIndex, VideoConditionByKeyframeIndex]
    assert first[1].frame_idx == 96
    assert isinstance(second[0], VideoConditionByLatentIndex), "frame 96 is the second tile's first"
    assert (second[0].latent_idx, second[0].strength) == (0, 0.7)
    assert (second[1].frame_idx, second[1].strength) == (144, 0.8)
    with pytest.raises(ConditioningError, match="Only single images"):
        tile_images([VideoConditionByReferenceLatent(LATENT)], TILES[0], doublings=1)


def test_carried_keyframes_of_the_next_round() -> None:
    carried = doubled({frame: keyframe(frame) for frame in CANVAS.keyframes})
    new = [
        (tile, {frame - tile.first: keyframe(1000 + index) for frame in tile.slots}) for index, tile in enumerate(TILES)
    ]
    merged = carried_keyframes(carried, new)
    assert list(merged) == list(range(24, 241, 24))
    assert merged[48][0, 0, 0, 0, 0] == 24.0
    assert merged[120][0, 0, 0, 0, 0] == 1000.0, "both tiles made frame 120; the earlier one's is kept"
    assert merged[168][0, 0, 0, 0, 0] == 1001.0
    for tile in dfr_tiles(CANVAS, temporal_round=2, time_factor=8):
        assert len(tile_anchors(doubled(merged), tile)) == len(tile.anchors)


def test_keyframes_travel_as_clips_of_one_frame() -> None:
    keyframes = [torch.randn(2, 4, 1, 2, 3, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    clips = keyframes_as_clips(keyframes)
    assert clips.shape == (6, 4, 1, 2, 3)
    assert torch.equal(clips[1], keyframes[1][0]), "the keyframes of a sample follow one another"
    assert all(map(torch.equal, clips_as_keyframes(clips, 3), keyframes))
    assert join_keyframes(keyframes).shape == (2, 4, 3, 2, 3)
    with pytest.raises(ValueError, match="a multiple of 4 clips of one latent frame; got 6 clips of 1"):
        clips_as_keyframes(clips, 4)
    with pytest.raises(ValueError, match="got 1 clips of 31"):
        clips_as_keyframes(LATENT, 1)


def test_every_tile_has_noise_of_its_own() -> None:
    assert dfr_tile_seeds(10, temporal_round=2, tile=3)[1] == 10 + 2000 + 3
    seeds = [dfr_tile_seeds(10, temporal_round, tile) for temporal_round in (1, 2) for tile in range(4)]
    assert len({*sum(seeds, ()), 10, 10 + 10000}) == 18, "nor is it the noise of the stages before"
