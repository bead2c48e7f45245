"""A graph in the real front-end with Simplified Chinese as the language."""

from __future__ import annotations

import json
import zipfile
from typing import Any

from tests.browser.conftest import READY
from tests.browser.test_earlier_graphs import ARCHIVE
from tests.browser.test_graphs import drop
from tools.locales import LANGUAGES, read
from tools.server import Server

with zipfile.ZipFile(ARCHIVE) as archive:
    # Without boxes: what is looked at lies open.
    GRAPH = json.loads(archive.read("graphs.json"))["demo-text-to-video"]["graph"]
SET = "(language) => app.extensionManager.setting.set('Comfy.Locale', language)"
NAMES = """() => {
  const node = app.graph.nodes.find((node) => node.type === "LTX2Sampler");
  const label = (slot) => slot.label ?? slot.localized_name ?? slot.name;
  const widget = node.widgets.find((widget) => widget.name === "solver");
  return { title: LiteGraph.registered_node_types.LTX2Sampler.title, inputs: node.inputs.map(label),
           outputs: node.outputs.map(label), widget: widget.label ?? widget.name, solver: widget.value };
}"""


def in_language(page: Any, language: str) -> None:
    page.evaluate(SET, language)
    page.reload(wait_until="commit", timeout=60_000)
    page.wait_for_function(READY, timeout=120_000)


def test_comfyui_hands_out_the_texts(server: Server) -> None:
    texts = server.client.get("/i18n")
    for language in ("en", *LANGUAGES):
        assert read(language).items() <= texts[language]["nodeDefs"].items()


def test_a_node_has_its_chinese_name(newest_page: Any) -> None:
    """In the newest front-end: 1.32 drops a pack's texts when it loads its own of a language (not for English)."""
    chinese = read("zh")["LTX2Sampler"]
    in_language(newest_page, "zh")
    try:
        drop(newest_page, GRAPH)
        names = newest_page.evaluate(NAMES)
    finally:
        in_language(newest_page, "en")
    assert names["title"] == chinese["display_name"]
    assert {chinese["inputs"][name]["name"] for name in ("model", "video_latent", "guider")} <= set(names["inputs"])
    assert names["outputs"] == [slot["name"] for slot in chinese["outputs"].values()]
    assert (names["widget"], names["solver"]) == (chinese["inputs"]["solver"]["name"], "euler")
