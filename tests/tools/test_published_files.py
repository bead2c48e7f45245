"""What the graphs say about their files, so that ComfyUI offers them for download."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tools.graphs.workflows import all_graphs
from tools.provision import REPO
from tools.published_files import GATED, PUBLISHED_FILES, download_advice, model_properties

# What the front-end takes (read in the packages 1.32.9 and 1.58.1): the address must begin so, the name end so.
ALLOWED_ADDRESS, ALLOWED_SUFFIXES = "https://huggingface.co/", (".safetensors", ".sft")
GRAPHS = sorted(path for path in (REPO / "workflows").glob("*.json") if not path.stem.startswith("demo-"))


def nodes_of(path: Path) -> list[dict[str, Any]]:
    """The nodes of a graph and of its subgraphs."""
    graph = json.loads(path.read_text("utf-8"))
    inner = graph.get("definitions", {}).get("subgraphs", [])
    return [node for part in (graph, *inner) for node in part["nodes"]]


def named_files(path: Path) -> set[str]:
    """The model files that the prompt of a graph names."""
    prompt = json.loads((path.parent / "api" / path.name).read_text("utf-8"))
    values = [value for node in prompt.values() for value in node["inputs"].values()]
    return {value for value in values if isinstance(value, str) and value.endswith(ALLOWED_SUFFIXES)}


def test_every_file_that_a_published_graph_names_is_in_the_table() -> None:
    named = set().union(*map(named_files, GRAPHS))
    assert len(named) >= 20
    assert named <= PUBLISHED_FILES.keys()


def test_no_published_graph_asks_for_a_folder() -> None:
    """A text encoder that is a folder cannot be offered for download."""
    encoders = {
        node.inputs["text_encoder"]
        for graph in all_graphs()
        for node in graph.nodes
        if node.type == "LTX2TextEncoderLoader" and not graph.name.startswith("demo-")
    }
    assert encoders and all(name.endswith(ALLOWED_SUFFIXES) for name in encoders)


@pytest.mark.parametrize("path", GRAPHS, ids=lambda path: path.stem)
def test_a_node_that_names_a_file_offers_it(path: Path) -> None:
    """As the front-end reads it: an entry counts where its name is the value of a widget of the same node."""
    offered = {
        model["name"]
        for node in nodes_of(path)
        for model in node["properties"].get("models", [])
        if model["name"] in node["widgets_values"]
    }
    assert offered == {name for name in named_files(path) if PUBLISHED_FILES[name].url}
    for node in nodes_of(path):
        for model in node["properties"].get("models", []):
            assert model.keys() >= {"name", "url", "directory"}
            assert model["name"].endswith(ALLOWED_SUFFIXES) and model["url"].startswith(ALLOWED_ADDRESS)
            assert urlsplit(model["url"]).path.endswith("/" + model["name"])


def test_what_cannot_be_offered_and_what_is_gated_is_said_in_the_note() -> None:
    for path in GRAPHS:
        [note] = [node["widgets_values"][0] for node in nodes_of(path) if node["type"] == "MarkdownNote"]
        files = [PUBLISHED_FILES[name] for name in named_files(path)]
        assert all(file.name in note for file in files), path.stem
        assert ("accept it once at" in note and GATED in note) == any(file.is_gated for file in files), path.stem
        assert all(note.count(file.name) == 2 for file in files if file.url is None), path.stem


def test_the_readme_lists_them_with_the_same_folder() -> None:
    rows = [line for line in (REPO / "README.md").read_text("utf-8").splitlines() if line.startswith("| `")]
    for file in PUBLISHED_FILES.values():
        for row in rows:
            if f"`{file.name}`" in row:
                assert f"`{file.directory}`" in row, file.name


def test_a_hash_is_given_only_with_its_kind() -> None:
    for file in PUBLISHED_FILES.values():
        model = file.model or {}
        assert ("hash" in model) == ("hash_type" in model) == (file.sha256 is not None and file.url is not None)


def test_values_that_are_no_published_file_give_nothing() -> None:
    assert model_properties(["my-own.safetensors", 3, ["1", 0], None]) == {}
    assert "accept" not in download_advice(["ltx-2.3-22b-dev.safetensors"])
