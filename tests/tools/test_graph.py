"""The workflow builder on made-up nodes: slots, links, checks, layout."""

from __future__ import annotations

from typing import Any

import pytest

from ltx_core_impl.presets import HQ_PRESET, LTX_2_3_PRESET, LTX_2_5_PRESET
from tools.graphs.graph import Graph, GraphError, Output, api_prompt, check_graph, input_slots
from tools.graphs.layout import TITLE
from tools.graphs.ltx25 import NEGATIVE_25
from tools.graphs.parts import NEGATIVE
from tools.graphs.steps import steps
from tools.graphs.views import fitting_view
from tools.graphs.workflows import all_graphs, ui_graph


def node_info(name: str, inputs: dict[str, list[Any]], outputs: dict[str, str], optional: Any = ()) -> dict[str, Any]:
    optional = dict(optional)
    return {
        "name": name,
        "display_name": f"The {name}",
        "input": {"required": inputs, "optional": optional},
        "input_order": {"required": list(inputs), "optional": list(optional)},
        "output": list(outputs.values()),
        "output_name": list(outputs),
    }


NODES = {
    "Load": node_info("Load", {"file": [["on-this-machine.bin"], {}]}, {"model": "MODEL", "extra": "EXTRA"}),
    "Run": node_info(
        "Run",
        {"steps": ["INT", {"default": 5}], "model": ["MODEL", {}], "seed": ["INT", {"default": 0}]},
        {"sound": "AUDIO"},
        optional={
            "text": ["STRING", {"multiline": True}],
            "mask": ["MASK", {}],
            "strength": ["FLOAT", {"default": 1.0}],
        },
    ),
    "Save": node_info("Save", {"sound": ["AUDIO", {}]}, {}),
}


@pytest.fixture
def graph() -> Graph:
    graph = Graph("test")
    graph.note("Files", "| file | folder |\n|---|---|\n| a | b |")
    with graph.step("One"):
        load = graph.node("Load", file="there.bin")
    with graph.step("Two"):
        run = graph.node("Run", "Go", model=load["model"], seed=7)
    with graph.step("Three"):
        graph.node("Save", sound=run["sound"])
    return graph


def test_api_prompt_has_given_values_defaults_and_links(graph: Graph) -> None:
    check_graph(graph, NODES)
    assert api_prompt(graph, NODES) == {
        "1": {"inputs": {"file": "there.bin"}, "class_type": "Load", "_meta": {"title": "The Load"}},
        "2": {
            "inputs": {"steps": 5, "model": ["1", 0], "seed": 7, "text": "", "strength": 1.0},
            "class_type": "Run",
            "_meta": {"title": "Go"},
        },
        "3": {"inputs": {"sound": ["2", 0]}, "class_type": "Save", "_meta": {"title": "The Save"}},
    }


def test_ui_graph_has_sockets_first_and_values_in_schema_order(graph: Graph) -> None:
    ui = ui_graph(graph, NODES)
    run = ui["nodes"][1]
    assert [slot["name"] for slot in run["inputs"]] == ["model", "mask", "steps", "seed", "text", "strength"]
    assert run["widgets_values"] == [5, 7, "fixed", "", 1.0]
    assert ui["links"] == [[1, 1, 0, 2, 0, "MODEL"], [2, 2, 0, 3, 0, "AUDIO"]]
    assert ui["nodes"][0]["outputs"] == [
        {"name": "model", "type": "MODEL", "links": [1]},
        {"name": "extra", "type": "EXTRA", "links": None},
    ]
    assert ui["nodes"][3]["type"] == "MarkdownNote"
    assert (ui["last_node_id"], ui["last_link_id"]) == (4, 2)


def test_the_same_description_gives_the_same_graph(graph: Graph) -> None:
    assert ui_graph(graph, NODES) == ui_graph(graph, NODES)


def test_layout_keeps_boxes_apart_and_wires_run_to_the_right() -> None:
    for graph in (graph for graph in all_graphs() if graph.name in ("two-stage", "retake", "ltx-2.5-dfr")):
        view = fitting_view(graph, _object_info(graph))
        boxes = [(*position, *size) for position, size in [*view.boxes.values(), *view.notes]]
        for index, (x, y, w, h) in enumerate(boxes):
            for a, b, c, d in boxes[:index]:
                assert x + w <= a or a + c <= x or y + h < b - TITLE or b + d < y - TITLE
        home = {node: step.title for step in view.steps for node in step.nodes}
        for node in graph.nodes:
            for source in node.sources:
                if home[source] != home[node]:
                    left, right = view.boxes[home[source]], view.boxes[home[node]]
                    assert left[0][0] + left[1][0] < right[0][0]


def _object_info(graph: Graph) -> dict[str, Any]:
    """Made-up nodes that have the inputs and outputs that a graph uses, all of them sockets."""
    outputs: dict[str, dict[str, str]] = {node.type: {} for node in graph.nodes}
    inputs: dict[str, dict[str, list[Any]]] = {node.type: {} for node in graph.nodes}
    for node in graph.nodes:
        for name, value in node.inputs.items():
            if isinstance(value, Output):
                outputs[value.node.type][value.name] = "*"
            inputs[node.type].setdefault(name, ["*", {}])
    return {type: node_info(type, inputs[type], outputs[type]) for type in outputs}


def test_boxes_fold_nodes_and_show_what_is_changed_first() -> None:
    graph = Graph("folded")
    load = graph.node("LTX2CheckpointLoader", file="a")
    lora = graph.node("LTX2LoraLoader", model=load["model"])
    run = graph.node("Run", model=lora["model"], seed=7)
    graph.node("Save", sound=run["sound"])
    graph.show(load, "file")
    info = {
        **NODES,
        "LTX2CheckpointLoader": node_info(
            "LTX2CheckpointLoader", {"file": ["COMBO", {}], "device": ["COMBO", {"default": "cpu"}]}, {"model": "MODEL"}
        ),
        "LTX2LoraLoader": node_info("LTX2LoraLoader", {"model": ["MODEL", {}]}, {"model": "MODEL"}),
        "Save": {**NODES["Save"], "output_node": True},
    }
    ui = ui_graph(graph, info)
    [definition] = ui["definitions"]["subgraphs"]
    host = next(node for node in ui["nodes"] if node["type"] == definition["id"])
    assert (host["id"], host["title"], host["widgets_values"]) == (5, "Model", ["a"])
    assert [slot["name"] for slot in host["inputs"]] == ["file"]
    assert [node["id"] for node in ui["nodes"]] == [3, 4, 5]
    assert [node["id"] for node in definition["nodes"]] == [1, 2]
    ends = [(link["origin_id"], link["target_id"], link["target_slot"]) for link in definition["links"]]
    assert sorted(ends) == [(-10, 1, 0), (1, 2, 0), (2, -20, 0)]
    assert ui["links"][0][1:] == [5, 0, 3, 0, "MODEL"]
    assert definition["inputs"][0]["linkIds"] == [
        link["id"] for link in definition["links"] if link["origin_id"] == -10
    ]


def test_a_description_chooses_boxes_and_boxes_that_wait_for_each_other_are_refused() -> None:
    graph = Graph("chosen")
    with graph.step("First"):
        load = graph.node("Load", file="a")
    with graph.step("Second"):
        run = graph.node("Run", model=load["model"])
    assert [step.title for step in steps(graph, NODES)] == ["First", "Second"]
    with graph.step("First"):
        graph.node("Save", sound=run["sound"])
    with pytest.raises(GraphError, match=r"these boxes wait for each other: \['First', 'Second'\]"):
        steps(graph, NODES)


@pytest.mark.parametrize(
    ("type", "inputs", "message"),
    [
        ("Nothing", {}, "no node type Nothing"),
        ("Load", {"file": "a", "files": 1}, r"no input \['files'\]"),
        ("Load", {}, "needs a choice for 'file'"),
        ("Save", {}, "needs a link to 'sound'"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(type: str, inputs: dict[str, Any], message: str) -> None:
    graph = Graph("test")
    graph.node(type, **inputs)
    with pytest.raises(GraphError, match=message):
        check_graph(graph, NODES)


def test_wrong_wiring_is_refused() -> None:
    graph = Graph("test")
    load = graph.node("Load", file="a")
    graph.node("Save", sound=load["model"])
    with pytest.raises(GraphError, match="takes AUDIO, not the MODEL of Load"):
        check_graph(graph, NODES)
    graph = Graph("test")
    load = graph.node("Load", file="a")
    graph.node("Run", model=load["weights"])
    with pytest.raises(GraphError, match=r"no output 'weights'; it has \['model', 'extra'\]"):
        check_graph(graph, NODES)


def test_v3_and_v1_combos_read_alike() -> None:
    [v1] = input_slots(node_info("A", {"a": [["x", "y"], {"default": "y"}]}, {}))
    [v3] = input_slots(node_info("A", {"a": ["COMBO", {"options": ["x", "y"], "default": "y"}]}, {}))
    assert v1 == v3
    assert (v1.type, v1.default, v1.is_widget) == ("COMBO", "y", True)


def test_the_upload_button_comes_last() -> None:
    inputs = {"image": [["a.png"], {"image_upload": True}], "channel": [["red"], {"default": "red"}]}
    graph = Graph("test")
    with graph.group("One"):
        graph.node("Mask", image="a.png")
    ui = ui_graph(graph, {"Mask": node_info("Mask", inputs, {"mask": "MASK"}, {"invert": ["BOOLEAN", {}]})})
    assert ui["nodes"][0]["widgets_values"] == ["a.png", "red", False, "image"]


FULL_MODEL = {  # graph: its preset, the modalities that it guides
    "text-to-video": (LTX_2_3_PRESET, 2),
    "image-to-video": (LTX_2_3_PRESET, 2),
    "two-stage": (LTX_2_3_PRESET, 2),
    "keyframe-interpolation": (LTX_2_3_PRESET, 2),
    "audio-to-video": (LTX_2_3_PRESET, 1),
    "two-stage-hq": (HQ_PRESET, 2),
    "ltx-2.5-text-to-video": (LTX_2_5_PRESET, 2),
}


@pytest.mark.parametrize("name", FULL_MODEL)
def test_the_graphs_of_full_models_have_the_numbers_of_their_presets(name: str) -> None:
    """The graphs are built without PyTorch, so their numbers cannot be imported from the library."""
    preset, guided = FULL_MODEL[name]
    [graph] = [one for one in all_graphs() if one.name == name]

    def inputs(type: str, title: str = "") -> list[dict[str, Any]]:
        return [one.inputs for one in graph.nodes if one.type == type and (one.title or "").startswith(title)]

    [clip], [schedule] = inputs("LTX2EmptyLatents"), inputs("LTX2Scheduler")
    size = {"width": preset.width, "height": preset.height, "length": preset.frames, "frame_rate": preset.fps}
    assert size.items() <= clip.items()
    assert schedule["steps"] == preset.steps
    assert ("latent" in schedule) == (preset is HQ_PRESET)
    chosen = [one["preset"] for one in inputs("LTX2GuidanceParameters")]
    assert chosen == [f"{preset.name} video", f"{preset.name} audio"][:guided]
    strengths = [one["strength"] for one in inputs("LTX2LoraLoader", "Distilled LoRA")]
    assert strengths in ([], [one for one in preset.distilled_lora if one])
    assert all(one.get("seed", preset.seed) == preset.seed for one in inputs("LTX2LatentNoise")[:1])
    assert all(one.get("crf", -1) == -1 and one.get("strength", 1.0) == 1.0 for one in inputs("LTX2ImageGuide"))


def test_the_negative_prompts_of_the_graphs_are_those_of_the_presets() -> None:
    """The graphs are built without PyTorch, so their texts cannot be imported from the library."""
    assert NEGATIVE == LTX_2_3_PRESET.negative_prompt
    assert NEGATIVE_25 == LTX_2_5_PRESET.negative_prompt
