"""What the note of a graph says first: what to change, what comes out, how long it takes, how much memory it needs.

All of it follows from the graph: sizes and steps from its nodes, memory from the estimates that the nodes go by
(tools/memory_table.py). The one time is the one that docs/benchmark.md has.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from itertools import groupby

from tools import memory_table
from tools.graphs.graph import Graph, Node, Output
from tools.graphs.steps import SECONDARY

MEASURED_PASS = 0.4
"""Seconds of one pass of LTX-2.3 in bfloat16 at 768 x 512, 121 frames, on an H200 (docs/benchmark.md: 404 ms)."""
MEASURED_MODEL, MEASURED_SIZE = "ltx-2.3-22b", (768, 512, 121)
GUIDED_PASSES = 4  # prompt, negative prompt, perturbed, without the other modality
EVALUATIONS = {"res_2s": 2}
"""Model evaluations of a step, by the sampler's solver, where they are not one."""
FILES = {
    "LoadImage": "the picture",
    "LoadVideo": "the video",
    "LTX2EncodeVideoFile": "the video",
    "LTX2LoadHDR": "the HDR file",
    "LoadAudio": "the sound",
}
FIRST_SCHEDULE = "stage 1 (8 steps)"
"""The default of 'LTX-2 Distilled Sigmas'."""
SIZED = ("LTX2EmptyLatents", "LTX2FitVideo", "LTX2EncodeVideoFile")
SAVES_PICTURES = {"SaveVideo", "LTX2SaveVideo", "LTX2SaveHDR", "LTX2SaveAlpha", "SaveImage"}
LONG = ("LTX2EmptyLatents", "LTX2FitVideo", "LTX2DFRCanvas")


@dataclass(frozen=True)
class Clip:
    """Pixels and frames; ``None`` where the source decides."""

    width: int | None
    height: int | None
    frames: int | None
    rate: float | None

    def at(self, factor: int) -> tuple[int, int] | None:
        return (factor * self.width, factor * self.height) if self.width and self.height else None


def expectation(graph: Graph) -> str:
    """The lines of one graph of the published models, as a list in markdown."""
    return "\n".join(f"- {line}" for line in (_change(graph), _makes(graph), _time(graph), _memory(graph)))


def clip(graph: Graph) -> Clip:
    """The clip of the first stage."""
    sizes = [(node.inputs.get("width"), node.inputs.get("height")) for node in graph.nodes if node.type in SIZED]
    typed = [size for size in sizes if all(isinstance(side, int) and side for side in size)]
    width, height = min(typed) if typed else (None, None)
    return Clip(width, height, _typed(graph, LONG, "length"), _typed(graph, SIZED, "frame_rate"))


def enlargement(graph: Graph) -> int:
    """How many times as wide as the first stage the result is."""
    larger = 1
    for node in graph.nodes:
        keyframes = isinstance(node.inputs.get("video_latent"), Output) and node.inputs["video_latent"].name
        if node.type == "LTX2LatentUpscale" and keyframes != "keyframes":
            loader = node.inputs["upscaler"].node
            larger *= 2 if "spatial" in loader.inputs["upscaler"] else 1
    return larger


def stages(graph: Graph) -> list[str]:
    """Steps and passes of every sampler, in order."""
    found = []
    for node in graph.nodes:
        if node.type == "LTX2Sampler":
            guider = node.inputs["guider"].node.inputs
            guided = any(name in guider for name in ("video_guidance", "audio_guidance"))
            passes = EVALUATIONS.get(node.inputs.get("solver", ""), 1) * (GUIDED_PASSES if guided else 1)
            each = f"up to {passes} passes" if guided else "one pass" if passes == 1 else f"{passes} passes"
            count = _steps(node.inputs["sigmas"].node)
            found.append(f"{count} steps of {each}")
    return [f"{count} x {text}" if (count := len(list(same))) > 1 else text for text, same in groupby(found)]


def _steps(node: Node) -> int:
    if node.type == "LTX2Scheduler":
        return node.inputs["steps"]
    if node.type == "LTX2DistilledSigmas" and node.inputs.get("typed"):
        return node.inputs["typed"].count(",")  # from each sigma to the next
    if node.type == "LTX2DistilledSigmas":
        return int(re.search(r"\((\d+) steps\)", node.inputs.get("schedule", FIRST_SCHEDULE))[1])
    return next(_steps(source) for source in node.sources)


def _change(graph: Graph) -> str:
    types = [node.type for node in graph.nodes]
    names = list(dict.fromkeys(FILES[type] for type in types if type in FILES))
    names = [f"{name}s" if name == "the picture" and types.count("LoadImage") > 1 else name for name in names]
    if any(node.title not in SECONDARY and node.inputs.get("prompt") for node in graph.nodes):
        names.append("the prompt")
    if any(node.type == "LTX2EmptyLatents" and isinstance(node.inputs.get("width"), int) for node in graph.nodes):
        names.append("size and length")
    return f"**Change first**: {', then '.join(names)}."


def _makes(graph: Graph) -> str:
    first, larger, types = clip(graph), enlargement(graph), {node.type for node in graph.nodes}
    size = first.at(larger)
    if size is None:
        return "**Size and length** follow from what is given."
    length = f"as long as {'its source' if types & FILES.keys() else 'the prompt asks for'}"
    if first.frames:
        length = f"{first.frames} frames"
        if first.rate:
            length += f" at {first.rate:g} per second ({(first.frames - 1) / first.rate:.0f} s)"
        if any("temporal" in str(node.inputs.get("upscaler")) for node in graph.nodes):
            length += ", doubled in the end"
    pixels = "sound alone" if not types & SAVES_PICTURES else f"{size[0]} x {size[1]} pixels"
    return f"**Makes** {pixels}, {length}."


def _time(graph: Graph) -> str:
    found = stages(graph)
    if not found:
        return "**Time**: no step of the model."
    text = ", then ".join(found) + " of the model"
    if enlargement(graph) > 1 and len(found) > 1:
        text += "; at twice the size at least four times as long"
    first = clip(graph)
    if (first.width, first.height, first.frames) == MEASURED_SIZE and _has(graph, MEASURED_MODEL):
        text += f". On an H200 a pass{' of stage 1' if enlargement(graph) > 1 else ''} took {MEASURED_PASS:g} s"
    return f"**Time**: {text}."


def _memory(graph: Graph) -> str:
    first = clip(graph)
    width, height = first.at(enlargement(graph)) or MEASURED_SIZE[:2]
    frames = _typed(graph, ("LTX2ContextWindows",), "window_length") or first.frames or MEASURED_SIZE[2]
    size = (width, height, frames)
    card, needed, most, least = _needs(size)
    example = "" if first.width and first.frames else f" at {width} x {height}, {frames} frames"
    return (
        f"**Memory** (computed): a card of {card} GB or more, {most:.0f} GB of main memory ({least:.0f} with fp8 "
        f"files) less what the card holds. Besides weights a pass takes {needed:.1f} GB{example}."
    )


@functools.cache
def _needs(size: tuple[int, int, int]) -> tuple[int, float, float, float]:
    """The smallest card, activations in GiB, and main memory in bf16 and in fp8 in GB, for a clip of this size."""
    bf16, fp8 = memory_table.transformers()
    card = next(card for card in memory_table.CARDS if memory_table.placement(bf16, size, card) != "no")
    needed = memory_table.activations(bf16.model, size, rows=1) / memory_table.GIB
    most, least = (memory_table.main_memory(weights) / 1e9 for weights in (bf16, fp8))
    return card, needed, most, least


def _has(graph: Graph, stem: str) -> bool:
    return any(str(node.inputs.get("checkpoint")).startswith(stem) for node in graph.nodes)


def _typed(graph: Graph, types: tuple[str, ...], name: str) -> int | float | None:
    """The first value of this widget that is typed in and not zero."""
    values = (node.inputs.get(name) for node in graph.nodes if node.type in types)
    return next((value for value in values if isinstance(value, int | float) and value), None)
