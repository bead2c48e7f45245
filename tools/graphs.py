"""The example graphs (see workflows.py), each from its smallest needs up: which nodes, which values, which files."""

from __future__ import annotations

from tools.graph import Graph, Node, Output

FULL, DISTILLED = "ltx-2.3-22b-dev.safetensors", "ltx-2.3-22b-distilled.safetensors"
GEMMA = "gemma-3-12b-it-qat-q4_0-unquantized"

PROMPT = (
    "A red circle moves slowly from the right to the left across a plain white background, in a steady, even motion. "
    "The camera is static. A single low tone plays throughout, constant in pitch and volume."
)
NEGATIVE = (
    "blurry, out of focus, overexposed, underexposed, low contrast, washed out colors, excessive noise, "
    "grainy texture, poor lighting, flickering, motion blur, distorted proportions, unnatural skin tones, "
    "deformed facial features, asymmetrical face, missing facial features, extra limbs, disfigured hands, "
    "wrong hand count, artifacts around text, inconsistent perspective, camera shake, incorrect depth of field, "
    "background too sharp, background clutter, distracting reflections, harsh shadows, "
    "inconsistent lighting direction, color banding, cartoonish rendering, 3D CGI look, unrealistic materials, "
    "uncanny valley effect, incorrect ethnicity, wrong gender, exaggerated expressions, wrong gaze direction, "
    "mismatched lip sync, silent or muted audio, distorted voice, robotic voice, echo, background noise, "
    "off-sync audio, incorrect dialogue, added dialogue, repetitive speech, jittery movement, awkward pauses, "
    "incorrect timing, unnatural transitions, inconsistent framing, tilted camera, flat lighting, "
    "inconsistent tone, cinematic oversaturation, stylized filters, or AI artifacts."
)

NOTE = """\
| file | folder in ComfyUI | size |
|---|---|---|
| {checkpoint} | models/checkpoints | 46 GB |
| {gemma} (the whole folder) | models/text_encoders | 24 GB |

Press **R** after putting them there, and choose them in the loaders on the right.

- **Prompt**: what is seen and heard, in the order in which it happens; say what the camera does.
- **Length**: 8k + 1 frames (97, 121, 241). **Width, height**: multiples of 32.
- {advice}
"""


def text_to_video() -> Graph:
    """Full model, one stage, guided with the version's presets."""
    graph = Graph("text-to-video")
    advice = "**Guidance**: the presets are the reference's; choose 'custom' to type your own numbers."
    graph.note("Text to video with sound, full model", NOTE.format(checkpoint=FULL, gemma=GEMMA, advice=advice))
    loader, encoder = _models(graph, FULL)
    with graph.group("2 Prompt"):
        positive = _text(graph, encoder, "Prompt", PROMPT)
        negative = _text(graph, encoder, "Negative prompt", NEGATIVE)
    with graph.group("3 Clip"):
        clip, noise = _clip(graph)
        sigmas = graph.node("LTX2Scheduler", steps=30)
    with graph.group("4 Guidance"):
        video = graph.node("LTX2GuidanceParameters", "Guidance of the picture", preset="LTX-2.3 video")
        audio = graph.node("LTX2GuidanceParameters", "Guidance of the sound", preset="LTX-2.3 audio", cfg=7.0)
        guidance = {"video_guidance": video["guidance"], "audio_guidance": audio["guidance"]}
        guider = graph.node("LTX2Guider", positive=positive, negative=negative, **guidance)
    _sample_and_save(graph, loader, clip, noise["noise"], sigmas["sigmas"], guider["guider"])
    return graph


def text_to_video_distilled() -> Graph:
    """Distilled model, eight steps, one model pass per step."""
    graph = Graph("text-to-video-distilled")
    advice = "Eight steps, no guidance and no negative prompt: the distilled model was trained for these sigmas."
    graph.note("Text to video with sound, distilled", NOTE.format(checkpoint=DISTILLED, gemma=GEMMA, advice=advice))
    loader, encoder = _models(graph, DISTILLED)
    with graph.group("2 Prompt"):
        positive = _text(graph, encoder, "Prompt", PROMPT)
    with graph.group("3 Clip"):
        clip, noise = _clip(graph)
        sigmas = graph.node("LTX2DistilledSigmas")
    with graph.group("4 Guidance"):
        guider = graph.node("LTX2Guider", positive=positive)
    _sample_and_save(graph, loader, clip, noise["noise"], sigmas["sigmas"], guider["guider"])
    return graph


def _models(graph: Graph, checkpoint: str) -> tuple[Node, Node]:
    with graph.group("1 Models"):
        loader = graph.node("LTX2CheckpointLoader", checkpoint=checkpoint)
        encoder = graph.node("LTX2TextEncoderLoader", text_encoder=GEMMA, text_projection=loader["text_projection"])
    return loader, encoder


def _text(graph: Graph, encoder: Node, title: str, prompt: str) -> Output:
    node = graph.node("LTX2TextEncode", title, text_encoder=encoder["text_encoder"], prompt=prompt)
    return node["context"]


def _clip(graph: Graph) -> tuple[Node, Node]:
    clip = graph.node("LTX2EmptyLatents", width=768, height=512, length=121, frame_rate=24.0)
    return clip, graph.node("LTX2LatentNoise")


def _sample_and_save(graph: Graph, loader: Node, clip: Node, noise: Output, sigmas: Output, guider: Output) -> None:
    with graph.group("5 Sampling and decoding"):
        sampler = graph.node(
            "LTX2Sampler",
            model=loader["model"],
            guider=guider,
            sigmas=sigmas,
            noise=noise,
            video_latent=clip["video_latent"],
            audio_latent=clip["audio_latent"],
            video_vae=loader["video_vae"],  # for the live preview
        )
        images = graph.node("LTX2VideoVAEDecode", video_latent=sampler["video_latent"], video_vae=loader["video_vae"])
        mel = graph.node("LTX2AudioVAEDecode", audio_latent=sampler["audio_latent"], audio_vae=loader["audio_vae"])
        sound = graph.node("LTX2Vocoder", mel=mel["mel"], vocoder=loader["vocoder"])
    with graph.group("6 Video file"):
        video = graph.node("CreateVideo", images=images["images"], audio=sound["audio"], fps=clip["frame_rate"])
        graph.node("SaveVideo", video=video["VIDEO"], filename_prefix="video/LTX-2", format="mp4", codec="h264")


GRAPHS = [text_to_video(), text_to_video_distilled()]
