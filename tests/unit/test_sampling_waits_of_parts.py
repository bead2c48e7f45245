"""Windows, tiles, shots and guides wait for the device before their first step only: the others read nothing."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch

from ltx_core_impl.components.multimodal_guider import (
    MultiModalGuider,
    MultiModalGuiderFactory,
    MultiModalGuiderParams,
)
from ltx_core_impl.components.noisers import GaussianNoiser, seeded_generators
from ltx_core_impl.conditioning.attention_strength import ConditioningItemAttentionStrengthWrapper
from ltx_core_impl.conditioning.keyframe_slots import VideoGeneratedKeyframeSlots
from ltx_core_impl.conditioning.reference_audio import AudioConditionByReferenceLatent, positions_before_start
from ltx_core_impl.conditioning.region_mask import TemporalRegionMask
from ltx_core_impl.conditioning.video_items import (
    VideoConditionByKeyframeIndex,
    VideoConditionByLatentIndex,
    VideoConditionByReferenceLatent,
)
from ltx_core_impl.guidance.perturbations import Perturbation, PerturbationConfig, PerturbationType
from ltx_core_impl.model.transformer import LTXModel, Modality, X0Model
from ltx_core_impl.model.transformer.model import VIDEO
from ltx_core_impl.model.transformer.rope import precompute_rope
from ltx_core_impl.sampling.denoisers import GuidedDenoiser
from ltx_core_impl.sampling.fusion_plan import fusion_grids
from ltx_core_impl.sampling.latent_tiles import AxisTiling, latent_tiles
from ltx_core_impl.sampling.loops import euler_ancestral_denoising_loop, euler_denoising_loop
from ltx_core_impl.sampling.normalization import AdainSteps, CorrectingDenoiser, ScaleSteps
from ltx_core_impl.sampling.stage import StageModality, denoise_stage
from ltx_core_impl.sampling.tiled_denoiser import GridCycle, TiledDenoiser
from ltx_core_impl.sampling.timed_text import Shots, TimedText
from ltx_core_impl.sampling.token_parts import temporal_windows
from ltx_core_impl.sampling.windowed_loop import WindowedLoop
from ltx_core_impl.types import VideoPixelShape
from tests.device_reads import DeviceReads
from tests.sampling_helpers import RULES, tools
from tests.transformer_helpers import golden_modalities, load_transformer

TABLES = "ltx_core_impl.model.transformer.stream.precompute_rope"
DEVICE = torch.device("cpu")
PIXELS = VideoPixelShape(batch=1, frames=33, height=64, width=64, fps=16.0)  # 5 latent frames of 2 x 2 cells
SIGMAS = torch.tensor([1.0, 0.8, 0.5, 0.2, 0.0])
STEPS = len(SIGMAS) - 1
GUIDED = MultiModalGuiderParams(cfg_scale=3.0, stg_scale=1.0, stg_blocks=(1,), rescale_scale=0.7, modality_scale=3.0)
SCHEDULE = {1.0: GUIDED, 0.6: MultiModalGuiderParams(cfg_scale=2.0, apg_eta=0.5, apg_norm_threshold=2.0)}
SHARED_HEADS = PerturbationConfig(
    (
        Perturbation(PerturbationType.SKIP_VIDEO_SELF_ATTN, blocks=(0,)),
        Perturbation(PerturbationType.SKIP_A2V_CROSS_ATTN),
    )
)
TILES = (AxisTiling(), AxisTiling(2, 0), AxisTiling(2, 0))


@dataclass(frozen=True)
class Case:
    """A way to sample; ``prepared`` is how many first steps of a window may prepare."""

    version: str = "2.3"
    window: tuple[int, int] | None = None
    tiling: tuple[AxisTiling, ...] | None = None
    fusion: tuple[tuple[int, int, int], int] | None = None
    shots: Shots | None = None
    video: tuple = ()
    audio: tuple = ()
    guider: MultiModalGuider | None = None
    perturbation: PerturbationConfig | None = None
    limit: int | None = None
    drift: float = 0.0
    strength: float = 1.0
    corrected: bool = False
    batch: int = 1
    prepared: int = 1
    loop: object = euler_denoising_loop


def latent(frames: int, height: int = 2, width: int = 2) -> torch.Tensor:
    return torch.linspace(-1, 1, 128 * frames * height * width).view(1, 128, frames, height, width)


CLIP = VideoConditionByReferenceLatent(latent(5, 1, 1), downscale_factor=2)
IMAGE = VideoConditionByLatentIndex(latent(1), latent_idx=0, strength=0.8)
KEYFRAME = VideoConditionByKeyframeIndex(latent(1), frame_idx=24, strength=0.9)
SOUND = tools(PIXELS)[1]
VOICE = AudioConditionByReferenceLatent(
    torch.linspace(-1, 1, 5 * 128).view(1, 5, 128),
    positions_before_start(SOUND.target_shape._replace(frames=5), SOUND.patchifier),
)
CASES = {
    "windows": Case(window=(3, 1)),
    "windows with drift control, weakly kept overlap, ancestral": Case(
        window=(3, 1), drift=0.5, strength=0.5, loop=euler_ancestral_denoising_loop
    ),
    "windows, guided, image, keyframe and voice": Case(
        window=(3, 1), guider=True, video=(IMAGE, KEYFRAME), audio=(VOICE,)
    ),
    "windows of two samples, row by row": Case(window=(3, 1), guider=True, batch=2, limit=1, video=(IMAGE,)),
    "tiles": Case(tiling=TILES),
    "tiles, guided, with a reference": Case(tiling=TILES, guider=True, video=(IMAGE, CLIP)),
    "tiles in windows": Case(tiling=TILES, window=(3, 1), video=(KEYFRAME,)),
    "tiles of three sizes in time": Case(tiling=(AxisTiling(3, 1), AxisTiling(2, 0), AxisTiling())),
    "tiled fusion": Case(version="2.5", fusion=((3, 1, 1), 1), video=(IMAGE,)),
    "tiled fusion, grids that take turns": Case(version="2.5", fusion=((3, 1, 1), 2), prepared=2),
    "shots": Case(shots=Shots((0.7, 1.4))),
    "shots that fade, guided": Case(shots=Shots((1.0,), border=0.5), guider=True),
    "shots in windows": Case(shots=Shots((1.0,), border=0.5), window=(3, 1)),
    "shots in tiles, row by row": Case(shots=Shots((1.0,)), tiling=TILES, guider=True, limit=1),
    "references of given attention": Case(
        video=(ConditioningItemAttentionStrengthWrapper(CLIP, 0.5), KEYFRAME), guider=True
    ),
    "references of given attention in tiles": Case(
        video=(ConditioningItemAttentionStrengthWrapper(CLIP, 0.5),), tiling=TILES
    ),
    "a part of the clip anew": Case(video=(TemporalRegionMask(0.5, 1.5),), audio=(TemporalRegionMask(0.5, 1.5),)),
    "keyframe slots": Case(version="2.5", video=(VideoGeneratedKeyframeSlots((8, 17)),)),
    "perturbations": Case(guider=True, perturbation=SHARED_HEADS),
    "perturbations, in calls of three rows": Case(guider=True, perturbation=SHARED_HEADS, batch=2, limit=3),
    "guidance that changes with the noise": Case(guider=False),
    "corrections": Case(corrected=True, guider=True),
}


def denoiser_of(case: Case, model: LTXModel, both: tuple, contexts: tuple[torch.Tensor, torch.Tensor]) -> object:
    """The denoiser of a clip or window whose tools are ``both``."""

    def text(context: torch.Tensor) -> object:
        if case.shots is None:
            return context
        return TimedText(tuple(context * (number + 1) for number in range(len(case.shots.cuts) + 1)), case.shots)

    def inner() -> GuidedDenoiser:
        guiders: list = [None, None]
        if case.guider is not None:
            kind = MultiModalGuider if case.guider else MultiModalGuiderFactory
            params = GUIDED if case.guider else SCHEDULE
            guiders = [kind(params, negative_context=text(-context)) for context in contexts]
        return GuidedDenoiser(*map(text, contexts), *guiders, max_batch_size=case.limit, perturbation=case.perturbation)

    shape = both[0].target_shape
    size = (shape.frames, shape.height, shape.width)
    if case.fusion is not None:
        grids = fusion_grids(size, case.fusion[0], 0.5, case.fusion[1])
        tiled = [TiledDenoiser(grid, [inner() for _ in grid], both) for grid in grids]
        made = GridCycle(tiled)
    elif case.tiling is not None:
        tiles = latent_tiles(size, case.tiling)
        made = TiledDenoiser(tiles, [inner() for _ in tiles], both)
    else:
        made = inner()
    if not case.corrected:
        return made
    corrections = (ScaleSteps((0.9,) * STEPS), AdainSteps((0.5,) * STEPS, latent(5).to(DEVICE)))
    return CorrectingDenoiser(made, SIGMAS.tolist(), both, (corrections, ()))


def reads_of_steps(case: Case, sigmas: torch.Tensor = SIGMAS) -> tuple[list[int], DeviceReads]:
    """Reads of every step, those of the preparation before it included."""
    model = load_transformer(case.version)
    contexts = tuple(one.context[:1].clone() for one in golden_modalities(case.version))
    video_tools, audio_tools = tools(PIXELS._replace(batch=case.batch), rules=RULES[case.version])
    both = (video_tools, audio_tools)
    loop = case.loop
    windows = 1
    if case.window is not None:
        intervals = temporal_windows(video_tools.target_shape.frames, *case.window)
        windows = len(intervals)
        loop = WindowedLoop(
            intervals,
            both,
            loop_of=lambda index: case.loop,
            denoiser_of=lambda index, parts: denoiser_of(
                case, model, tuple(part and part.tools for part in parts), contexts
            ),
            overlap_strength=case.strength,
            drift_control=case.drift,
        )
    marks = [0]
    mode = DeviceReads([*contexts, *model.parameters(), *model.buffers()])
    with mode:
        denoise_stage(
            transformer=X0Model(model),
            denoiser=denoiser_of(case, model, both, contexts),
            sigmas=sigmas,
            noiser=GaussianNoiser(seeded_generators(3)),
            device=DEVICE,
            dtype=torch.float32,
            video=StageModality(video_tools, case.video),
            audio=StageModality(audio_tools, case.audio),
            loop=loop,
            callback=lambda *_: marks.append(mode.reads.total()),
        )
    assert len(marks) == windows * (len(sigmas) - 1) + 1
    return [after - before for before, after in pairwise(marks)], mode


@pytest.mark.parametrize("name", CASES)
def test_only_the_first_step_of_a_window_reads_from_the_device(name: str) -> None:
    case = CASES[name]
    with torch.inference_mode():
        reads, mode = reads_of_steps(case)
    for start in range(0, len(reads), STEPS):
        assert reads[start] > 0, "nothing was counted: the test sees no device"
        assert reads[start + case.prepared : start + STEPS] == [0] * (STEPS - case.prepared), (reads, mode.reads)


@pytest.mark.parametrize("name", ["tiles of three sizes in time", "tiles, guided, with a reference"])
def test_each_tiles_rotation_tables_are_made_once_per_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counting(positions: torch.Tensor, **options: object) -> object:
        made.append(positions.shape[2])
        return precompute_rope(positions, **options)

    monkeypatch.setattr(TABLES, counting)
    with torch.inference_mode():
        reads_of_steps(CASES[name], SIGMAS[-2:])
        of_one_step = len(made)
        reads_of_steps(CASES[name])
    assert of_one_step > 8, "no more tables than were always kept"
    assert len(made) == 2 * of_one_step


@torch.inference_mode()
def test_guided_passes_share_one_row_of_attention_strengths() -> None:
    """In inference mode too, as ComfyUI runs: the square of the tokens is the largest tensor beside the weights."""
    model, seen = load_transformer("2.3"), []
    video_tools, audio_tools = tools(PIXELS)

    def recording(video: Modality, audio: Modality, **options: object) -> tuple:
        result = X0Model(model)(video, audio, **options)
        seen.append((video.attention_mask, [one.result for one in model._bias_caches[VIDEO]._entries.values()]))
        return result

    contexts = tuple(one.context[:1].clone() for one in golden_modalities("2.3"))
    case = CASES["references of given attention"]
    denoise_stage(
        transformer=recording,
        denoiser=denoiser_of(case, model, (video_tools, audio_tools), contexts),
        sigmas=SIGMAS,
        noiser=GaussianNoiser(seeded_generators(3)),
        device=DEVICE,
        dtype=torch.float32,
        video=StageModality(video_tools, case.video),
        audio=StageModality(audio_tools),
    )
    assert len(seen) == STEPS and len({id(mask) for mask, _ in seen}) == 1
    mask, kept = seen[0]
    assert mask.shape[0] == 3 and mask.stride(0) == 0
    assert kept[0].shape == (1, 1, *mask.shape[1:])
    assert all(len(biases) == 1 and biases[0] is kept[0] for _, biases in seen)
