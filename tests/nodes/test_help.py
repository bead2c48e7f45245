"""Every node has a help page, which ComfyUI finds by the node's id, and the page explains every input."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest

from tools.provision import REPO

PAGES = REPO / "web" / "docs"


def test_every_node_has_a_page_and_every_page_a_node(nodes: dict[str, Any]) -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == nodes.keys()


@pytest.fixture(params=sorted(path.stem for path in PAGES.glob("*.md")))
def page(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_page_explains_every_input(nodes: dict[str, Any], page: str) -> None:
    """Lists, since the panel of the help is narrow; inputs that belong together may share a line."""
    schema = nodes[page].GET_SCHEMA()
    text = text_of(page)
    assert text.startswith(f"# {schema.display_name}\n\n")
    assert not any(line.startswith("|") for line in text.splitlines()), f"{page}.md has a table"
    paragraphs = text.split("\n\n")
    listed = next((part for part in paragraphs if part.startswith("- **")), "")
    named = [name for line in listed.splitlines() for name in NAME.findall(line.partition(":")[0])]
    missing, unknown = Counter(slot.id for slot in schema.inputs), Counter(named)
    assert missing - unknown == Counter(), f"{page}.md leaves out inputs"
    assert unknown - missing == Counter(), f"{page}.md names what is no input, or one twice"


def text_of(page: str) -> str:
    return (PAGES / f"{page}.md").read_text("utf-8")


NAME = re.compile(r"\*\*(\w+)\*\*")
EXAMPLE = re.compile(r"^\*\*Example graph\*\*: (.+)\.$", re.MULTILINE)
RELATED = re.compile(r"'(LTX-2 [^']+)'")


def test_a_page_names_a_graph_to_try(nodes: dict[str, Any], page: str) -> None:
    """The node is in the graph, or the line says beside or in place of which node of that graph it goes."""
    [example] = EXAMPLE.findall(text_of(page))
    ids = {node.GET_SCHEMA().display_name: name for name, node in nodes.items()}
    related = {ids[name] for name in RELATED.findall(example)}
    for graph in example.split("`")[1::2]:
        prompt = json.loads((REPO / "workflows" / "api" / f"{graph}.json").read_text("utf-8"))
        types = {node["class_type"] for node in prompt.values()}
        assert (related if related else {page}) & types, f"{page}.md: {graph} holds nothing of it"


def test_graphs_that_pages_name_exist(page: str) -> None:
    graphs = {path.stem for path in (REPO / "workflows").glob("*.json")}
    lines = [line for line in text_of(page).splitlines() if "Graph" in line]
    named = {part for line in lines for part in line[line.index("Graph") :].split("`")[1::2]}
    assert named <= graphs
