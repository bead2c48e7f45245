"""The prompts of LTX-2.5's official graphs keep the rules of its enhancer and of the LoRAs' cards (spec 05, 08)."""

from __future__ import annotations

import re

import pytest

from tools.graphs.prompts_25 import CAPTIONS, WORDS
from tools.graphs.workflows import all_graphs

GRAPHS = {graph.name: graph for graph in all_graphs()}
BEGIN_ON_PICTURES = {"ltx-2.5-image-to-video-distilled", "ltx-2.5-first-last-frame"}


@pytest.mark.parametrize(("name", "text"), (CAPTIONS | WORDS).items(), ids=(CAPTIONS | WORDS).keys())
def test_each_prompt_is_the_one_of_its_graph_and_one_paragraph(name: str, text: str) -> None:
    assert text in [node.inputs.get("prompt") for node in GRAPHS[name].nodes]
    assert text[0].isalpha() and text.endswith((".", "'"))
    assert not re.search(r"[\n*#`_]|\d:\d\d", text)
    assert not text.startswith("Style:")


@pytest.mark.parametrize(("name", "text"), CAPTIONS.items(), ids=CAPTIONS.keys())
def test_a_caption(name: str, text: str) -> None:
    """150 to 220 words; shot size, camera and viewpoint are said."""
    assert 150 <= len(text.split()) <= 220
    assert "camera" in text and re.search(r"eye level|low angle|high angle", text)
    assert name in BEGIN_ON_PICTURES or re.match(r"A (close-up|medium shot|wide shot)", text)


def test_what_the_loras_want() -> None:
    assert "Generated video: " in WORDS["ltx-2.5-ingredients"]
    assert WORDS["ltx-2.5-ingredients"].startswith("Reference sheet: ")
    assert re.match(r"Reference shows .+ Edited shows .+ COLORIZE ", WORDS["ltx-2.5-video-to-video"])
    assert "slow" not in CAPTIONS["ltx-2.5-slow-motion"]
    assert re.search("first frame.+last frame", CAPTIONS["ltx-2.5-first-last-frame"])
