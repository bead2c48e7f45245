"""Tiled decode and encode (spec 03 §7, §19.4, §19.5)."""

from __future__ import annotations

import weakref
from itertools import pairwise

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ltx_core_impl.model.video_vae import SpatialTiling, TemporalTiling, TilingConfig, VideoDecoder, blend, decode_video
from ltx_core_impl.model.video_vae.convolution import CausalConv3d
from ltx_core_impl.model.video_vae.intervals import (
    Interval,
    rectangle,
    split,
    split_by_count,
    split_causal,
    trapezoid,
)
from ltx_core_impl.model.video_vae.tile_plan import AxisTile, Tile
from ltx_core_impl.model.video_vae.tiling import decoded_frames, decoded_pixels
from ltx_core_impl.types import SpatioTemporalScaleFactors
from tests.unit.video_vae_fixtures import decoder, encoder, latent_input, video_input

SCALE = SpatioTemporalScaleFactors.default()


def tiling(spatial: tuple[int, int] | None, temporal: tuple[int, int] | None) -> TilingConfig:
    return TilingConfig(
        spatial=SpatialTiling(*spatial) if spatial else None, temporal=TemporalTiling(*temporal) if temporal else None
    )


def sources(tiles: tuple[AxisTile, ...]) -> list[tuple[int, int]]:
    return [tile.source for tile in tiles]


def targets(tiles: tuple[AxisTile, ...]) -> list[tuple[int, int]]:
    return [tile.target for tile in tiles]


def test_split_examples() -> None:
    assert split(16, 8, 3) == [Interval(0, 8, 0, 3), Interval(5, 13, 3, 3), Interval(10, 16, 3, 0)]
    assert split_causal(16, 8, 3) == [Interval(0, 8, 0, 3), Interval(4, 13, 4, 3), Interval(9, 16, 4, 0)]
    assert split_causal(10, 4, 1) == [
        Interval(0, 4, 0, 1),
        Interval(2, 7, 2, 1),
        Interval(5, 10, 2, 0),
    ]
    assert split(8, 8, 3) == [Interval(0, 8)]


@given(length=st.integers(1, 60), size=st.integers(1, 20), data=st.data())
def test_split_covers_the_axis(length: int, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    intervals = split(length, size, overlap)
    assert intervals[0].start == 0
    assert intervals[-1].end == length
    for before, after in pairwise(intervals):
        assert before.end - after.start == overlap == before.right == after.left
    assert all(overlap < interval.length <= size for interval in intervals[1:])
    if length > size:
        assert len(intervals) == (length + size - 2 * overlap - 1) // (size - overlap)


@given(length=st.integers(1, 60), data=st.data())
def test_split_by_count(length: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, length))
    overlap = data.draw(st.integers(0, 3))
    size = (length + overlap * (count - 1)) // count
    if size <= overlap and count > 1:
        return
    intervals = split_by_count(length, count, overlap)
    assert len(intervals) == count
    assert (intervals[0].start, intervals[-1].end) == (0, length)
    assert {interval.length for interval in intervals} <= {size, size + 1}


def test_split_errors() -> None:
    with pytest.raises(ValueError, match="overlap must be smaller"):
        split(10, 4, 4)
    with pytest.raises(ValueError, match="5 tiles"):
        split_by_count(4, 5, 0)


def test_mask_examples() -> None:
    third = 1 / 3
    tail = [1, 1, 1, 2 * third, third]
    assert trapezoid(8, 3, 2, from_zero=False).tolist() == pytest.approx([0.25, 0.5, 0.75, *tail])
    assert trapezoid(8, 3, 2, from_zero=True).tolist() == pytest.approx([0, third, 2 * third, *tail])
    assert rectangle(5, 2, 1).tolist() == [0, 0, 1, 1, 0]
    assert rectangle(3, 0, 0).tolist() == [1, 1, 1]


def test_decoded_frame_mask() -> None:
    tile = decoded_frames(Interval(4, 13, 4, 3), 8)
    assert tile.target == (32, 97)
    assert tile.mask.shape == (65,)
    assert tile.mask[:4].tolist() == pytest.approx([0, 0.04, 0.08, 0.12])
    assert tile.mask[24:27].tolist() == pytest.approx([0.96, 1, 1])
    assert tile.mask[-24:-21].tolist() == pytest.approx([0.96, 0.92, 0.88])
    assert tile.mask[-2:].tolist() == pytest.approx([0.08, 0.04])


def test_decoded_pixel_mask() -> None:
    tile = decoded_pixels(Interval(9, 20, 2, 2), 32)
    assert tile.target == (288, 640)
    assert tile.mask[:2].tolist() == pytest.approx([0.0153846, 0.0307692], rel=1e-5)
    assert tile.mask[63:65].tolist() == pytest.approx([0.9846154, 1])


def test_default_plan() -> None:
    plan = TilingConfig.default().decode_plan((16, 32, 48), SCALE)
    assert sources(plan.time) == [(0, 8), (4, 13), (9, 16)]
    assert targets(plan.time) == [(0, 57), (32, 97), (72, 121)]
    assert sources(plan.height) == [(0, 11), (9, 20), (18, 29), (27, 32)]
    assert sources(plan.width) == [(0, 16), (14, 30), (28, 44), (42, 48)]
    assert plan.tile_count == 48
    assert plan.target_size == (121, 1024, 1536)


def test_encode_plan_examples() -> None:
    plan = tiling((128, 64), (24, 16)).encode_plan((41, 64, 224), SCALE)
    assert sources(plan.time) == [(0, 25), (8, 33), (16, 41), (24, 41)]
    assert targets(plan.time) == [(0, 4), (1, 5), (2, 6), (3, 6)]
    # One latent frame at each seam is seen by two tiles and averaged.
    assert [tile.mask.tolist() for tile in plan.time] == [
        [1, 1, 1, 0.5],
        [0, 0, 0.5, 0.5],
        [0, 0, 0.5, 0.5],
        [0, 0, 0.5],
    ]
    assert sources(plan.width) == [(0, 128), (64, 192), (128, 224)]
    assert [tile.mask.tolist() for tile in plan.width] == [[1, 1, 1, 0], [0, 1, 1, 0], [0, 1, 1]]


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 30), st.integers(1, 20), st.integers(1, 20)),
    spatial=st.tuples(st.integers(2, 8), st.integers(0, 7)),
    temporal=st.tuples(st.integers(2, 8), st.integers(0, 7)),
)
def test_weights_sum_to_one(size: tuple[int, int, int], spatial: tuple[int, int], temporal: tuple[int, int]) -> None:
    spatial = (32 * spatial[0], 32 * min(spatial[1], spatial[0] - 1))
    temporal = (8 * temporal[0], 8 * min(temporal[1], temporal[0] - 1))
    plan = tiling(spatial, temporal).decode_plan(size, SCALE)
    assert plan.target_size == (8 * (size[0] - 1) + 1, 32 * size[1], 32 * size[2])
    for axis, length in zip((plan.time, plan.height, plan.width), plan.target_size, strict=True):
        total = torch.zeros(length)
        for tile in axis:
            total[slice(*tile.target)] += tile.mask
        torch.testing.assert_close(total, torch.ones(length))


UNTILED = (-4015.0254458335694, -0.0008406937122344971)
DECODE_CASES = [
    ((96, 32), (16, 8), [0, 8, 8, 8, 17], -4261.297325470383, -0.12073372304439545),
    ((64, 32), (24, 16), [0, 8, 8, 25], -5554.4993176619355, -0.21040143072605133),
    (None, (24, 8), [8, 16, 17], -4256.672812513891, -0.18918904662132263),
    ((128, 64), (32, 16), [8, 33], -5603.099625673022, 0.008264112286269665),
]


@pytest.mark.parametrize(("spatial", "temporal", "lengths", "total", "value"), DECODE_CASES)
def test_tiled_decode_values(
    spatial: tuple[int, int] | None, temporal: tuple[int, int], lengths: list[int], total: float, value: float
) -> None:
    chunks = list(decoder("T22").tiled_decode(latent_input(1, 8, 6, 4, 5), tiling(spatial, temporal)))
    assert [chunk.shape[2] for chunk in chunks] == lengths
    video = torch.cat(chunks, dim=2)
    assert video.shape == (1, 3, 41, 128, 160)
    assert video.double().sum().item() == pytest.approx(total, rel=1e-4)
    assert video[0, 0, 20, 70, 80].item() == pytest.approx(value, rel=1e-4, abs=1e-5)


def test_untiled_values() -> None:
    model, latent = decoder("T22"), latent_input(1, 8, 6, 4, 5)
    (video,) = model.tiled_decode(latent, None)
    assert video.double().sum().item() == pytest.approx(UNTILED[0], rel=1e-4)
    assert video[0, 0, 20, 70, 80].item() == pytest.approx(UNTILED[1], abs=1e-5)


def test_one_tile_is_the_untiled_result() -> None:
    model, latent = decoder("T22"), latent_input(1, 8, 3, 2, 3)
    expected = model(latent)
    for config in (TilingConfig.default(), TilingConfig(), tiling((512, 64), None), tiling(None, (64, 24))):
        (video,) = model.tiled_decode(latent, config)
        assert torch.equal(video, expected)

    enc, video = encoder("T22"), video_input(1, 3, 17, 64, 96)
    assert torch.equal(enc.tiled_encode(video), enc(video))


@pytest.mark.parametrize("spatial", [(96, 32), (64, 0)])
def test_spatial_tiles_without_temporal_tiles(spatial: tuple[int, int]) -> None:
    (video,) = decoder("T22").tiled_decode(latent_input(1, 8, 2, 4, 5), tiling(spatial, None))
    assert video.shape == (1, 3, 9, 128, 160)


@settings(max_examples=6, deadline=None)
@given(frames=st.integers(1, 7), size=st.integers(2, 4), data=st.data())
def test_chunks_have_the_exact_length(frames: int, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    latent = latent_input(1, 8, frames, 2, 2)
    chunks = list(decoder("T22").tiled_decode(latent, tiling(None, (8 * size, 8 * overlap))))
    assert sum(chunk.shape[2] for chunk in chunks) == 8 * (frames - 1) + 1


def pointwise_decoder(off_centre: float) -> VideoDecoder:
    """A decoder whose convolutions keep their centre tap and ``off_centre`` of the others."""
    model = decoder("T19", spatial_padding_mode="replicate")
    for module in model.modules():
        if isinstance(module, CausalConv3d):
            centre = module.conv.weight[:, :, 1, 1, 1].clone()
            module.conv.weight.mul_(off_centre)
            module.conv.weight[:, :, 1, 1, 1] = centre
    return model


@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 99), spatial=st.sampled_from([(64, 32), (96, 0)]), temporal=st.sampled_from([(16, 8), (24, 0)])
)
@example(seed=87, spatial=(96, 0), temporal=(16, 8))
def test_tiling_changes_nothing_where_cells_are_independent(
    seed: int, spatial: tuple[int, int], temporal: tuple[int, int]
) -> None:
    # In float64: in float32 the network alone is 2e-4 off, since its norms divide by small numbers of some latents, and
    # convolutions of other sizes round otherwise. What remains is the rounding of the masks, which are float32.
    model = pointwise_decoder(off_centre=0).double()
    latent = torch.randn(1, 8, 5, 4, 4, generator=torch.Generator().manual_seed(seed)).double()
    tiled = torch.cat(list(model.tiled_decode(latent, tiling(spatial, temporal))), dim=2)
    torch.testing.assert_close(tiled, model(latent), rtol=2e-7, atol=2e-7)


def test_tiling_error_is_bounded_on_smooth_input() -> None:
    model = pointwise_decoder(off_centre=0.002)
    axis = torch.linspace(0, 1, 8)
    channels = torch.linspace(-1, 1, 8)
    latent = channels.view(1, 8, 1, 1, 1) + 0.1 * (axis.view(8, 1, 1) + axis[:6].view(6, 1) + axis[:6])
    whole = model(latent)
    tiled = torch.cat(list(model.tiled_decode(latent, tiling((128, 64), (32, 16)))), dim=2)
    assert 0 < (tiled - whole).norm() / whole.norm() < 0.02


def test_bfloat16_blends_in_float32() -> None:
    model, latent = decoder("T22"), latent_input(1, 8, 6, 4, 5)
    config = tiling((96, 32), (16, 8))
    exact = torch.cat(list(model.tiled_decode(latent.bfloat16().float(), config)), dim=2)
    half = torch.cat(list(model.tiled_decode(latent.bfloat16(), config)), dim=2)
    assert half.dtype == torch.bfloat16
    assert (half.float() - exact).abs().max() < 2**-7 * exact.abs().max()


def test_conditioned_tiles_draw_from_one_generator() -> None:
    model, latent = decoder("T19ts"), latent_input(1, 8, 3, 2, 4)
    config = tiling((64, 0), None)

    def decode(seed: int) -> torch.Tensor:
        return torch.cat(list(model.tiled_decode(latent, config, generator=torch.Generator().manual_seed(seed))), 2)

    generator = torch.Generator().manual_seed(3)
    left = model(latent[..., :2], generator=generator)
    right = model(latent[..., 2:], generator=generator)
    torch.testing.assert_close(decode(3), torch.cat([left, right], dim=-1))


def test_network_runs_once_per_tile_and_lazily() -> None:
    model, latent = decoder("T22"), latent_input(1, 8, 6, 4, 5)
    config = tiling((96, 32), (16, 8))
    calls = []
    model.register_forward_pre_hook(lambda *_: calls.append(1))
    chunks = model.tiled_decode(latent, config)
    assert not calls
    next(chunks)
    per_group = config.decode_plan(latent.shape[2:], SCALE).tile_count // 5
    assert len(calls) == per_group
    list(chunks)
    assert len(calls) == 5 * per_group


@pytest.mark.parametrize(
    ("spatial", "temporal", "total"),
    [
        ((128, 64), (24, 16), 62.38505707008142),
        ((128, 32), None, 65.76017357839737),
        (None, (24, 8), 58.4116326442454),
        ((160, 96), (32, 16), 64.55180424608261),
    ],
)
def test_tiled_encode_values(spatial: tuple[int, int] | None, temporal: tuple[int, int] | None, total: float) -> None:
    latent = encoder("T22").tiled_encode(video_input(1, 3, 42, 192, 224), tiling(spatial, temporal))
    assert latent.shape == (1, 8, 6, 6, 7)
    assert latent.double().sum().item() == pytest.approx(total, rel=1e-4)


def test_encode_warns_about_a_raised_overlap(caplog: pytest.LogCaptureFixture) -> None:
    tiling((128, 32), (24, 8)).encode_plan((41, 192, 224), SCALE)
    assert "from 32 to 64 px" in caplog.text
    assert "from 8 to 16 frames" in caplog.text


def test_encode_tiles_too_small_to_overlap() -> None:
    with pytest.raises(ValueError, match="Use at least 96 px"):
        tiling((64, 32), None).encode_plan((1, 192, 192), SCALE)


@pytest.mark.parametrize("size", [32, 500, 0])
def test_bad_spatial_size(size: int) -> None:
    with pytest.raises(ValueError, match=r"multiple of 32 and at least 64"):
        SpatialTiling(size=size)


@pytest.mark.parametrize("overlap", [-32, 16, 128])
def test_bad_spatial_overlap(overlap: int) -> None:
    with pytest.raises(ValueError, match=r"multiple of 32 below the tile size"):
        SpatialTiling(size=128, overlap=overlap)


def test_bad_temporal_values() -> None:
    with pytest.raises(ValueError, match=r"multiple of 8 and at least 16. Use 24"):
        TemporalTiling(size=25)
    with pytest.raises(ValueError, match=r"Use 16"):
        TemporalTiling(size=24, overlap=24)


def test_default_config() -> None:
    assert TilingConfig.default() == tiling((512, 64), (64, 24))


def test_tiles_must_fit_the_factors_of_the_vae() -> None:
    with pytest.raises(ValueError, match="multiples of 64 px"):
        tiling((96, 32), None).decode_plan((1, 4, 4), SpatioTemporalScaleFactors(8, 64, 64))


def test_frames_of_the_tiled_check() -> None:
    chunks = list(decode_video(latent_input(1, 8, 6, 4, 5), decoder("T22"), tiling((96, 32), (16, 8))))
    assert [tuple(chunk.shape) for chunk in chunks] == [(n, 128, 160, 3) for n in (0, 8, 8, 8, 17)]
    assert all(chunk.dtype == torch.uint8 for chunk in chunks)
    assert abs(sum(chunk.long().sum().item() for chunk in chunks) - 319_315_308) < 200
    assert chunks[1][0, 70, 80].tolist() == [71, 168, 102]


def test_a_long_clip_streams_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The blend buffer never exceeds one temporal tile, and a chunk is free once it is consumed."""
    held = []
    grow = blend._extended
    monkeypatch.setattr(blend, "_extended", lambda buffer, frames: held.append(frames) or grow(buffer, frames))
    config = tiling(None, (64, 24))
    plan = config.decode_plan((200, 1, 1), SCALE)

    def run(tile: Tile) -> torch.Tensor:
        start, end = tile.time.target
        return torch.arange(start, end, dtype=torch.float32).view(1, 1, -1, 1, 1).repeat(1, 1, 1, 32, 32)

    position, previous = 0, None
    for chunk in blend.stream_tiles(plan, run, batch=1, channels=1, like=torch.zeros(1)):
        frames = torch.arange(position, position + chunk.shape[2], dtype=torch.float32)
        torch.testing.assert_close(chunk[0, 0, :, 5, 5], frames)
        position += chunk.shape[2]
        assert previous is None or previous() is None
        previous = weakref.ref(chunk)
        del chunk
    assert position == 1593
    assert max(held) <= 64 + 8


def test_tiles_of_one_cell_are_refused_before_anything_is_decoded_where_padding_reflects() -> None:
    reflecting, zero = decoder("T19"), decoder("T22")
    latent, config = latent_input(1, 8, 2, 2, 5), tiling((64, 0), None)
    with pytest.raises(ValueError, match="tiles of at least 2 latent cells; these leave one of 1"):
        reflecting.tiled_decode(latent, config)
    with pytest.raises(ValueError, match="tiles of at least 2"):
        reflecting.tiled_decode(latent.transpose(-1, -2), config)
    assert reflecting.min_spatial_size == 2
    assert zero.min_spatial_size == 1
    assert sum(chunk.shape[2] for chunk in zero.tiled_decode(latent, config)) == 9
    assert sum(chunk.shape[2] for chunk in reflecting.tiled_decode(latent, tiling((96, 32), None))) == 9
