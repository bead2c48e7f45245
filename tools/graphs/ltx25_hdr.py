"""Graphs of LTX-2.5 in high dynamic range: from a still, from an SDR film, and in-painting (spec 08 §3)."""

from __future__ import annotations

from tools.graphs.graph import Graph, Node, Output
from tools.graphs.ltx25 import DISTILLED, SPATIAL_UPSCALER, split_pipeline
from tools.graphs.parts import STAGE_2, Pipeline

HDR_LORA = "ltx-2.5-22b-ic-lora-sdr-to-hdr-1.0.safetensors"
SCENE_EMBEDDING = "ltx-2.5-22b-ic-lora-sdr-to-hdr-scene-emb.safetensors"
PAINTING_LORA = "ltx-2.3-22b-ic-lora-in-outpainting-0.9.safetensors"
DECODE_TILES = {"tile_size": 512, "tile_overlap": 64, "temporal_size": 128, "temporal_overlap": 32}
PAINTING_STAGE_2 = "0.725, 0.421875, 0"
SEED, PAINTING_SEED = 42, 43

STILL = (
    "The shot opens exactly on the given picture, a wide shot seen from eye level, and stays one continuous take in "
    "its light, from the deepest shadow to the brightest lamp. At first only small things are moving: leaves, cloth "
    "and hair stir in a light wind that is heard close by, and reflections tremble on what is wet or polished. The "
    "camera slowly dollies forward, without a jolt, so that what is near slides out of the frame on both sides. A "
    "bright highlight wanders over metal and glass as the viewpoint changes, flares once and becomes a point again, "
    "while the shadows beside it keep their color and their detail. Somewhere to the left a door opens with a soft "
    "creak, and a warm strip of light falls across the ground and lies there. Steps cross it unhurriedly, a long "
    "shadow glides along with them, and the strip narrows until the latch clicks. A distant engine hums past, its "
    "lamps brush over the walls from right to left and are gone. The dolly comes to rest. The wind falls asleep, one "
    "drop hits the ground with a clear tick, and the picture holds its last light in silence."
)


def precise(make: Pipeline) -> None:
    """The video VAE of a graph in float32, wherever the graph uses it from here on."""
    with make.graph.group("Models"):
        make.loader["video_vae"] = make.graph.node("LTX2Float32VAE", video_vae=make.loader["video_vae"])["video_vae"]


def save_latent(make: Pipeline, latent: Output, audio: Output, **inputs: float | Output) -> None:
    """The files of a clip in ACEScct code, as the published graphs write them."""
    with make.graph.group("HDR files"):
        make.graph.node(
            "LTX2SaveHDR",
            video_latent=latent,
            video_vae=make.loader["video_vae"],
            filename_prefix=f"hdr/{make.graph.name}",
            curve="ACEScct",
            **(DECODE_TILES | inputs),
            audio=audio,
            exr_space="acescg",
            hlg_master=True,
        )


def image_to_video() -> Graph:
    """An EXR still becomes a clip with sound, in two stages."""
    advice = (
        "- **Still**: an EXR file of linear light; choose in color_space which. Any size; its centre is cut out.\n"
        "- **Results**: EXR frames in ACEScg, an HLG master for HDR screens, a tone-mapped preview; all with sound.\n"
        "- **VAE in Float32** stands before everything that encodes or decodes; 16 bits show as bands."
    )
    title = "LTX-2.5: HDR still to HDR video"
    make = split_pipeline("ltx-2.5-hdr-image-to-video", title, DISTILLED, advice, (SPATIAL_UPSCALER,))
    precise(make)
    upscaler = make.upscaler(SPATIAL_UPSCALER)
    positive = make.text(STILL)
    with make.graph.group("Still and clip"):
        still = make.graph.node("LTX2LoadHDR", "HDR still", file="still.exr", length=1)["images"]
        clip = make.clip(width=960, height=544)
    with make.graph.group("Stage 1"):
        guider = make.guider(positive)
        first = make.stage(
            "Stage 1",
            guider,
            make.distilled_sigmas(),
            **make.latents(clip),
            guides=make.image(still, clip["video_latent"], crf=0),
            seed=SEED,
            solver="euler_ancestral",
        )
    with make.graph.group("Stage 2"):
        larger = make.upscale(first["video_latent"], upscaler)["video_latent"]
        second = make.stage(
            "Stage 2",
            guider,
            make.distilled_sigmas(STAGE_2),
            video=larger,
            audio=first["audio_latent"],
            guides=make.image(still, larger, crf=0),
            seed=SEED,
        )
    with make.graph.group("Sound"):
        sound = make.sound(second["audio_latent"])
    save_latent(make, second["video_latent"], sound)
    return make.graph


def sdr_to_hdr() -> Graph:
    """An SDR film becomes an HDR master, frame for frame, without a prompt."""
    advice = (
        "- **Video**: its picture is mirrored at the right and the bottom up to multiples of 64 and cut back at the "
        "end; it is read, encoded and written chunk by chunk. An HDR film works too.\n"
        "- **Scene embedding**: the LoRA's fixed text; no text encoder is needed.\n"
        "- **Rate**: above 30 frames per second the model is told 30; the files keep the film's rate and sound."
    )
    title = "LTX-2.5: SDR film to HDR master"
    files = (HDR_LORA, SCENE_EMBEDDING)
    make = split_pipeline("ltx-2.5-sdr-to-hdr", title, DISTILLED, advice, files, with_encoder=False)
    precise(make)
    model = make.lora(HDR_LORA, 1.0, "IC-LoRA, SDR to HDR")
    positive = scene(make)
    with make.graph.group("SDR film"):
        source = make.graph.node(
            "LTX2EncodeVideoFile",
            file="source.mp4",
            video_vae=make.loader["video_vae"],
            fit="pad",
            light="ACEScct",
        )
        rate = source["model_rate"]
        sound = make.graph.node("LTX2EmptyLatents", "Sound", length=source["length"], frame_rate=rate)["audio_latent"]
        guides = make.graph.node(
            "LTX2ReferenceLatentGuide",
            reference=source["video_latent"],
            model=model,
            video_latent=source["video_latent"],
        )["guides"]
    with make.graph.group("Sampling"):
        wires = {"model": model, "video": source["video_latent"], "audio": sound, "guides": guides}
        result = make.stage("Sampling", make.guider(positive), make.distilled_sigmas(), **wires, seed=SEED)
        result.inputs["frame_rate"] = rate
    size = {"crop_width": source["width"], "crop_height": source["height"]}
    save_latent(make, result["video_latent"], source["audio"], **size, frame_rate=source["frame_rate"])
    return make.graph


def scene(make: Pipeline) -> Output:
    """The fixed text of the SDR-to-HDR LoRA."""
    with make.graph.group("Prompt"):
        return make.graph.node("LTX2LoadContext", "Scene embedding", file=SCENE_EMBEDDING)["context"]


def inpaint() -> Graph:
    """The white part of a mask is filled in an HDR clip, in two stages."""
    advice = (
        "- **Clip**: a folder of EXR files, or an HDR film. **Width, height** in 'LTX-2 Load HDR': multiples of 64, "
        "about 1024 on the shorter side.\n"
        "- **Mask**: a video, or a picture; white is filled. As many frames as the clip.\n"
        "- **Prompt**: empty fills to match; otherwise what the filled part shows, as a scene and not as an order.\n"
        "- Green traces at edges: a higher **grow**, another seed, a mask without compression.\n"
        "- The LoRA was made for LTX-2.3, as published."
    )
    title = "LTX-2.5: in-painting in HDR"
    make = split_pipeline("ltx-2.5-hdr-inpaint", title, DISTILLED, advice, (PAINTING_LORA,))
    precise(make)
    model = make.lora(PAINTING_LORA, 1.0, "IC-LoRA, in-painting")
    positive = make.text("")
    with make.graph.group("Clip and mask"):
        clip = make.graph.node("LTX2LoadHDR", "HDR clip", file="shot", width=1792, height=1024)
        film = make.graph.node("LoadVideo", "Mask", file="mask.mp4")
        masks = make.graph.node(
            "ImageFromBatch",
            image=make.graph.node("GetVideoComponents", video=film["VIDEO"])["images"],
            batch_index=0,
            length=clip["length"],
        )
        mask = make.graph.node("ImageToMask", image=masks["IMAGE"], channel="red")["MASK"]
        rate = clip["frame_rate"]
        halved = make.graph.node("ImageScaleBy", image=clip["images"], upscale_method="area", scale_by=0.5)
        small = make.graph.node("LTX2FitVideo", images=halved["IMAGE"], frame_rate=rate, audio=clip["audio"])
    first, sound = _painting_stage_1(make, model, positive, small, mask)
    with make.graph.group("Stage 2"):
        large = make.graph.node("LTX2InpaintFill", "Mask of stage 2", images=clip["images"], mask=mask, grow=30)
        doubled = make.graph.node("ImageScaleBy", image=first, upscale_method="bicubic", scale_by=2.0)["IMAGE"]
        encoded = make.graph.node(
            "LTX2VideoVAEEncode",
            images=doubled,
            video_vae=make.loader["video_vae"],
            tile_size=512,
            tile_overlap=64,
            temporal_size=504,
            temporal_overlap=64,
            frame_rate=rate,
        )["video_latent"]
        second = make.stage(
            "Stage 2",
            make.guider(positive, "Guider of stage 2"),
            make.graph.node("LTX2DistilledSigmas", typed=PAINTING_STAGE_2)["sigmas"],
            model=model,
            video=encoded,
            audio=make.frozen(sound, "Sound of stage 2"),
            seed=SEED,
        )
        pictures = _blended(make, second, clip["images"], large["mask"], grow=6)
    with make.graph.group("HDR files"):
        make.graph.node(
            "LTX2SaveHDRPictures",
            images=pictures,
            frame_rate=rate,
            filename_prefix=f"hdr/{make.graph.name}",
            audio=clip["audio"],
        )
    return make.graph


def _painting_stage_1(
    make: Pipeline, model: Output, positive: Output, small: Node, mask: Output
) -> tuple[Output, Output]:
    """Blended pictures of half the size, and the latent of the sound."""
    with make.graph.group("Stage 1"):
        filled = make.graph.node("LTX2InpaintFill", "Green of stage 1", images=small["images"], mask=mask, grow=15)
        latents = make.clip_like(small)
        sound = make.encoded_sound(small["audio"], fit_to=latents["video_latent"])
        result = make.stage(
            "Stage 1",
            make.guider(positive),
            make.distilled_sigmas(),
            model=model,
            video=latents["video_latent"],
            audio=make.frozen(sound),
            guides=make.reference(filled["images"], model, latents["video_latent"]),
            seed=PAINTING_SEED,
            solver="euler_ancestral",
        )
        return _blended(make, result, small["images"], filled["mask"], grow=5), result["audio_latent"]


def _blended(make: Pipeline, stage: Node, source: Output, mask: Output, grow: int) -> Output:
    pictures = make.graph.node(
        "LTX2VideoVAEDecode",
        video_latent=stage["video_latent"],
        video_vae=make.loader["video_vae"],
        **DECODE_TILES,
    )["images"]
    return make.graph.node("LTX2PyramidBlend", images=pictures, source=source, mask=mask, grow=grow)["images"]


GRAPHS = [image_to_video(), sdr_to_hdr(), inpaint()]
