"""Which graph the demo runs, and what the command line changes in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.demo import DemoError, _parser, prompt_of
from tools.provision import REPO


def asked(*words: str) -> dict[str, Any]:
    return prompt_of(_parser().parse_args(words))


def inputs(prompt: dict[str, Any], type: str) -> dict[str, Any]:
    return next(node["inputs"] for node in prompt.values() if node["class_type"] == type)


@pytest.mark.parametrize("words", [(), ("--workflow", "text-to-video"), ("--workflow", "demo-text-to-video")])
def test_the_trained_model_runs_the_variant_of_a_graph(words: tuple[str, ...]) -> None:
    assert asked(*words) == json.loads((REPO / "workflows" / "api" / "demo-text-to-video.json").read_text())


def test_random_weights_run_the_graph_itself() -> None:
    prompt = asked("--workflow", "first-last-frame", "--model", "2.0", "--length", "9")
    assert inputs(prompt, "LTX2CheckpointLoader")["checkpoint"] == "ltx-2.0-tiny.safetensors"
    clip = inputs(prompt, "LTX2EmptyLatents")
    assert (clip["width"], clip["height"], clip["length"]) == (64, 64, 9)


def test_what_is_given_goes_into_the_graph_and_the_rest_stays() -> None:
    prompt = asked("a blue square rests", "--length", "33", "--steps", "4", "--seed", "5")
    assert inputs(prompt, "LTX2EmptyLatents") | {"length": 33, "width": 64} == inputs(prompt, "LTX2EmptyLatents")
    assert inputs(prompt, "LTX2Scheduler")["steps"] == 4
    assert inputs(prompt, "LTX2LatentNoise")["seed"] == 5
    texts = [node["inputs"]["prompt"] for node in prompt.values() if node["class_type"] == "LTX2TextEncode"]
    assert texts == ["a blue square rests", ""]
    assert inputs(asked("--workflow", "retake", "--seed", "7"), "LTX2LatentNoise")["seed"] == 7


def test_a_path_is_run_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"1": {"class_type": "PreviewAny", "inputs": {"source": "x"}}}')
    assert asked("--workflow", str(path)) == json.loads(path.read_text())
    with pytest.raises(DemoError, match="no node with a positive prompt"):
        asked("a red circle", "--workflow", str(path))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--workflow", "hdr"), "needs what the trained model does not have.*Known: audio-to-video"),
        (("--workflow", "nothing"), "it is not there.*Known: audio-to-video"),
        (("--workflow", "nothing", "--model", "2.3"), "it is not there.*hdr"),
        (("--workflow", "nothing.json"), "no file nothing.json"),
    ],
)
def test_a_graph_that_is_not_there_is_named_with_those_that_are(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(DemoError, match=message):
        asked(*words)
