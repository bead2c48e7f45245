"""The map of other packs' nodes names only nodes and graphs that exist, and says why something is left out."""

from __future__ import annotations

import re
from typing import Any

from tools.provision import REPO

TEXT = (REPO / "docs" / "nodes-map.md").read_text("utf-8")
OWN = re.compile(r"`(LTX2\w+)`")


def test_named_nodes_exist(nodes: dict[str, Any]) -> None:
    assert set(OWN.findall(TEXT)) <= nodes.keys()


def test_named_graphs_exist() -> None:
    table = TEXT.partition("## Published pipelines")[2].partition("## Official pack")[0]
    graphs = {name for name in re.findall(r"`([a-z0-9][\w.-]*)`", table)}
    assert graphs <= {path.stem for path in (REPO / "workflows").glob("*.json")}
    assert {"text-to-video", "hdr", "lipdub"} <= graphs


def test_what_is_left_out_has_a_reason() -> None:
    rows = [line.strip("|").split("|") for line in TEXT.splitlines() if line.startswith("| `")]
    assert len(rows) > 60
    assert [row[0] for row in rows if len(row) == 3 and row[1].strip() == "–" and not row[2].strip()] == []
