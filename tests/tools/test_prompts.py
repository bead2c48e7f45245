"""The prompts of the graphs of the published models keep the rules of the enhancers (spec 05 §12.7, §12.8, §15.5)."""

from __future__ import annotations

import re

import pytest

from tools.graphs.prompts import PROMPTS, SEGMENTS
from tools.graphs.workflows import all_graphs

GRAPHS = {graph.name: graph for graph in all_graphs()}
PUBLISHED_WORDS = {"hdr", "prompt-enhancement"}  # the words of the published graph; a short prompt on purpose
WRITTEN = {name: text for name, text in PROMPTS.items() if name not in PUBLISHED_WORDS}
FORMULAS = ("the scene opens", "the video", "we see", "this clip")
SHOT_SIZES = ("close-up", "medium shot", "wide shot")


def test_each_prompt_is_the_one_of_its_graph() -> None:
    for name, text in PROMPTS.items():
        typed = [node.inputs.get("prompt") for node in GRAPHS[name].nodes]
        assert text in typed, name


def test_no_published_graph_carries_the_words_of_the_demo() -> None:
    for name, graph in GRAPHS.items():
        typed = " ".join(str(value) for node in graph.nodes for value in node.inputs.values())
        assert ("red circle" in typed) <= name.startswith("demo-"), name


@pytest.mark.parametrize(("name", "text"), WRITTEN.items(), ids=WRITTEN.keys())
def test_form(name: str, text: str) -> None:
    """One paragraph that begins with a letter, without Markdown, time stamps or an opening formula."""
    assert text[0].isalpha() and text.endswith((".", "'"))
    assert not re.search(r"[\n*#`_]|\d:\d\d", text)
    assert not text.lower().startswith(FORMULAS)


@pytest.mark.parametrize("name", [name for name in WRITTEN if name.startswith("ltx-2.5")])
def test_a_caption_of_25(name: str) -> None:
    """150 to 220 words; shot size, camera and viewpoint are said; no style clause."""
    text = WRITTEN[name]
    assert 150 <= len(text.split()) <= 220
    assert not text.startswith("Style:")
    assert "camera" in text and re.search(r"eye level|low angle|high angle", text)
    assert name == "ltx-2.5-image-to-video" or any(size in text for size in SHOT_SIZES)


def test_speech_foley_and_camera_are_shown() -> None:
    """Spoken words are quoted and come with a voice; somewhere the camera moves."""
    spoken = [text for text in WRITTEN.values() if re.search(r"(says|calls)\b[^.]*, '", text)]
    assert len(spoken) >= 8
    assert all("voice" in text for text in spoken)
    assert (
        sum(
            bool(re.search(r"camera (slowly )?(moves|tracks|rises|circles|pushes|dollies|pans)", text))
            for text in WRITTEN.values()
        )
        >= 8
    )


def test_the_segments_of_a_long_video_go_on_from_one_another() -> None:
    values = [value for node in GRAPHS["long-video"].nodes for value in node.inputs.values()]
    assert "\n---\n".join(SEGMENTS) in values
    assert all("old man" in segment for segment in SEGMENTS)
