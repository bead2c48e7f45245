"""A graph in, a prompt of these nodes out, with the list of what has no counterpart."""

from __future__ import annotations

from typing import Any

from tools.conversion import latent_rules, loading_rules, media_rules, sampling_rules, text_rules  # noqa: F401  rules
from tools.conversion.converter import RULES, Conversion, Node
from tools.conversion.reading import ConversionError, Item, Link, is_foreign, read_graph
from tools.conversion.values import Wire

SAVERS = ("SaveVideo", "SaveAudio", "SaveImage", "PreviewAudio", "PreviewImage", "PreviewAny", "VHS_VideoCombine")
FILE_WRITERS = ("LTXVHDRDecodePostprocess", "LTXVSaveHLG")


def convert(graph: Any) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The prompt of a graph with the nodes of this pack, and what has no counterpart or was decided, a sentence each.

    Raises ConversionError for what is no graph, or has nothing to convert.
    """
    items = read_graph(graph)
    if not any(is_foreign(item.type) or item.type in RULES for item in items):
        raise ConversionError("There is no node for LTX models in this graph.")
    conversion = Conversion(items)
    for item in _ends(items):
        if is_foreign(item.type) or item.type in RULES:
            conversion.outputs(item)
        else:
            conversion.memo[item.id] = [Wire(conversion.keep(item), slot) for slot in range(16)]
    for item in items:
        if is_foreign(item.type) and item.type not in RULES:
            conversion.outputs(item)
    if not conversion.nodes:
        raise ConversionError("Nothing in this graph leads to a node that saves or shows something.")
    return _prompt(conversion.nodes), conversion.notes


def _ends(items: list[Item]) -> list[Item]:
    """The nodes that save or show, and those whose outputs nothing takes."""
    used = {value.node for item in items for value in item.inputs.values() if isinstance(value, Link)}
    ends = [item for item in items if item.type in SAVERS]
    ends += [item for item in items if item.type in FILE_WRITERS and item not in ends]
    if not ends:
        ends = [item for item in items if item.id not in used]
    return ends


def _prompt(nodes: list[Node]) -> dict[str, dict[str, Any]]:
    """Nodes that lead to an end, numbered in order."""
    used = {value.node for node in nodes for value in node.inputs.values() if isinstance(value, Wire)}
    kept = [index for index, node in enumerate(nodes) if index in used or not _is_idle(node)]
    number = {index: str(position + 1) for position, index in enumerate(kept)}
    return {
        number[index]: {
            "inputs": {
                name: [number[value.node], value.slot] if isinstance(value, Wire) else value
                for name, value in nodes[index].inputs.items()
            },
            "class_type": nodes[index].type,
            "_meta": {"title": nodes[index].title or nodes[index].type},
        }
        for index in kept
    }


def _is_idle(node: Node) -> bool:
    """One of ours that nothing uses and that writes nothing."""
    return node.type.startswith("LTX2") and not node.type.startswith("LTX2Save")
