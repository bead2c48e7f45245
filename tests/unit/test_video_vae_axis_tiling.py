"""Per-axis tiling of LTX-2.5 on the convolutional VAE (spec 03 §12.1, §19.9)."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltx_core_impl.model.video_vae import AxisCount, AxisTiling, PerAxisTiling
from ltx_core_impl.model.video_vae.intervals import Interval, split
from ltx_core_impl.types import SpatioTemporalScaleFactors
from tests.unit.video_vae_fixtures import decoder, encoder, latent_input, video_input

SCALE = SpatioTemporalScaleFactors.default()


def test_decode_values() -> None:
    side = AxisTiling(size=96, overlap=32)
    tiling = PerAxisTiling(frames=AxisTiling(size=16, overlap=8), height=side, width=side)
    chunks = list(decoder("T22").tiled_decode(latent_input(1, 8, 6, 4, 5), tiling))
    assert [chunk.shape[2] for chunk in chunks] == [0, 8, 8, 8, 17]
    video = torch.cat(chunks, dim=2)
    assert video.double().sum().item() == pytest.approx(-4592.893143272013, rel=1e-4)
    assert video[0, 0, 20, 70, 80].item() == pytest.approx(0.0012876354157924652, abs=1e-5)


def test_encode_values() -> None:
    side = AxisTiling(size=128, overlap=64)
    tiling = PerAxisTiling(frames=AxisTiling(size=24, overlap=16), height=side, width=side)
    latent = encoder("T22").tiled_encode(video_input(1, 3, 41, 192, 224), tiling)
    assert latent.double().sum().item() == pytest.approx(72.8741733841016, rel=1e-4)


def test_one_tile_is_the_untiled_result() -> None:
    model, latent = decoder("T22"), latent_input(1, 8, 3, 2, 3)
    for tiling in (PerAxisTiling(), PerAxisTiling.default()):
        (video,) = model.tiled_decode(latent, tiling)
        assert torch.equal(video, model(latent))
    enc, video = encoder("T22"), video_input(1, 3, 17, 64, 96)
    assert torch.equal(enc.tiled_encode(video, PerAxisTiling()), enc(video))


def test_short_last_tile_grows_to_the_left() -> None:
    assert split(13, 5, 1, minimum=4) == [
        Interval(0, 5, 0, 1),
        Interval(4, 9, 1, 1),
        Interval(8, 13, 1, 0),
    ]
    assert split(11, 5, 1, minimum=5) == [Interval(0, 5, 0, 1), Interval(4, 9, 1, 3), Interval(6, 11, 3, 0)]
    assert split(3, 2, 0, minimum=4) == [Interval(0, 3)]


def test_default() -> None:
    default = PerAxisTiling.default()
    assert default.frames == AxisTiling(size=80, overlap=24)
    assert default.height == default.width == AxisTiling(size=768, overlap=64)


def test_from_long_side() -> None:
    frames = AxisTiling(size=80, overlap=24)
    tiling = PerAxisTiling.from_long_side(AxisTiling(768, 64), frames, (1088, 1920), SCALE)
    assert tiling == PerAxisTiling(frames, AxisTiling(448, 64), AxisTiling(768, 64))
    narrow = PerAxisTiling.from_long_side(AxisTiling(128, 96), frames, (64, 640), SCALE)
    assert narrow.height == AxisTiling(128, 96)


def test_tiles_by_count() -> None:
    tiling = PerAxisTiling(frames=AxisCount(2, 1), height=AxisCount(), width=AxisCount(3, 1))
    plan = tiling.decode_plan((6, 4, 7), SCALE)
    assert [tile.source for tile in plan.time] == [(0, 4), (2, 6)]
    assert [tile.source for tile in plan.height] == [(0, 4)]
    assert [tile.source for tile in plan.width] == [(0, 3), (2, 5), (4, 7)]
    video = torch.cat(list(decoder("T22").tiled_decode(latent_input(1, 8, 6, 2, 7), tiling)), dim=2)
    assert video.shape == (1, 3, 41, 64, 224)


@settings(max_examples=40, deadline=None)
@given(
    latent=st.tuples(st.integers(1, 30), st.integers(1, 20), st.integers(1, 20)),
    sizes=st.tuples(st.integers(3, 9), st.integers(3, 9)),
    overlap=st.integers(2, 8),
)
def test_weights_sum_to_one(latent: tuple[int, int, int], sizes: tuple[int, int], overlap: int) -> None:
    space = AxisTiling(32 * sizes[0], 32 * min(overlap, sizes[0] - 1))
    tiling = PerAxisTiling(AxisTiling(8 * sizes[1], 8 * min(overlap, sizes[1] - 1)), space, space)
    pixels = (8 * (latent[0] - 1) + 1, 32 * latent[1], 32 * latent[2])
    for plan, size in ((tiling.decode_plan(latent, SCALE), pixels), (tiling.encode_plan(pixels, SCALE), latent)):
        assert plan.target_size == size
        for axis, length in zip((plan.time, plan.height, plan.width), size, strict=True):
            total = torch.zeros(length)
            for tile in axis:
                total[slice(*tile.target)] += tile.mask
            torch.testing.assert_close(total, torch.ones(length))


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        (AxisTiling(32, 0), "at least 64"),
        (AxisTiling(100, 32), "multiple of 32"),
        (AxisTiling(96, 96), "below the tile size"),
        (AxisTiling(96, 16), "multiple of 32 below"),
        (AxisCount(9, 0), "9 tiles"),
    ],
)
def test_bad_tiles(axis: AxisTiling | AxisCount, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PerAxisTiling(width=axis).decode_plan((1, 4, 4), SCALE)


@pytest.mark.parametrize(
    ("tiling", "message"),
    [
        (PerAxisTiling(frames=AxisTiling(24, 8)), "frame overlap of at least 16"),
        (PerAxisTiling(height=AxisTiling(96, 32)), "height overlap of at least 64"),
        (PerAxisTiling(width=AxisCount(2, 1)), "width overlap of at least 64"),
    ],
)
def test_encoding_needs_two_shared_cells(tiling: PerAxisTiling, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiling.encode_plan((41, 256, 256), SCALE)
