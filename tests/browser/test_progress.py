"""A run in the real front-ends: the phase stands above its node, and the preview moves between the steps."""

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

with zipfile.ZipFile(ARCHIVE) as archive:
    # Without boxes: what is looked at lies open.
    GRAPH = json.loads(archive.read("graphs.json"))["demo-text-to-video"]["graph"]
# What the front-end is told and shows, gathered; events and drawing come when they come, so each test waits for them.
WATCH = """async () => {
  const { api } = await import("/scripts/api.js");
  window.seen = { phases: [], previews: [], texts: [], moving: 0, done: false };
  window.say = (name, detail) => api.dispatchCustomEvent(name, detail);
  if (window.watched) return;
  window.watched = true;
  api.addEventListener("ltx2.phase", ({ detail }) => seen.phases.push(detail.phase));
  api.addEventListener("ltx2.motion", ({ detail }) => { seen.moving = detail.frames.length; });
  api.addEventListener("b_preview_with_metadata", ({ detail }) => seen.previews.push(detail.blob.size));
  api.addEventListener("execution_success", () => { seen.done = true; });
  const fill = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, ...more) {
    if (/ of \\d/.test(text)) seen.texts.push(text);
    return fill.call(this, text, ...more);
  };
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


def test_the_phase_stands_above_its_node(sampling: tuple[Any, str]) -> None:
    page, _ = sampling
    page.wait_for_function("seen.texts.includes('Sampling: step 3 of 8, 12 s left')", timeout=LIMIT_MS)


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
