"""The graphs of November 2026, before boxes were folded, as people have saved them: they open and are queued alike."""

from __future__ import annotations

import json
import zipfile
from typing import Any

import pytest

from tests.browser.test_graphs import MISSING, converted, drop
from tools.provision import REPO

ARCHIVE = REPO / "tests" / "browser" / "earlier-graphs.zip"


@pytest.fixture(scope="module")
def earlier() -> dict[str, dict[str, Any]]:
    with zipfile.ZipFile(ARCHIVE) as archive:
        return json.loads(archive.read("graphs.json"))


def test_graphs_open_and_are_queued_alike(page: Any, earlier: dict[str, dict[str, Any]]) -> None:
    for name, one in earlier.items():
        if name.startswith("demo-") or name.startswith("ltx-2.5"):
            drop(page, one["graph"])
            assert page.evaluate(MISSING) == [], name
            queued = converted(page)
            for id, node in one["prompt"].items():  # an input that is new since then has its default
                assert node["inputs"].items() <= queued[id]["inputs"].items(), (name, id)
            assert queued.keys() == one["prompt"].keys(), name
