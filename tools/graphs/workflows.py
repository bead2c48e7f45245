"""Writes the example graphs: ``workflows/NAME.json`` to drag into the browser, ``workflows/api/NAME.json`` to queue.

    python3 tools/graphs/workflows.py            # write what the descriptions in this folder give
    python3 tools/graphs/workflows.py --check    # fail if a file on disk differs

Both files come from one description, so they cannot drift apart. Slot numbers, widget order and defaults come from the
nodes themselves, as a running ComfyUI tells them (``/object_info``).
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.graphs.graph import Graph, GraphError, Node, Output, api_prompt, check_graph, input_slots, output_index
from tools.provision import PACK_NAME, REPO, ProvisionError, provision
from tools.published_files import model_properties
from tools.server import NODE_PREFIX, Server, ServerError

WORKFLOWS = REPO / "workflows"
OPTIONAL_SHAPE = 7  # litegraph's hollow circle

# Sizes in pixels, as the front-end draws them.
NODE_WIDTH, NOTE_WIDTH = 340, 460
TITLE, SOCKET, WIDGET, TEXT_WIDGET, NOTE_LINE = 30, 20, 24, 180, 22
GAP, GROUP_PADDING, GROUP_TITLE = 40, 20, 50

Box = tuple[list[int], list[int]]
"""Position and size."""


# --- UI graph ---------------------------------------------------------------------------------------------------------


def ui_graph(graph: Graph, object_info: dict[str, Any]) -> dict[str, Any]:
    """The graph as the front-end saves it (litegraph, version 0.4)."""
    order = {node.id: index for index, node in enumerate(_topological(graph.nodes))}
    boxes, groups = _layout(graph, object_info)
    links: list[list[Any]] = []
    nodes = [_ui_node(node, object_info, order[node.id], boxes[node.id], links) for node in graph.nodes]
    by_id = {node["id"]: node for node in nodes}
    for link_id, source, slot, *_ in links:
        output = by_id[source]["outputs"][slot]
        output["links"] = [*(output["links"] or []), link_id]
    left = min(group["bounding"][0] for group in groups)
    y = 0
    for title, markdown in graph.notes:
        size = [NOTE_WIDTH, TITLE + NOTE_LINE * (markdown.count("\n") + 2)]
        nodes.append(_ui_note(len(nodes) + 1, title, markdown, [left - GAP - NOTE_WIDTH, y], size))
        y += size[1] + GAP + TITLE
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{PACK_NAME}/{graph.name}")),
        "revision": 0,
        "last_node_id": len(nodes),
        "last_link_id": len(links),
        "nodes": nodes,
        "links": links,
        "groups": groups,
        "config": {},
        "extra": {"ds": {"scale": 0.6, "offset": [NOTE_WIDTH + 2 * GAP, 2 * GAP]}},
        "version": 0.4,
    }


def _ui_node(node: Node, object_info: dict[str, Any], order: int, box: Box, links: list[list[Any]]) -> dict[str, Any]:
    """One node; the links that end in it are added to ``links``."""
    info = object_info[node.type]
    slots = input_slots(info)
    inputs: list[dict[str, Any]] = []
    for slot in sorted(slots, key=lambda slot: slot.is_widget):  # sockets first, as the front-end draws them
        entry: dict[str, Any] = {"name": slot.name, "type": slot.type, "link": None}
        if slot.optional:
            entry["shape"] = OPTIONAL_SHAPE
        if slot.is_widget:
            entry["widget"] = {"name": slot.name}
        value = node.inputs.get(slot.name)
        if isinstance(value, Output):
            source = object_info[value.node.type]
            index = output_index(source, value.name)
            entry["link"] = len(links) + 1
            links.append([entry["link"], value.node.id, index, node.id, len(inputs), source["output"][index]])
        inputs.append(entry)
    values: list[Any] = []
    for slot in slots:
        if slot.is_widget:
            value = node.inputs.get(slot.name, slot.default)
            values.append(slot.default if isinstance(value, Output) else value)
        values += slot.extra
    position, size = box
    is_ours = node.type.startswith(NODE_PREFIX)
    result = {
        "id": node.id,
        "type": node.type,
        "pos": position,
        "size": size,
        "flags": {},
        "order": order,
        "mode": 0,
        "inputs": inputs,
        "outputs": [
            {"name": name, "type": kind, "links": None}
            for name, kind in zip(info["output_name"], info["output"], strict=True)
        ],
        "properties": {
            "cnr_id": PACK_NAME if is_ours else "comfy-core",
            "Node name for S&R": node.type,
            **model_properties(node.inputs.values()),
        },
        "widgets_values": values,
    }
    return result if node.title is None else {**result, "title": node.title}


def _ui_note(id: int, title: str, markdown: str, position: list[int], size: list[int]) -> dict[str, Any]:
    return {
        "id": id,
        "type": "MarkdownNote",
        "pos": position,
        "size": size,
        "flags": {},
        "order": id - 1,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "title": title,
        "properties": {},
        "widgets_values": [markdown],
        "color": "#432",
        "bgcolor": "#653",
    }


def _topological(nodes: list[Node]) -> list[Node]:
    """Nodes after their sources, otherwise in the order of the description."""
    done: list[Node] = []

    def visit(node: Node) -> None:
        for source in node.sources:
            visit(source)
        if node not in done:
            done.append(node)

    for node in nodes:
        visit(node)
    return done


def _layout(graph: Graph, object_info: dict[str, Any]) -> tuple[dict[int, Box], list[dict[str, Any]]]:
    """Positions and sizes by node id, and the group boxes: groups side by side, the nodes of each under one another."""
    boxes: dict[int, Box] = {}
    groups: list[dict[str, Any]] = []
    x = 0
    for title in dict.fromkeys(node.group for node in graph.nodes):
        y = GROUP_TITLE + TITLE
        for node in (node for node in graph.nodes if node.group == title):
            size = [NODE_WIDTH, _height(object_info[node.type])]
            boxes[node.id] = ([x + GROUP_PADDING, y], size)
            y += size[1] + GAP + TITLE
        width, height = NODE_WIDTH + 2 * GROUP_PADDING, y - GAP - TITLE + GROUP_PADDING
        number = len(groups) + 1
        bounding = [x, 0, width, height]
        group = {"id": number, "title": f"{number} {title}", "bounding": bounding, "color": "#3f789e"}
        groups.append({**group, "font_size": 24, "flags": {}})
        x += width + GAP
    return boxes, groups


def _height(info: dict[str, Any]) -> int:
    slots = input_slots(info)
    sockets = max(sum(not slot.is_widget for slot in slots), len(info["output"]))
    widgets = sum(
        (TEXT_WIDGET if slot.multiline else WIDGET) + WIDGET * len(slot.extra) for slot in slots if slot.is_widget
    )
    return sockets * SOCKET + widgets + 20


# --- Files ------------------------------------------------------------------------------------------------------------


def files(graphs: list[Graph], object_info: dict[str, Any]) -> dict[Path, str]:
    """The content of every workflow file."""
    contents = {}
    for graph in graphs:
        check_graph(graph, object_info)
        contents[WORKFLOWS / f"{graph.name}.json"] = _json(ui_graph(graph, object_info))
        contents[WORKFLOWS / "api" / f"{graph.name}.json"] = _json(api_prompt(graph, object_info))
    return contents


def differences(contents: dict[Path, str]) -> list[Path]:
    """The files on disk that differ from the descriptions, the missing and the left-over ones included."""
    known = {*WORKFLOWS.glob("*.json"), *WORKFLOWS.glob("api/*.json")}
    changed = [path for path, text in contents.items() if not path.exists() or path.read_text("utf-8") != text]
    return sorted({*changed, *(known - contents.keys())})


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def all_graphs() -> list[Graph]:
    """The graphs of every description in this folder: the modules with a list ``GRAPHS``."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")
    modules = [importlib.import_module(f"tools.graphs.{name}") for name in names]
    return [graph for module in modules for graph in getattr(module, "GRAPHS", ())]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file differs")
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder, Server(provision(), folder=Path(folder)) as server:
            contents = files(all_graphs(), server.client.object_info())
    except (ProvisionError, ServerError, GraphError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    stale = differences(contents)
    for path in stale:
        print(f"{path.relative_to(REPO)}: {'differs from its description' if arguments.check else 'written'}")
        if not arguments.check:
            if path in contents:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(contents[path], "utf-8")
            else:
                path.unlink()
    if arguments.check and stale:
        print("Run: python3 tools/graphs/workflows.py", file=sys.stderr)
    return 1 if arguments.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
