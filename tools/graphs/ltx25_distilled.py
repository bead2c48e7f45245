"""Distilled LTX-2.5 from text, pictures and sound: the official graphs that make something new (spec 08 §4, §5, §7)."""

from __future__ import annotations

from tools.graphs.graph import Graph, Node, Output
from tools.graphs.ltx25 import DISTILLED, SPATIAL_UPSCALER, split_pipeline
from tools.graphs.media import SHOTS_ADVICE, timed_text
from tools.graphs.parts import STAGE_2, Pipeline
from tools.graphs.prompts import SHOTS
from tools.graphs.prompts_25 import CAPTIONS, WORDS

SLOW_LORA = "ltx-2.5-22b-lora-slow-motion-control-1.0.safetensors"
ANCESTRAL = "euler_ancestral"
SEED = 42
WITHOUT = "Without a picture: bypass 'LTX-2 Image Guide' (Ctrl+B)"


def single_stage() -> Graph:
    """Text, and a first frame if there is one; eight steps."""
    advice = (
        f"- **Image**: any size; its centre is cut out. {WITHOUT}.\n"
        "- **strength** 0.7 leaves room for motion; 1 keeps the picture as it is.\n"
        "- **Length** from the prompt: 'LTX-2 Duration Predictor', as in `ltx-2.5-two-stage-distilled`."
    )
    name = "ltx-2.5-single-stage-distilled"
    make = split_pipeline(name, "LTX-2.5: text or image to video, one fast stage", DISTILLED, advice)
    positive = make.text(CAPTIONS[name])
    with make.graph.group("Clip and image"):
        clip = make.clip(width=960, height=544)
        guides = make.image(_picture(make, "First frame"), clip["video_latent"], strength=0.7)
    _only_stage(make, positive, clip, guides=guides)
    return make.graph


def image_to_video() -> Graph:
    """The first frame loosely in the first stage, exactly in the second."""
    advice = (
        "- **Image**: any size; its centre is cut out. Without a picture: bypass both 'LTX-2 Image Guide' (Ctrl+B).\n"
        "- **Width, height** of the first stage: multiples of 32; the result is twice that.\n"
        "- **strength** of the first stage: 0.7 leaves room for motion; of the second: 1."
    )
    name = "ltx-2.5-image-to-video-distilled"
    title = "LTX-2.5: text or image, two fast stages"
    make = split_pipeline(name, title, DISTILLED, advice, (SPATIAL_UPSCALER,))
    upscaler = make.upscaler(SPATIAL_UPSCALER)
    positive = make.text(CAPTIONS[name])
    with make.graph.group("Clip and image"):
        clip = make.clip(width=640, height=352)
        picture = _picture(make, "First frame")
    with make.graph.group("Stage 1"):
        guides = make.image(picture, clip["video_latent"], strength=0.7)
        guider = make.guider(positive)
        wires = {**make.latents(clip), "guides": guides, "solver": ANCESTRAL}
        first = make.stage("Stage 1", guider, make.distilled_sigmas(), **wires, seed=SEED)
    with make.graph.group("Stage 2"):
        larger = make.upscale(first["video_latent"], upscaler)["video_latent"]
        guides = make.image(picture, larger)
        wires = {"video": larger, "audio": make.switchable_sound(first), "guides": guides, "seed": SEED}
        second = make.stage("Stage 2", guider, make.distilled_sigmas(STAGE_2), **wires)
    with make.graph.group("Decoding"):
        images, sound = make.pictures(second["video_latent"]), make.sound(second["audio_latent"])
    make.save(images, sound, clip["frame_rate"], name)
    return make.graph


def first_last_frame() -> Graph:
    """From one picture to another, both loosely; one stage."""
    advice = (
        "- **Images**: what the clip starts and ends with; any size, their centres are cut out.\n"
        "- **Prompt**: say that they are the first and the last frame, then what happens between them.\n"
        "- **More pictures**: chain another 'LTX-2 Image Guide' with its frame_index and strength 0.3 to 0.4."
    )
    name = "ltx-2.5-first-last-frame"
    make = split_pipeline(name, "LTX-2.5: first and last frame to video", DISTILLED, advice)
    positive = make.text(CAPTIONS[name])
    with make.graph.group("Clip and images"):
        clip = make.clip(width=1280, height=704)
        guides = make.image(_picture(make, "First frame"), clip["video_latent"], strength=0.7)
        guides = make.image(_picture(make, "Last frame"), clip["video_latent"], guides, frame_index=-1, strength=0.7)
    _only_stage(make, positive, clip, guides=guides, solver="euler")
    return make.graph


def audio_to_video() -> Graph:
    """The sound is given and stays, in both stages; a first frame if there is one."""
    advice = (
        "- **Sound**: 'Trim Audio Duration' cuts out what the clip shall follow; it goes into the result as it is.\n"
        "- **Length**: 1 + a multiple of 8, about frame_rate x seconds of the sound; what is missing is silence.\n"
        "- **Image**: a portrait for speech or song. Without: bypass both 'LTX-2 Image Guide' (Ctrl+B)."
    )
    name = "ltx-2.5-audio-to-video"
    make = split_pipeline(name, "LTX-2.5: sound to video, two stages", DISTILLED, advice, (SPATIAL_UPSCALER,))
    upscaler = make.upscaler(SPATIAL_UPSCALER)
    positive = make.text(CAPTIONS[name])
    with make.graph.group("Sound, clip and image"):
        whole = make.graph.node("LoadAudio", audio="sound.wav")["AUDIO"]
        given = make.graph.node("TrimAudioDuration", audio=whole, start_index=0.0, duration=5.05)["AUDIO"]
        clip = make.clip(width=640, height=352)
        frozen = make.frozen(make.encoded_sound(given, fit_to=clip["video_latent"]))
        picture = _picture(make, "First frame")
    with make.graph.group("Stage 1"):
        guides = make.image(picture, clip["video_latent"], strength=0.7)
        guider = make.guider(positive)
        wires = {"video": clip["video_latent"], "audio": frozen, "guides": guides, "solver": ANCESTRAL}
        first = make.stage("Stage 1", guider, make.distilled_sigmas(), **wires, seed=SEED)
    with make.graph.group("Stage 2"):
        larger = make.upscale(first["video_latent"], upscaler)["video_latent"]
        wires = {"video": larger, "audio": frozen, "guides": make.image(picture, larger), "seed": SEED}
        second = make.stage("Stage 2", guider, make.distilled_sigmas(STAGE_2), **wires)
        images = make.pictures(second["video_latent"])
    make.save(images, given, clip["frame_rate"], name)
    return make.graph


def text_to_audio() -> Graph:
    """Sound alone; eight steps."""
    advice = (
        "- **Length** and **frame_rate** only set how long the sound is: 121 frames at 24 are 5 seconds.\n"
        "- The video VAE is not needed here."
    )
    name = "ltx-2.5-text-to-audio"
    make = split_pipeline(name, "LTX-2.5: text to sound", DISTILLED, advice)
    positive = make.text(WORDS[name])
    with make.graph.group("Sampling and decoding"):
        clip = make.clip(width=512, height=512)
        wires = {"audio": clip["audio_latent"], "solver": ANCESTRAL}
        result = make.stage("Sampling", make.guider(positive), make.distilled_sigmas(), **wires, seed=SEED)
        sound = make.sound(result["audio_latent"])
    with make.graph.group("Sound file"):
        make.graph.node("SaveAudio", audio=sound, filename_prefix=f"audio/{name}")
    return make.graph


def slow_motion() -> Graph:
    """Time runs slower than it is played: the model works at another frame rate than the file."""
    advice = (
        "- **Speed**: frame_rate of 'LTX-2 Empty Latents' = playback rate / speed. At 24: speed 0.5 is 48, 0.2 is 120, "
        "0.1 is 240, 0.025 is 960.\n"
        "- **Prompt**: what happens, in ordinary words; never 'slow motion'.\n"
        "- **Sound** is not made here, as it would be stretched: 'video-to-audio' makes one for the finished file.\n"
        "- **Image**: connect an 'LTX-2 Image Guide' to the sampler to start from a picture."
    )
    name = "ltx-2.5-slow-motion"
    make = split_pipeline(name, "LTX-2.5: slow motion", DISTILLED, advice, (SLOW_LORA,))
    model = make.lora(SLOW_LORA, 1.0, "LoRA, slow motion")
    positive = make.text(CAPTIONS[name])
    with make.graph.group("Clip"):
        clip = make.clip(width=960, height=544, frame_rate=120.0)
        played = make.graph.node("PrimitiveFloat", "Playback, frames per second", value=24.0)["FLOAT"]
    with make.graph.group("Sampling and decoding"):
        wires = {"model": model, "video": clip["video_latent"], "solver": ANCESTRAL}
        result = make.stage("Sampling", make.guider(positive), make.distilled_sigmas(), **wires, seed=SEED)
        images = make.pictures(result["video_latent"])
    with make.graph.group("Video file"):
        video = make.graph.node("CreateVideo", images=images, fps=played)["VIDEO"]
        make.graph.node("SaveVideo", video=video, filename_prefix=f"video/{name}", format="mp4")
    return make.graph


def several_shots() -> Graph:
    """One clip, a prompt for each of its shots; one stage."""
    name = "ltx-2.5-several-shots"
    make = split_pipeline(name, "LTX-2.5: several shots in one clip", DISTILLED, SHOTS_ADVICE)
    positive = timed_text(make, SHOTS)
    with make.graph.group("Clip"):
        clip = make.clip(width=960, height=544)
    _only_stage(make, positive, clip)
    return make.graph


def _picture(make: Pipeline, title: str) -> Output:
    return make.graph.node("LoadImage", title, image="example.png")["IMAGE"]


def _only_stage(
    make: Pipeline, positive: Output, clip: Node, guides: Output | None = None, solver: str = ANCESTRAL
) -> None:
    """Sampling, decoding and saving."""
    with make.graph.group("Sampling and decoding"):
        wires = {**make.latents(clip), "guides": guides, "solver": solver}
        result = make.stage("Sampling", make.guider(positive), make.distilled_sigmas(), **wires, seed=SEED)
        images, sound = make.pictures(result["video_latent"]), make.sound(result["audio_latent"])
    make.save(images, sound, clip["frame_rate"], make.graph.name)


GRAPHS = [
    single_stage(),
    image_to_video(),
    first_last_frame(),
    audio_to_video(),
    text_to_audio(),
    slow_motion(),
    several_shots(),
]
