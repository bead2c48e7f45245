"""Graphs for LTX-2.5, which comes in a file per component (spec 07 §2.12, §3.1, §3.4, §3.12)."""

from __future__ import annotations

from tools.graphs.graph import Graph, Node, Output
from tools.graphs.parts import STAGE_2, Pipeline, note
from tools.graphs.prompts import NEGATIVE_25

DEV = "ltx-2.5-22b-dev-transformer-bf16.safetensors"
DISTILLED = "ltx-2.5-22b-distilled-transformer-bf16.safetensors"
ENCODER = "gemma4-12b-with-proj-ltx-2.5-bf16.safetensors"
VIDEO_VAE = "ltx-2.5-video-vae-bf16.safetensors"
AUDIO_VAE = "ltx-2.5-audio-vae-bf16.safetensors"
DURATION_HEAD = "ltx-2.5-duration-head-bf16.safetensors"
DISTILLED_LORA = "ltx-2.5-22b-distilled-lora-450-bf16.safetensors"
DETAILING_LORA = "ltx-2.5-22b-ic-lora-pixel-spatial-upscaler-x2-1.0.safetensors"
SPATIAL_UPSCALER = "ltx-2.5-latent-spatial-upscaler-x2-bf16-1.0.safetensors"
TEMPORAL_UPSCALER = "ltx-2.5-latent-temporal-upscaler-x2-bf16-1.0.safetensors"

NOTE = """\
{advice}
- The video VAE with 'conv' in its name decodes faster, with less detail; nothing else changes.

{files}
- {download}
"""


def text_to_video() -> Graph:
    """Full model, one stage, guided."""
    advice = "- **Guidance**: the presets are the reference's; choose 'custom' to type your own numbers."
    make = split_pipeline("ltx-2.5-text-to-video", "LTX-2.5: text to video with sound", DEV, advice)
    with make.graph.group("Clip"):
        clip = make.clip()
    _full_model(make, clip, guides=None)
    return make.graph


def image_to_video() -> Graph:
    """The first frame is given; full model, one stage."""
    advice = "- **Image**: any size; its centre is cut out. **strength** below 1 (0.7) gives more motion."
    make = split_pipeline("ltx-2.5-image-to-video", "LTX-2.5: image to video with sound", DEV, advice)
    with make.graph.group("Clip and image"):
        clip = make.clip()
        picture = make.graph.node("LoadImage", "First frame", image="example.png")["IMAGE"]
        guides = make.image(picture, clip["video_latent"])
    _full_model(make, clip, guides)
    return make.graph


def two_stage_distilled() -> Graph:
    """The distilled model in both stages; the length comes from the prompt."""
    advice = (
        "- **Length**: what happens and what is said decides it; to choose it, remove the link to 'length' and type.\n"
        "- **Width, height** of the first stage: multiples of 32; the result is twice that.\n"
        "- **Solver** of the first stage: euler_ancestral, as the distilled LTX-2.5 wants it."
    )
    files = (SPATIAL_UPSCALER, DURATION_HEAD)
    make = split_pipeline("ltx-2.5-two-stage-distilled", "LTX-2.5: two fast stages", DISTILLED, advice, files)
    upscaler = make.upscaler(SPATIAL_UPSCALER)
    positive = make.text()
    with make.graph.group("Stage 1"):
        rate = make.graph.node("PrimitiveFloat", "Frames per second", value=24.0)["FLOAT"]
        length = make.graph.node(
            "LTX2DurationPredictor", duration_head=DURATION_HEAD, context=positive, frame_rate=rate
        )["length"]
        clip = make.clip(length=length, frame_rate=rate)
        guider = make.guider(positive)
        first = make.stage("Stage 1", guider, make.distilled_sigmas(), **make.latents(clip), solver="euler_ancestral")
    with make.graph.group("Stage 2"):
        larger = make.upscale(first["video_latent"], upscaler)["video_latent"]
        second = make.stage(
            "Stage 2",
            guider,
            make.distilled_sigmas(STAGE_2),
            video=larger,
            audio=make.switchable_sound(first),
            seed=11,
        )
    with make.graph.group("Decoding"):
        images, sound = make.pictures(second["video_latent"]), make.sound(second["audio_latent"])
    make.save(images, sound, clip["frame_rate"], make.graph.name)
    return make.graph


def dfr() -> Graph:
    """Detail-fidelity rendering: keyframes in two stages, then one doubling of the frame rate in two tiles."""
    advice = (
        "- **Length** in 'LTX-2 DFR Canvas': frames before the frame rate is doubled.\n"
        "- **Keyframes** are made with the clip, sharper than it, and hold it in every later stage.\n"
        "- Without the doubling: decode 'Stage 2' and set temporal_rounds to 0. For a second doubling repeat the last "
        "groups with temporal_round 2 and four tiles."
    )
    files = (DISTILLED_LORA, DETAILING_LORA, SPATIAL_UPSCALER, TEMPORAL_UPSCALER)
    make = split_pipeline("ltx-2.5-dfr", "LTX-2.5: detail-fidelity rendering", DEV, advice, files, lora=DISTILLED_LORA)
    detailing = make.lora(DETAILING_LORA, 1.0, "Detailing LoRA, stage 2")
    upscaler = make.upscaler(SPATIAL_UPSCALER)
    positive = make.text()
    with make.graph.group("Stage 1"):
        canvas = make.graph.node("LTX2DFRCanvas", length=121, temporal_rounds=1)
        clip = make.clip(length=canvas["length"])
        guider = make.guider(positive)
        slots = make.graph.node("LTX2KeyframeSlots", video_latent=clip["video_latent"], frames=canvas["keyframes"])[
            "guides"
        ]
        first = make.stage("Stage 1", guider, make.distilled_sigmas(), **make.latents(clip), guides=slots)
    with make.graph.group("Stage 2"):
        larger = make.upscale(first["video_latent"], upscaler)["video_latent"]
        keyframes = make.upscale(first["keyframes"], upscaler)["video_latent"]
        reference = make.graph.node(
            "LTX2ReferenceLatentGuide", reference=first["video_latent"], model=detailing, video_latent=larger
        )["guides"]
        slots = make.graph.node("LTX2KeyframeSlots", video_latent=larger, keyframes=keyframes, guides=reference)[
            "guides"
        ]
        second = make.stage(
            "Stage 2",
            guider,
            make.distilled_sigmas(STAGE_2),
            model=detailing,
            video=larger,
            audio=first["audio_latent"],
            guides=slots,
            seed=11,
        )
    joined = _temporal_round(make, second, guider)
    with make.graph.group("Decoding"):
        images = make.graph.node(
            "ImageFromBatch",
            image=make.pictures(joined["video_latent"]),
            batch_index=0,
            length=canvas["output_length"],
        )["IMAGE"]
        sound = make.sound(first["audio_latent"])
    make.save(images, sound, joined["frame_rate"], make.graph.name)
    return make.graph


def _temporal_round(make: Pipeline, stage: Node, guider: Output) -> Node:
    """Doubles the frame rate of a stage's clip."""
    with make.graph.group("Doubled frame rate"):
        upscaler = make.graph.node("LTX2UpscalerLoader", "Temporal upscaler", upscaler=TEMPORAL_UPSCALER)["upscaler"]
        doubled = make.upscale(stage["video_latent"], upscaler)["video_latent"]
        noise = make.graph.node("LTX2LatentNoise", "Noise of the tiles", seed=10)["noise"]
        sigmas = make.distilled_sigmas("temporal upscale (4 steps)")
        joined: dict[str, Output] = {}
        for number in (0, 1):
            tile = make.graph.node(
                "LTX2DFRTile",
                video_latent=doubled,
                keyframes=stage["keyframes"],
                noise=noise,
                temporal_round=1,
                tile=number,
            )
            sampler = make.graph.node(
                "LTX2Sampler",
                f"Tile {number}",
                model=make.loader["model"],
                guider=guider,
                sigmas=sigmas,
                noise=tile["noise"],
                solver="euler_ancestral",
                eta=0.5,
                video_latent=tile["video_latent"],
                guides=tile["guides"],
                video_vae=make.loader["video_vae"],
            )
            joined |= {
                f"tile_{number + 1}": sampler["video_latent"],
                f"keyframes_{number + 1}": sampler["keyframes"],
            }
        return make.graph.node("LTX2DFRJoin", keyframes=stage["keyframes"], **joined)


def _full_model(make: Pipeline, clip: Node, guides: Output | None) -> None:
    """Guidance, sampling, decoding and saving of the full model's only stage."""
    positive, negative = make.text(), make.text(NEGATIVE_25, "Negative prompt")
    with make.graph.group("Guidance"):
        sigmas = make.graph.node("LTX2Scheduler", steps=30)["sigmas"]
        guider = make.guider(positive, negative=negative, **make.guidance("LTX-2.5"))
    with make.graph.group("Sampling and decoding"):
        result = make.stage("Sampling", guider, sigmas, **make.latents(clip), guides=guides)
        images, sound = make.pictures(result["video_latent"]), make.sound(result["audio_latent"])
    make.save(images, sound, clip["frame_rate"], make.graph.name)


def split_pipeline(
    name: str,
    title: str,
    transformer: str,
    advice: str,
    files: tuple[str, ...] = (),
    lora: str = "none",
    with_encoder: bool = True,
) -> Pipeline:
    """A new graph with its note and the loaders of the split files; a graph without prompts needs no text encoder."""
    graph = Graph(name)
    encoders = (ENCODER,) if with_encoder else ()
    listed = (transformer, *encoders, VIDEO_VAE, AUDIO_VAE, *files)
    graph.note(title, note(NOTE, listed, advice))
    with graph.group("Models"):
        loader = graph.node("LTX2CheckpointLoader", "Transformer", checkpoint=transformer, lora=lora)
        video = graph.node("LTX2ComponentLoader", "Video VAE", file=VIDEO_VAE)
        audio = graph.node("LTX2ComponentLoader", "Audio VAE and vocoder", file=AUDIO_VAE)
        encoder = None
        if with_encoder:
            projection = loader["text_projection"]
            encoder = graph.node("LTX2TextEncoderLoader", text_encoder=ENCODER, text_projection=projection)
    models = {
        "model": loader["model"],
        "video_vae": video["video_vae"],
        "audio_vae": audio["audio_vae"],
        "vocoder": audio["vocoder"],
    }
    return Pipeline(graph, models, encoder)


GRAPHS = [text_to_video(), image_to_video(), two_stage_distilled(), dfr()]
