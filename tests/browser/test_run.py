"""A demo graph, opened as from the template browser and queued by the page: a real server makes its result."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.browser.conftest import Look
from tests.browser.test_views import OPEN, covered
from tools.provision import REPO

GRAPH = json.loads((REPO / "workflows" / "demo-text-to-video.json").read_text("utf-8"))
QUEUE = """async () => {
  const { api } = await import("/scripts/api.js");
  const ended = new Promise((resolve) => {
    for (const name of ["execution_success", "execution_error", "execution_interrupted"]) {
      api.addEventListener(name, ({ detail }) => resolve([name, detail.exception_message ?? ""]), { once: true });
    }
  });
  const seed = app.graph.nodes.flatMap((node) => node.widgets ?? []).find((widget) => widget.name === "seed");
  seed.value = Math.floor(Math.random() * 1e9); // another run of the same graph would be answered from memory
  await app.queuePrompt(0);
  return await ended;
}"""
FILM = """(id) => {
  const [file] = app.nodeOutputs[id]?.images ?? [];
  const films = [...document.querySelectorAll("video")];
  return file && films.some((film) => film.videoWidth > 0 && film.currentSrc.includes(file.filename));
}"""


@pytest.mark.parametrize("nodes_2", [False, True], ids=["classic", "nodes-2"])
def test_a_run_shows_its_film_and_covers_nothing(newest_page: Any, nodes_2: bool) -> None:
    switch = "(value) => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', value)"
    newest_page.evaluate(switch, nodes_2)
    try:
        newest_page.evaluate(OPEN, [GRAPH, True])
        assert newest_page.evaluate(QUEUE) == ["execution_success", ""]
        [saver] = [node["id"] for node in GRAPH["nodes"] if node["type"] in ("SaveVideo", "LTX2SaveVideo")]
        newest_page.wait_for_function(FILM, arg=str(saver), timeout=30_000)
        assert covered(Look(True, nodes_2, newest_page)) == []
    finally:
        newest_page.evaluate(switch, False)
