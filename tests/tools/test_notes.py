"""What the notes of the published models' graphs say, and that it is seen without scrolling."""

from __future__ import annotations

import json
import re

import pytest

from tools.graphs.demo import PREFIX
from tools.graphs.expectations import MEASURED_MODEL, MEASURED_PASS, MEASURED_SIZE, clip, enlargement, stages
from tools.graphs.graph import Graph
from tools.graphs.views import HEIGHT, WIDTH, before_files, note_height
from tools.graphs.workflows import all_graphs
from tools.provision import REPO

GRAPHS = {graph.name: graph for graph in all_graphs() if not graph.name.startswith(PREFIX)}


@pytest.fixture(params=GRAPHS)
def graph(request: pytest.FixtureRequest) -> Graph:
    return GRAPHS[request.param]


def test_says_what_to_expect_in_a_form_for_a_narrow_box(graph: Graph) -> None:
    [(_, text)] = graph.notes
    for heading in ("**Change first**", "**Time**", "**Memory**", "**Files**"):
        assert text.count(heading) == 1, heading
    assert "**Makes**" in text or "**Size and length**" in text
    assert not re.search(r"^\s*\|", text, re.MULTILINE), "a table"


def test_is_read_without_scrolling(graph: Graph) -> None:
    """In the file: as high as its text, at least up to its files, and with every other box inside the first view."""
    saved = json.loads((REPO / "workflows" / f"{graph.name}.json").read_text("utf-8"))
    [note] = [node for node in saved["nodes"] if node["type"] == "MarkdownNote"]
    assert note["size"][1] >= note_height(before_files(note["widgets_values"][0]), note["size"][0])
    for node in saved["nodes"]:
        assert node["pos"][0] + node["size"][0] <= WIDTH and node["pos"][1] + node["size"][1] <= HEIGHT, node["type"]


def test_titles_of_notes_do_not_widen_their_boxes() -> None:
    """The classic rendering makes a box as wide as its title: 7.7 pixels a character, measured in 1.32.9 and 1.58.1."""
    for path in (REPO / "workflows").glob("*.json"):
        for node in json.loads(path.read_text("utf-8"))["nodes"]:
            if node["type"] == "MarkdownNote":
                assert 7.75 * len(node["title"]) <= node["size"][0], (path.name, node["title"])


def test_hardly_any_list_of_files_is_scrolled() -> None:
    scrolled = []
    for name in GRAPHS:
        saved = json.loads((REPO / "workflows" / f"{name}.json").read_text("utf-8"))
        [note] = [node for node in saved["nodes"] if node["type"] == "MarkdownNote"]
        if note["size"][1] < note_height(note["widgets_values"][0], note["size"][0]):
            scrolled.append(name)
    assert len(scrolled) <= len(GRAPHS) // 10, scrolled


def test_the_one_time_is_the_measured_one() -> None:
    page = (REPO / "docs" / "benchmark.md").read_text("utf-8")
    [(model, size)] = re.findall(r"\| row \(H200, [^|]*(LTX-2\.3), (\d+x\d+x\d+)", page)
    [milliseconds] = re.findall(r"\| one forward, bf16 \| (\d+) ms", page)
    assert round(int(milliseconds) / 1000, 1) == MEASURED_PASS
    assert size == "x".join(map(str, MEASURED_SIZE)) and MEASURED_MODEL.startswith(model.lower())
    timed = {name for name, graph in GRAPHS.items() if "H200" in graph.notes[0][1]}
    assert {"text-to-video", "two-stage"} <= timed
    assert all((clip(GRAPHS[name]).width, clip(GRAPHS[name]).frames) == (768, 121) for name in timed)
    assert not [name for name in timed if name.startswith("ltx-2.5")]


def test_sizes_and_steps_of_some_graphs() -> None:
    """As their descriptions and spec 07 have them."""
    assert clip(GRAPHS["two-stage-hq"]).at(enlargement(GRAPHS["two-stage-hq"])) == (1920, 1088)
    assert clip(GRAPHS["hdr"]).at(enlargement(GRAPHS["hdr"])) == (1920, 1088)
    assert clip(GRAPHS["retake"]).at(1) is None
    assert enlargement(GRAPHS["temporal-upscale"]) == 1
    assert enlargement(GRAPHS["ltx-2.5-dfr"]) == 2
    assert stages(GRAPHS["text-to-video-distilled"]) == ["8 steps of one pass"]
    assert stages(GRAPHS["two-stage"]) == ["30 steps of up to 4 passes", "3 steps of one pass"]
    assert stages(GRAPHS["two-stage-hq"]) == ["15 steps of up to 8 passes", "3 steps of 2 passes"]
    assert "sound alone" in GRAPHS["text-to-audio"].notes[0][1]


def test_memory_grows_with_the_clip() -> None:
    def gigabytes(name: str) -> float:
        return float(re.search(r"a pass takes ([\d.]+) GB", GRAPHS[name].notes[0][1])[1])

    assert gigabytes("text-to-video") == 0.7  # docs/memory.md, 768x512x121
    assert gigabytes("two-stage-hq") == 3.5  # docs/memory.md, 1920x1088x121
    assert gigabytes("long-video") == gigabytes("text-to-video")  # a window of it
