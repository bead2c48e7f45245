"""Every node has a help page, which ComfyUI finds by the node's id, and the page explains every input."""

from __future__ import annotations

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
    schema = nodes[page].GET_SCHEMA()
    text = (PAGES / f"{page}.md").read_text("utf-8")
    assert text.startswith(f"# {schema.display_name}\n\n")
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("|")]
    named = {name.strip() for cell in cells for name in cell.split(",")}
    missing = [slot.id for slot in schema.inputs if slot.id not in named]
    assert missing == [], f"{page}.md leaves out {missing}"


def test_graphs_that_pages_name_exist(page: str) -> None:
    graphs = {path.stem for path in (REPO / "workflows").glob("*.json")}
    lines = [line for line in (PAGES / f"{page}.md").read_text("utf-8").splitlines() if "Graph" in line]
    named = {part for line in lines for part in line[line.index("Graph") :].split("`")[1::2]}
    assert named <= graphs
