"""The graphs in the real front-end: dropped as a file, without missing nodes, converted to the same API prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.graphs.graph import Graph, api_prompt
from tools.graphs.workflows import ui_graph
from tools.provision import REPO

DROP = """(text) => {
  const data = new DataTransfer();
  data.items.add(new File([text], "graph.json", {type: "application/json"}));
  document.querySelector("#graph-canvas").dispatchEvent(
    new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: data}));
}"""
# The front-end restores widget values after it has made the nodes; a value that a test sets must come after that.
# An older file has fewer values than the node now has widgets; a box's widgets may be fed by wires.
RESTORED = """(graph) => {
  const folded = new Set((graph.definitions?.subgraphs ?? []).map((one) => one.id));
  const made = new Map(app.graph.serialize().nodes.map((node) => [node.id, node]));
  const restored = (node) => {
    const values = made.get(node.id)?.widgets_values ?? [];
    const same = (value, place) => [null, undefined, ""].includes(value)
      || JSON.stringify(value) === JSON.stringify(values[place]);
    return folded.has(node.type) || (node.widgets_values ?? []).every(same);
  };
  return made.size === graph.nodes.length && graph.nodes.every(restored);
}"""
DRAWN = "() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))"
# A node of an unknown type is drawn red and has no constructor of its own.
MISSING = """() => {
  const inside = app.graph.nodes.flatMap(n => n.isSubgraphNode?.() ? n.subgraph.nodes : [n]);
  return inside.filter(n => n.has_errors || !(n.type in LiteGraph.registered_node_types)).map(n => n.type);
}"""
# Where the front-end differs from the file in what follows from the rest, or in how it draws, the file is right too.
DERIVED_NODE_KEYS = {"order", "size"}
FRONT_END_TYPES = {"IMAGEUPLOAD", "AUDIOUPLOAD", "AUDIO_UI"}  # widgets that the front-end adds by itself
FRONT_END_INPUTS = ("audioUI", "video-preview", "preview")  # its players and its text box; the server ignores them
SLOT_KEYS = ("name", "type", "link", "links", "widget", "shape")


def drop(page: Any, graph: dict[str, Any]) -> None:
    page.evaluate("app.graph.clear()")
    page.evaluate(DROP, json.dumps(graph))
    page.wait_for_function(RESTORED, arg=graph, timeout=60_000)
    page.evaluate(DRAWN)


def assert_opens(page: Any, graph: dict[str, Any], prompt: dict[str, Any]) -> None:
    drop(page, graph)
    assert page.evaluate(MISSING) == []
    assert converted(page) == prompt
    saved = page.evaluate("app.graph.serialize()")
    assert (saved["links"], saved["groups"]) == (graph["links"], graph["groups"])
    folded = {one["id"] for one in graph.get("definitions", {}).get("subgraphs", [])}
    nodes = {node["id"]: node for node in saved["nodes"]}
    for node in graph["nodes"]:
        if node["type"] not in folded:
            assert _essence(nodes[node["id"]]) == _essence(node)
            continue
        again = nodes[node["id"]]
        # A widget that a wire feeds has a value too, of no meaning.
        given = [slot["link"] is None for slot in node["inputs"] if "widget" in slot]
        for kept, value, expected in zip(given, again.get("widgets_values") or [], node["widgets_values"], strict=True):
            assert not kept or value == expected
        assert [slot["name"] for slot in again["inputs"]] == [slot["name"] for slot in node["inputs"]]


def converted(page: Any) -> dict[str, Any]:
    """What the front-end would queue, with the nodes of boxes under their own ids: '21:7' becomes '7'."""
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    return {_own_id(id): _plain(node) for id, node in prompt.items()}


def _plain(node: dict[str, Any]) -> dict[str, Any]:
    inputs = {name: value for name, value in node["inputs"].items() if name not in FRONT_END_INPUTS}
    for name, value in inputs.items():
        if isinstance(value, list):
            inputs[name] = [_own_id(value[0]), value[1]]
    return {"inputs": inputs, "class_type": node["class_type"], "_meta": {"title": node["_meta"]["title"]}}


def _own_id(id: str) -> str:
    return id.rpartition(":")[2]


def _essence(node: dict[str, Any]) -> dict[str, Any]:
    """What must survive opening and saving a graph."""
    kept = {key: value for key, value in node.items() if value is not None and key not in DERIVED_NODE_KEYS}
    for side in ("inputs", "outputs"):
        slots = [slot for slot in node[side] if slot["type"] not in FRONT_END_TYPES]
        kept[side] = [{key: slot[key] for key in SLOT_KEYS if slot.get(key)} for slot in slots]
    values = kept.setdefault("widgets_values", [])
    while values and values[-1] in (None, ""):  # the sound player has a value only after it has played
        values = kept["widgets_values"] = values[:-1]
    return kept


def test_built_graph_opens_as_described(page: Any, object_info: dict[str, Any]) -> None:
    """The builder alone, with core nodes: a seed with its control, an optional socket, a multiline text, a note."""
    graph = Graph("core")
    graph.note("Read me", "# Core nodes\n\nOne | two\n---|---\na | b")
    with graph.group("Make"):
        text = graph.node("StringConcatenate", string_a="left\nright", string_b="x", delimiter=" ")
        noise = graph.node("RandomNoise", title="Seed", noise_seed=2**40)
        images = graph.node("EmptyImage", width=64, height=64, batch_size=9)
    with graph.group("Save"):
        video = graph.node("CreateVideo", images=images["IMAGE"], fps=25.0)
        graph.node("SaveVideo", video=video["VIDEO"], filename_prefix=text["STRING"], format="mp4")
    assert noise.id == 2
    assert_opens(page, ui_graph(graph, object_info), api_prompt(graph, object_info))


@pytest.mark.parametrize("path", sorted((REPO / "workflows").glob("*.json")), ids=lambda path: path.stem)
def test_workflow_opens_by_drag_and_drop(page: Any, path: Path) -> None:
    graph = json.loads(path.read_text("utf-8"))
    prompt = json.loads((path.parent / "api" / path.name).read_text("utf-8"))
    assert_opens(page, graph, prompt)
