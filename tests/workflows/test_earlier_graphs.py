"""The prompts of November 2026, as people have them in scripts: still complete, and they run."""

from __future__ import annotations

import json
import zipfile
from typing import Any

import pytest

from tools.graphs.graph import input_slots
from tools.provision import REPO
from tools.server import PromptRejected, Server

ARCHIVE = REPO / "tests" / "browser" / "earlier-graphs.zip"
RUN = ("demo-text-to-video-distilled", "demo-retake")


@pytest.fixture(scope="module")
def earlier() -> dict[str, dict[str, Any]]:
    with zipfile.ZipFile(ARCHIVE) as archive:
        return json.loads(archive.read("graphs.json"))


def test_prompts_name_only_what_there_is_and_leave_out_nothing(
    earlier: dict[str, dict[str, Any]], object_info: dict[str, Any]
) -> None:
    assert len(earlier) == 57
    for name, one in earlier.items():
        for id, node in one["prompt"].items():
            slots = {slot.name: slot for slot in input_slots(object_info[node["class_type"]])}
            assert node["inputs"].keys() <= slots.keys(), (name, id)
            needed = {slot.name for slot in slots.values() if not slot.optional}
            assert needed <= node["inputs"].keys(), (name, id)
            for value in node["inputs"].values():
                if isinstance(value, list):
                    assert value[1] < len(object_info[one["prompt"][value[0]]["class_type"]]["output"]), (name, id)


@pytest.mark.parametrize("name", RUN)
def test_prompts_run(server: Server, earlier: dict[str, dict[str, Any]], name: str) -> None:
    done = server.client.run(earlier[name]["prompt"])
    assert done.status == "success", f"{done.error}\n{server.log_tail()}"
    assert done.files


def test_the_upload_button_where_light_is_read(server: Server, earlier: dict[str, dict[str, Any]]) -> None:
    """What the front-end makes of a saved graph: the button's value, last in the graph, is read as the newest input."""
    prompt = earlier["demo-refine-video-file"]["prompt"]
    encoders = [node for node in prompt.values() if node["class_type"] == "LTX2EncodeVideoFile"]
    assert encoders and not any("light" in node["inputs"] for node in encoders)
    for node in encoders:
        node["inputs"]["light"] = "image"
    done = server.client.run(prompt)
    assert done.status == "success", f"{done.error}\n{server.log_tail()}"
    for node in encoders:
        node["inputs"]["light"] = "HLG"
    with pytest.raises(PromptRejected, match="light is 'HLG'"):
        server.client.run(prompt)
