"""A run in the real front-ends: the phase stands above its node or box, and the preview moves between the steps."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from tests.browser.test_earlier_graphs import ARCHIVE
from tests.browser.test_graphs import drop
from tools.provision import REPO

with zipfile.ZipFile(ARCHIVE) as archive:
    # Without boxes: what is looked at lies open.
    GRAPH = json.loads(archive.read("graphs.json"))["demo-text-to-video"]["graph"]
# What the front-end is told and shows, gathered; events and drawing come when they come, so each test waits for them.
WATCH = """async () => {
  const { api } = await import("/scripts/api.js");
  window.seen = { phases: [], previews: [], moving: 0, done: false };
  window.say = (name, detail) => api.dispatchCustomEvent(name, detail);
  if (window.watched) return;
  window.watched = true;
  api.addEventListener("ltx2.phase", ({ detail }) => seen.phases.push(detail.phase));
  api.addEventListener("ltx2.motion", ({ detail }) => { seen.moving = detail.frames.length; });
  api.addEventListener("b_preview_with_metadata", ({ detail }) => seen.previews.push(detail.blob.size));
  api.addEventListener("execution_success", () => { seen.done = true; });
}"""
QUEUE = """async () => {
  app.graph.nodes.find((node) => node.type === "LTX2LatentNoise").widgets[0].value = Math.floor(Math.random() * 1e9);
  await app.queuePrompt(0);
}"""
SAMPLER = """() => {
  const sampler = app.graph.nodes.find((node) => node.type === "LTX2Sampler");
  app.canvas.ds.offset = [300 - sampler.pos[0], 200 - sampler.pos[1]];
  return String(sampler.id);
}"""
TEXT = """async (event) => (await import("/extensions/ltx2-nodes/js/progress.js")).phaseText(event)"""
LIMIT_MS = 90_000


@pytest.fixture
def watched(either_page: Any) -> Any:
    """A front-end with the demo graph, which notes what it is told and what it draws."""
    drop(either_page, GRAPH)
    either_page.evaluate(WATCH)
    return either_page


@pytest.fixture
def sampling(watched: Any) -> Iterator[tuple[Any, str]]:
    """The same while its sampler is in step 3 of 8, as far as the front-end knows; the node's id."""
    node = watched.evaluate(SAMPLER)
    told = {"node": node, "prompt_id": "a", "phase": "Sampling", "unit": "step", "done": 3, "total": 8}
    watched.evaluate("(told) => say('ltx2.phase', told)", told | {"seconds_left": 12.2})
    yield watched, node
    watched.evaluate("say('executing', null)")


def test_a_run_says_what_it_does(watched: Any) -> None:
    watched.evaluate(QUEUE)
    watched.wait_for_function("seen.done && seen.moving", timeout=LIMIT_MS)
    seen = watched.evaluate("seen")
    assert {"Sampling", "Decoding"} <= set(seen["phases"])
    assert seen["moving"] > 1, "a picture that does not move"
    assert seen["previews"], "no step showed its picture"


STANDS = """({id}) => {
  const node = app.canvas.graph.nodes.find((node) => String(node.id) === id);
  const box = document.querySelector(".ltx2-phase")?.getBoundingClientRect();
  if (!node || !box?.width) return null;
  const [left, top] = app.canvas.ds.convertOffsetToCanvas([node.pos[0], node.pos[1] - LiteGraph.NODE_TITLE_HEIGHT]);
  return Math.abs(box.left - left) < 2 && top - box.bottom >= 0 && top - box.bottom < 8;
}"""


def test_the_phase_stands_above_its_node(sampling: tuple[Any, str]) -> None:
    page, node = sampling
    page.wait_for_function(STANDS, arg={"id": node}, timeout=LIMIT_MS)
    assert page.locator(".ltx2-phase").inner_text() == "Sampling: step 3 of 8, 12 s left"
    page.evaluate("say('executing', null)")
    page.locator(".ltx2-phase").wait_for(state="detached", timeout=LIMIT_MS)


BOXES = json.loads((REPO / "workflows" / "demo-text-to-video.json").read_text("utf-8"))
ENTER = """(id) => {
  const box = app.rootGraph.nodes.find((node) => String(node.id) === id);
  app.canvas.openSubgraph ? app.canvas.openSubgraph(box.subgraph, box) : app.canvas.setGraph(box.subgraph);
}"""
SHOWN = (
    "(id) => (app.nodePreviewImages[id] ?? []).length + document.querySelectorAll(`[data-node-id='${id}'] img`).length"
)


@pytest.mark.parametrize("nodes_2", [False, True], ids=["classic", "nodes-2"])
def test_a_box_says_what_the_node_in_it_does(either_page: Any, nodes_2: bool) -> None:
    """On the box in the first view, on the node once the box is open; the preview shows on the box too."""
    set_rendering = "(value) => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', value)"
    either_page.evaluate(set_rendering, nodes_2)
    try:
        drop(either_page, BOXES)
        either_page.evaluate(WATCH)
        [(box, sampler)] = [
            (str(node["id"]), str(inner["id"]))
            for node in BOXES["nodes"]
            for part in BOXES["definitions"]["subgraphs"]
            for inner in part["nodes"]
            if part["id"] == node["type"] and inner["type"] == "LTX2Sampler"
        ]
        told = {
            "node": f"{box}:{sampler}",
            "prompt_id": "a",
            "phase": "Sampling",
            "unit": "step",
            "done": 3,
            "total": 8,
        }
        either_page.evaluate("(told) => say('ltx2.phase', told)", told | {"seconds_left": 12.2})
        either_page.wait_for_function(STANDS, arg={"id": box}, timeout=LIMIT_MS)
        assert either_page.locator(".ltx2-phase").inner_text() == "Sampling: step 3 of 8, 12 s left"
        motion = {"node": told["node"], "prompt_id": "a", "frames": [jpeg(8), jpeg(64)]}
        either_page.evaluate("(told) => say('ltx2.motion', told)", motion)
        either_page.wait_for_function(SHOWN, arg=box, timeout=LIMIT_MS)
        either_page.evaluate(ENTER, box)
        either_page.wait_for_function(STANDS, arg={"id": sampler}, timeout=LIMIT_MS)
    finally:
        either_page.evaluate("() => { say('executing', null); app.canvas.setGraph(app.rootGraph ?? app.graph); }")
        either_page.evaluate(set_rendering, False)


def test_the_preview_moves_until_the_node_ends(sampling: tuple[Any, str]) -> None:
    page, node = sampling
    frames = [jpeg(size) for size in (8, 64, 128)]
    sizes = [len(base64.b64decode(frame)) for frame in frames]
    page.evaluate("(told) => say('ltx2.motion', told)", {"node": node, "prompt_id": "a", "frames": frames})
    page.wait_for_function("seen.previews.length >= 7", timeout=LIMIT_MS)
    assert page.evaluate("seen.previews.slice(0, 7)") == [*sizes, *sizes, sizes[0]]
    shown = page.evaluate("() => { say('executing', null); return seen.previews.length; }")
    page.evaluate("() => new Promise((resolve) => setTimeout(resolve, 500))")
    assert page.evaluate("seen.previews.length") == shown, "it moves on after the node's end"


def jpeg(side: int) -> str:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (200, 90, 30)).save(file, "JPEG")
    return base64.b64encode(file.getvalue()).decode()


def test_the_words_above_a_node(newest_page: Any) -> None:
    words = lambda **event: newest_page.evaluate(TEXT, {"phase": "Sampling", "unit": "step", **event})  # noqa: E731
    assert words(done=3, total=8, seconds_left=12.2) == "Sampling: step 3 of 8, 12 s left"
    assert words(done=3, total=8, seconds_left=312.2) == "Sampling: step 3 of 8, 5 min 12 s left"
    assert words(done=8, total=8, seconds_left=0) == "Sampling: step 8 of 8"
    assert words(done=1, total=4000, seconds_left=None) == "Sampling: 0 %"
