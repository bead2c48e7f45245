"""Where the boxes of a graph stand, and how large they are: room for what each of them shows in the end.

Sizes are the largest that a box takes in ComfyUI's front-ends, in the classic rendering and in Nodes 2.0, with its
picture, film or sound in place; tests/browser holds them against the boxes that a browser draws.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

from tools.graphs.graph import InputSlot, Node, input_slots

# A node without sockets and widgets, a socket, a widget and a text, in pixels; the title is part of the node.
TITLE, FRAME, SOCKET, WIDGET, TEXT = 30, 40, 20, 28, 170
NODE_WIDTH, IMAGE_WIDTH = 340, 240
GAP, COLUMN_GAP = 20, 40
PREVIEWS = {
    "LoadImage": 230,
    "LoadImageMask": 230,
    "LoadVideo": 340,
    "LTX2EncodeVideoFile": 220,
    "LoadAudio": 70,
    "SaveVideo": 300,
    "LTX2SaveVideo": 300,
    "LTX2SaveHDR": 300,
    "SaveAudio": 70,
    "PreviewAny": 120,
    "LTX2LoadContext": 50,
    "LTX2Sampler": 220,
}
"""The height of what a node shows below its widgets, by its type."""
FOOTER = 40
"""The button that opens a subgraph, in Nodes 2.0."""

Box = tuple[list[int], list[int]]
"""Position and size; the title lies above the position."""
Key = TypeVar("Key", bound=Hashable)


def widget_height(slot: InputSlot) -> int:
    """The height of one widget and of those that the front-end adds to it."""
    return (TEXT if slot.multiline else WIDGET) + WIDGET * len(slot.extra)


def node_height(node: Node, info: dict[str, Any]) -> int:
    """The height of a node below its title."""
    slots = input_slots(info)
    sockets = max(sum(not slot.is_widget for slot in slots), len(info["output"]))
    widgets = sum(widget_height(slot) for slot in slots if slot.is_widget)
    return FRAME + SOCKET * sockets + widgets + PREVIEWS.get(node.type, 0)


def subgraph_height(inputs: int, outputs: int, widgets: Iterable[InputSlot], nodes: Iterable[Node]) -> int:
    """The height, below its title, of a box that shows these widgets and the last preview of these nodes."""
    preview = max((PREVIEWS[node.type] for node in nodes if node.type == "LTX2Sampler"), default=0)
    shown = sum(widget_height(slot) - WIDGET * len(slot.extra) for slot in widgets)
    return FRAME + FOOTER + SOCKET * max(inputs, outputs) + shown + preview


def columns(
    keys: list[Key], sources: Callable[[Key], Iterable[Key]], height: Callable[[Key], int], limit: int | None = None
) -> list[list[Key]]:
    """Columns from left to right, every key to the right of its sources, none higher than ``limit`` if it can be."""
    depth: dict[Key, int] = {}

    def measure(key: Key) -> int:
        if key not in depth:
            depth[key] = 1 + max((measure(source) for source in sources(key)), default=-1)
        return depth[key]

    for key in keys:
        measure(key)
    result: list[list[Key]] = []
    for level in range(max(depth.values(), default=-1) + 1):
        column: list[Key] = []
        used = 0
        for key in (key for key in keys if depth[key] == level):
            needed = TITLE + height(key) + GAP
            if column and limit is not None and used + needed > limit + GAP:
                result.append(column)
                column, used = [], 0
            column.append(key)
            used += needed
        result.append(column)
    return result


def place(
    cols: list[list[Key]], size: Callable[[Key], tuple[int, int]], left: int = 0, gap: int = COLUMN_GAP
) -> dict[Key, Box]:
    """The boxes of columns that begin at ``left`` and, with their titles, at y = 0."""
    boxes: dict[Key, Box] = {}
    x = left
    for column in cols:
        y = TITLE
        for key in column:
            width, height = size(key)
            boxes[key] = ([x, y], [width, height])
            y += height + GAP + TITLE
        x += max(size(key)[0] for key in column) + gap
    return boxes
