"""Windows in time and tiles in space: geometry, what they keep, and that they agree with the whole clip."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltx_core_impl.components.noisers import GaussianNoiser, seeded_generators
from ltx_core_impl.conditioning.reference_audio import AudioConditionByReferenceLatent, positions_before_start
from ltx_core_impl.conditioning.video_items import VideoConditionByKeyframeIndex, VideoConditionByLatentIndex
from ltx_core_impl.sampling.denoisers import SimpleDenoiser
from ltx_core_impl.sampling.latent_tiles import AxisTiling, latent_tiles
from ltx_core_impl.sampling.loops import euler_ancestral_denoising_loop, euler_denoising_loop
from ltx_core_impl.sampling.res2s import res2s_denoising_loop
from ltx_core_impl.sampling.stage import StageModality, denoise_stage
from ltx_core_impl.sampling.tiled_denoiser import TiledDenoiser
from ltx_core_impl.sampling.token_parts import temporal_windows
from ltx_core_impl.sampling.windowed_loop import WindowedLoop
from ltx_core_impl.types import VideoPixelShape
from tests.sampling_helpers import tools

PIXELS = VideoPixelShape(batch=1, frames=81, height=64, width=96, fps=25.0)
SIGMAS = torch.tensor([1.0, 0.6, 0.3, 0.0])


def context(value: float = 0.0) -> torch.Tensor:
    return torch.full((1, 2, 4), value)


def halving(video: object, audio: object, perturbations: object, forks: object) -> tuple:
    """A model that predicts half of its input, token by token."""
    return tuple(None if one is None else one.latent / 2 for one in (video, audio))


class Recording:
    """A model that remembers what it was given and predicts its prompt's number."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []

    def __call__(self, video: object, audio: object, perturbations: object, forks: object) -> tuple:
        self.calls.append((video, audio))
        return tuple(
            None if one is None else torch.zeros_like(one.latent) + one.context.mean() for one in (video, audio)
        )


def run(
    transformer: object = halving,
    pixels: VideoPixelShape = PIXELS,
    window: tuple[int, int] | None = None,
    tiling: tuple[AxisTiling, ...] | None = None,
    loop: object = euler_denoising_loop,
    with_audio: bool = True,
    prompts: tuple[float, ...] = (0.0,),
    video_items: tuple = (),
    audio_items: tuple = (),
    callback: object = None,
    **options: object,
) -> tuple:
    video_tools, audio_tools = tools(pixels)
    both = (video_tools, audio_tools if with_audio else None)

    def denoiser(index: int = 0, parts: object = None) -> object:
        prompt = context(prompts[min(index, len(prompts) - 1)])
        if tiling is None:
            return SimpleDenoiser(prompt, prompt)
        shape = (parts.video.tools if parts else video_tools).target_shape
        tiles = latent_tiles((shape.frames, shape.height, shape.width), tiling)
        inner = [SimpleDenoiser(prompt, prompt) for _ in tiles]
        return TiledDenoiser(tiles, inner, both if parts is None else tuple(p and p.tools for p in parts))

    if window is not None:
        windows = temporal_windows(video_tools.target_shape.frames, *window)
        loop = WindowedLoop(windows, both, loop_of=lambda index, inner=loop: inner, denoiser_of=denoiser, **options)
    return denoise_stage(
        transformer=transformer,
        denoiser=denoiser(),
        sigmas=SIGMAS,
        noiser=GaussianNoiser(seeded_generators(3)),
        device="cpu",
        dtype=torch.float32,
        video=StageModality(video_tools, video_items),
        audio=StageModality(audio_tools, audio_items) if with_audio else None,
        loop=loop,
        callback=callback,
    )


def test_windows_are_those_of_the_spec() -> None:
    cases = {
        (31, 10, 3): [(0, 10), (7, 17), (14, 24), (21, 31)],
        (16, 7, 3): [(0, 7), (4, 11), (8, 15), (12, 16)],
        (5, 7, 3): [(0, 5)],
    }
    for arguments, expected in cases.items():
        assert [(window.start, window.end) for window in temporal_windows(*arguments)] == expected
    for size, overlap in ((4, 0), (4, 4)):
        with pytest.raises(ValueError, match="overlap from 1 to 3"):
            temporal_windows(9, size, overlap)


@given(st.integers(1, 60), st.integers(2, 20), st.integers(1, 19))
def test_windows_cover_a_clip(frames: int, size: int, overlap: int) -> None:
    overlap = min(overlap, size - 1)
    windows = temporal_windows(frames, size, overlap)
    assert (windows[0].start, windows[-1].end) == (0, frames)
    for before, after in pairwise(windows):
        assert before.end - after.start == overlap and after.end > before.end


@pytest.mark.parametrize(
    "loop", [euler_denoising_loop, res2s_denoising_loop, partial(euler_ancestral_denoising_loop, noise_seed=4)]
)
def test_one_window_is_the_plain_run(loop: object) -> None:
    expected, actual = run(loop=loop), run(loop=loop, window=(11, 3))
    for one, other in zip(expected, actual, strict=True):
        assert torch.equal(one.latent, other.latent)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(2, 5), st.integers(1, 4), st.sampled_from([0.0, 0.4, 1.0]))
def test_a_model_that_sees_single_tokens_gives_the_same_in_windows(
    groups: int, size: int, overlap: int, strength: float
) -> None:
    pixels = PIXELS._replace(frames=8 * groups + 1)
    window = (size, min(overlap, size - 1))
    expected = run(pixels=pixels)
    actual = run(pixels=pixels, window=window, overlap_strength=strength)
    for one, other in zip(expected, actual, strict=True):
        assert one.latent.shape == other.latent.shape
        if strength in (0.0, 1.0):
            torch.testing.assert_close(one.latent, other.latent)


def test_each_window_is_a_clip_of_its_own_with_its_sound() -> None:
    model = Recording()
    run(model, window=(5, 2))
    calls = model.calls[::3]
    assert [video.latent.shape[1] // 6 for video, _ in calls] == [5, 5, 5]
    for video, audio in calls:
        assert video.positions[0, :, :, 0].amin(dim=1).tolist() == [0, 0, 0]
        assert audio.positions[0, 0, 0, 0] == pytest.approx(0, abs=0.04)
        assert audio.positions[0, 0, -1, 1] == pytest.approx(video.positions[0, 0, :, 1].max().item(), abs=0.05)


def test_what_windows_share_is_conditioning_of_the_later_one() -> None:
    model = Recording()
    video, audio = run(model, window=(5, 2), prompts=(1.0, 2.0))
    later_video, later_audio = model.calls[3]
    timesteps = later_video.timesteps.view(5, 6)
    assert (timesteps[:2] == 0).all() and (timesteps[2:] == 1).all()
    torch.testing.assert_close(later_video.latent.view(5, 6, -1)[:2], torch.ones(2, 6, 128))
    shared = (later_audio.timesteps.flatten() == 0).sum().item()
    # Two latent frames of 8 pixel frames at 25 per second.
    assert shared == 16
    torch.testing.assert_close(later_audio.latent[0, :shared], torch.ones(shared, 128))
    # Windows 0-4, 3-7, 6-10; prompts 1, 2 and again 2.
    torch.testing.assert_close(video.latent[0, 0, :, 0, 0], torch.tensor([1.0] * 5 + [2.0] * 6))
    assert {round(value, 4) for value in audio.latent.flatten().tolist()} == {1.0, 2.0}


def test_a_weaker_overlap_is_cross_faded() -> None:
    video, _ = run(Recording(), window=(5, 2), prompts=(1.0, 4.0), overlap_strength=0.0)
    torch.testing.assert_close(video.latent[0, 0, 2:6, 0, 0], torch.tensor([1.0, 2.0, 3.0, 4.0]))


def test_conditioning_reaches_the_windows_it_overlaps() -> None:
    video_tools, audio_tools = tools(PIXELS)
    shape = video_tools.target_shape._replace(frames=1).to_torch_shape()
    kept = VideoConditionByLatentIndex(torch.full(shape, 7.0), strength=1.0, latent_idx=9)
    key = VideoConditionByKeyframeIndex(torch.full(shape, 8.0), frame_idx=50, strength=1.0)
    speech = audio_tools.target_shape._replace(frames=4)
    voice = AudioConditionByReferenceLatent(
        torch.full((1, 4, 128), 9.0), positions=positions_before_start(speech, audio_tools.patchifier)
    )
    model = Recording()
    video, _ = run(model, window=(5, 2), video_items=(kept, key), audio_items=(voice,))
    # Pixel frame 50 is in latent frame 7: only in windows 3-7 and 6-10.
    assert [video.latent.shape[1] for video, _ in model.calls[::3]] == [30, 36, 36]
    second = model.calls[3][0]
    start = second.positions[0, 0, 30, 0].item()
    assert start == pytest.approx((50 - 17) / 25)
    for _, audio in model.calls:
        assert (audio.latent[0, -4:] == 9).all() and audio.positions[0, 0, -1, 1] == pytest.approx(-0.04)
    assert (video.latent[:, :, 9] == 7).all()


def test_drift_is_pulled_back_to_the_first_window() -> None:
    def drifting(video: object, audio: object, perturbations: object, forks: object) -> tuple:
        return video.latent * 0.5 + 0.3, None

    plain, steady = (run(drifting, window=(5, 1), with_audio=False, drift_control=c)[0].latent for c in (0.0, 1.0))
    first = plain[:, :, :5]
    assert torch.equal(plain[:, :, :4], steady[:, :, :4])
    # The second window, frames 4 to 8, drifts; its first frame is shared and blended.
    channels = [latent[0, :, 5:9].mean(dim=(1, 2, 3)) - first[0].mean(dim=(1, 2, 3)) for latent in (plain, steady)]
    assert channels[1].norm() < 0.7 * channels[0].norm()


def test_progress_counts_the_steps_of_all_windows_and_shows_the_whole_clip() -> None:
    seen = []
    run(window=(5, 2), callback=lambda index, steps, video, audio: seen.append((index, steps, video.latent.shape[2])))
    assert seen == [(index, 9, 11) for index in range(9)]


def test_sound_that_ends_early_is_refused() -> None:
    video_tools, _ = tools(PIXELS)
    short = tools(PIXELS._replace(frames=9))[1]
    loop = WindowedLoop(
        temporal_windows(11, 5, 2), (video_tools, short), lambda index: euler_denoising_loop, lambda index, parts: None
    )
    with pytest.raises(ValueError, match=r"sound ends at 0\.\d+ s, before the window"):
        denoise_stage(
            transformer=halving,
            denoiser=None,
            sigmas=SIGMAS,
            noiser=GaussianNoiser(seeded_generators(3)),
            device="cpu",
            dtype=torch.float32,
            video=StageModality(video_tools),
            audio=StageModality(short),
            loop=loop,
        )


TILES = (AxisTiling(), AxisTiling(2, 2), AxisTiling(3, 1))
LARGE = PIXELS._replace(frames=17, height=192, width=224)


def test_tiles_of_a_model_that_sees_single_tokens_give_the_whole_picture() -> None:
    item = VideoConditionByKeyframeIndex(
        torch.randn(1, 128, 1, 6, 7, generator=torch.Generator().manual_seed(1)), frame_idx=9, strength=0.7
    )
    expected, actual = (run(pixels=LARGE, video_items=(item,), tiling=tiling) for tiling in (None, TILES))
    for one, other in zip(expected, actual, strict=True):
        torch.testing.assert_close(one.latent, other.latent)


def test_a_tile_starts_at_the_corner_and_sees_the_whole_sound() -> None:
    model = Recording()
    run(model, pixels=LARGE, tiling=TILES)
    calls = model.calls[:6]
    assert {tuple(video.positions[0, :, :, 0].amin(dim=1).tolist()) for video, _ in calls} == {(0, 0, 0)}
    assert {audio.latent.shape[1] for _, audio in calls} == {17}
    assert all(
        video.positions is later.positions for (video, _), (later, _) in zip(calls, model.calls[6:], strict=False)
    )


def test_tiles_and_windows_together() -> None:
    expected, actual = (
        run(pixels=LARGE._replace(frames=41), window=window, tiling=tiling)
        for window, tiling in ((None, None), ((3, 1), TILES))
    )
    for one, other in zip(expected, actual, strict=True):
        torch.testing.assert_close(one.latent, other.latent)


def test_tiles_without_a_picture_are_refused() -> None:
    with pytest.raises(ValueError, match="no video"):
        TiledDenoiser([], [], (None, None))(halving, None, None, SIGMAS, 0)
