"""The example graphs (see workflows.py), each from its smallest needs up: which nodes, which values, which files."""

from __future__ import annotations

from tools.graphs.graph import Graph, Node, Output
from tools.graphs.parts import DISTILLED, FULL, GEMMA, Pipeline, note, with_models

NOTE = """\
- **Prompt**: what is seen and heard, in the order in which it happens; say what the camera does.
- **Length**: 8k + 1 frames (97, 121, 241). **Width, height**: multiples of 32.
- {advice}

{files}
- {download}
"""


def text_to_video() -> Graph:
    """Full model, one stage, guided with the version's presets."""
    advice = "**Guidance**: the presets are the reference's; choose 'custom' to type your own numbers."
    make = _graph("text-to-video", "Text to video with sound, full model", FULL, advice)
    positive, negative = make.text(), make.negative()
    with make.graph.group("Clip"):
        clip, noise = _clip(make)
        sigmas = make.graph.node("LTX2Scheduler", steps=30)["sigmas"]
    with make.graph.group("Guidance"):
        guider = make.guider(positive, negative=negative, **make.guidance())
    _sample_and_save(make, clip, noise, sigmas, guider)
    return make.graph


def text_to_video_distilled() -> Graph:
    """Distilled model, eight steps, one model pass per step."""
    advice = "Eight steps, no guidance and no negative prompt: the distilled model was trained for these sigmas."
    make = _graph("text-to-video-distilled", "Text to video with sound, distilled", DISTILLED, advice)
    positive = make.text()
    with make.graph.group("Clip"):
        clip, noise = _clip(make)
        sigmas = make.distilled_sigmas()
    with make.graph.group("Guidance"):
        guider = make.guider(positive)
    _sample_and_save(make, clip, noise, sigmas, guider)
    return make.graph


def _graph(name: str, title: str, checkpoint: str, advice: str) -> Pipeline:
    return with_models(name, title, checkpoint, note(NOTE, (checkpoint, GEMMA), advice))


def _clip(make: Pipeline) -> tuple[Node, Output]:
    return make.clip(), make.graph.node("LTX2LatentNoise")["noise"]


def _sample_and_save(make: Pipeline, clip: Node, noise: Output, sigmas: Output, guider: Output) -> None:
    with make.graph.group("Sampling and decoding"):
        sampler = make.graph.node(
            "LTX2Sampler",
            model=make.loader["model"],
            guider=guider,
            sigmas=sigmas,
            noise=noise,
            video_latent=clip["video_latent"],
            audio_latent=clip["audio_latent"],
            video_vae=make.loader["video_vae"],  # for the live preview
        )
        images, sound = make.pictures(sampler["video_latent"]), make.sound(sampler["audio_latent"])
    with make.graph.group("Video file"):
        video = make.graph.node("CreateVideo", images=images, audio=sound, fps=clip["frame_rate"])
        make.graph.node("SaveVideo", video=video["VIDEO"], filename_prefix="video/LTX-2", format="mp4", codec="h264")


GRAPHS = [text_to_video(), text_to_video_distilled()]
