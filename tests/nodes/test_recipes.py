"""The graphs of the published pipelines give what their recipes give through library calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import relative_error
from tests.nodes.graph_runner import GraphRunner
from tests.nodes.recipes import Recipes
from tests.pipeline_helpers import pipeline_prompt, with_inputs, write_inputs
from tools.graphs.prompts import NEGATIVE
from tools.graphs.tiny import VERSIONS

RECIPES = {
    "image-to-video": ("one_stage", "Sampling"),
    "two-stage": ("two_stages", "Stage 2"),
    "two-stage-hq": ("two_stages_hq", "Stage 2"),
    "two-stage-distilled": ("distilled", "Stage 2"),
    "ic-lora": ("ic_lora", "Stage 2"),
    "keyframe-interpolation": ("keyframes", "Stage 2"),
    "audio-to-video": ("audio_to_video", "Stage 2"),
    "retake": ("retake", "Sampling"),
    "lipdub": ("lipdub", "Stage 2"),
}
TOLERANCE = 1e-5
PROMPT = "A red circle moves slowly from the right to the left. A single low tone plays throughout."


@pytest.fixture(scope="module")
def inputs(nodes: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the test inputs that core's loaders look into."""
    import folder_paths

    folder = tmp_path_factory.mktemp("input")
    write_inputs(folder)
    before = folder_paths.get_input_directory()
    folder_paths.set_input_directory(str(folder))
    yield folder
    folder_paths.set_input_directory(before)


@pytest.fixture(scope="module", params=VERSIONS)
def recipes(request: pytest.FixtureRequest, inputs: Path) -> Recipes:
    return Recipes(request.param, inputs, PROMPT, NEGATIVE)


@pytest.mark.parametrize("name", RECIPES)
def test_the_graph_gives_what_the_recipe_gives(nodes: dict[str, Any], recipes: Recipes, name: str) -> None:
    recipe, last = RECIPES[name]
    expected = getattr(recipes, recipe)()
    prompt = with_inputs(pipeline_prompt(name, recipes.version), "LTX2TextEncode", "Prompt", prompt=PROMPT)
    result = GraphRunner(prompt, nodes)(last)
    for made, wanted in zip(result[:2], expected, strict=True):
        assert relative_error(made["samples"], wanted) < TOLERANCE
