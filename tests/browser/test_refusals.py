"""A refusal in the real front-ends: its sentence shows once, and the input that is wrong is marked."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.test_earlier_graphs import ARCHIVE
from tests.browser.test_graphs import drop
from tools.provision import REPO

with zipfile.ZipFile(ARCHIVE) as archive:
    # Without boxes: what is looked at lies open.
    GRAPH = json.loads(archive.read("graphs.json"))["demo-text-to-video"]["graph"]
MARKED = "() => app.graph.nodes.flatMap(n => (n.inputs ?? []).filter(i => i.hasErrors).map(i => [n.type, i.name]))"
SET = """([type, name, value]) => {
  app.graph.nodes.find(n => n.type === type).widgets.find(w => w.name === name).value = value;
}"""
QUEUE = "async () => { await app.queuePrompt(0); }"
TILE = "Spatial tile size is 33 px; it must be a multiple of 32 and at least 64. Use 64."
# Another width for each rendering: a toast outlives its test.
WIDTHS = {False: (100, "width is 100; it must be a multiple of 16 pixels. Set it to 96 or 112.")}
WIDTHS[True] = (200, "width is 200; it must be a multiple of 16 pixels. Set it to 192 or 208.")
SETTINGS = """async (settings) => {
  for (const [id, value] of Object.entries(settings)) await app.extensionManager.setting.set(id, value);
}"""
CLASSIC = {"Comfy.UseNewMenu": "Disabled", "Comfy.VueNodes.Enabled": False}


@pytest.fixture(params=[False, True], ids=["classic", "nodes-2"])
def front_end(either_page: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A front-end with the demo graph, in either rendering, with the menu that shows errors."""
    either_page.evaluate(SETTINGS, {"Comfy.UseNewMenu": "Top", "Comfy.VueNodes.Enabled": request.param})
    drop(either_page, GRAPH)
    yield either_page
    either_page.keyboard.press("Escape")
    either_page.evaluate(SETTINGS, CLASSIC)


def shown(page: Any, sentence: str) -> int:
    """How often a sentence stands on the page, where a person sees it (not the copy that is read aloud)."""
    places = [place for place in page.get_by_text(sentence).all() if place.is_visible()]
    return sum(not place.evaluate("(element) => Boolean(element.closest('.sr-only'))") for place in places)


def test_a_refusal_at_the_queue(front_end: Any) -> None:
    front_end.evaluate(SET, ["LTX2VideoVAEDecode", "tile_size", 33])
    front_end.evaluate(QUEUE)
    front_end.wait_for_function(f"({MARKED})().length > 0", timeout=60_000)
    assert front_end.evaluate(MARKED) == [["LTX2VideoVAEDecode", "tile_size"]]
    front_end.get_by_text(TILE).first.wait_for(timeout=60_000)
    assert shown(front_end, TILE) == 1
    [errors] = front_end.evaluate("Object.values(app.lastNodeErrors).map(n => JSON.parse(JSON.stringify(n.errors)))")
    [error] = errors
    assert (error["details"], error["extra_info"]["input_name"]) == (TILE, "tile_size")


def test_a_refusal_of_a_run(front_end: Any) -> None:
    """The width's step is known only when the video VAE has been loaded."""
    width, sentence = WIDTHS[front_end.evaluate("app.extensionManager.setting.get('Comfy.VueNodes.Enabled')")]
    front_end.evaluate(SET, ["LTX2EmptyLatents", "width", width])
    front_end.evaluate(QUEUE)
    front_end.wait_for_function(f"({MARKED})().length > 0", timeout=60_000)
    assert front_end.evaluate(MARKED) == [["LTX2EmptyLatents", "width"]]
    front_end.get_by_text(sentence).first.wait_for(timeout=60_000)
    assert shown(front_end, sentence) == 1


BOXES = json.loads((REPO / "workflows" / "demo-text-to-video.json").read_text("utf-8"))
SIZE_IN_A_BOX = json.loads((REPO / "workflows" / "demo-long-video.json").read_text("utf-8"))
FRAMED = "() => app.graph.nodes.filter((node) => node.has_errors).map((node) => node.title)"
SET_ON_A_BOX = """([title, name, value]) => {
  const box = app.graph.nodes.find((node) => node.title === title);
  box.widgets.find((widget) => widget.name === name).value = value;
}"""
SET_INSIDE = """([title, type, name, value]) => {
  const box = app.graph.nodes.find((node) => node.title === title);
  box.subgraph.nodes.find((node) => node.type === type).widgets.find((one) => one.name === name).value = value;
}"""
MARKED_ON_BOXES = (
    "() => app.graph.nodes.flatMap(n => (n.inputs ?? []).filter(i => i.hasErrors).map(i => [n.title, i.name]))"
)


def test_a_box_is_marked_for_the_node_in_it(front_end: Any) -> None:
    drop(front_end, BOXES)
    front_end.evaluate(SET_INSIDE, ["Generate", "LTX2VideoVAEDecode", "tile_size", 33])
    front_end.evaluate(QUEUE)
    front_end.wait_for_function(f"({FRAMED})().length > 0", timeout=60_000)
    assert front_end.evaluate(FRAMED) == ["Generate"]
    assert front_end.evaluate(MARKED_ON_BOXES) == [], "an input of the box, which does not show the wrong one"


def test_the_input_of_a_box_is_marked(front_end: Any) -> None:
    """A widget that the box shows is fed through its input."""
    drop(front_end, SIZE_IN_A_BOX)
    width, _ = WIDTHS[front_end.evaluate("app.extensionManager.setting.get('Comfy.VueNodes.Enabled')")]
    front_end.evaluate(SET_ON_A_BOX, ["Size and length", "width", width])
    front_end.evaluate(QUEUE)
    front_end.wait_for_function(f"({MARKED_ON_BOXES})().length > 0", timeout=60_000)
    assert front_end.evaluate(MARKED_ON_BOXES) == [["Size and length", "width"]]
    assert front_end.evaluate(FRAMED) == ["Size and length"]


NAMED = """async ([sentence, inputs]) => {
  return (await import("/extensions/ltx2-nodes/js/refusals.js")).namedInput(sentence, inputs);
}"""


@pytest.mark.parametrize(
    ("sentence", "inputs", "name"),
    [
        ("tile_overlap is 70; it must be below tile_size.", ["tile_size", "tile_overlap"], "tile_overlap"),
        ("Spatial tile size is 33 px.", ["tile_overlap", "tile_size"], "tile_size"),
        ("lora_strength is null; a number is needed.", ["lora", "lora_strength"], "lora_strength"),
        ("lengths differ: length is 9.", ["length"], "length"),
        ("lengths differ.", ["length"], None),
    ],
)
def test_the_input_that_a_sentence_names(newest_page: Any, sentence: str, inputs: list[str], name: str | None) -> None:
    given = [{"name": one, "value": 1} for one in inputs]
    assert newest_page.evaluate(NAMED, [sentence, given]) == name


def test_a_file_that_a_sentence_names(newest_page: Any) -> None:
    inputs = [{"name": "precision", "value": "auto"}, {"name": "checkpoint", "value": "cut.safetensors"}]
    assert newest_page.evaluate(NAMED, ["cut.safetensors is truncated. Load it again.", inputs]) == "checkpoint"
