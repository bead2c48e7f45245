"""The base nodes, one by one: schemas, checks, and the whole path against the library."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from ltx_core_impl.components.multimodal_guider import MultiModalGuider, MultiModalGuiderParams
from ltx_core_impl.components.noisers import GaussianNoiser
from ltx_core_impl.components.schedulers import LTX2Scheduler
from ltx_core_impl.conditioning.tools import AudioLatentTools, VideoLatentTools
from ltx_core_impl.loader import SingleGPUModelBuilder
from ltx_core_impl.model.audio_vae import AudioDecoderConfigurator, VocoderConfigurator, decode_audio
from ltx_core_impl.model.transformer import LTXModelConfigurator, X0Model
from ltx_core_impl.model.video_vae import VideoDecoderConfigurator, decode_video
from ltx_core_impl.sampling.denoisers import GuidedDenoiser
from ltx_core_impl.sampling.stage import StageModality, denoise_stage
from ltx_core_impl.text_encoders.gemma import (
    AVGemmaTextEncoderModel,
    EmbeddingsProcessorConfigurator,
    load_text_encoder,
)
from ltx_core_impl.types import AudioLatentShape, VideoLatentShape, VideoPixelShape
from tests.conftest import GOLDEN, checkpoint_path

Run = Callable[..., tuple[Any, ...]]
PROMPTS = ("a red circle moves to the left", "blurry")
FRAMES, HEIGHT, WIDTH, FPS, SEED, STEPS = 17, 64, 96, 25.0, 7, 3
GUIDANCE = {"cfg": 3.0, "stg_scale": 1.0, "stg_blocks": "2", "rescale": 0.7, "modality_scale": 3.0, "skip_step": 0}

# Ids, inputs and outputs are promised to stay: saved graphs name them. Add to this list; never change a line.
RELEASED = {
    "LTX2CheckpointLoader": "checkpoint precision calibration lora lora_strength compile",
    "LTX2ComponentLoader": "file",
    "LTX2LoraLoader": "model lora strength",
    "LTX2TextEncoderLoader": "text_encoder text_projection",
    "LTX2TextEncode": "text_encoder prompt",
    "LTX2TimedPrompt": "text_encoder prompt frame_rate border length",
    "LTX2EmptyLatents": "width height length frame_rate batch_size video_vae audio_vae",
    "LTX2LatentNoise": "seed",
    "LTX2Scheduler": "steps max_shift base_shift stretch terminal latent",
    "LTX2LinearQuadraticScheduler": "steps threshold linear_steps",
    "LTX2BetaScheduler": "steps alpha beta",
    "LTX2DistilledSigmas": "schedule",
    "LTX2GuidanceParameters": "preset cfg stg_scale stg_blocks rescale modality_scale skip_step",
    "LTX2Perturbation": "kind blocks perturbation",
    "LTX2Guider": "positive negative video_guidance audio_guidance perturbation",
    "LTX2Sampler": "model guider sigmas noise solver video_latent audio_latent frame_rate guides video_vae audio_vae",
    "LTX2VideoVAEEncode": "images video_vae tile_size tile_overlap temporal_size temporal_overlap frame_rate",
    "LTX2VideoVAEDecode": "video_latent video_vae tile_size tile_overlap temporal_size temporal_overlap noise_seed",
    "LTX2AudioVAEEncode": "audio audio_vae latent_frames fit_to",
    "LTX2AudioVAEDecode": "audio_latent audio_vae",
    "LTX2Vocoder": "mel vocoder",
    "LTX2UpscalerLoader": "upscaler",
    "LTX2LatentUpscale": "video_latent upscaler video_vae",
    "LTX2ImageGuide": "image video_vae video_latent frame_index strength crf as_keyframe guides before_start",
    "LTX2ReferenceVideoGuide": "images model video_vae video_latent strength attention_strength tile_size "
    "attention_mask guides tile_frames frame_index",
    "LTX2ReferenceAudioGuide": "reference strength audio_vae guides",
    "LTX2FreezeLatent": "latent frozen",
    "LTX2RetakeRegion": "start_time end_time generate generate_video generate_audio ramp video_latent audio_latent "
    "video_vae audio_vae",
    "LTX2InpaintRegion": "video_latent mask grow video_vae",
    "LTX2FitVideo": "images frame_rate width height multiple length audio video_vae fit",
    "LTX2ExtendClip": "images frame_rate frames_before frames_after audio",
    "LTX2InpaintFill": "images mask grow",
    "LTX2EnhancePrompt": "text_encoder prompt seed max_tokens image system_prompt enabled settings temperature top_k "
    "top_p min_p repetition_penalty",
    "LTX2PromptWriterLoader": "writer device",
    "LTX2SaveContext": "context filename_prefix",
    "LTX2LoadContext": "file",
    "LTX2SegmentPrompts": "text_encoder prompts",
    "LTX2DurationPredictor": "duration_head context frame_rate min_seconds max_seconds",
    "LTX2GuidanceSchedule": "sigmas cfg stg_scale stg_blocks rescale modality_scale cfg_rule apg_eta "
    "apg_norm_threshold skip_step",
    "LTX2KeyframeSlots": "video_latent count frames keyframes video_vae guides",
    "LTX2ReferenceLatentGuide": "reference model video_latent strength guides",
    "LTX2DrawTracks": "tracks points width height length",
    "LTX2ContextWindows": "window_length overlap overlap_strength drift_control segments windows",
    "LTX2SpatialTiles": "columns rows overlap windows",
    "LTX2StepCorrection": "modality factors reference corrections",
    "LTX2AdainLatent": "latent reference factor per_frame",
    "LTX2StatNormLatent": "latent mean deviation percentile factor",
    "LTX2EncodeVideoFile": "file video_vae start length frame_rate width height fit tile_size tile_overlap "
    "temporal_size temporal_overlap audio_vae light",
    "LTX2SaveVideo": "video_latent video_vae filename_prefix frame_rate crf tile_size tile_overlap temporal_size "
    "temporal_overlap noise_seed audio format alpha",
    "LTX2HDRDecode": "video_latent video_vae curve exposure crop_width crop_height tile_size tile_overlap "
    "temporal_size temporal_overlap noise_seed",
    "LTX2SaveEXR": "images filename_prefix half",
    "LTX2SaveHDR": "video_latent video_vae filename_prefix curve exposure crop_width crop_height half tile_size "
    "tile_overlap temporal_size temporal_overlap noise_seed keep_every audio exr_space hlg_master frame_rate",
    "LTX2SaveHDRPictures": "images frame_rate filename_prefix curve exposure exr_space half hlg_master audio",
    "LTX2EncodeHDR": "file video_vae color_space frame_rate first_frame length width height fit tile_size "
    "tile_overlap temporal_size temporal_overlap",
    "LTX2LoadHDR": "file color_space frame_rate first_frame length trim width height fit",
    "LTX2ToACEScct": "images color_space",
    "LTX2Float32VAE": "video_vae",
    "LTX2BlendExposures": "dark bright dark_stops bright_stops smoothness",
    "LTX2PyramidBlend": "images source mask levels grow",
    "LTX2TilingSizes": "width height length canvas tile",
    "LTX2TiledFusion": "tile_width tile_height tile_frames overlap grid_cycle windows",
    "LTX2ReferenceSheet": "image_1 layout width height length gap image_2 image_3 image_4 image_5 image_6 image_7 "
    "image_8",
    "LTX2RefineMatte": "matte invert expand black_clip white_clip feather mix unmix unmix_radius size plate_fit "
    "plate_end images plate",
    "LTX2SaveAlpha": "images filename_prefix frame_rate format crf mask audio",
    "LTX2DFRCanvas": "length temporal_rounds",
    "LTX2DFRTile": "video_latent keyframes noise temporal_round tile anchor_strength guides video_vae",
    "LTX2ParallelModel": "model ranks split shard_weights",
    "LTX2DFRJoin": "keyframes tile_1 keyframes_1 tile_2 keyframes_2 tile_3 keyframes_3 tile_4 keyframes_4",
}


@pytest.mark.parametrize("node_id", RELEASED)
def test_released_inputs_keep_their_names_and_places(nodes: dict[str, Any], node_id: str) -> None:
    ids = [slot.id for slot in nodes[node_id].GET_SCHEMA().inputs]
    released = RELEASED[node_id].split()
    assert ids[: len(released)] == released
    added = nodes[node_id].GET_SCHEMA().inputs[len(released) :]
    assert all(slot.optional for slot in added), "an input that is not optional breaks every saved graph"


def test_the_browser_leaves_good_numbers_alone(nodes: dict[str, Any]) -> None:
    """It rounds what is typed to whole steps from the minimum: a minimum of 1 would make 769 of a width of 768."""
    numbers = [
        (f"{node_id}.{slot.id}", slot)
        for node_id, node in nodes.items()
        for slot in node.GET_SCHEMA().inputs
        if slot.io_type == "INT" and slot.step is not None
    ]
    assert len(numbers) > 20
    assert [name for name, slot in numbers if (slot.default - (slot.min or 0)) % slot.step] == []


@pytest.fixture(scope="module")
def loaded(pack: Any, nodes: dict[str, Any]) -> Callable[[str], tuple[Any, ...]]:
    def load(version: str) -> tuple[Any, ...]:
        return (
            nodes["LTX2CheckpointLoader"].execute(f"ltx-{version}-tiny.safetensors", "auto", "none", "none", 1.0).args
        )

    return load


@pytest.mark.parametrize("compile", [None, False, True])
def test_compile_is_asked_for(
    pack: Any, nodes: dict[str, Any], monkeypatch: pytest.MonkeyPatch, compile: bool | None
) -> None:
    """An old graph does not have the input."""
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function, **options: compiled.append(options) or function)
    widgets = ("ltx-2.3-tiny.safetensors", "bf16", "none", "none", 0.5)  # a handle of its own: models are kept
    given = {} if compile is None else {"compile": compile}
    handle = nodes["LTX2CheckpointLoader"].execute(*widgets, **given).args[0]
    components = sys.modules[f"{pack.__name__}.nodes.loading.components"]
    with components.transformer(handle, working_memory=0) as model:
        assert len(compiled) == (model.num_blocks if compile else 0)
    assert all(options["dynamic"] and options["fullgraph"] for options in compiled)


def contexts(run: Run, projection: Any) -> tuple[Any, Any]:
    [encoder] = run("LTX2TextEncoderLoader", text_encoder="gemma-3-tiny", text_projection=projection)
    return tuple(run("LTX2TextEncode", text_encoder=encoder, prompt=prompt)[0] for prompt in PROMPTS)


def sampled(
    run: Run, loaded: Any, version: str, batch: int = 1, seed: int = SEED, context: Any = None, **inputs: Any
) -> tuple[Any, ...]:
    model, _, _, _, projection = loaded(version)
    positive, negative = contexts(run, projection)
    positive = positive if context is None else context
    video, audio, _ = run(
        "LTX2EmptyLatents", width=WIDTH, height=HEIGHT, length=FRAMES, frame_rate=FPS, batch_size=batch
    )
    [guidance] = run("LTX2GuidanceParameters", preset="custom", **GUIDANCE)
    [guider] = run("LTX2Guider", positive=positive, negative=negative, video_guidance=guidance, audio_guidance=guidance)
    [sigmas] = run("LTX2Scheduler", steps=STEPS)
    [noise] = run("LTX2LatentNoise", seed=seed)
    wires = {"video_latent": video, "audio_latent": audio} | inputs
    return run("LTX2Sampler", model=model, guider=guider, sigmas=sigmas, noise=noise, solver="euler", **wires)


def library_result(version: str, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """The same run through the library alone, as its README shows."""
    path = checkpoint_path(version)
    processor = SingleGPUModelBuilder(EmbeddingsProcessorConfigurator, path).build("cpu", torch.float32)
    encoder = AVGemmaTextEncoderModel(load_text_encoder(GOLDEN / "gemma-tiny", dtype=torch.float32), processor)
    positive, negative = encoder.encode(PROMPTS)
    params = MultiModalGuiderParams(
        cfg_scale=3.0, stg_scale=1.0, stg_blocks=(2,), rescale_scale=0.7, modality_scale=3.0
    )
    pixels = VideoPixelShape(batch=1, frames=FRAMES, height=HEIGHT, width=WIDTH, fps=FPS)
    video, audio = denoise_stage(
        transformer=X0Model(SingleGPUModelBuilder(LTXModelConfigurator, path).build("cpu", dtype)),
        denoiser=GuidedDenoiser(
            video_context=positive.video_encoding.to(dtype),
            audio_context=positive.audio_encoding.to(dtype),
            video_guider=MultiModalGuider(params, negative.video_encoding.to(dtype)),
            audio_guider=MultiModalGuider(params, negative.audio_encoding.to(dtype)),
        ),
        sigmas=LTX2Scheduler().execute(steps=STEPS),
        noiser=GaussianNoiser(torch.Generator().manual_seed(SEED)),
        device="cpu",
        dtype=dtype,
        video=StageModality(VideoLatentTools(VideoLatentShape.from_pixel_shape(pixels), fps=FPS)),
        audio=StageModality(AudioLatentTools(AudioLatentShape.from_video_pixel_shape(pixels))),
    )
    return video.latent, audio.latent


@pytest.mark.parametrize("version", ["2.0", "2.3"])
def test_the_graph_gives_what_the_library_gives(run: Run, loaded: Any, version: str) -> None:
    video, audio = sampled(run, loaded, version)[:2]
    expected_video, expected_audio = library_result(version)
    torch.testing.assert_close(video["samples"], expected_video, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(audio["samples"], expected_audio, rtol=1e-4, atol=1e-5)

    _, video_vae, audio_vae, vocoder, _ = loaded(version)
    [images] = run("LTX2VideoVAEDecode", video_latent=video, video_vae=video_vae)
    [mel] = run("LTX2AudioVAEDecode", audio_latent=audio, audio_vae=audio_vae)
    [sound] = run("LTX2Vocoder", mel=mel, vocoder=vocoder)

    def build(configurator: type) -> torch.nn.Module:
        return SingleGPUModelBuilder(configurator, checkpoint_path(version)).build("cpu", torch.float32)

    frames = torch.cat(list(decode_video(expected_video, build(VideoDecoderConfigurator), dtype=torch.float32)))
    assert images.shape == (FRAMES, HEIGHT, WIDTH, 3)
    torch.testing.assert_close(images, frames, rtol=1e-3, atol=1e-4)
    expected = decode_audio(expected_audio, build(AudioDecoderConfigurator), build(VocoderConfigurator))
    assert sound["sample_rate"] == expected.sampling_rate
    torch.testing.assert_close(sound["waveform"][0], expected.waveform, rtol=1e-3, atol=1e-4)


def test_every_clip_of_a_batch_is_what_its_seed_gives_alone(run: Run, loaded: Any) -> None:
    video, audio = sampled(run, loaded, "2.3", batch=2)[:2]
    for index in range(2):
        alone_video, alone_audio = sampled(run, loaded, "2.3", seed=SEED + index)[:2]
        torch.testing.assert_close(video["samples"][index], alone_video["samples"][0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(audio["samples"][index], alone_audio["samples"][0], rtol=1e-4, atol=1e-4)


def test_either_modality_may_be_left_out(run: Run, loaded: Any) -> None:
    video, audio = sampled(run, loaded, "2.3", audio_latent=None)[:2]
    assert audio is None
    assert video["samples"].shape == (1, 128, 3, 2, 3)
    video, audio = sampled(run, loaded, "2.3", video_latent=None)[:2]
    assert video is None
    assert audio["samples"].shape == (1, 8, 17, 16)


def test_a_latent_of_a_core_node_needs_a_frame_rate(run: Run, loaded: Any) -> None:
    latent = {"samples": torch.zeros(1, 128, 3, 2, 3)}
    with pytest.raises(ValueError, match="frame rate is not known"):
        sampled(run, loaded, "2.3", video_latent=latent)
    video = sampled(run, loaded, "2.3", video_latent=latent, frame_rate=FPS)[0]
    torch.testing.assert_close(video["samples"], sampled(run, loaded, "2.3")[0]["samples"])


def test_the_result_carries_the_frame_rate_of_the_run(run: Run, loaded: Any) -> None:
    [given] = run("LTX2EmptyLatents", width=WIDTH, height=HEIGHT, length=9, frame_rate=24.0, batch_size=1)[:1]
    bare = {"samples": given["samples"]}
    for latent, rate, expected in ((given, None, 24.0), (given, 48.0, 48.0), (bare, 30.0, 30.0)):
        video = sampled(run, loaded, "2.3", video_latent=latent, audio_latent=None, frame_rate=rate)[0]
        assert video["frame_rate"] == expected
    assert given["frame_rate"] == 24.0


def test_the_largest_seed_serves_a_batch(run: Run, loaded: Any) -> None:
    [video] = run("LTX2EmptyLatents", width=WIDTH, height=HEIGHT, length=9, frame_rate=FPS, batch_size=2)[:1]
    video = sampled(run, loaded, "2.3", seed=2**64 - 1, video_latent=video, audio_latent=None)[0]
    assert not torch.equal(*video["samples"])
    images = run("LTX2VideoVAEDecode", video_latent=video, video_vae=loaded("2.3")[1], noise_seed=2**64 - 1)[0]
    assert len(images) == 18


@pytest.mark.parametrize(
    ("node_id", "inputs"),
    [
        ("LTX2GuidanceParameters", {"cfg": -1.0}),
        ("LTX2GuidanceParameters", {"stg_scale": math.nan}),
        ("LTX2GuidanceParameters", {"skip_step": -1}),
        ("LTX2GuidanceSchedule", {"apg_eta": math.inf}),
        ("LTX2BetaScheduler", {"alpha": 0.0}),
        ("LTX2LinearQuadraticScheduler", {"threshold": 1.0}),
        ("LTX2Scheduler", {"terminal": 1.0}),
        ("LTX2EmptyLatents", {"batch_size": 0}),
        ("LTX2AdainLatent", {"latent": None, "reference": None, "factor": math.nan}),
        ("LTX2StatNormLatent", {"latent": None, "deviation": 0.0}),
        ("LTX2HDRDecode", {"video_latent": None, "video_vae": None, "crop_width": -8}),
        ("LTX2EncodeVideoFile", {"file": "none.mp4", "start": -1.0}),
        ("LTX2DrawTracks", {"width": 0}),
    ],
)
def test_values_over_wires_keep_the_limits_of_the_widgets(
    run: Run, loaded: Any, node_id: str, inputs: dict[str, Any]
) -> None:
    if node_id == "LTX2EncodeVideoFile":
        inputs = inputs | {"video_vae": loaded("2.3")[1]}
    [name] = [name for name, value in inputs.items() if isinstance(value, int | float)]
    with pytest.raises(ValueError, match=rf"{name} is .*; it must lie between"):
        run(node_id, **inputs)


def test_nothing_on_a_wire_is_called_nothing(run: Run, loaded: Any) -> None:
    with pytest.raises(ValueError, match="audio_latent needs an audio latent; it got nothing"):
        run("LTX2AudioVAEDecode", audio_latent=None, audio_vae=loaded("2.3")[2])


def test_a_frozen_stream_comes_out_as_it_went_in(run: Run, loaded: Any) -> None:
    sound = torch.randn(1, 8, 17, 16, generator=torch.Generator().manual_seed(3))
    latent = {"samples": sound, "type": "audio", "noise_mask": torch.zeros(1, 1, 17, 1)}
    video, audio = sampled(run, loaded, "2.3", audio_latent=latent)[:2]
    torch.testing.assert_close(audio["samples"], sound)
    assert not torch.equal(video["samples"], sampled(run, loaded, "2.3")[0]["samples"])


def test_a_masked_part_is_kept(run: Run, loaded: Any) -> None:
    given = torch.randn(1, 128, 3, 2, 3, generator=torch.Generator().manual_seed(3))
    mask = torch.ones(1, 1, 3, 2, 3)
    mask[:, :, 0] = 0
    latent = {"samples": given, "type": "video", "frame_rate": FPS, "noise_mask": mask}
    video = sampled(run, loaded, "2.3", video_latent=latent)[0]["samples"]
    torch.testing.assert_close(video[:, :, 0], given[:, :, 0])
    assert (video[:, :, 1:] - given[:, :, 1:]).abs().mean() > 0.1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"video_latent": None, "audio_latent": None}, ["Neither", "LTX-2 Empty Latents"]),
        ({"video_latent": {"samples": torch.zeros(1, 16, 3, 2, 3), "frame_rate": FPS}}, ["16 channels", "128"]),
        ({"video_latent": {"samples": torch.zeros(1, 8, 17, 16)}}, ["video latent", "(1, 8, 17, 16)"]),
        ({"audio_latent": {"samples": torch.zeros(2, 8, 17, 16)}}, ["batch of 1", "2"]),
        ({"audio_latent": {"samples": torch.zeros(1, 8, 20, 16)}}, ["20 frames", "0.68 s", "is 17", "fit_to"]),
        ({"sigmas": torch.tensor([0.5, 0.9, 0.0])}, ["descend", "0.9"]),
        ({"sigmas": torch.tensor([1.0])}, ["at least 2"]),
        ({"noise": object()}, ["LTX-2 Latent Noise"]),
        ({"solver": "dpm"}, ["solver", "dpm", "euler"]),
        ({"model": None}, ["model"]),
    ],
)
def test_what_the_sampler_refuses(run: Run, loaded: Any, changes: dict[str, Any], words: list[str]) -> None:
    model, _, _, _, projection = loaded("2.3")
    positive, _ = contexts(run, projection)
    video, audio, _ = run("LTX2EmptyLatents", width=WIDTH, height=HEIGHT, length=FRAMES, frame_rate=FPS)
    inputs = {
        "model": model,
        "guider": run("LTX2Guider", positive=positive)[0],
        "sigmas": run("LTX2Scheduler", steps=STEPS)[0],
        "noise": run("LTX2LatentNoise", seed=1)[0],
        "solver": "euler",
        "video_latent": video,
        "audio_latent": audio,
    }
    with pytest.raises(ValueError) as refusal:
        run("LTX2Sampler", **(inputs | changes))
    assert [word for word in words if word not in str(refusal.value)] == [], str(refusal.value)


def test_contexts_of_another_version_are_refused(run: Run, loaded: Any) -> None:
    positive, _ = contexts(run, loaded("2.0")[4])
    [guider] = run("LTX2Guider", positive=positive)
    video, audio, _ = run("LTX2EmptyLatents", width=WIDTH, height=HEIGHT, length=FRAMES, frame_rate=FPS)
    [sigmas], [noise] = run("LTX2Scheduler", steps=STEPS), run("LTX2LatentNoise", seed=1)
    with pytest.raises(ValueError, match=r"LTX-2;.*LTX-2\.3"):
        run(
            "LTX2Sampler",
            model=loaded("2.3")[0],
            guider=guider,
            sigmas=sigmas,
            noise=noise,
            solver="euler",
            video_latent=video,
            audio_latent=audio,
        )


def test_a_component_that_is_not_there_is_named_where_it_is_used(run: Run, loaded: Any) -> None:
    missing = run("LTX2ComponentLoader", file="ltx-2.3-tiny.safetensors")
    assert [handle.component for handle in missing] == ["video_vae", "audio_vae", "vocoder", "text_projection"]
    handles = sys.modules["ltx2_pack.nodes.wires.handles"]
    nothing = handles.MissingComponent(component="vocoder", file=loaded("2.3")[0].file)
    mel = handles.Mel(spectrogram=torch.zeros(1, 2, 9, 64), sampling_rate=16000, version="2.3")
    with pytest.raises(ValueError, match=r"vocoder needs the vocoder, but ltx-2\.3-tiny\.safetensors holds none"):
        run("LTX2Vocoder", mel=mel, vocoder=nothing)


@pytest.mark.parametrize(("frames", "words"), [(8, ["8 frames", "1 or 9"]), (12, ["9 or 17"]), (17, None)])
def test_frames_to_encode(run: Run, loaded: Any, frames: int, words: list[str] | None) -> None:
    images = torch.rand(frames, HEIGHT, WIDTH, 3)
    vae = loaded("2.3")[1]
    if words is None:
        [latent] = run("LTX2VideoVAEEncode", images=images, video_vae=vae, tile_size=0, temporal_size=0)
        assert latent["samples"].shape == (1, 128, 3, 2, 3)
        return
    with pytest.raises(ValueError) as refusal:
        run("LTX2VideoVAEEncode", images=images, video_vae=vae)
    assert [word for word in words if word not in str(refusal.value)] == [], str(refusal.value)


def test_grey_pictures_and_alpha_are_encoded_as_colour(run: Run, loaded: Any) -> None:
    vae, grey = loaded("2.3")[1], torch.rand(1, 64, 96, 1, generator=torch.Generator().manual_seed(0))
    colour = grey.expand(-1, -1, -1, 3)
    given = (grey, colour, torch.cat([colour, grey], dim=-1))
    one, two, three = (run("LTX2VideoVAEEncode", images=images, video_vae=vae)[0]["samples"] for images in given)
    assert torch.equal(one, two)
    assert torch.equal(one, three)


def test_encoding_asks_for_a_frame_rate_that_is_one(run: Run, loaded: Any) -> None:
    with pytest.raises(ValueError, match="frame_rate is nan"):
        run("LTX2VideoVAEEncode", images=torch.zeros(1, 64, 96, 3), video_vae=loaded("2.3")[1], frame_rate=math.nan)


def test_the_memory_of_tiles_is_that_of_one(pack: Any) -> None:
    tiling = sys.modules["ltx2_pack.nodes.vae.vae_tiling"]
    assert tiling.tile_pixels((17, 64, 96), tiling.TileSizes(0, 0, 0, 0)) == 17 * 64 * 96
    assert tiling.tile_pixels((17, 64, 96), tiling.TileSizes(64, 32, 8, 0)) == 8 * 64 * 64


def test_a_clip_is_decoded_whole_where_the_memory_allows(
    pack: Any, loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiling, host = (sys.modules[f"ltx2_pack.nodes.{name}"] for name in ("vae.vae_tiling", "host"))
    components = sys.modules["ltx2_pack.nodes.loading.components"]
    vae, sizes = loaded("2.3")[1], tiling.TileSizes(64, 32, 16, 8)
    whole = components.convolution_memory(17 * 64 * 96) + components.video_decoder_bytes(vae)
    monkeypatch.setattr(host, "grantable_memory", lambda: whole)
    assert tiling.decode_plan(vae, (3, 2, 3), sizes, auto=True, whole=True).tiling is None
    tiled = tiling.decode_plan(vae, (3, 2, 3), sizes, auto=False)
    assert tiled.tiling == sizes.together()
    assert tiling.decode_plan(vae, (3, 2, 3), sizes, auto=True) == tiled
    monkeypatch.setattr(host, "grantable_memory", lambda: whole - 1)
    assert tiling.decode_plan(vae, (3, 2, 3), sizes, auto=True, whole=True) == tiled
    assert tiled.working_memory < components.convolution_memory(17 * 64 * 96)


@pytest.mark.parametrize(("channels", "rate"), [(1, 44100), (2, 16000), (2, 48000)])
def test_any_sound_is_encoded(run: Run, loaded: Any, channels: int, rate: int) -> None:
    waveform = torch.sin(torch.arange(rate) * 440 * 2 * math.pi / rate).expand(1, channels, rate)
    audio = {"waveform": waveform, "sample_rate": rate}
    [latent] = run("LTX2AudioVAEEncode", audio=audio, audio_vae=loaded("2.3")[2], latent_frames=17)
    assert latent["samples"].shape == (1, 8, 17, 16)
    assert latent["type"] == "audio"


@pytest.mark.parametrize("kind", ["spatial-upscaler-x2", "spatial-upscaler-x1.5", "temporal-upscaler-x2"])
def test_upscalers(run: Run, loaded: Any, kind: str) -> None:
    latent = {"samples": torch.randn(1, 128, 3, 4, 6), "type": "video", "frame_rate": FPS}
    [upscaler] = run("LTX2UpscalerLoader", upscaler=f"ltx-2.3-tiny-{kind}.safetensors")
    larger, rate = run("LTX2LatentUpscale", video_latent=latent, upscaler=upscaler, video_vae=loaded("2.3")[1])
    shapes = {"x2": (3, 8, 12), "x1.5": (3, 6, 9)}
    expected = (5, 4, 6) if kind.startswith("temporal") else shapes[kind.removeprefix("spatial-upscaler-")]
    assert tuple(larger["samples"].shape[2:]) == expected
    assert rate == larger["frame_rate"] == (2 * FPS if kind.startswith("temporal") else FPS)


def test_a_lora_changes_the_result_and_zero_strength_does_not(run: Run, loaded: Any) -> None:
    plain = sampled(run, loaded, "2.3")[0]["samples"]

    def with_lora(strength: float) -> torch.Tensor:
        def loader(version: str) -> tuple[Any, ...]:
            model, *rest = loaded(version)
            return (
                run("LTX2LoraLoader", model=model, lora="ltx-2.3-tiny-lora-a.safetensors", strength=strength)[0],
                *rest,
            )

        return sampled(run, loader, "2.3")[0]["samples"]

    assert torch.equal(with_lora(0.0), plain)
    assert (with_lora(1.0) - plain).abs().mean() > 1e-3


def in_precision(nodes: dict[str, Any], precision: str) -> Callable[[str], tuple[Any, ...]]:
    def load(version: str) -> tuple[Any, ...]:
        file = f"ltx-{version}-tiny.safetensors"
        return nodes["LTX2CheckpointLoader"].execute(file, precision, "none", "none", 1.0).args

    return load


@pytest.mark.parametrize("precision", ["fp8_cast", "fp8_scaled_mm"])
def test_fp8_stays_close_to_full_precision(run: Run, nodes: dict[str, Any], loaded: Any, precision: str) -> None:
    plain = sampled(run, loaded, "2.3")[0]["samples"]
    other = sampled(run, in_precision(nodes, precision), "2.3")[0]["samples"]
    error = ((other - plain).norm() / plain.norm()).item()
    assert 0 < error < 0.2, error


def test_bf16_computes_and_draws_in_bf16_as_the_library_does(run: Run, nodes: dict[str, Any]) -> None:
    video = sampled(run, in_precision(nodes, "bf16"), "2.3")[0]["samples"]
    expected = library_result("2.3", torch.bfloat16)[0].float()
    assert ((video - expected).norm() / expected.norm()).item() < 0.02
