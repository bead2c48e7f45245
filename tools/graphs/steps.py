"""The boxes that a graph opens with: model, prompt, size, generate, result.

A box of several nodes is written as a subgraph, which shows the widgets that people change first and keeps the rest
inside. Which box a node goes to follows from its type; files to choose and results stand by themselves, so that
their pictures, films and sounds are seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tools.graphs.graph import UPLOADS, Graph, GraphError, InputSlot, Node, Output

MODEL, PROMPT, SIZE, GENERATE, FILE, RESULT = "Model", "Prompt", "Size and length", "Generate", "file", "result"
SOURCE = "Source and size"
MODEL_TYPES = {"LTX2Float32VAE", "LTX2ParallelModel"}
PROMPT_TYPES = {
    "LTX2TextEncode",
    "LTX2EnhancePrompt",
    "LTX2SegmentPrompts",
    "LTX2TimedPrompt",
    "LTX2SaveContext",
    "LTX2LoadContext",
    "StringConcatenate",
}
SIZE_TYPES = {
    "LTX2EmptyLatents",
    "LTX2DFRCanvas",
    "LTX2DurationPredictor",
    "LTX2ContextWindows",
    "LTX2SpatialTiles",
    "LTX2TilingSizes",
    "LTX2TiledFusion",
    "PrimitiveFloat",
    "PrimitiveInt",
}
SOURCE_TYPES = {
    "GetVideoComponents",
    "LTX2FitVideo",
    "LTX2ExtendClip",
    "LTX2VideoVAEEncode",
    "LTX2AudioVAEEncode",
    "LTX2FreezeLatent",
    "LTX2RetakeRegion",
    "LTX2InpaintRegion",
    "LTX2InpaintFill",
    "LTX2DrawTracks",
    "ImagePadForOutpaint",
}
SAMPLER = "LTX2Sampler"

SHOWN: dict[str, tuple[str, ...]] = {
    "LTX2CheckpointLoader": ("checkpoint",),
    "LTX2ComponentLoader": ("file",),
    "LTX2LoraLoader": ("lora", "strength"),
    "LTX2TextEncoderLoader": ("text_encoder",),
    "LTX2UpscalerLoader": ("upscaler",),
    "LTX2TextEncode": ("prompt",),
    "LTX2EnhancePrompt": ("prompt", "seed"),
    "LTX2SegmentPrompts": ("prompts",),
    "LTX2TimedPrompt": ("prompt",),
    "LTX2EmptyLatents": ("width", "height", "length", "frame_rate"),
    "LTX2DFRCanvas": ("length",),
    "PrimitiveFloat": ("value",),
    "LTX2ContextWindows": ("window_length", "overlap"),
    "LTX2SpatialTiles": ("columns", "rows"),
    "LTX2FitVideo": ("width", "height", "length"),
    "LTX2ExtendClip": ("frames_before", "frames_after"),
    "LTX2RetakeRegion": ("start_time", "end_time"),
    "LTX2InpaintRegion": ("grow",),
    "LTX2InpaintFill": ("grow",),
    "ImagePadForOutpaint": ("left", "right", "top", "bottom"),
    "LTX2DrawTracks": ("tracks",),
    "LTX2ImageGuide": ("strength", "frame_index"),
    "LTX2ReferenceVideoGuide": ("strength",),
    "LTX2Scheduler": ("steps",),
    "LTX2FreezeLatent": ("frozen",),
    "LTX2LatentNoise": ("seed",),
    "LTX2GuidanceSchedule": ("sigmas", "cfg"),
}
"""What people change first, by the type of a node."""
IF_GIVEN = ("frame_index", "frozen")
"""Shown only where a description gives a value: elsewhere they are what they always are."""
SECONDARY = ("Negative prompt",)
"""Titles of nodes that a box keeps inside."""


@dataclass
class Step:
    """One box of the first view: a node by itself, or several nodes in a subgraph."""

    title: str
    role: str
    nodes: list[Node]

    @property
    def is_subgraph(self) -> bool:
        return len(self.nodes) > 1


def steps(graph: Graph, object_info: dict[str, Any], stages: bool = True) -> list[Step]:
    """The boxes of a graph, each after those that it takes something from.

    With ``stages``, a box for every group that samples; without, one for all of them.

    Raises GraphError where boxes would wait for each other, which only a box that a description chose can cause.
    """
    titles = _titles(graph, object_info, stages)
    found: dict[str, Step] = {}
    for node in graph.nodes:
        role = role_of(node, object_info)
        title = titles[node]
        found.setdefault(title, Step(title, role, [])).nodes.append(node)
    return _in_order(graph, list(found.values()))


def role_of(node: Node, object_info: dict[str, Any]) -> str:
    """What a node is there for, by its type."""
    info = object_info[node.type]
    if node.type in PROMPT_TYPES:
        return PROMPT
    if info.get("output_node"):
        return RESULT
    options = [[*spec, {}][1] for section in info["input"].values() for spec in section.values()]
    if any(option.get(key) for option in options for key in (*UPLOADS, "audio_upload")):
        return FILE
    if node.type.endswith("Loader") or node.type in MODEL_TYPES:
        return MODEL
    if node.type in SIZE_TYPES or node.type in SOURCE_TYPES:
        return SIZE
    return GENERATE


def shown_widgets(graph: Graph, node: Node, slots: list[InputSlot]) -> list[InputSlot]:
    """The widgets of a node that its box shows: of those that nothing is linked to, the ones that people change."""
    usual = () if node.title in SECONDARY else SHOWN.get(node.type, ())
    names = graph.shown.get(node.id, tuple(name for name in usual if name not in IF_GIVEN or name in node.inputs))
    free = [slot for slot in slots if slot.is_widget and not isinstance(node.inputs.get(slot.name), Output)]
    return [slot for name in names for slot in free if slot.name == name]


def _titles(graph: Graph, object_info: dict[str, Any], stages: bool) -> dict[Node, str]:
    """The title of each node's box; a file or a result has its own, made of its id."""
    roles = {node: role_of(node, object_info) for node in graph.nodes}
    sampling = list(dict.fromkeys(node.group for node in graph.nodes if node.type == SAMPLER))
    generating = sampling if stages and len(sampling) > 1 else [GENERATE]
    order = [MODEL, PROMPT, SIZE, *generating]
    users: dict[Node, list[Node]] = {node: [] for node in graph.nodes}
    for node in graph.nodes:
        for source in node.sources:
            users[source].append(node)

    ranks: dict[Node, int] = {}
    for node in reversed(topological(graph.nodes)):
        role = roles[node]
        if role in (FILE, RESULT):
            continue
        if role != GENERATE and not (node.type in SOURCE_TYPES and node.group in generating):
            ranks[node] = order.index(role)
        elif node.group in generating:
            ranks[node] = order.index(node.group)
        else:  # with the first stage that uses it; what only a result uses follows its sources
            ranks[node] = min(
                (ranks[user] for user in users[node] if user in ranks), default=order.index(generating[0])
            )
    for node in topological(graph.nodes):
        if node in ranks:
            ranks[node] = max([ranks[node], *(ranks[source] for source in node.sources if source in ranks)])
    has_source = any(node.type in SOURCE_TYPES and rank == order.index(SIZE) for node, rank in ranks.items())

    def title(node: Node) -> str:
        if node.id in graph.steps:
            return graph.steps[node.id]
        if node not in ranks:
            return f"{roles[node]} {node.id}"
        name = order[ranks[node]]
        return SOURCE if name == SIZE and has_source else name

    return {node: title(node) for node in graph.nodes}


def _in_order(graph: Graph, found: list[Step]) -> list[Step]:
    home = {node: step for step in found for node in step.nodes}
    left, done = list(found), []
    while left:
        ready = [
            step
            for step in left
            if all(home[source] is step or home[source] in done for node in step.nodes for source in node.sources)
        ]
        if not ready:
            raise GraphError(f"{graph.name}: these boxes wait for each other: {[step.title for step in left]}.")
        done.append(ready[0])
        left.remove(ready[0])
    return done


def topological(nodes: list[Node]) -> list[Node]:
    """Nodes after their sources, otherwise in the order of the description."""
    done: dict[Node, None] = {}

    def visit(node: Node) -> None:
        if node in done:
            return
        for source in node.sources:
            visit(source)
        done[node] = None

    for node in nodes:
        visit(node)
    return list(done)
