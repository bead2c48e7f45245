"""The example graphs for the demo model, which comes with the pack: the same descriptions with values that suit it.

This is the one place that knows what the demo model wants: its files, its sizes, its guidance, its words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tools.graphs import media, pipelines, text_to_video, videos
from tools.graphs.graph import Graph, Node, Output
from tools.graphs.parts import DISTILLED, DISTILLED_LORA, FULL, GEMMA, SPATIAL_UPSCALER, STAGE_2
from tools.graphs.prompts import NEGATIVE, PROMPTS
from tools.graphs.videos import UNION_LORA

PREFIX = "demo-"
CHECKPOINT = "ltx-2.3-demo.safetensors"
LORA = "ltx-2.3-demo-distilled-lora.safetensors"
OUTLINE_LORA = "ltx-2.3-demo-outline-ic-lora.safetensors"
UPSCALER = "ltx-2.3-demo-spatial-upscaler-x2.safetensors"
TEXT_ENCODER = "gemma-3-demo"
FILES = {
    FULL: CHECKPOINT,
    DISTILLED: CHECKPOINT,
    DISTILLED_LORA: LORA,
    UNION_LORA: OUTLINE_LORA,
    SPATIAL_UPSCALER: UPSCALER,
    GEMMA: TEXT_ENCODER,
    NEGATIVE: "",
}
"""What stands in the demo graphs for the files (and the negative prompt) of the published models."""
FOLDERS = {
    CHECKPOINT: "models/checkpoints",
    LORA: "models/loras",
    OUTLINE_LORA: "models/loras",
    UPSCALER: "models/latent_upscale_models",
    TEXT_ENCODER: "models/text_encoders",
}
SIZE, LENGTH, FRAME_RATE = 64, 17, 8.0
"""Pixels of both sides in the first stage, frames, frames per second."""
VALUES: dict[str, dict[str, Any]] = {
    "LTX2EmptyLatents": {"width": SIZE, "height": SIZE, "length": LENGTH, "frame_rate": FRAME_RATE},
    "LTX2Scheduler": {"steps": 10},
    "LTX2GuidanceParameters": {
        "preset": "custom",
        "cfg": 3.0,
        "stg_scale": 0.0,
        "stg_blocks": "",
        "rescale": 0.7,
        "modality_scale": 1.0,
    },
    "LTX2GuidanceSchedule": {"cfg": "3, 3, 1", "stg_scale": "0", "stg_blocks": "", "modality_scale": "1"},
    "LTX2ImageGuide": {"crf": 0},  # it has seen clean pictures only
    "LTX2FitVideo": {"multiple": 0},
}
"""What docs/demo-model.md was measured with, by node type."""
SECOND_STAGE = "0.5, 0.25, 0"
"""The sigmas of a second stage: closer to what it is given than the published ones, which ask for more than this model
can do at twice its size."""
SIZES_FROM = {
    "LTX2EmptyLatents": ("video_vae", "audio_vae"),
    "LTX2Sampler": ("video_vae", "audio_vae"),
    "LTX2FitVideo": ("video_vae",),
    "LTX2ExtendClip": ("video_vae",),
    "LTX2AudioVAEEncode": ("video_vae",),
    "LTX2RetakeRegion": ("video_vae", "audio_vae"),
    "LTX2InpaintRegion": ("video_vae",),
}
"""Sockets that need a VAE because the latents of this model have other sizes than the published ones."""
NOTE = """\
{shows}

**Nothing to download**: the small model comes with the pack. Seconds on a CPU, no card needed.

**Change first**: the prompt. A red, green, blue, yellow, purple or white circle, square or triangle on a black, \
white, gray, blue or green background moves left, right, up or down, stands still, grows or bounces, with a low, \
middle or high tone or beep.

**Size**: {size} x {size} pixels (twice that after a second stage), {length} frames at {rate:g} per second.

**Files** (`python3 tools/provision.py` puts them there, from `models/demo` of the pack):
{files}

The same for the published models: `{name}`.
"""


@dataclass(frozen=True)
class Demo:
    """What a graph shows with the demo model: a prompt, and values by the title or the type of a node."""

    prompt: str
    shows: str
    values: dict[str, dict[str, Any]] = field(default_factory=dict)


def picture(name: str) -> dict[str, str]:
    """A given picture."""
    return {"image": f"demo-{name}.png"}


CROSSING = "a red circle moves to the right on a white background with a high tone"
STUCK = "a blue square moves to the left on a white background with a middle tone"
BOUNCING = "a yellow triangle bounces on a black background with a middle beep at each bounce"
STUCK_FILM = "The film gets stuck half way, picture and sound."
SEGMENTS = (
    "a red circle stands still on a white background with a low tone",
    "a red circle grows on a white background with a low tone",
)
SHOTS = (
    "a red circle moves to the right on a white background with a low tone",
    "a yellow square stands still on a black background with a low tone",
)
DEMOS = {
    "text-to-video": Demo(
        "a red circle moves to the left on a white background while a low tone plays", "Picture and sound from a text."
    ),
    "text-to-video-distilled": Demo(
        "a yellow square moves down on a black background with a high tone",
        "The distilled LoRA: eight passes, no guidance.",
    ),
    "save-video": Demo(
        "a white triangle grows on a blue background with a middle tone", "The file is written while it is decoded."
    ),
    "image-to-video": Demo(CROSSING, "The clip goes on from its first frame.", {"First frame": picture("first")}),
    "first-last-frame": Demo(
        CROSSING,
        "The clip leads from one picture to the other.",
        {"First frame": picture("first"), "Last frame": picture("last")},
    ),
    "keyframe-interpolation": Demo(
        CROSSING,
        "The clip passes through three pictures, in both stages.",
        {"Image 1": picture("first"), "Image 2": picture("middle"), "Image 3": picture("last")},
    ),
    "two-stage": Demo(CROSSING, "From the first frame, and then at twice the size.", {"Image 1": picture("first")}),
    "two-stage-distilled": Demo(
        "a green circle moves up on a black background with a middle tone", "Both stages with the distilled LoRA."
    ),
    "image-to-video-distilled": Demo(
        CROSSING, "The first frame in both stages, eight passes and two.", {"First frame": picture("first")}
    ),
    "two-stage-hq": Demo(
        "a purple square moves to the left on a white background with a low tone", "The second-order sampler twice."
    ),
    "audio-to-video": Demo(
        "a green circle bounces on a black background with a low beep at each bounce",
        "The circle hits the floor when it beeps.",
        {"LoadAudio": {"audio": "demo-beeps.wav"}},
    ),
    "image-and-audio-to-video": Demo(
        "a green circle bounces on a black background with a low beep at each bounce",
        "From its first frame on, the circle hits the floor when it beeps.",
        {"LoadAudio": {"audio": "demo-beeps.wav"}, "First frame": picture("start")},
    ),
    "text-to-audio": Demo("a red circle stands still on a white background with a high tone", "Sound alone."),
    "ic-lora": Demo(
        "a red triangle moves up on a white background with a low tone",
        "The outline decides shape and path, the prompt the colours and the sound.",
        {"Control video": {"file": "demo-outline.mp4"}},
    ),
    "video-to-audio": Demo(
        "a yellow triangle bounces on a black background with a high beep at each bounce",
        "It beeps when the triangle hits the floor.",
        {"LoadVideo": {"file": "demo-bounce.mp4"}},
    ),
    "retake": Demo(
        STUCK,
        f"{STUCK_FILM} What is stuck is made anew.",
        {"LoadVideo": {"file": "demo-stuck.mp4"}, "LTX2RetakeRegion": {"start_time": 1.13, "end_time": 2.12}},
    ),
    "extend": Demo(
        STUCK,
        f"{STUCK_FILM} The first half, before that, is made longer.",
        {
            "LoadVideo": {"file": "demo-stuck.mp4"},
            "LTX2FitVideo": {"length": 9},
            "LTX2ExtendClip": {"frames_after": 8},
        },
    ),
    "upscale-refine": Demo(
        BOUNCING, "A film at twice the size; its sound stays.", {"LoadVideo": {"file": "demo-bounce.mp4"}}
    ),
    "refine-video-file": Demo(
        BOUNCING,
        "A file at twice the size, refined in tiles and windows.",
        {
            "LTX2EncodeVideoFile": {
                "file": "demo-bounce.mp4",
                "width": 2 * SIZE,
                "height": 2 * SIZE,
                "frame_rate": 0.0,
            },
            "LTX2ContextWindows": {"window_length": LENGTH, "overlap": 8},
            "LTX2SpatialTiles": {"overlap": 64},
        },
    ),
    "guidance-over-time": Demo(
        "a white square moves up on a green background with a high tone",
        "Guided while the composition forms, not at the end.",
    ),
    "several-shots": Demo(
        SHOTS[0],
        "Two shots with a cut after one second: other colours, another background. Its tone stays as it began.",
        {
            "LTX2TimedPrompt": {
                "prompt": f"0-1s: {SHOTS[0]}\n1-2.1s: {SHOTS[1]}",
                "frame_rate": FRAME_RATE,
            },
        },
    ),
    "long-video": Demo(
        SEGMENTS[0],
        "Two prompts, two windows, three seconds.",
        {
            "LTX2EmptyLatents": {"length": 25},
            "LTX2ContextWindows": {"window_length": LENGTH, "overlap": 8},
            "LTX2SegmentPrompts": {"prompts": "\n---\n".join(SEGMENTS)},
            "Prompt without segments": {"prompt": SEGMENTS[0]},
        },
    ),
}
"""By the name of the graph. The others need LoRAs, an upscaler or words that this model does not have."""


def demo_graph(graph: Graph) -> Graph:
    """The graph with the demo model in place of a published one."""
    demo = DEMOS[graph.name]
    result = Graph(PREFIX + graph.name)
    nodes = {node: Node(node.id, node.type, {}, node.group, node.title) for node in graph.nodes}
    for node, new in nodes.items():
        # What comes over a wire stays on it.
        typed = {
            name: value for name, value in _values(node, demo).items() if not isinstance(node.inputs.get(name), Output)
        }
        given = {name: _replaced(value, nodes, demo) for name, value in node.inputs.items()}
        new.inputs.update(_sizes(new, nodes) | given | typed)
        if new.inputs.get("frame_index", 0) > 0:
            new.inputs["frame_index"] = LENGTH // 2
        if "filename_prefix" in new.inputs:
            new.inputs["filename_prefix"] = f"{new.inputs['filename_prefix'].split('/')[0]}/{result.name}"
    result.nodes = list(nodes.values())
    result.steps, result.shown = dict(graph.steps), dict(graph.shown)
    [(title, _)] = graph.notes
    result.note(f"{title}: demo model", _note(graph.name, result, demo))
    return result


def _values(node: Node, demo: Demo) -> dict[str, Any]:
    distilled = {"lora": LORA} if node.inputs.get("checkpoint") == DISTILLED else {}
    refining = {"typed": SECOND_STAGE} if node.inputs.get("schedule") == STAGE_2 else {}
    return (
        VALUES.get(node.type, {})
        | refining
        | distilled
        | demo.values.get(node.type, {})
        | demo.values.get(node.title or "", {})
    )


def _replaced(value: Any, nodes: dict[Node, Node], demo: Demo) -> Any:
    if isinstance(value, Output):
        return nodes[value.node][value.name]
    if value in PROMPTS.values():
        return demo.prompt
    return FILES.get(value, value)


def _sizes(node: Node, nodes: dict[Node, Node]) -> dict[str, Output]:
    loader = next(new for new in nodes.values() if new.type == "LTX2CheckpointLoader")
    return {name: loader[name] for name in SIZES_FROM.get(node.type, ())}


def _note(name: str, graph: Graph, demo: Demo) -> str:
    values = [value for node in graph.nodes for value in node.inputs.values() if isinstance(value, str)]
    used = dict.fromkeys(value for value in values if value in FOLDERS or value.startswith("demo-"))
    files = "\n".join(f"- {FOLDERS.get(file, 'input')}: {file}" for file in used)
    return NOTE.format(shows=demo.shows, files=files, size=SIZE, length=LENGTH, rate=FRAME_RATE, name=name)


GRAPHS = [
    demo_graph(graph)
    for module in (text_to_video, pipelines, videos, media)
    for graph in module.GRAPHS
    if graph.name in DEMOS
]
