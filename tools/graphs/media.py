"""Graphs around the model: files, HDR, prompt enhancement, guidance over time, long clips, motion tracks."""

from __future__ import annotations

from tools.graphs.graph import Graph, Node, Output
from tools.graphs.parts import DISTILLED, FULL, SPATIAL_UPSCALER, STAGE_2, Pipeline, pipeline
from tools.graphs.prompts import PROMPTS, SEGMENTS, SHOTS

HDR_LORA = "ltx-2.3-22b-ic-lora-hdr-0.9.safetensors"
TRACK_LORA = "ltx-2.3-22b-ic-lora-motion-track-control-ref0.5.safetensors"
SHOTS_ADVICE = (
    "- **Prompt**: first what is said of all shots, then a line for each: '0-2s: ...', '2-5s: ...'. Picture and sound "
    "of a shot read its text alone.\n"
    "- **border**: seconds in which one text goes over into the next. 0 is a cut, 0.5 to 1 a change within one scene.\n"
    "- **Shots** of 2 s or more work best. For clips longer than the model's, window by window: `long-video`."
)
TRACKS = "120,260 300,180 480,260 660,340\n640,120\n"


def save_video() -> Graph:
    """Text to video, written while it is decoded."""
    advice = (
        "- **LTX-2 Save Video** decodes and writes chunk by chunk: a minute of 1080p needs the memory of one chunk. "
        "The file holds this graph; drop it on ComfyUI to get it back.\n"
        "- **crf**: 19 is visually lossless; 0 lossless."
    )
    make = pipeline("save-video", "Text to a video file, chunk by chunk", DISTILLED, advice)
    positive = make.text()
    _sample_and_save(make, "Sampling", positive)
    return make.graph


def refine_file() -> Graph:
    """An existing video file, however long, read, refined in tiles and written chunk by chunk."""
    advice = (
        "- **File**: any video of the input folder. Its sound stays as it is.\n"
        "- **Tiles** let the model work on pictures larger than it was made for; **windows** do the same for length.\n"
        "- Schedule 'stage 2' changes details only; a larger part of 'stage 1' changes more."
    )
    make = pipeline("refine-video-file", "Refine a video file of any size", DISTILLED, advice)
    positive = make.text()
    with make.graph.group("Video file"):
        source = _file(make, width=1920, height=1088, frame_rate=24.0)
        frozen = make.frozen(source["audio_latent"])
        windows = make.graph.node("LTX2ContextWindows", window_length=121, overlap=24)
        tiles = make.graph.node("LTX2SpatialTiles", columns=2, rows=1, overlap=192, windows=windows["windows"])
    with make.graph.group("Sampling"):
        result = make.stage(
            "Refining",
            make.guider(positive),
            make.distilled_sigmas(STAGE_2),
            video=source["video_latent"],
            audio=frozen,
            windows=tiles["windows"],
        )
    _save(make, result["video_latent"], source["audio"])
    return make.graph


def hdr() -> Graph:
    """SDR video to linear HDR: two stages with the reference in both, the second one in tiles."""
    advice = (
        "- **Video**: mirrored at the right and the bottom up to multiples of 64, cut back at the end. Set both sizes: "
        "full, and half.\n"
        "- **EXR files**: linear light in Rec.709, 1 is white, highlights reach 55; **exposure** is the preview's.\n"
        "- More than 161 frames: add 'LTX-2 Context Windows'. **High quality**: twice the rate in both readers, and "
        "**keep_every** 2."
    )
    files = (HDR_LORA, SPATIAL_UPSCALER)
    make = pipeline("hdr", "SDR video to HDR (EXR sequence)", DISTILLED, advice, files)
    model = make.lora(HDR_LORA, 1.0, "HDR LoRA, both stages")
    upscaler = make.upscaler()
    positive = make.text()
    with make.graph.group("SDR video"):
        full = _file(make, "Full size", width=1920, height=1088, fit="pad", sound=False)
        half = _file(make, "Half size", width=960, height=544, fit="pad", sound=False)
        clip = make.clip(width=960, height=544, length=half["length"], frame_rate=half["frame_rate"])
    with make.graph.group("Stage 1"):
        first = make.stage(
            "Stage 1",
            make.guider(positive),
            make.distilled_sigmas(),
            model=model,
            video=clip["video_latent"],
            guides=_reference(make, half, model, clip["video_latent"]),
        )
    with make.graph.group("Stage 2"):
        larger = make.upscale(first["video_latent"], upscaler)["video_latent"]
        second = make.stage(
            "Stage 2",
            make.guider(positive, "Guider of stage 2"),
            make.distilled_sigmas("HDR stage 2 (2 steps)"),
            model=model,
            video=larger,
            guides=_reference(make, full, model, larger),
            seed=11,
        )
        tiles = make.graph.node("LTX2SpatialTiles", columns=2, rows=2, overlap=192)
        second.inputs["windows"] = tiles["windows"]
    with make.graph.group("HDR and preview"):
        make.graph.node(
            "LTX2SaveHDR",
            video_latent=second["video_latent"],
            video_vae=make.loader["video_vae"],
            crop_width=full["width"],
            crop_height=full["height"],
            audio=full["audio"],
        )
    return make.graph


def prompt_enhancement() -> Graph:
    """A few words become a full prompt, which is shown, encoded, kept and used."""
    advice = (
        "- The **enhanced prompt** is shown in the preview; another seed gives another text.\n"
        "- Connect a picture to **image** and the text describes what changes from that first frame on.\n"
        "- **Save Context** keeps the encoded prompt in output/contexts; 'LTX-2 Load Context' uses it without Gemma."
    )
    make = pipeline("prompt-enhancement", "A short prompt, written out by Gemma", DISTILLED, advice)
    with make.graph.group("Prompt"):
        enhanced = make.graph.node(
            "LTX2EnhancePrompt",
            text_encoder=make.encoder["text_encoder"],
            prompt=PROMPTS["prompt-enhancement"],
            seed=42,
        )
        make.graph.node("PreviewAny", "Enhanced prompt", source=enhanced["prompt"])
        encoded = make.graph.node(
            "LTX2TextEncode", text_encoder=make.encoder["text_encoder"], prompt=enhanced["prompt"]
        )
        make.graph.node("LTX2SaveContext", context=encoded["context"])
    _sample_and_save(make, "Sampling", encoded["context"])
    return make.graph


def guidance_over_time() -> Graph:
    """Full model, guided strongly while the composition forms and not at all at the end."""
    advice = (
        "- **sigmas** are the upper ends of the ranges; every list has one value for each range, or one for all.\n"
        "- The last range has cfg 1, STG 0 and modality 1: one pass per step instead of four.\n"
        "- **cfg_rule**: cfg_star is calmer at the start, apg keeps colours natural at high cfg.\n"
        "- **Step correction**: one factor per step for the sound; 1 leaves a step alone."
    )
    make = pipeline("guidance-over-time", "Guidance that changes with the noise", FULL, advice)
    positive, negative = make.text(), make.negative()
    with make.graph.group("Guidance"):
        video = make.graph.node("LTX2GuidanceSchedule", "Guidance of the picture", cfg_rule="cfg_star")
        audio = make.graph.node("LTX2GuidanceSchedule", "Guidance of the sound", cfg="7, 5, 1")
        guider = make.guider(
            positive, negative=negative, video_guidance=video["guidance"], audio_guidance=audio["guidance"]
        )
        correction = make.graph.node("LTX2StepCorrection", modality="audio", factors="1, 1, 1")
    with make.graph.group("Sampling"):
        clip = make.clip()
        sigmas = make.graph.node("LTX2Scheduler", steps=30)["sigmas"]
        result = make.stage("Sampling", guider, sigmas, **make.latents(clip), corrections=correction["corrections"])
        sound = make.sound(result["audio_latent"])
    _save(make, result["video_latent"], sound)
    return make.graph


def long_video() -> Graph:
    """A clip longer than the model's, window by window, with a prompt for each."""
    advice = (
        "- **Length**: any 8k + 1; here 13 s in windows of 5 s that share one second.\n"
        "- **Segment prompts**: one per window, separated by lines of ---; the last one serves all further windows.\n"
        "- **overlap_strength** below 1 eases changes; **drift_control** holds colours and contrast."
    )
    make = pipeline("long-video", "A long video with a prompt per segment", DISTILLED, advice)
    with make.graph.group("Prompt"):
        segments = make.graph.node(
            "LTX2SegmentPrompts", text_encoder=make.encoder["text_encoder"], prompts="\n---\n".join(SEGMENTS)
        )
    positive = make.text(SEGMENTS[0], "Prompt without segments")
    with make.graph.group("Clip"):
        clip = make.clip(length=313)
        windows = make.graph.node(
            "LTX2ContextWindows", window_length=121, overlap=24, drift_control=0.2, segments=segments["segments"]
        )
    _sample_and_save(make, "Sampling", positive, clip, windows=windows["windows"])
    return make.graph


def several_shots() -> Graph:
    """One clip, a prompt for each of its shots."""
    make = pipeline("several-shots", "Several shots in one clip", DISTILLED, SHOTS_ADVICE)
    positive = timed_text(make, f"Style: cinematic-realistic. {SHOTS}")
    _sample_and_save(make, "Sampling", positive)
    return make.graph


def timed_text(make: Pipeline, prompt: str) -> Output:
    """A prompt with times, for cuts."""
    with make.graph.group("Prompt"):
        return make.graph.node(
            "LTX2TimedPrompt",
            "Prompt with times",
            text_encoder=make.encoder["text_encoder"],
            prompt=prompt,
            frame_rate=24.0,
            border=0.0,
        )["context"]


def motion_tracks() -> Graph:
    """The paths of a few points decide how a picture moves."""
    advice = (
        "- **Tracks**: one per line, points x,y in pixels of the clip; a single point holds its place.\n"
        "- **Image**: the first frame, which the tracks are drawn for."
    )
    make = pipeline("motion-tracks", "A picture moved along drawn tracks", DISTILLED, advice, (TRACK_LORA,))
    model = make.lora(TRACK_LORA, 1.0, "IC-LoRA, motion track")
    positive = make.text()
    with make.graph.group("Picture and tracks"):
        clip = make.clip()
        image = make.graph.node("LoadImage", image="source.png")
        tracks = make.graph.node("LTX2DrawTracks", tracks=TRACKS, width=768, height=512, length=121)
        guides = make.reference(tracks["images"], model, clip["video_latent"])
        guides = make.image(image["IMAGE"], clip["video_latent"], guides)
    _sample_and_save(make, "Sampling", positive, clip, model=model, guides=guides)
    return make.graph


def _file(make: Pipeline, title: str | None = None, sound: bool = True, **inputs: int | float | str) -> Node:
    wires = {"audio_vae": make.loader["audio_vae"]} if sound else {}
    return make.graph.node(
        "LTX2EncodeVideoFile", title, file="source.mp4", video_vae=make.loader["video_vae"], **inputs, **wires
    )


def _reference(make: Pipeline, source: Node, model: Output, latent: Output) -> Output:
    return make.graph.node(
        "LTX2ReferenceLatentGuide", reference=source["video_latent"], model=model, video_latent=latent
    )["guides"]


def _sample_and_save(make: Pipeline, group: str, positive: Output, clip: Node | None = None, **wires: Output) -> None:
    """The only stage of the distilled model, and its file; a clip of the usual size when none is given."""
    with make.graph.group(group):
        clip = clip or make.clip()
        result = make.stage("Sampling", make.guider(positive), make.distilled_sigmas(), **make.latents(clip), **wires)
        sound = make.sound(result["audio_latent"])
    _save(make, result["video_latent"], sound)


def _save(make: Pipeline, video: Output, audio: Output) -> None:
    with make.graph.group("Video file"):
        make.graph.node(
            "LTX2SaveVideo",
            video_latent=video,
            video_vae=make.loader["video_vae"],
            audio=audio,
            filename_prefix=f"video/{make.graph.name}",
        )


GRAPHS = [
    save_video(),
    refine_file(),
    hdr(),
    prompt_enhancement(),
    guidance_over_time(),
    long_video(),
    several_shots(),
    motion_tracks(),
]
