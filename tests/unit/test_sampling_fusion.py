"""Tiled fusion: sizes, plan and weights by their definitions, and runs against steps that are taken tile by tile."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltx_core_impl.components.noisers import GaussianNoiser, seeded_generators
from ltx_core_impl.conditioning.item import ConditioningError
from ltx_core_impl.conditioning.rules import LTX_2_5_RULES
from ltx_core_impl.conditioning.video_items import VideoConditionByLatentIndex, VideoConditionByReferenceLatent
from ltx_core_impl.conditioning.windowed_reference import VideoConditionByWindowedReference
from ltx_core_impl.sampling.denoisers import SimpleDenoiser
from ltx_core_impl.sampling.fusion_plan import axis_origins, fusion_grids, gaussian, size_ladder, window_frames
from ltx_core_impl.sampling.stage import StageModality, denoise_stage
from ltx_core_impl.sampling.tiled_denoiser import GridCycle, TiledDenoiser
from ltx_core_impl.types import VideoPixelShape
from tests.sampling_helpers import tools

SIGMAS = torch.tensor([1.0, 0.7, 0.3, 0.0])
CHANNELS = 128


# --- Sizes ------------------------------------------------------------------------------------------------------------


def test_sizes_of_common_sources() -> None:
    full = size_ladder(1920, 1080)
    # 720 lies between 704 and 736: ties go up. FullHD keeps the source, on the grid.
    assert full == {
        "qHD": (960, 544),
        "HD": (1280, 736),
        "FullHD": (1920, 1088),
        "4K": (3840, 2176),
        "8K": (7680, 4352),
    }
    assert size_ladder(1080, 1920)["4K"] == (2176, 3840)
    # 1200 x 700 is within 200 pixels of HD (1280 x 747) on both sides and stays; 1200 lies between 1184 and 1216.
    assert size_ladder(1200, 700)["HD"] == (1216, 704)
    # 2000 x 1500 is within 200 of FullHD (1920 x 1440); 4K is twice that size.
    assert size_ladder(2000, 1500)["FullHD"] == (2016, 1504) and size_ladder(2000, 1500)["4K"] == (4032, 3008)


@pytest.mark.parametrize(("over", "kept"), [(200, True), (201, False)])
def test_a_source_within_200_pixels_keeps_its_size(over: int, kept: bool) -> None:
    width = 1280 + over
    assert (size_ladder(width, width)["HD"] == (size_ladder(1280, 1280)["HD"])) is not kept


def test_windows_in_time() -> None:
    expected = {1: 1, 5: 1, 6: 9, 9: 9, 13: 9, 14: 17, 93: 89, 97: 97, 98: 105, 105: 105, 106: 113, 121: 121, 122: 97}
    assert {frames: window_frames(frames) for frames in expected} == expected


# --- Plan -------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 300), st.integers(2, 60), st.sampled_from([0.0, 0.25, 0.5, 0.8]), st.booleans())
def test_origins_are_the_fewest_that_overlap_enough(length: int, tile: int, fraction: float, shifted: bool) -> None:
    origins = axis_origins(length, tile, fraction, shifted)
    if length <= tile:
        assert origins == [0]
        return
    least = min(max(2, int(tile * fraction)), tile - 1)
    assert (origins[0], origins[-1]) == (0, length - tile)
    assert len(origins) == 2 or ((len(origins) - 1) * tile - length) / (len(origins) - 2) < least
    assert (len(origins) * tile - length) / (len(origins) - 1) >= least
    plain = axis_origins(length, tile, fraction)
    if not shifted:
        assert plain == [round(i * (length - tile) / (len(plain) - 1)) for i in range(len(plain))]
    moves = {after - before for before, after in zip(plain[1:-1], origins[1:-1], strict=True)}
    assert len(moves) <= 1 and all(0 <= move <= 4 for move in moves)
    # Rounding the origins may cost one cell of overlap.
    assert all(before + tile - after >= least - 1 for before, after in pairwise(origins))


def test_a_tile_weighs_as_the_formula_says() -> None:
    for cells in (1, 2, 7, 32):
        expected = [2.718281828459045 ** -((i - (cells - 1) / 2) ** 2 / (2 * 0.05 * cells**2)) for i in range(cells)]
        torch.testing.assert_close(gaussian(cells), torch.tensor(expected))


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 30), st.integers(1, 24), st.integers(1, 30)),
    st.tuples(st.integers(4, 13), st.integers(4, 9), st.integers(4, 9)),
    st.integers(1, 4),
)
def test_the_shares_of_all_tiles_fill_every_cell(
    size: tuple[int, int, int], tile: tuple[int, int, int], cycle: int
) -> None:
    grids = fusion_grids(size, tile, 0.5, cycle)
    assert len(grids) == cycle
    for grid in grids:
        total = torch.zeros(size)
        for one in grid:
            total[tuple(slice(axis.start, axis.end) for axis in (one.frames, one.height, one.width))] += (
                one.blend_mask()
            )
        torch.testing.assert_close(total, torch.ones(size))
        several = len({one.frames.start for one in grid}) > 1
        assert all((one.window is not None) == several for one in grid)
        assert all(not one.weights[0].any() for one in grid if one.window)


def test_grids_take_turns_in_space_alone() -> None:
    size, tile = (20, 26, 36), (10, 12, 12)
    grids = fusion_grids(size, tile, 0.25, 4)
    inner = [
        tuple(sorted({getattr(one, axis).start for one in grid}) for axis in ("height", "width")) for grid in grids
    ]
    plain, moved = (tuple(axis_origins(length, 12, 0.25, shifted) for length in (26, 36)) for shifted in (False, True))
    assert plain[0] != moved[0] and plain[1] != moved[1]
    assert inner == [plain, moved, (moved[0], plain[1]), (plain[0], moved[1])]
    assert {tuple(sorted({one.frames.start for one in grid})) for grid in grids} == {(0, 5, 10)}


# --- Runs -------------------------------------------------------------------------------------------------------------


def context() -> torch.Tensor:
    return torch.zeros(1, 2, 4)


class Local:
    """A model that is not linear and mixes all tokens of a call, so that every tile predicts something else."""

    def __init__(self) -> None:
        self.calls: list = []

    def __call__(self, video: object, audio: object, perturbations: object, forks: object) -> tuple:
        self.calls.append(video)
        near = video.positions[:, 1:].mean(dim=(1, 3))[..., None] / 500
        return torch.tanh(video.latent * 1.3 + near) + 0.4 * video.latent.mean(dim=1, keepdim=True), None


def run(pixels: VideoPixelShape, tile: tuple[int, int, int], items: tuple = (), cycle: int = 1, model: object = None):
    video_tools, _ = tools(pixels, rules=LTX_2_5_RULES)
    shape = video_tools.target_shape
    grids = fusion_grids((shape.frames, shape.height, shape.width), tile, 0.5, cycle)
    tiled = [
        TiledDenoiser(grid, [SimpleDenoiser(context(), context()) for _ in grid], (video_tools, None)) for grid in grids
    ]
    model = model or Local()
    states = denoise_stage(
        transformer=model,
        denoiser=GridCycle(tiled),
        sigmas=SIGMAS,
        noiser=GaussianNoiser(seeded_generators(3)),
        device="cpu",
        dtype=torch.float32,
        video=StageModality(video_tools, items),
    )
    return states[0].latent, grids, model


def noise_of(pixels: VideoPixelShape) -> torch.Tensor:
    """The start of `run` without items: the whole canvas of one noise."""
    start: list = []

    def keeping(sigmas: object, video_state: object, audio_state: object, **_: object) -> tuple:
        start.append(video_state.latent)
        return video_state, audio_state

    video_tools, _ = tools(pixels, rules=LTX_2_5_RULES)
    denoise_stage(
        transformer=None,
        denoiser=None,
        sigmas=SIGMAS,
        noiser=GaussianNoiser(seeded_generators(3)),
        device="cpu",
        dtype=torch.float32,
        video=StageModality(video_tools),
        loop=keeping,
    )
    return video_tools.patchifier.unpatchify(start[0], video_tools.target_shape)


@pytest.mark.parametrize("cycle", [1, 3])
def test_blending_predictions_is_blending_the_steps_of_the_tiles(cycle: int) -> None:
    """The section's own words: every tile takes one Euler step on its crop, the results are summed with weights and
    divided by the sum of weights. Euler is linear in the prediction, so both are the same."""
    pixels = VideoPixelShape(batch=1, frames=17, height=32 * 7, width=32 * 10, fps=24.0)
    fused, grids, _ = run(pixels, (3, 4, 6), cycle=cycle)
    canvas = noise_of(pixels)
    for index, (sigma, after) in enumerate(pairwise(SIGMAS.tolist())):
        total, weights = torch.zeros_like(canvas), torch.zeros(canvas.shape[2:])
        for tile in grids[index % cycle]:
            cells = tuple(slice(axis.start, axis.end) for axis in (tile.frames, tile.height, tile.width))
            crop = canvas[(..., *cells)]
            own = tools(pixels._replace(height=32 * crop.shape[3], width=32 * crop.shape[4]))[0]
            tokens = own.patchifier.patchify(crop)
            near = own.target_positions()[:, 1:].mean(dim=(1, 3))[..., None] / 500
            clean = torch.tanh(tokens * 1.3 + near) + 0.4 * tokens.mean(dim=1, keepdim=True)
            stepped = own.patchifier.unpatchify(tokens + (tokens - clean) / sigma * (after - sigma), own.target_shape)
            gauss = gaussian(crop.shape[3])[:, None] * gaussian(crop.shape[4])
            total[(..., *cells)] += stepped * gauss
            weights[cells] += gauss
        canvas = total / weights
    torch.testing.assert_close(fused, canvas, rtol=1e-4, atol=1e-5)


def test_kept_cells_and_guides_are_cropped_with_their_tile() -> None:
    pixels = VideoPixelShape(batch=1, frames=17, height=192, width=320, fps=24.0)
    grid = torch.arange(3 * 6 * 10.0).view(1, 1, 3, 6, 10).expand(1, CHANNELS, -1, -1, -1) / 100
    kept = VideoConditionByLatentIndex(grid[:, :, :1] + 5, strength=1.0, latent_idx=0)
    fused, grids, model = run(pixels, (3, 4, 6), (kept, VideoConditionByReferenceLatent(grid)))
    torch.testing.assert_close(fused[:, :, :1], grid[:, :, :1] + 5)
    for tile, call in zip(grids[0], model.calls, strict=False):
        cells = tuple(slice(axis.start, axis.end) for axis in (tile.frames, tile.height, tile.width))
        count = 3 * 4 * 6
        assert call.latent.shape[1] == 2 * count
        assert torch.equal(call.latent[0, count:, 0], grid[0, 0][cells].flatten())
        own = tools(pixels._replace(height=128, width=192))[0].target_positions()
        torch.testing.assert_close(call.positions, torch.cat([own, own], dim=2))


def windowed(pixels: VideoPixelShape, size: int) -> VideoConditionByWindowedReference:
    shape = tools(pixels)[0].target_shape
    starts = axis_origins(shape.frames, size)
    latents = tuple(
        torch.full((1, CHANNELS, size, shape.height, shape.width), 10.0 + number) for number in range(len(starts))
    )
    return VideoConditionByWindowedReference(latents, tuple(starts))


def test_a_window_is_a_clip_of_its_own_with_its_own_reference() -> None:
    pixels = VideoPixelShape(batch=1, frames=89, height=64, width=96, fps=24.0)
    item = windowed(pixels, 5)
    assert item.starts == (0, 2, 5, 7)
    _, grids, model = run(pixels, (5, 2, 3), (item,))
    own = tools(pixels._replace(frames=33))[0].target_positions()
    for number, (tile, call) in enumerate(zip(grids[0], model.calls, strict=False)):
        assert (tile.window, tile.frames.start) == (number, item.starts[number])
        assert call.latent.shape[1] == 2 * 30 and (call.latent[:, 30:] == 10 + number).all()
        torch.testing.assert_close(call.positions, torch.cat([own, own], dim=2), rtol=0, atol=1e-6)
        assert call.keyframes_mask is None or call.keyframes_mask[0, :6].all()


def test_the_first_latent_of_a_later_window_does_not_count() -> None:
    pixels = VideoPixelShape(batch=1, frames=33, height=32, width=32, fps=24.0)

    class First:
        """Predicts 100 for the first latent frame of every call."""

        def __call__(self, video: object, audio: object, perturbations: object, forks: object) -> tuple:
            prediction = torch.zeros_like(video.latent)
            prediction[:, 0] = 100
            return prediction, None

    fused, grids, _ = run(pixels, (3, 1, 1), model=First())
    assert [tile.frames.start for tile in grids[0]] == [0, 1, 2]
    assert fused[0, 0, :, 0, 0].tolist() == pytest.approx([100, 0, 0, 0, 0], abs=1e-6)


def test_a_call_grows_with_the_tile_and_not_with_the_picture() -> None:
    largest = {}
    for side in (8, 12):
        pixels = VideoPixelShape(batch=1, frames=8 * (side - 1) + 1, height=32 * side, width=32 * side, fps=24.0)
        _, grids, model = run(pixels, (4, 4, 4), (windowed(pixels, 4),))
        largest[side] = max(call.latent.numel() for call in model.calls)
        assert len(model.calls) == 3 * len(grids[0])
        # All tiles of a window have the same positions: one object, for which the model keeps one table.
        assert len({id(call.positions) for call in model.calls}) <= len(axis_origins(side, 4))
    assert largest[8] == largest[12] == 2 * 4**3 * CHANNELS


def test_a_reference_of_another_vae_is_refused() -> None:
    pixels = VideoPixelShape(batch=1, frames=9, height=32, width=32, fps=24.0)
    wrong = VideoConditionByWindowedReference((torch.zeros(1, 16, 2, 1, 1),), (0,))
    with pytest.raises(ConditioningError, match="16 channels"):
        run(pixels, (2, 1, 1), (wrong,))
