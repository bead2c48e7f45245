"""The defaults that a converted graph is filled with are those of the nodes."""

from __future__ import annotations

import re
from typing import Any

from tools.conversion.defaults import DEFAULTS
from tools.provision import REPO


def test_they_are_the_nodes_own(nodes: dict[str, Any]) -> None:
    """Every node that a rule writes, every required widget of it."""
    sources = [path.read_text("utf-8") for path in (REPO / "tools" / "conversion").glob("*_rules.py")]
    written = {type for text in sources for type in re.findall(r'"(LTX2\w+)"', text)}
    assert written <= nodes.keys() and len(written) >= 25
    for type in written:
        defaults = {
            slot.id: slot.default
            for slot in nodes[type].GET_SCHEMA().inputs
            if not slot.optional and getattr(slot, "default", None) is not None
        }
        assert DEFAULTS.get(type, {}) == defaults, type
