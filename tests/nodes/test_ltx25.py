"""LTX-2.5 through the same nodes: split files, both decoders, keyframe slots, duration, DFR, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
import torch

from ltx_core_impl.components.multimodal_guider import MultiModalGuider, MultiModalGuiderParams
from ltx_core_impl.components.noisers import GaussianNoiser, seeded_generators
from ltx_core_impl.components.schedulers import LTX2Scheduler
from ltx_core_impl.conditioning.keyframe_slots import VideoGeneratedKeyframeSlots
from ltx_core_impl.conditioning.rules import LTX_2_5_RULES
from ltx_core_impl.conditioning.video_items import (
    VideoConditionByKeyframeIndex,
    VideoConditionByLatentIndex,
    VideoConditionByReferenceLatent,
)
from ltx_core_impl.loader import SingleGPUModelBuilder
from ltx_core_impl.media import conditioning_image
from ltx_core_impl.model.transformer import LTXModelConfigurator, X0Model
from ltx_core_impl.model.video_vae import (
    AxisTiling,
    PerAxisTiling,
    VideoDecoderConfigurator,
    VideoEncoderConfigurator,
    decode_video,
)
from ltx_core_impl.presets import DFR_TEMPORAL_SIGMAS, DISTILLED_SIGMAS, STAGE_2_DISTILLED_SIGMAS
from ltx_core_impl.sampling.denoisers import GuidedDenoiser, SimpleDenoiser
from ltx_core_impl.sampling.loops import euler_ancestral_denoising_loop
from ltx_core_impl.sampling.stage import StageModality, denoise_stage
from ltx_core_impl.types import VideoPixelShape
from tests.conftest import GOLDEN_25, assert_close, golden
from tests.sampling_helpers import tools
from tests.text_helpers import PROMPTS, TRANSFORMER_25

Run = Callable[..., tuple[Any, ...]]
TRANSFORMER = "ltx-2.5-tiny-transformer-bf16.safetensors"
GEMMA = "gemma4-tiny-with-proj-ltx-2.5-bf16.safetensors"
VIDEO_VAES = {
    "diffusion": "ltx-2.5-tiny-video-vae-bf16.safetensors",
    "conv": "ltx-2.5-tiny-video-vae-conv-bf16.safetensors",
}
AUDIO_VAE = "ltx-2.5-tiny-audio-vae-bf16.safetensors"
DURATION_HEAD = "ltx-2.5-tiny-duration-head-bf16.safetensors"
DISTILLED_LORA = "ltx-2.5-tiny-distilled-lora-bf16.safetensors"
IC_LORA = "ltx-2.5-tiny-ic-lora-pixel-spatial-upscaler-x2-1.0.safetensors"
SPATIAL = "ltx-2.5-tiny-latent-spatial-upscaler-x2-bf16-1.0.safetensors"
TEMPORAL = "ltx-2.5-tiny-latent-temporal-upscaler-x2-bf16-1.0.safetensors"
PIXELS = VideoPixelShape(batch=1, frames=17, height=64, width=64, fps=25.0)
SEED = 7

RELEASED = {
    "LTX2TextEncoderLoader": "text_encoder text_projection more_text_projection lora lora_strength",
    "LTX2VideoVAEDecode": "video_latent video_vae tile_size tile_overlap temporal_size temporal_overlap noise_seed "
    "auto_tiles steps",
    "LTX2DurationPredictor": "duration_head context frame_rate min_seconds max_seconds",
    "LTX2KeyframeSlots": "video_latent count frames keyframes video_vae guides",
    "LTX2ReferenceLatentGuide": "reference model video_latent strength guides",
    "LTX2DFRCanvas": "length temporal_rounds",
    "LTX2DFRTile": "video_latent keyframes noise temporal_round tile anchor_strength guides video_vae",
    "LTX2DFRJoin": "keyframes tile_1 keyframes_1 tile_2 keyframes_2 tile_3 keyframes_3 tile_4 keyframes_4",
}


@pytest.mark.parametrize("node_id", RELEASED)
def test_released_inputs_keep_their_names_and_places(nodes: dict[str, Any], node_id: str) -> None:
    ids = [slot.id for slot in nodes[node_id].GET_SCHEMA().inputs]
    assert ids[: len(RELEASED[node_id].split())] == RELEASED[node_id].split()


# --- Parts ------------------------------------------------------------------------------------------------------------


def model(run: Run, checkpoint: str = TRANSFORMER, lora: str = "none") -> Any:
    return run("LTX2CheckpointLoader", checkpoint=checkpoint, precision="auto", calibration="none", lora=lora)[0]


def projection(run: Run, checkpoint: str = TRANSFORMER) -> Any:
    return run("LTX2CheckpointLoader", checkpoint=checkpoint, precision="auto", calibration="none", lora="none")[4]


def video_vae(run: Run, kind: str = "conv") -> Any:
    return run("LTX2ComponentLoader", file=VIDEO_VAES[kind])[0]


def context(run: Run, case: str = "text-pos") -> Any:
    [encoder] = run("LTX2TextEncoderLoader", text_encoder=GEMMA, text_projection=projection(run))
    return run("LTX2TextEncode", text_encoder=encoder, prompt=PROMPTS[case])[0]


def upscaled(run: Run, latent: dict, name: str) -> dict:
    [upscaler] = run("LTX2UpscalerLoader", upscaler=name)
    return run("LTX2LatentUpscale", video_latent=latent, upscaler=upscaler, video_vae=video_vae(run))[0]


def empty(run: Run, pixels: VideoPixelShape = PIXELS) -> tuple[dict, dict]:
    inputs = {"width": pixels.width, "height": pixels.height, "length": pixels.frames, "frame_rate": pixels.fps}
    return run("LTX2EmptyLatents", **inputs)[:2]


def sigmas(run: Run, schedule: str) -> torch.Tensor:
    return run("LTX2DistilledSigmas", schedule=schedule)[0]


def sample(run: Run, **inputs: Any) -> tuple[Any, ...]:
    """A distilled stage: one pass with the prompt."""
    values = {
        "model": model(run),
        "guider": run("LTX2Guider", positive=context(run))[0],
        "sigmas": sigmas(run, "stage 1 (8 steps)"),
        "noise": run("LTX2LatentNoise", seed=SEED)[0],
        "solver": "euler_ancestral",
    }
    return run("LTX2Sampler", **values | inputs)


@cache
def library_transformer(*loras: str) -> X0Model:
    builder = SingleGPUModelBuilder(LTXModelConfigurator, TRANSFORMER_25)
    for lora in loras:
        builder = builder.lora(GOLDEN_25 / "loras" / lora, strength=1.0)
    return X0Model(builder.build("cpu", torch.float32))


library_stage = partial(denoise_stage, device="cpu", dtype=torch.float32)


# --- Numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", PROMPTS)
def test_contexts_are_the_references(run: Run, case: str) -> None:
    """The transformer file's connectors and the encoder file's projection find each other."""
    encoded, expected = context(run, case), golden("2.5", case)
    assert_close(encoded.video, expected["video_context"])
    assert_close(encoded.audio, expected["audio_context"])
    assert encoded.version == "2.5"


def test_a_guided_run_is_the_librarys(run: Run) -> None:
    text = {case: golden("2.5", case) for case in PROMPTS}
    values = {"cfg": 3.0, "stg_scale": 1.0, "stg_blocks": "2", "rescale": 0.7, "modality_scale": 3.0}
    [guidance] = run("LTX2GuidanceParameters", preset="custom", **values)
    positive, negative = context(run, "text-pos"), context(run, "text-neg")
    [guider] = run("LTX2Guider", positive=positive, negative=negative, video_guidance=guidance, audio_guidance=guidance)
    video_latent, audio_latent = empty(run)
    [schedule] = run("LTX2Scheduler", steps=3)
    video, audio, keyframes = sample(
        run, guider=guider, sigmas=schedule, solver="euler", video_latent=video_latent, audio_latent=audio_latent
    )
    assert keyframes is None

    params = MultiModalGuiderParams(
        cfg_scale=3.0, stg_scale=1.0, stg_blocks=(2,), rescale_scale=0.7, modality_scale=3.0
    )
    video_tools, audio_tools = tools(PIXELS, LTX_2_5_RULES)
    expected_video, expected_audio = library_stage(
        transformer=library_transformer(),
        denoiser=GuidedDenoiser(
            video_context=text["text-pos"]["video_context"],
            audio_context=text["text-pos"]["audio_context"],
            video_guider=MultiModalGuider(params, negative_context=text["text-neg"]["video_context"]),
            audio_guider=MultiModalGuider(params, negative_context=text["text-neg"]["audio_context"]),
        ),
        sigmas=LTX2Scheduler().execute(3),
        noiser=GaussianNoiser(seeded_generators([SEED])),
        video=StageModality(video_tools),
        audio=StageModality(audio_tools),
    )
    assert_close(video["samples"], expected_video.latent, tolerance=1e-4)
    assert_close(audio["samples"], expected_audio.latent, tolerance=1e-4)


def test_two_distilled_stages_with_keyframe_slots_are_the_librarys(run: Run) -> None:
    """Stage 1 is ancestral with noise seeded 10000 further, as the reference's distilled pipeline."""
    text = golden("2.5", "text-pos")
    video_latent, audio_latent = empty(run)
    [guides] = run("LTX2KeyframeSlots", video_latent=video_latent, count=1, frames="")
    video, audio, keyframes = sample(run, video_latent=video_latent, audio_latent=audio_latent, guides=guides)
    larger = upscaled(run, video, SPATIAL)
    video_2, audio_2, none = sample(
        run, solver="euler", sigmas=sigmas(run, "stage 2 (3 steps)"), video_latent=larger, audio_latent=audio
    )
    assert none is None

    stage = partial(library_stage, transformer=library_transformer())
    video_tools, audio_tools = tools(PIXELS, LTX_2_5_RULES)
    expected, expected_audio = stage(
        denoiser=SimpleDenoiser(text["video_context"], text["audio_context"]),
        sigmas=DISTILLED_SIGMAS,
        noiser=GaussianNoiser(seeded_generators([SEED])),
        video=StageModality(video_tools, conditionings=[VideoGeneratedKeyframeSlots([8])]),
        audio=StageModality(audio_tools),
        loop=partial(euler_ancestral_denoising_loop, noise_seed=[SEED + 10000]),
    )
    assert_close(video["samples"], expected.latent, tolerance=1e-4)
    assert_close(audio["samples"], expected_audio.latent, tolerance=1e-4)
    assert_close(keyframes["samples"], expected.generated_keyframes, tolerance=1e-4)
    assert keyframes["keyframe_frames"] == (8,)

    video_tools, audio_tools = tools(PIXELS._replace(height=128, width=128), LTX_2_5_RULES)
    scale = STAGE_2_DISTILLED_SIGMAS[0]
    expected, expected_audio = stage(
        denoiser=SimpleDenoiser(text["video_context"], text["audio_context"]),
        sigmas=STAGE_2_DISTILLED_SIGMAS,
        noiser=GaussianNoiser(seeded_generators([SEED])),
        video=StageModality(video_tools, noise_scale=scale, initial_latent=larger["samples"]),
        audio=StageModality(audio_tools, noise_scale=scale, initial_latent=audio["samples"]),
    )
    assert_close(video_2["samples"], expected.latent, tolerance=1e-4)
    assert_close(audio_2["samples"], expected_audio.latent, tolerance=1e-4)


def test_pictures_at_the_first_and_the_last_frame_are_the_librarys(run: Run) -> None:
    """Compressed as the version was trained with; the last one stands beside the clip."""
    pictures = (torch.rand(2, 96, 128, 3, generator=torch.Generator().manual_seed(1)) * 255).round() / 255
    video_latent, audio_latent = empty(run)
    put = partial(run, "LTX2ImageGuide", video_vae=video_vae(run), video_latent=video_latent)
    [guides] = put(image=pictures[:1])
    [guides] = put(image=pictures[1:], frame_index=-1, strength=0.7, guides=guides)
    video, audio, _ = sample(run, video_latent=video_latent, audio_latent=audio_latent, guides=guides)

    encoder = SingleGPUModelBuilder(VideoEncoderConfigurator, GOLDEN_25 / "vae" / VIDEO_VAES["conv"])
    encode = encoder.build("cpu", torch.float32)
    first, last = (encode(conditioning_image(one, 64, 64, crf=18)) for one in (pictures * 255).round().byte())
    text = golden("2.5", "text-pos")
    video_tools, audio_tools = tools(PIXELS, LTX_2_5_RULES)
    items = [
        VideoConditionByLatentIndex(first, strength=1.0, latent_idx=0),
        VideoConditionByKeyframeIndex(last, frame_idx=16, strength=0.7),
    ]
    expected, expected_audio = library_stage(
        transformer=library_transformer(),
        denoiser=SimpleDenoiser(text["video_context"], text["audio_context"]),
        sigmas=DISTILLED_SIGMAS,
        noiser=GaussianNoiser(seeded_generators([SEED])),
        video=StageModality(video_tools, conditionings=items),
        audio=StageModality(audio_tools),
        loop=partial(euler_ancestral_denoising_loop, noise_seed=[SEED + 10000]),
    )
    assert_close(video["samples"], expected.latent, tolerance=1e-4)
    assert_close(audio["samples"], expected_audio.latent, tolerance=1e-4)
    assert_close(video["samples"][:, :, :1], first)


def library_frames(kind: str, latent: torch.Tensor, tiling: PerAxisTiling | None, seed: int) -> torch.Tensor:
    builder = SingleGPUModelBuilder(VideoDecoderConfigurator, GOLDEN_25 / "vae" / VIDEO_VAES[kind])
    generator = torch.Generator().manual_seed(seed)
    chunks = decode_video(latent, builder.build("cpu", torch.float32), tiling, generator, dtype=torch.float32)
    return torch.cat(list(chunks))


@pytest.mark.parametrize("kind", VIDEO_VAES)
def test_each_decoder_is_chosen_by_its_file(run: Run, kind: str) -> None:
    latent = {"samples": golden("2.5", "text-to-video")["video_latents"], "type": "video", "frame_rate": 25.0}
    [images] = run("LTX2VideoVAEDecode", video_latent=latent, video_vae=video_vae(run, kind), noise_seed=3)
    assert_close(images, library_frames(kind, latent["samples"], None, seed=3))


@pytest.mark.parametrize("kind", VIDEO_VAES)
def test_tiles_are_cut_per_axis(run: Run, kind: str) -> None:
    """As the reference of LTX-2.5 does; that of the earlier versions shapes tiles like the picture."""
    latent = {"samples": golden("2.5", "video-vae-conv-tiled")["latents"], "type": "video"}
    widgets = {"tile_size": 64, "tile_overlap": 32, "temporal_size": 16, "temporal_overlap": 8}
    [images] = run(
        "LTX2VideoVAEDecode", video_latent=latent, video_vae=video_vae(run, kind), auto_tiles=False, **widgets
    )
    side = AxisTiling(size=64, overlap=32)
    tiling = PerAxisTiling(frames=AxisTiling(size=16, overlap=8), height=side, width=side)
    assert_close(images, library_frames(kind, latent["samples"], tiling, seed=0))


def test_denoising_steps_of_the_decoder(run: Run) -> None:
    latent = {"samples": golden("2.5", "text-to-video")["video_latents"], "type": "video"}
    decode = partial(run, "LTX2VideoVAEDecode", video_latent=latent, video_vae=video_vae(run, "diffusion"))
    one, two, one_again = decode(steps=1)[0], decode(steps=2)[0], decode()[0]
    assert torch.equal(one, one_again), "0 is what the file says, and the shared decoder is not changed"
    assert not torch.allclose(one, two)


def test_the_duration_of_a_prompt(run: Run) -> None:
    inputs = {"duration_head": DURATION_HEAD, "context": context(run), "frame_rate": 24.0}
    length, seconds = run("LTX2DurationPredictor", **inputs)
    assert seconds == pytest.approx(golden("2.5", "duration-head")["seconds_pos"].item(), rel=1e-5)
    assert length % 8 == 1 and abs(length - seconds * 24) < 8
    assert run("LTX2DurationPredictor", **inputs, min_seconds=5.0)[0] == 121
    assert run("LTX2DurationPredictor", **inputs, max_seconds=1.0)[0] == 17


def test_the_temporal_upscaler_doubles_the_frame_rate(run: Run) -> None:
    video_latent, _ = empty(run)
    [upscaler] = run("LTX2UpscalerLoader", upscaler=TEMPORAL)
    masked = {**video_latent, "noise_mask": torch.ones(1, 1, 3, 2, 2)}
    larger, rate = run("LTX2LatentUpscale", video_latent=masked, upscaler=upscaler, video_vae=video_vae(run))
    assert larger["samples"].shape == (1, 128, 5, 2, 2)
    assert (rate, larger["frame_rate"]) == (50.0, 50.0)
    assert "noise_mask" not in larger and "noise_mask" in masked


# --- Keyframe slots and DFR -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "frames"),
    [({"count": 3}, (4, 8, 12)), ({"frames": "2, 9 ,16"}, (2, 9, 16)), ({"count": 2, "frames": "3"}, (3,))],
)
def test_slots_are_spread_or_named(run: Run, inputs: dict[str, Any], frames: tuple[int, ...]) -> None:
    [guides] = run("LTX2KeyframeSlots", video_latent=empty(run)[0], **inputs)
    assert tuple(guides.video[0].pixel_indices) == frames


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"frames": "3, 3"}, "each must be above the one before"),
        ({"frames": "8, 17"}, "frame 17; the clip has 17 frames"),
        ({"frames": "two"}, "separated by commas"),
        ({"count": 16}, "16 keyframes do not fit"),
        ({"count": 0}, "count is 0"),
    ],
)
def test_slots_that_do_not_fit_are_refused(run: Run, inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run("LTX2KeyframeSlots", video_latent=empty(run)[0], **inputs)


def test_slots_are_refused_twice_and_for_earlier_models(run: Run) -> None:
    video_latent, _ = empty(run)
    [guides] = run("LTX2KeyframeSlots", video_latent=video_latent)
    with pytest.raises(ValueError, match="holds keyframe slots already"):
        run("LTX2KeyframeSlots", video_latent=video_latent, guides=guides)
    older = model(run, "ltx-2.3-tiny.safetensors")
    prompt = sys.modules["ltx2_pack.nodes.wires.handles"].Context(
        torch.zeros(1, 4, 64), torch.zeros(1, 4, 32), version="2.3"
    )
    [guider] = run("LTX2Guider", positive=prompt)
    with pytest.raises(ValueError, match=r"keyframe slots, which ltx-2\.3-tiny\.safetensors does not know"):
        sample(run, model=older, guider=guider, video_latent=video_latent, guides=guides)


def as_frames(keyframes: dict) -> torch.Tensor:
    """Keyframes ``(1, C, K, H, W)`` of clips of one frame each."""
    return keyframes["samples"][:, :, 0].movedim(0, 1)[None]


def dfr_stage(
    sigmas: tuple[float, ...], latent: dict, items: list, loras: tuple[str, ...], seed: int, **options: Any
) -> Any:
    """A stage that refines a clip of 128 x 128, as library calls."""
    frames, fps = 8 * (latent["samples"].shape[2] - 1) + 1, latent["frame_rate"]
    video_tools, audio_tools = tools(VideoPixelShape(1, frames, 128, 128, fps), LTX_2_5_RULES)
    audio, scale = options.pop("audio", None), sigmas[0]
    sound = audio and StageModality(audio_tools, noise_scale=scale, initial_latent=audio["samples"])
    text = golden("2.5", "text-pos")
    return library_stage(
        transformer=library_transformer(*loras),
        denoiser=SimpleDenoiser(text["video_context"], text["audio_context"]),
        sigmas=sigmas,
        noiser=GaussianNoiser(seeded_generators([seed])),
        video=StageModality(video_tools, items, initial_latent=latent["samples"], noise_scale=scale),
        audio=sound,
        **options,
    )[0]


def dfr_tile_items(clip: torch.Tensor, keyframes: dict, number: int) -> list:
    """What guides the two tiles of 97 frames: the keyframes so far, and slots amid the segments of 48."""
    anchors = [
        VideoConditionByKeyframeIndex(one[None], 48 * (k + 1), 0.95) for k, one in enumerate(keyframes["samples"])
    ]
    nearest = [3, 9][: number + 1]
    return [*anchors[: number + 1], VideoGeneratedKeyframeSlots([24, 72][: number + 1], clip[:, :, nearest])]


def test_dfr_from_the_canvas_to_the_joined_clip(run: Run) -> None:
    """Two stages and one temporal round; the tiles join to a clip of the doubled rate with all keyframes."""
    length, frames, output_length = run("LTX2DFRCanvas", length=41, temporal_rounds=1)
    assert (length, frames, output_length) == (49, "24, 48", 81)
    video_latent, audio_latent = empty(run, PIXELS._replace(frames=length, fps=40.0))
    distilled = model(run, lora=DISTILLED_LORA)
    [guides] = run("LTX2KeyframeSlots", video_latent=video_latent, frames=frames)
    video, audio, keyframes = sample(
        run, model=distilled, solver="euler", video_latent=video_latent, audio_latent=audio_latent, guides=guides
    )

    larger, larger_keyframes = upscaled(run, video, SPATIAL), upscaled(run, keyframes, SPATIAL)
    [detailing] = run("LTX2LoraLoader", model=distilled, lora=IC_LORA, strength=1.0)
    [guides] = run("LTX2ReferenceLatentGuide", reference=video, model=detailing, video_latent=larger)
    [guides] = run("LTX2KeyframeSlots", video_latent=larger, keyframes=larger_keyframes, guides=guides)
    inputs = {"sigmas": sigmas(run, "stage 2 (3 steps)"), "solver": "euler", "guides": guides}
    detailed, _, keyframes = sample(run, model=detailing, video_latent=larger, audio_latent=audio, **inputs)
    assert keyframes["keyframe_frames"] == (24, 48)
    slots = VideoGeneratedKeyframeSlots([24, 48], as_frames(larger_keyframes))
    items = [VideoConditionByReferenceLatent(video["samples"], downscale_factor=2), slots]
    expected = dfr_stage(STAGE_2_DISTILLED_SIGMAS, larger, items, (DISTILLED_LORA, IC_LORA), SEED, audio=audio)
    assert_close(detailed["samples"], expected.latent, tolerance=1e-4)
    assert_close(as_frames(keyframes), expected.generated_keyframes, tolerance=1e-4)
    video = detailed

    doubled = upscaled(run, video, TEMPORAL)
    [noise] = run("LTX2LatentNoise", seed=SEED)
    wires: dict[str, Any] = {}
    seeds = set()
    for number in range(2):
        tile, guides, tile_noise = run(
            "LTX2DFRTile", video_latent=doubled, keyframes=keyframes, noise=noise, temporal_round=1, tile=number
        )
        assert tile["frame_rate"] == 60.0, "80 frames per second are more than the model was shown"
        assert tile_noise.loop_seed == SEED + 1000 + number
        seeds |= {tile_noise.seed, tile_noise.loop_seed}
        inputs = {"sigmas": sigmas(run, "temporal upscale (4 steps)"), "noise": tile_noise, "eta": 0.5}
        result, _, made = sample(run, model=distilled, video_latent=tile, guides=guides, **inputs)
        items = dfr_tile_items(doubled["samples"], keyframes, number)
        loop = partial(euler_ancestral_denoising_loop, noise_seed=[SEED + 1000 + number], eta=0.5)
        expected = dfr_stage(DFR_TEMPORAL_SIGMAS, tile, items, (DISTILLED_LORA,), tile_noise.seed, loop=loop)
        assert_close(result["samples"], expected.latent, tolerance=1e-4)
        assert_close(as_frames(made), expected.generated_keyframes, tolerance=1e-4)
        wires |= {f"tile_{number + 1}": result, f"keyframes_{number + 1}": made}
    assert len(seeds) == 4
    clip, all_keyframes, rate = run("LTX2DFRJoin", keyframes=keyframes, **wires)
    assert clip["samples"].shape == (1, 128, 13, 4, 4)
    assert torch.equal(clip["samples"][:, :, :7], wires["tile_1"]["samples"])
    assert torch.equal(clip["samples"][:, :, 7:], wires["tile_2"]["samples"][:, :, 7:])
    assert (rate, clip["frame_rate"], "dfr_tile" in clip) == (80.0, 80.0, False)
    assert all_keyframes["keyframe_frames"] == (24, 48, 72, 96)

    with pytest.raises(ValueError, match=r"Tiles \[1\] are connected; this round has 2 tiles"):
        run("LTX2DFRJoin", keyframes=keyframes, tile_1=wires["tile_2"])
    with pytest.raises(ValueError, match="needs a sampled 'LTX-2 DFR Tile'"):
        run("LTX2DFRJoin", keyframes=keyframes, tile_1=clip)
    tile = partial(run, "LTX2DFRTile", noise=noise, keyframes=keyframes)
    with pytest.raises(ValueError, match="tile is 2; round 1 has 2 tiles, 0 to 1"):
        tile(video_latent=doubled, tile=2)
    with pytest.raises(ValueError, match="the last keyframe must be the last frame"):
        tile(video_latent=video)
    with pytest.raises(ValueError, match="needs generated keyframes"):
        run("LTX2DFRTile", noise=noise, keyframes=video, video_latent=doubled)


def test_a_short_clip_needs_fewer_tiles_than_the_graph_has(run: Run) -> None:
    """The graph of two tiles works for every length: a spare tile costs one frame and is left out."""
    clip = {"samples": torch.randn(1, 128, 7, 2, 2), "type": "video", "frame_rate": 48.0}  # 49 frames, one segment
    keyframes = {"samples": torch.randn(1, 128, 1, 2, 2), "type": "video", "keyframe_frames": (24,)}
    [noise] = run("LTX2LatentNoise", seed=SEED)
    wires = {"video_latent": clip, "keyframes": keyframes, "noise": noise}
    first, spare = (run("LTX2DFRTile", **wires, tile=number)[0] for number in range(2))
    assert torch.equal(first["samples"], clip["samples"])
    assert spare["samples"].shape == (1, 128, 1, 2, 2)
    joined, _, rate = run("LTX2DFRJoin", keyframes=keyframes, tile_1=first, tile_2=spare)
    assert torch.equal(joined["samples"], clip["samples"])
    assert rate == 48.0


# --- What does not belong together ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoder", "checkpoint", "words"),
    [
        ("gemma-3-tiny", TRANSFORMER, ["gemma4-12b-ltx-v1", "gemma3", "gemma4-12b-with-proj-ltx-2.5"]),
        (GEMMA, "ltx-2.3-tiny.safetensors", ["gemma4_unified", "Gemma 3 12B"]),
        (GEMMA, "ltx-2.0-tiny.safetensors", ["gemma4_unified", "Gemma 3 12B"]),
    ],
)
def test_text_encoders_of_another_model_are_refused(run: Run, encoder: str, checkpoint: str, words: list[str]) -> None:
    with pytest.raises(ValueError) as refusal:
        run("LTX2TextEncoderLoader", text_encoder=encoder, text_projection=projection(run, checkpoint))
    assert [word for word in words if word not in str(refusal.value)] == [], str(refusal.value)


def test_the_encoders_own_projection_is_not_enough(run: Run) -> None:
    own = run("LTX2ComponentLoader", file=GEMMA)[3]
    with pytest.raises(ValueError, match=r"holds no text connectors.*'LTX-2 Load Checkpoint'"):
        run("LTX2TextEncoderLoader", text_encoder=GEMMA, text_projection=own)
    [joined] = run(
        "LTX2TextEncoderLoader", text_encoder=GEMMA, text_projection=own, more_text_projection=projection(run)
    )
    assert joined.projection.file.name == TRANSFORMER


@pytest.mark.parametrize(
    ("checkpoint", "lora", "words"),
    [
        (TRANSFORMER, "ltx-2.3-tiny-lora-a.safetensors", ["made for LTX-2.3", "is LTX-2.5", "Its shapes fit"]),
        (TRANSFORMER, "ltx-2.0-tiny-lora-a.safetensors", ["made for LTX-2;", "is LTX-2.5"]),
        ("ltx-2.3-tiny.safetensors", DISTILLED_LORA, ["made for LTX-2.5", "is LTX-2.3"]),
    ],
)
def test_loras_of_another_version_are_used_and_said(
    nodes: Any, run: Run, caplog: pytest.LogCaptureFixture, checkpoint: str, lora: str, words: list[str]
) -> None:
    loader = nodes["LTX2CheckpointLoader"]
    assert loader.validate_inputs(checkpoint, "auto", "none", lora, 1.0) is True
    chosen = loader.execute(checkpoint, "auto", "none", lora, 1.0)
    chained = nodes["LTX2LoraLoader"].execute(model(run, checkpoint), lora, 0.5)
    for output in (chosen, chained):
        assert [one.file.name for one in output.args[0].loras] == [lora]
        [text] = output.ui.as_dict()["text"]
        assert [word for word in words if word not in text] == [], text
        assert text in caplog.text
    off = nodes["LTX2LoraLoader"].execute(model(run, checkpoint), lora, 0.0)
    assert off.ui is None


def test_a_lora_of_the_same_version_says_nothing(nodes: Any, run: Run) -> None:
    assert nodes["LTX2LoraLoader"].execute(model(run), DISTILLED_LORA, 1.0).ui is None


def test_vaes_and_upscalers_of_another_model_are_refused(run: Run) -> None:
    older_vae = run(
        "LTX2CheckpointLoader", checkpoint="ltx-2.3-tiny.safetensors", precision="auto", calibration="none", lora="none"
    )[1]
    [older_upscaler] = run("LTX2UpscalerLoader", upscaler="ltx-2.3-tiny-spatial-upscaler-x2.safetensors")
    [upscaler] = run("LTX2UpscalerLoader", upscaler=SPATIAL)
    video_latent, _ = empty(run)
    with pytest.raises(ValueError, match=r"of LTX-2\.3; .* is LTX-2\.5\. Load the video vae of LTX-2\.5"):
        sample(run, video_latent=video_latent, video_vae=older_vae)
    made = {**video_latent, "model_version": "2.5"}
    refused = "video_latent was made by LTX-2.5"
    with pytest.raises(ValueError, match=refused):
        run("LTX2VideoVAEDecode", video_latent=made, video_vae=older_vae)
    with pytest.raises(ValueError, match=refused):
        run("LTX2LatentUpscale", video_latent=made, video_vae=video_vae(run), upscaler=older_upscaler)
    with pytest.raises(ValueError, match=refused):
        run("LTX2LatentUpscale", video_latent=made, video_vae=older_vae, upscaler=upscaler)
    with pytest.raises(ValueError, match=r"upscaler is .* of LTX-2\.5; .* is LTX-2\.3"):
        run("LTX2LatentUpscale", video_latent=video_latent, video_vae=older_vae, upscaler=upscaler)


def test_audio_vaes_and_vocoders_of_another_model_are_refused(run: Run) -> None:
    older_vae, older_vocoder = run(
        "LTX2CheckpointLoader", checkpoint="ltx-2.3-tiny.safetensors", precision="auto", calibration="none", lora="none"
    )[2:4]
    _, audio_vae, vocoder, _ = run("LTX2ComponentLoader", file=AUDIO_VAE)
    video_latent, audio_latent = empty(run)
    with pytest.raises(ValueError, match=r"audio_vae is .* of LTX-2\.3; .* Load the audio vae of LTX-2\.5"):
        sample(run, video_latent=video_latent, audio_latent=audio_latent, audio_vae=older_vae)
    sound = {"waveform": torch.zeros(1, 2, 8000), "sample_rate": 16000}
    [encoded] = run("LTX2AudioVAEEncode", audio=sound, audio_vae=older_vae)
    with pytest.raises(ValueError, match=r"audio_latent was made by LTX-2\.3; the transformer of .* is of LTX-2\.5"):
        sample(run, video_latent=video_latent, audio_latent=encoded)
    with pytest.raises(ValueError, match=r"audio_latent was made by LTX-2\.3; .* Load the audio vae of LTX-2\.3"):
        run("LTX2AudioVAEDecode", audio_latent=encoded, audio_vae=audio_vae)
    [mel] = run("LTX2AudioVAEDecode", audio_latent=encoded, audio_vae=older_vae)
    assert mel.version == "2.3"
    with pytest.raises(ValueError, match=r"mel was made by LTX-2\.3; the vocoder of .* Load the vocoder of LTX-2\.3"):
        run("LTX2Vocoder", mel=mel, vocoder=vocoder)
    assert run("LTX2Vocoder", mel=mel, vocoder=older_vocoder)[0]["waveform"].any()


def test_sound_of_the_sampler_carries_the_version_that_made_it(run: Run) -> None:
    _, audio_latent = empty(run)
    assert "model_version" not in audio_latent
    audio = sample(run, audio_latent=audio_latent, sigmas=torch.tensor([1.0, 0.0]), solver="euler")[1]
    assert audio["model_version"] == "2.5"


def test_latents_carry_the_version_that_made_them(run: Run) -> None:
    images = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    [encoded] = run("LTX2VideoVAEEncode", images=images, video_vae=video_vae(run))
    assert encoded["model_version"] == "2.5"
    older = model(run, "ltx-2.3-tiny.safetensors")
    prompt = sys.modules["ltx2_pack.nodes.wires.handles"].Context(
        torch.zeros(1, 4, 64), torch.zeros(1, 4, 32), version="2.3"
    )
    [guider] = run("LTX2Guider", positive=prompt)
    with pytest.raises(ValueError, match=r"was made by LTX-2\.5; the transformer of ltx-2\.3-tiny"):
        sample(run, model=older, guider=guider, video_latent=encoded, solver="euler")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"tile_size": 64, "tile_overlap": 0}, "must overlap by 32 px"),
        ({"tile_size": 96, "tile_overlap": 64, "temporal_size": 16, "temporal_overlap": 0}, "and 8 frames"),
    ],
)
def test_tiles_that_the_diffusion_decoder_cannot_use_are_refused(
    run: Run, inputs: dict[str, Any], message: str
) -> None:
    latent = {"samples": golden("2.5", "text-to-video")["video_latents"], "type": "video"}
    values = {"temporal_size": 0, "temporal_overlap": 24} | inputs
    with pytest.raises(ValueError, match=message):
        run(
            "LTX2VideoVAEDecode", video_latent=latent, video_vae=video_vae(run, "diffusion"), auto_tiles=False, **values
        )


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"frame_rate": 0.0}, "frame_rate is 0"),
        ({"min_seconds": 9.0, "max_seconds": 2.0}, "the minimum must not be above the maximum"),
        ({"context": None}, "prompt encoded by"),
        ({"duration_head": "missing.safetensors"}, "models/model_patches"),
    ],
)
def test_what_the_duration_predictor_refuses(run: Run, inputs: dict[str, Any], message: str) -> None:
    values = {"duration_head": DURATION_HEAD, "context": context(run), "frame_rate": 24.0}
    with pytest.raises(ValueError, match=message):
        run("LTX2DurationPredictor", **values | inputs)
