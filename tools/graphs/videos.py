"""Graphs that start from an existing video: control, retake, paint, extend, dub, upscale (spec 07 §3, §5)."""

from __future__ import annotations

from tools.graphs.graph import Graph, Node, Output
from tools.graphs.parts import DISTILLED, FULL_2_0, SPATIAL_UPSCALER, STAGE_2, TEMPORAL_UPSCALER, Pipeline, pipeline

UNION_LORA = "ltx-2.3-22b-ic-lora-union-control-ref0.5.safetensors"
DETAILER_LORA = "ltx-2-19b-ic-lora-detailer.safetensors"
INPAINT_LORA = "ltx-2.3-22b-ic-lora-in-outpainting-0.9.safetensors"
COLOUR_LORA = "ltx-2.3-22b-ic-lora-colorization-0.9.safetensors"
PIXEL_LORA = "ltx-2.3-22b-ic-lora-pixel-spatial-upscaler-x2-0.9.safetensors"
DUB_LORA = "ltx-2.3-22b-ic-lora-lipdub-0.9.safetensors"
SOURCE = "- **Video**: any size and length; it is cut to multiples of 32 pixels and 8k + 1 frames."


def ic_lora() -> Graph:
    """A control video decides the picture in stage 1; stage 2 runs without the LoRA."""
    advice = (
        "- **Control video**: edges, depth, pose ... as the LoRA wants it. Other LoRAs (ingredients, motion track) are "
        "the same graph with another input; for those that change a video see 'video-to-video'.\n"
        "- The size of the reference is read from the LoRA file."
    )
    make = pipeline("ic-lora", "Video to video with an IC-LoRA", DISTILLED, advice, (UNION_LORA, SPATIAL_UPSCALER))
    model = make.lora(UNION_LORA, 1.0, "IC-LoRA, stage 1")
    upscaler = make.upscaler()
    positive = make.text()
    with make.graph.group("Control video"):
        video = make.graph.node("LoadVideo", "Control video", file="source.mp4")
        parts = make.graph.node("GetVideoComponents", video=video["VIDEO"])
        clip = make.clip(frame_rate=parts["fps"])
    with make.graph.group("Stage 1"):
        guides = make.reference(parts["images"], model, clip["video_latent"])
        first = make.stage(
            "Stage 1",
            make.guider(positive),
            make.distilled_sigmas(),
            model=model,
            **make.latents(clip),
            guides=guides,
        )
    with make.graph.group("Stage 2"):
        second = make.stage(
            "Stage 2",
            make.guider(positive, "Guider of stage 2"),
            make.distilled_sigmas(STAGE_2),
            video=make.upscale(first["video_latent"], upscaler)["video_latent"],
            audio=make.switchable_sound(first),
            seed=11,
        )
        images, sound = make.pictures(second["video_latent"]), make.sound(second["audio_latent"])
    make.save(images, sound, clip["frame_rate"], make.graph.name)
    return make.graph


def video_to_video() -> Graph:
    """A whole video in another look; its sound stays."""
    advice = (
        "- **LoRA**: colourise, deblur, decompression, day to night, shave ...: the prompt begins with the LoRA's "
        "trigger word.\n- **Width, height**: the shape of the video, multiples of 32."
    )
    title = "Change a video with an IC-LoRA"
    return _changed_video("video-to-video", title, COLOUR_LORA, "IC-LoRA, colourise", (960, 544), advice)


def pixel_upscale() -> Graph:
    """A small video becomes large and sharp; its sound stays."""
    advice = (
        "- **Width, height**: of the result, as many times the video as the LoRA says (x2, x4); multiples of 64 (x2) "
        "or 128 (x4).\n- A milder effect: lower the strength of the LoRA, or type sigmas without the first ones."
    )
    title = "Enlarge a video with the pixel upscaler"
    return _changed_video("pixel-upscale", title, PIXEL_LORA, "IC-LoRA, pixel upscaler", (1920, 1088), advice)


def _changed_video(name: str, title: str, lora: str, lora_title: str, size: tuple[int, int], advice: str) -> Graph:
    """One stage of the distilled model beside a reference, the given sound frozen."""
    make = pipeline(name, title, DISTILLED, advice, (lora,))
    model = make.lora(lora, 1.0, lora_title)
    positive = make.text("", "Prompt (may stay empty)")
    with make.graph.group("Video"):
        source = make.source()
        clip = make.clip(width=size[0], height=size[1], length=source["length"], frame_rate=source["frame_rate"])
        frozen = make.frozen(make.encoded_sound(source["audio"], fit_to=clip["video_latent"]), "Keep the sound")
        guides = make.reference(source["images"], model, clip["video_latent"], tile_size=512)
    with make.graph.group("Sampling and decoding"):
        sigmas, video = make.distilled_sigmas(), clip["video_latent"]
        result = make.stage(
            "Sampling", make.guider(positive), sigmas, model=model, video=video, audio=frozen, guides=guides
        )
        images = make.pictures(result["video_latent"])
    make.save(images, source["audio"], source["frame_rate"], make.graph.name)
    return make.graph


def video_to_audio() -> Graph:
    """The picture is given and stays; sound is made for it."""
    make = pipeline("video-to-audio", "Video to sound", DISTILLED, SOURCE + " Its own sound is replaced.")
    positive = make.text()
    with make.graph.group("Video"):
        source = make.source()
        latent, _ = make.encoded(source, sound=False)
        frozen = make.frozen(latent)
        clip = make.clip_like(source)
    with make.graph.group("Sampling and decoding"):
        result = make.stage(
            "Sampling", make.guider(positive), make.distilled_sigmas(), video=frozen, audio=clip["audio_latent"]
        )
        sound = make.sound(result["audio_latent"])
    make.save(source["images"], sound, source["frame_rate"], make.graph.name)
    return make.graph


def retake() -> Graph:
    """A time window of picture and sound is made anew."""
    advice = (
        SOURCE + "\n- **Region**: start and end in seconds; **ramp** softens its edges.\n"
        "- The new part is laid over the source, so that every other frame is the source's own."
    )
    make = pipeline("retake", "Retake a part of a video", DISTILLED, advice)
    positive = make.text()
    with make.graph.group("Video"):
        source = make.source()
        video, audio = make.encoded(source)
        region = make.graph.node(
            "LTX2RetakeRegion", video_latent=video, audio_latent=audio, start_time=1.0, end_time=3.0
        )
    _fill(make, positive, region["video_latent"], region["audio_latent"], region, source["images"], source)
    return make.graph


def extend() -> Graph:
    """The clip goes on, forwards or backwards."""
    advice = SOURCE + "\n- **frames_before**, **frames_after**: how much to add; all frames together are 8k + 1."
    make = pipeline("extend", "Extend a video", DISTILLED, advice)
    positive = make.text()
    with make.graph.group("Video"):
        source = make.source()
        longer = make.graph.node(
            "LTX2ExtendClip",
            images=source["images"],
            audio=source["audio"],
            frame_rate=source["frame_rate"],
            frames_after=48,
        )
        video, audio = make.encoded(longer)
        region = make.graph.node(
            "LTX2RetakeRegion",
            video_latent=video,
            audio_latent=audio,
            start_time=longer["start_time"],
            end_time=longer["end_time"],
            generate="outside",
        )
    _fill(make, positive, region["video_latent"], region["audio_latent"], region, longer["images"], source)
    return make.graph


def inpaint() -> Graph:
    """A masked part of the picture is made anew; the sound stays."""
    advice = SOURCE + "\n- **Mask**: red where the picture is to be new; one picture for the whole clip."
    make = pipeline("inpaint", "Paint in a video", DISTILLED, advice)
    positive = make.text()
    with make.graph.group("Video"):
        source = make.source()
        video, audio = make.encoded(source)
        mask = _mask(make)
        region = make.graph.node("LTX2InpaintRegion", video_latent=video, mask=mask)
        frozen = make.frozen(audio, "Keep the sound")
    _fill(make, positive, region["video_latent"], frozen, region, source["images"], source)
    return make.graph


def outpaint() -> Graph:
    """The picture grows at its sides; the sound stays."""
    advice = SOURCE + "\n- **left, right, top, bottom**: pixels to add, multiples of 32."
    make = pipeline("outpaint", "Widen a video", DISTILLED, advice)
    positive = make.text()
    with make.graph.group("Video"):
        source = make.source()
        padded = make.graph.node("ImagePadForOutpaint", image=source["images"], left=128, right=128, feathering=0)
        video = make.encoded_pictures(padded["IMAGE"], source["frame_rate"])
        audio = make.encoded_sound(source["audio"], fit_to=video)
        region = make.graph.node("LTX2InpaintRegion", video_latent=video, mask=padded["MASK"])
        frozen = make.frozen(audio, "Keep the sound")
    _fill(make, positive, region["video_latent"], frozen, region, padded["IMAGE"], source)
    return make.graph


def inpaint_ic_lora() -> Graph:
    """The in-painting LoRA fills what is green in its reference; laid over the source; the sound stays."""
    advice = SOURCE + "\n- **Mask**: red where the picture is to be new. **Prompt**: may stay empty."
    make = pipeline("inpaint-ic-lora", "Paint in a video with its LoRA", DISTILLED, advice, (INPAINT_LORA,))
    model = make.lora(INPAINT_LORA, 1.0, "IC-LoRA, in-painting")
    positive = make.text("", "Prompt (may stay empty)")
    with make.graph.group("Video"):
        source = make.source(multiple=64)
        mask = _mask(make)
        filled = make.graph.node("LTX2InpaintFill", images=source["images"], mask=mask)
        clip = make.clip_like(source)
        audio = make.encoded_sound(source["audio"], fit_to=clip["video_latent"])
        frozen = make.frozen(audio, "Keep the sound")
    with make.graph.group("Sampling and decoding"):
        guides = make.reference(filled["images"], model, clip["video_latent"], tile_size=512)
        result = make.stage(
            "Sampling",
            make.guider(positive),
            make.distilled_sigmas(),
            model=model,
            video=clip["video_latent"],
            audio=frozen,
            guides=guides,
        )
        blended = _over(make, source["images"], make.pictures(result["video_latent"]), filled["mask"])
    make.save(blended, source["audio"], source["frame_rate"], make.graph.name)
    return make.graph


def lipdub() -> Graph:
    """New words with the same voice and the lips that fit; two stages, the LoRA in both."""
    advice = (
        "- **Video**: a person who speaks; its sound is the reference of the voice.\n- **Prompt**: the new words.\n"
        "- **Width, height**: the same shape as the video, multiples of 64; stage 2 doubles them."
    )
    make = pipeline("lipdub", "Dub a video with the same voice", DISTILLED, advice, (DUB_LORA, SPATIAL_UPSCALER))
    model = make.lora(DUB_LORA, 1.0, "IC-LoRA, both stages")
    upscaler = make.upscaler()
    positive = make.text()
    with make.graph.group("Video"):
        source = make.source()
        clip = make.clip(length=source["length"], frame_rate=source["frame_rate"])
        voice = make.encoded_sound(source["audio"], "Voice")
    with make.graph.group("Stage 1"):
        guides = make.reference(source["images"], model, clip["video_latent"])
        guides = make.graph.node("LTX2ReferenceAudioGuide", reference=voice, guides=guides)["guides"]
        first = make.stage(
            "Stage 1",
            make.guider(positive),
            make.distilled_sigmas(),
            model=model,
            **make.latents(clip),
            guides=guides,
        )
    with make.graph.group("Stage 2"):
        larger = make.upscale(first["video_latent"], upscaler)["video_latent"]
        guides = make.reference(source["images"], model, larger, tile_size=512)
        guides = make.graph.node("LTX2ReferenceAudioGuide", reference=first["audio_latent"], guides=guides)["guides"]
        second = make.stage(
            "Stage 2",
            make.guider(positive, "Guider of stage 2"),
            make.distilled_sigmas(STAGE_2),
            model=model,
            video=larger,
            audio=make.frozen(first["audio_latent"]),
            guides=guides,
            seed=11,
        )
        images, sound = make.pictures(second["video_latent"]), make.sound(first["audio_latent"])
    make.save(images, sound, source["frame_rate"], make.graph.name)
    return make.graph


def upscale_refine() -> Graph:
    """An existing video at twice the size, refined in three steps; its sound stays."""
    advice = SOURCE + "\n- **Upscaler**: x2, or x1.5 with that file."
    make = pipeline("upscale-refine", "Upscale a video", DISTILLED, advice, (SPATIAL_UPSCALER,))
    upscaler = make.upscaler()
    positive = make.text()
    with make.graph.group("Video"):
        source = make.source(multiple=64)
        video, audio = make.encoded(source)
        frozen = make.frozen(audio, "Keep the sound")
    with make.graph.group("Sampling and decoding"):
        larger = make.upscale(video, upscaler)["video_latent"]
        sigmas = make.distilled_sigmas(STAGE_2)
        result = make.stage("Refinement", make.guider(positive), sigmas, video=larger, audio=frozen)
        images = make.pictures(result["video_latent"])
    make.save(images, source["audio"], source["frame_rate"], make.graph.name)
    return make.graph


def temporal_upscale() -> Graph:
    """An existing video at twice the frame rate, refined in four steps; its sound stays."""
    make = pipeline("temporal-upscale", "Double the frame rate", DISTILLED, SOURCE, (TEMPORAL_UPSCALER,))
    upscaler = make.upscaler(TEMPORAL_UPSCALER)
    positive = make.text()
    with make.graph.group("Video"):
        source = make.source()
        video, _ = make.encoded(source, sound=False)
    with make.graph.group("Sampling and decoding"):
        smoother = make.upscale(video, upscaler)
        sigmas = make.distilled_sigmas("temporal upscale (4 steps)")
        result = make.stage("Refinement", make.guider(positive), sigmas, video=smoother["video_latent"])
        images = make.pictures(result["video_latent"])
    make.save(images, source["audio"], smoother["frame_rate"], make.graph.name)
    return make.graph


def detail() -> Graph:
    """An existing video with more detail: the detailer LoRA sees it while it is refined; its sound stays."""
    advice = SOURCE + " Enlarge it with width and height of 'LTX-2 Fit Video'.\n- **Sigmas**: fewer keep more of it."
    make = pipeline("detail", "Add detail to a video, LTX-2", FULL_2_0, advice, (DETAILER_LORA,))
    model = make.lora(DETAILER_LORA, 1.0, "IC-LoRA, detailer")
    positive = make.text("", "Prompt (may stay empty)")
    with make.graph.group("Video"):
        source = make.source(multiple=64)
        video, _ = make.encoded(source, sound=False)
        guides = make.reference(source["images"], model, video, tile_size=512)
    with make.graph.group("Sampling and decoding"):
        sigmas = make.distilled_sigmas(STAGE_2)
        result = make.stage("Refinement", make.guider(positive), sigmas, model=model, video=video, guides=guides)
        images = make.pictures(result["video_latent"])
    make.save(images, source["audio"], source["frame_rate"], make.graph.name)
    return make.graph


def _mask(make: Pipeline) -> Output:
    """A picture's red channel."""
    return make.graph.node("LoadImageMask", image="example.png", channel="red")["MASK"]


def _fill(
    make: Pipeline, positive: Output, video: Output, audio: Output, region: Node, given: Output, source: Node
) -> None:
    """Sample what the masks leave open and lay it over the given frames."""
    with make.graph.group("Sampling and decoding"):
        result = make.stage("Sampling", make.guider(positive), make.distilled_sigmas(), video=video, audio=audio)
        images, sound = make.pictures(result["video_latent"]), make.sound(result["audio_latent"])
        blended = _over(make, given, images, region["blend_mask"])
    make.save(blended, sound, source["frame_rate"], make.graph.name)


def _over(make: Pipeline, given: Output, images: Output, mask: Output) -> Output:
    """The new pictures over the given ones, where the mask is white."""
    layers = {"destination": given, "source": images, "mask": mask, "x": 0, "y": 0, "resize_source": False}
    return make.graph.node("ImageCompositeMasked", "Lay it over the source", **layers)["IMAGE"]


GRAPHS = [
    ic_lora(),
    video_to_video(),
    pixel_upscale(),
    video_to_audio(),
    retake(),
    extend(),
    inpaint(),
    outpaint(),
    inpaint_ic_lora(),
    lipdub(),
    upscale_refine(),
    temporal_upscale(),
    detail(),
]
