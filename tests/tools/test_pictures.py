"""The pictures of the template browser: one for every graph, of the kind that it asks for, and small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tools.graphs import pictures
from tools.graphs.pictures import WORKFLOWS

LIMIT, SMALL = 6e6, 120e3
"""Bytes of all of them, and of one."""


def test_every_graph_has_a_small_picture() -> None:
    """The front-ends ask for NAME.jpg of a node pack's template, whatever else lies there."""
    graphs = sorted(WORKFLOWS.glob("*.json"))
    missing = [graph.stem for graph in graphs if not graph.with_suffix(".jpg").is_file()]
    assert not missing, "run: .host/venv/bin/python tools/graphs/pictures.py"
    shown = sorted(WORKFLOWS.glob("*.jpg"))
    assert {picture.stem for picture in shown} == {graph.stem for graph in graphs}
    for picture in shown:
        with Image.open(picture) as image:
            assert image.format == "JPEG" and min(image.size) >= 200, picture.name
        assert picture.stat().st_size < SMALL, picture.name
    assert sum(picture.stat().st_size for picture in shown) < LIMIT


def test_a_picture_knows_its_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "REPO", tmp_path)
    graph, demo = tmp_path / "one.json", tmp_path / "demo-one.json"
    (tmp_path / "api").mkdir()
    for path in (graph, demo, pictures.queued(demo)):
        path.write_text("{}")
    assert not pictures.is_current(graph)
    for path in (graph, demo):
        pictures.save(path, Image.new("RGB", (8, 8)))
        assert pictures.is_current(path)
    graph.write_text('{"nodes": []}')
    demo.write_text('{"nodes": []}')
    assert not pictures.is_current(graph)
    assert pictures.is_current(demo)  # it runs as before
    pictures.queued(demo).write_text('{"1": {}}')
    assert not pictures.is_current(demo)


def test_four_frames_of_a_film_in_reading_order() -> None:
    colours = ["red", "green", "blue", "white", "black", "yellow", "purple"]
    sheet = pictures.contact_sheet([Image.new("RGB", (64, 64), colour) for colour in colours])
    middle, beyond = pictures.FRAME_SIDE // 2, pictures.FRAME_SIDE + 4 + pictures.FRAME_SIDE // 2
    seen = [sheet.getpixel(place) for place in ((middle, middle), (beyond, middle), (middle, beyond), (beyond, beyond))]
    expected = [Image.new("RGB", (1, 1), colours[place]).getpixel((0, 0)) for place in (0, 2, 4, 6)]
    assert seen == expected


def test_a_tone_is_a_line_at_its_height() -> None:
    time = np.arange(16_000) / 16_000
    low, high = (np.asarray(pictures.spectrum(np.sin(2 * np.pi * pitch * time))) for pitch in (300, 1200))
    brightest = [int(image.mean(axis=1).argmax()) for image in (low, high)]
    assert brightest[0] > brightest[1]  # higher is further up
    bins = 1024 // 8
    for place, pitch in zip(brightest, (300, 1200), strict=True):
        expected = low.shape[0] * (bins - 0.5 - pitch / (16_000 / 1024)) / bins
        assert place == pytest.approx(expected, abs=4)
