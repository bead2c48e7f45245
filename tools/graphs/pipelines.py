"""Graphs that make something new: from images, from sound, in one stage and in two (spec 07 §3.1 to 3.4, 3.6, 3.7)."""

from __future__ import annotations

from collections.abc import Callable

from tools.graphs.graph import Graph, Node, Output
from tools.graphs.parts import (
    DISTILLED,
    DISTILLED_LORA,
    FULL,
    SPATIAL_UPSCALER,
    STAGE_2,
    Pipeline,
    pipeline,
)

SIZES = (
    "- **Width, height** of the first stage: multiples of 32; the result is twice that.\n"
    "- **Sound**: 'Keep the sound of stage 1?' on keeps it as stage 1 made it, off lets stage 2 refine it."
)
TWO_STAGE_FILES = (DISTILLED_LORA, SPATIAL_UPSCALER)


def image_to_video() -> Graph:
    """The first frame is given; full model, one stage."""
    advice = (
        "- **Image**: any size; its centre is cut out. **strength** below 1 (0.7) gives more motion.\n"
        "- **crf** makes the picture look like a video frame; -1 is what the model was trained with."
    )
    make = pipeline("image-to-video", "Image to video with sound", FULL, advice)
    positive, negative = make.text(), make.negative()
    with make.graph.group("Clip"):
        clip = make.clip()
        sigmas = make.graph.node("LTX2Scheduler", steps=30)["sigmas"]
        picture = make.graph.node("LoadImage", "First frame", image="example.png")["IMAGE"]
        guides = make.image(picture, clip["video_latent"])
    with make.graph.group("Guidance"):
        guider = make.guider(positive, negative=negative, **make.guidance())
    with make.graph.group("Sampling and decoding"):
        result = make.stage("Sampling", guider, sigmas, **make.latents(clip), guides=guides)
        images, sound = make.pictures(result["video_latent"]), make.sound(result["audio_latent"])
    make.save(images, sound, clip["frame_rate"], make.graph.name)
    return make.graph


def first_last_frame() -> Graph:
    """First and last frame are given; distilled model, one stage."""
    advice = "- **Images**: what the clip starts and ends with; **frame_index** -1 is the last frame of any length."
    make = pipeline("first-last-frame", "First and last frame to video", DISTILLED, advice)
    positive = make.text()
    with make.graph.group("Clip"):
        clip = make.clip()
        first = make.graph.node("LoadImage", "First frame", image="example.png")["IMAGE"]
        last = make.graph.node("LoadImage", "Last frame", image="example.png")["IMAGE"]
        guides = make.image(first, clip["video_latent"])
        guides = make.image(last, clip["video_latent"], guides, frame_index=-1)
    with make.graph.group("Sampling and decoding"):
        result = make.stage(
            "Sampling", make.guider(positive), make.distilled_sigmas(), **make.latents(clip), guides=guides
        )
        images, sound = make.pictures(result["video_latent"]), make.sound(result["audio_latent"])
    make.save(images, sound, clip["frame_rate"], make.graph.name)
    return make.graph


def keyframe_interpolation() -> Graph:
    """Three pictures on the way, all beside the clip; full model, two stages."""
    advice = "- **Images**: the clip passes through them; add more by chaining 'LTX-2 Image Guide'.\n" + SIZES
    make = pipeline("keyframe-interpolation", "Keyframes to video", FULL, advice, TWO_STAGE_FILES)
    frames = (0, 60, -1)

    def guides(latent: Output, pictures: list[Output]) -> Output:
        chain = None
        for picture, frame in zip(pictures, frames, strict=True):
            chain = make.image(picture, latent, chain, frame_index=frame, as_keyframe=True)
        return chain

    return _two_stages(make, images=len(frames), guides=guides)


def two_stage() -> Graph:
    """Half size with guidance, then twice the size with the distilled LoRA; the first frame given to both stages."""
    advice = "- **Image**: bypass both 'LTX-2 Image Guide' nodes (Ctrl+B) for text to video.\n" + SIZES
    make = pipeline("two-stage", "Image to video in two stages", FULL, advice, TWO_STAGE_FILES)
    return _two_stages(make, images=1, guides=lambda latent, pictures: make.image(pictures[0], latent))


def two_stage_hq() -> Graph:
    """The second-order sampler in both stages, the distilled LoRA weaker in the first than in the second."""
    advice = SIZES + "\n- **Schedule**: 15 steps for the size of the latent. Default 960 x 544, in the end 1920 x 1088."
    make = pipeline("two-stage-hq", "Text to video in high quality", FULL, advice, TWO_STAGE_FILES)
    stage_1 = make.lora(DISTILLED_LORA, 0.25, "Distilled LoRA, stage 1")
    stage_2 = make.lora(DISTILLED_LORA, 0.5, "Distilled LoRA, stage 2")
    upscaler = make.upscaler()
    positive, negative = make.text(), make.negative()
    with make.graph.group("Clip"):
        clip = make.clip(width=960, height=544)
        sigmas = make.graph.node("LTX2Scheduler", steps=15, latent=clip["video_latent"])["sigmas"]
    with make.graph.group("Guidance"):
        guider = make.guider(positive, negative=negative, **make.guidance("LTX-2.3 HQ"))
    with make.graph.group("Stage 1"):
        first = make.stage("Stage 1", guider, sigmas, model=stage_1, **make.latents(clip), solver="res_2s")
    _second_stage(make, first, positive, stage_2, upscaler, clip["frame_rate"], solver="res_2s")
    return make.graph


def two_stage_distilled() -> Graph:
    """The distilled model in both stages."""
    make = pipeline("two-stage-distilled", "Text to video in two fast stages", DISTILLED, SIZES, (SPATIAL_UPSCALER,))
    upscaler = make.upscaler()
    positive = make.text()
    with make.graph.group("Stage 1"):
        clip = make.clip()
        first = make.stage("Stage 1", make.guider(positive), make.distilled_sigmas(), **make.latents(clip))
    _second_stage(make, first, positive, make.loader["model"], upscaler, clip["frame_rate"])
    return make.graph


def image_to_video_distilled() -> Graph:
    """The distilled model in both stages, the first frame given to both."""
    advice = "- **strength** of the first stage below 1 (0.7) gives more motion.\n" + SIZES
    title = "Image to video in two fast stages"
    make = pipeline("image-to-video-distilled", title, DISTILLED, advice, (SPATIAL_UPSCALER,))
    upscaler = make.upscaler()
    positive = make.text()
    with make.graph.group("Stage 1"):
        clip = make.clip()
        picture = make.graph.node("LoadImage", "First frame", image="example.png")["IMAGE"]
        guides = make.image(picture, clip["video_latent"])
        sigmas = make.distilled_sigmas()
        first = make.stage("Stage 1", make.guider(positive), sigmas, **make.latents(clip), guides=guides)
    _second_stage(
        make,
        first,
        positive,
        make.loader["model"],
        upscaler,
        clip["frame_rate"],
        guides=lambda latent: make.image(picture, latent),
    )
    return make.graph


def audio_to_video() -> Graph:
    """The sound is given and stays; the picture follows it; full model, two stages."""
    return _sound_to_video("audio-to-video", "Sound to video", with_picture=False)


def image_and_audio_to_video() -> Graph:
    """As sound to video, from a given first frame on: a portrait speaks or sings."""
    return _sound_to_video("image-and-audio-to-video", "Image and sound to video", with_picture=True)


def _sound_to_video(name: str, title: str, with_picture: bool) -> Graph:
    advice = (
        "- **Sound**: cut, or padded with silence, to the clip; the file's own sound goes into the result.\n"
        "- **Width, height** of the first stage: multiples of 32; the result is twice that."
    )
    make = pipeline(name, title, FULL, advice, TWO_STAGE_FILES)
    stage_2 = make.lora(DISTILLED_LORA, 1.0, "Distilled LoRA, stage 2")
    upscaler = make.upscaler()
    positive, negative = make.text(), make.negative()
    with make.graph.group("Clip and sound"):
        clip = make.clip()
        sigmas = make.graph.node("LTX2Scheduler", steps=30)["sigmas"]
        given = make.graph.node("LoadAudio", audio="sound.wav")["AUDIO"]
        encoded = make.encoded_sound(given, fit_to=clip["video_latent"])
        frozen = make.frozen(encoded)
        picture = make.graph.node("LoadImage", "First frame", image="example.png")["IMAGE"] if with_picture else None

    def guides(latent: Output) -> Output | None:
        return None if picture is None else make.image(picture, latent)

    with make.graph.group("Guidance"):
        guider = make.guider(positive, negative=negative, **make.guidance(sound=False))
    with make.graph.group("Stage 1"):
        start = clip["video_latent"]
        first = make.stage("Stage 1", guider, sigmas, video=start, audio=frozen, guides=guides(start))
    with make.graph.group("Stage 2"):
        larger = make.upscale(first["video_latent"], upscaler)["video_latent"]
        second = make.stage(
            "Stage 2",
            make.guider(positive, "Guider of stage 2"),
            make.distilled_sigmas(STAGE_2),
            model=stage_2,
            video=larger,
            audio=frozen,
            guides=guides(larger),
            seed=11,
        )
        images = make.pictures(second["video_latent"])
    make.save(images, given, clip["frame_rate"], make.graph.name)
    return make.graph


def text_to_audio() -> Graph:
    """Sound alone; full model."""
    advice = "- **Length** and **frame_rate** only set how long the sound is: 121 frames at 24 are 5 seconds."
    make = pipeline("text-to-audio", "Text to sound", FULL, advice)
    positive, negative = make.text(), make.negative()
    with make.graph.group("Length and guidance"):
        clip = make.clip(width=512, height=512)
        sigmas = make.graph.node("LTX2Scheduler", steps=30)["sigmas"]
        guidance = make.graph.node(
            "LTX2GuidanceParameters", "Guidance of the sound", preset="custom", cfg=7.0, modality_scale=1.0
        )
        guider = make.guider(positive, negative=negative, audio_guidance=guidance["guidance"])
    with make.graph.group("Sampling and decoding"):
        result = make.stage("Sampling", guider, sigmas, audio=clip["audio_latent"])
        sound = make.sound(result["audio_latent"])
    with make.graph.group("Sound file"):
        make.graph.node("SaveAudio", audio=sound, filename_prefix="audio/text-to-audio")
    return make.graph


def _two_stages(make: Pipeline, images: int, guides: Callable[[Output, list[Output]], Output]) -> Graph:
    """The recipe of the full model; ``guides(latent, pictures)`` adds the pictures for the size of a stage."""
    stage_2 = make.lora(DISTILLED_LORA, 1.0, "Distilled LoRA, stage 2")
    upscaler = make.upscaler()
    positive, negative = make.text(), make.negative()
    with make.graph.group("Clip and images"):
        clip = make.clip()
        sigmas = make.graph.node("LTX2Scheduler", steps=30)["sigmas"]
        pictures = [
            make.graph.node("LoadImage", f"Image {index + 1}", image="example.png")["IMAGE"] for index in range(images)
        ]
    with make.graph.group("Guidance"):
        guider = make.guider(positive, negative=negative, **make.guidance())
    with make.graph.group("Stage 1"):
        first = make.stage(
            "Stage 1", guider, sigmas, **make.latents(clip), guides=guides(clip["video_latent"], pictures)
        )
    _second_stage(
        make,
        first,
        positive,
        stage_2,
        upscaler,
        clip["frame_rate"],
        guides=lambda latent: guides(latent, pictures),
    )
    return make.graph


def _second_stage(
    make: Pipeline,
    first: Node,
    positive: Output,
    model: Output,
    upscaler: Output,
    fps: Output,
    guides: Callable[[Output], Output | None] = lambda latent: None,
    solver: str = "euler",
) -> None:
    with make.graph.group("Stage 2"):
        larger = make.upscale(first["video_latent"], upscaler)["video_latent"]
        second = make.stage(
            "Stage 2",
            make.guider(positive, "Guider of stage 2"),
            make.distilled_sigmas(STAGE_2),
            model=model,
            video=larger,
            audio=make.switchable_sound(first),
            guides=guides(larger),
            seed=11,
            solver=solver,
        )
        images, sound = make.pictures(second["video_latent"]), make.sound(second["audio_latent"])
    make.save(images, sound, fps, make.graph.name)


GRAPHS = [
    image_to_video(),
    first_last_frame(),
    keyframe_interpolation(),
    two_stage(),
    two_stage_hq(),
    two_stage_distilled(),
    image_to_video_distilled(),
    audio_to_video(),
    image_and_audio_to_video(),
    text_to_audio(),
]
