"""A run in the real front-ends: the phase stands above its node, and the preview moves between the steps."""

from __future__ import annotations

import json
from typing import Any

from tests.browser.test_graphs import drop
from tools.provision import REPO

GRAPH = json.loads((REPO / "workflows" / "demo-text-to-video.json").read_text("utf-8"))
WATCH = """async () => {
  const { api } = await import("/scripts/api.js");
  window.seen = { phases: [], previews: 0, texts: [], done: false };
  api.addEventListener("ltx2.phase", ({ detail }) => seen.phases.push(detail.phase));
  api.addEventListener("b_preview_with_metadata", () => seen.previews++);
  api.addEventListener("execution_success", () => { seen.done = true; });
  const fill = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, ...more) {
    if (/ of \\d/.test(text)) seen.texts.push(text);
    return fill.call(this, text, ...more);
  };
  app.graph.nodes.find((node) => node.type === "LTX2LatentNoise").widgets[0].value = Math.floor(Math.random() * 1e9);
  const sampler = app.graph.nodes.find((node) => node.type === "LTX2Sampler");
  app.canvas.ds.offset = [300 - sampler.pos[0], 200 - sampler.pos[1]];
  await app.queuePrompt(0);
}"""
TEXT = """async (event) => (await import("/extensions/ltx2-nodes/progress.js")).phaseText(event)"""


def test_a_run_says_what_it_does(either_page: Any) -> None:
    drop(either_page, GRAPH)
    either_page.evaluate(WATCH)
    either_page.wait_for_function("seen.done", timeout=90_000)
    seen = either_page.evaluate("seen")
    assert {"Sampling", "Decoding"} <= set(seen["phases"])
    steps = next(node for node in GRAPH["nodes"] if node["type"] == "LTX2Scheduler")["widgets_values"][0]
    assert any(text.startswith("Sampling: step ") and f" of {steps}" in text for text in seen["texts"]), seen["texts"]
    assert seen["previews"] > steps, "only the pictures of the steps themselves were shown"


def test_the_words_above_a_node(newest_page: Any) -> None:
    words = lambda **event: newest_page.evaluate(TEXT, {"phase": "Sampling", "unit": "step", **event})  # noqa: E731
    assert words(done=3, total=8, seconds_left=12.2) == "Sampling: step 3 of 8, 12 s left"
    assert words(done=3, total=8, seconds_left=312.2) == "Sampling: step 3 of 8, 5 min 12 s left"
    assert words(done=8, total=8, seconds_left=0) == "Sampling: step 8 of 8"
    assert words(done=1, total=4000, seconds_left=None) == "Sampling: 0 %"
