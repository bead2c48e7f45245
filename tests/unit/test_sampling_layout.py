"""Latent tiles and the layout of DFR."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from ltx_core_impl.sampling.dfr_layout import dfr_canvas, dfr_tiles
from ltx_core_impl.sampling.latent_tiles import AxisTiling, blend_tiles, blend_weights, latent_tiles, split_by_count


@pytest.mark.parametrize(
    ("tiles", "overlap", "length", "expected"),
    [
        (2, 6, 16, [(0, 11), (5, 16)]),
        (2, 6, 17, [(0, 12), (6, 17)]),
        (2, 8, 16, [(0, 12), (4, 16)]),
        (3, 2, 20, [(0, 8), (6, 14), (12, 20)]),
        (1, 5, 20, [(0, 20)]),
    ],
)
def test_split(tiles: int, overlap: int, length: int, expected: list) -> None:
    assert [(one.start, one.end) for one in split_by_count(tiles, overlap, length)] == expected


def test_ramps() -> None:
    first, second = split_by_count(2, 8, 16)
    torch.testing.assert_close(blend_weights(second)[:8], torch.arange(1, 9) / 9)
    torch.testing.assert_close(blend_weights(first)[-8:], torch.arange(8, 0, -1) / 9)


@pytest.mark.parametrize(("tiles", "overlap", "length"), [(3, 0, 2), (0, 0, 4), (2, 10, 10)])
def test_impossible_splits_are_refused(tiles: int, overlap: int, length: int) -> None:
    with pytest.raises(ValueError, match="latent cells cannot"):
        split_by_count(tiles, overlap, length)


def test_hdr_tiles() -> None:
    tiles = latent_tiles((21, 34, 60))
    assert len(tiles) == 8
    assert (tiles[0].frames[:2], tiles[0].height[:2], tiles[0].width[:2]) == ((0, 15), (0, 20), (0, 33))
    assert (tiles[7].frames[:2], tiles[7].height[:2], tiles[7].width[:2]) == ((7, 21), (14, 34), (27, 60))
    assert (tiles[1].frames, tiles[1].height) == (tiles[0].frames, tiles[0].height)
    long = latent_tiles((41, 34, 60))
    assert (long[0].frames[:2], long[4].frames[:2]) == ((0, 25), (17, 41))
    assert len(latent_tiles((1, 34, 60))) == 4


@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12)),
    tiles=st.integers(1, 3),
    overlap=st.integers(0, 4),
)
def test_blended_tiles_reproduce_the_latent(size: tuple[int, int, int], tiles: int, overlap: int) -> None:
    # Ramps of one tile must not meet, as with the tilings in use.
    assume(all(length < tiles or length // tiles >= 2 * overlap for length in size))
    latent = torch.randn(1, 2, *size, generator=torch.Generator().manual_seed(0))
    cut = latent_tiles(size, (AxisTiling(tiles, overlap),) * 3)
    result = blend_tiles(latent, cut, run=lambda index, tile: tile.slice(latent))
    torch.testing.assert_close(result, latent)


def test_reference_slice_of_a_smaller_latent() -> None:
    tile = latent_tiles((4, 8, 8), (AxisTiling(1), AxisTiling(2, 2), AxisTiling(1)))[1]
    assert tile.slice(torch.zeros(1, 2, 4, 8, 8)).shape == (1, 2, 4, 5, 8)
    assert tile.slice(torch.zeros(1, 2, 4, 4, 4), downscale_factor=2).shape == (1, 2, 4, 3, 4)


@pytest.mark.parametrize(
    ("frames", "padded", "segment"),
    [
        (9, 25, 24), (33, 33, 32), (49, 49, 24), (65, 65, 32), (97, 97, 32), (121, 121, 24), (161, 161, 32),
        (193, 193, 32),
    ],
)  # fmt: skip
def test_dfr_canvas(frames: int, padded: int, segment: int) -> None:
    canvas = dfr_canvas(frames)
    assert (canvas.frames, canvas.segment) == (padded, segment)
    assert canvas.keyframes == tuple(range(segment, padded, segment))


def test_dfr_tiles() -> None:
    first, second = dfr_tiles(dfr_canvas(121), temporal_round=1, time_factor=8)
    assert (first.first, first.last, first.dropped_latents) == (0, 144, 0)
    assert first.slots == (24, 72, 120)
    assert first.anchors == (48, 96, 144)
    assert (second.first, second.last, second.dropped_latents) == (96, 240, 7)
    assert second.anchors == (96, 144, 192, 240)
    assert second.slots == (120, 168, 216)


@given(frames=st.integers(2, 300), temporal_round=st.integers(1, 2))
def test_dfr_tiles_cover_the_clip(frames: int, temporal_round: int) -> None:
    canvas = dfr_canvas(frames)
    tiles = dfr_tiles(canvas, temporal_round=temporal_round, time_factor=8)
    total = (canvas.frames - 1) * 2**temporal_round + 1
    latents = sum((tile.last - tile.first) // 8 + 1 - tile.dropped_latents for tile in tiles)
    assert latents == (total - 1) // 8 + 1
    assert tiles[0].first == 0
    assert tiles[-1].last == total - 1


def test_wrong_dfr_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 frames; got 1"):
        dfr_canvas(1)
    with pytest.raises(ValueError, match="count from 1; got 0"):
        dfr_tiles(dfr_canvas(121), temporal_round=0, time_factor=8)
