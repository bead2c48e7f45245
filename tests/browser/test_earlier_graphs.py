"""The graphs of November 2026, before boxes were folded, as people have saved them: they open and are queued alike."""

from __future__ import annotations

import json
import zipfile
from typing import Any

import pytest

from tests.browser.test_graphs import FRONT_END_INPUTS, MISSING, converted, drop
from tools.graphs.graph import input_slots
from tools.provision import REPO

ARCHIVE = REPO / "tests" / "browser" / "earlier-graphs.zip"


@pytest.fixture(scope="module")
def earlier() -> dict[str, dict[str, Any]]:
    with zipfile.ZipFile(ARCHIVE) as archive:
        return json.loads(archive.read("graphs.json"))


def test_graphs_open_and_are_queued_alike(
    page: Any, earlier: dict[str, dict[str, Any]], object_info: dict[str, Any]
) -> None:
    """An input that is new since then has its default.

    One has the value of the upload button, which the front-end puts last; the node knows it
    (tests/workflows/test_earlier_graphs.py).
    """
    for name, one in earlier.items():
        if name.startswith("demo-") or name.startswith("ltx-2.5"):
            drop(page, one["graph"])
            assert page.evaluate(MISSING) == [], name
            queued = converted(page)
            for id, node in one["prompt"].items():
                inputs = queued[id]["inputs"]
                assert node["inputs"].items() <= inputs.items(), (name, id)
                defaults = {slot.name: slot.default for slot in input_slots(object_info[node["class_type"]])}
                for new in inputs.keys() - node["inputs"].keys() - set(FRONT_END_INPUTS):
                    at_upload = (node["class_type"], new) == ("LTX2EncodeVideoFile", "light")
                    assert inputs[new] == ("image" if at_upload else defaults[new]), (name, id, new)
            assert queued.keys() == one["prompt"].keys(), name
