"""The official graphs of distilled LTX-2.5 give what their recipes give through library calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import relative_error
from tests.hdr_inputs import SIDE, write_hdr_inputs
from tests.nodes.graph_runner import GraphRunner
from tests.nodes.recipes_25 import SHOT_2
from tests.nodes.recipes_25_films import FilmRecipes25
from tests.pipeline_helpers import FRAMES, prompt_25, with_inputs, with_sizes, write_inputs
from tools.graphs import ltx25, ltx25_control, ltx25_distilled, ltx25_hdr, ltx25_mattes, ltx25_tiled
from tools.server import Prompt

RECIPES = {
    "ltx-2.5-single-stage-distilled": [("single_stage", "Sampling")],
    "ltx-2.5-image-to-video-distilled": [("two_stages", "Stage 2")],
    "ltx-2.5-first-last-frame": [("first_last", "Sampling")],
    "ltx-2.5-audio-to-video": [("audio_to_video", "Stage 2")],
    "ltx-2.5-text-to-audio": [("text_to_audio", "Sampling")],
    "ltx-2.5-slow-motion": [("slow_motion", "Sampling")],
    "ltx-2.5-union-control": [("union_control", "Sampling")],
    "ltx-2.5-video-to-video": [("video_to_video", "Sampling")],
    "ltx-2.5-motion-tracks": [("motion_tracks", "Sampling")],
    "ltx-2.5-ingredients": [("ingredients", "Sampling")],
    "ltx-2.5-layout-to-render": [("layout_to_render", "Stage 2")],
    "ltx-2.5-several-shots": [("several_shots", "Sampling")],
    "ltx-2.5-inpaint": [("fill", "Stage 1"), ("refined_fill", "Stage 2")],
    "ltx-2.5-outpaint": [("outpaint", "Stage 1"), ("refined_outpaint", "Stage 2")],
    "ltx-2.5-hdr-inpaint": [("hdr_inpaint", "Stage 1"), ("refined_hdr_inpaint", "Stage 2")],
    "ltx-2.5-hdr-image-to-video": [("hdr_still", "Stage 2")],
    "ltx-2.5-image-to-video": [("full_model", "Sampling")],
    "ltx-2.5-two-stage-distilled": [("two_stages_from_text", "Stage 2")],
    "ltx-2.5-tiled-hdr-to-hdr": [("tiled_hdr_to_hdr", "Stage 2")],
    "ltx-2.5-tiled-native": [("tiled_native", "Stage 2")],
    "ltx-2.5-tiled-fusion": [("tiled_fusion", "Sampling")],
}
IN_A_SERVER = {
    "ltx-2.5-alpha",
    "ltx-2.5-sdr-to-hdr",
    "ltx-2.5-text-to-video",
    "ltx-2.5-tiled-sdr-to-hdr",
}
"""Compared in tests/workflows; of the last one stage 1, its stage 2 is that of the other tiled graphs."""
NODE_BY_NODE = {"ltx-2.5-dfr"}
"""Compared in test_ltx25.py: keyframes in two stages, and the tiles of the round."""
MODULES = (ltx25, ltx25_control, ltx25_distilled, ltx25_hdr, ltx25_mattes, ltx25_tiled)
SIZES = (128, 128, 64, 64, 9, 64, 64)
"""Of a canvas: its own, a tile's with its frames, and the first stage's."""
TOLERANCE = 1e-4
PROMPT = "A red circle moves slowly from the right to the left. A single low tone plays throughout."


@pytest.fixture(scope="module")
def recipes(nodes: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilmRecipes25]:
    """The recipes on a folder with the test inputs, which core's loaders look into as well."""
    import folder_paths

    folder = tmp_path_factory.mktemp("input")
    write_inputs(folder)
    write_hdr_inputs(folder)
    before = folder_paths.get_input_directory()
    folder_paths.set_input_directory(str(folder))
    yield FilmRecipes25(folder, PROMPT)
    folder_paths.set_input_directory(before)


@pytest.fixture(scope="module")
def results() -> dict[str, tuple[Any, ...]]:
    """What the graphs share: loaded models and the encoded prompt."""
    return {}


def compared_prompt(name: str) -> Prompt:
    """The graph with a short prompt and without live previews, whose colours take long to find."""
    prompt = prompt_25(name)
    if name == "ltx-2.5-several-shots":
        prompt = with_inputs(prompt, "LTX2TimedPrompt", prompt=f"0-0.3s: {PROMPT}\n0.3-5s: {SHOT_2}")
    else:
        prompt = with_inputs(prompt, "LTX2TextEncode", prompt=PROMPT)
    if name == "ltx-2.5-image-to-video":
        prompt = with_inputs(prompt, "LTX2TextEncode", "Negative prompt", prompt=SHOT_2)
    if name == "ltx-2.5-two-stage-distilled":
        prompt = with_inputs(prompt, "LTX2EmptyLatents", length=FRAMES)
    if name == "ltx-2.5-outpaint":
        prompt = with_inputs(prompt, "LTX2InpaintFill", grow=0)
    if name == "ltx-2.5-hdr-inpaint":
        prompt = with_inputs(prompt, "LTX2LoadHDR", width=SIDE, height=SIDE, length=FRAMES)
    if "tiled" in name:
        prompt = with_sizes(prompt, *SIZES)
    for node in prompt.values():
        if node["class_type"] == "LTX2Sampler":
            node["inputs"].pop("video_vae", None)
    return prompt


def test_every_graph_is_compared() -> None:
    names = {graph.name for module in MODULES for graph in module.GRAPHS}
    assert names == RECIPES.keys() | IN_A_SERVER | NODE_BY_NODE


@pytest.mark.parametrize("name", RECIPES)
def test_the_graph_gives_what_the_recipe_gives(
    nodes: dict[str, Any], recipes: FilmRecipes25, results: dict[str, tuple[Any, ...]], name: str
) -> None:
    graph = GraphRunner(compared_prompt(name), nodes, results)
    for recipe, sampler in RECIPES[name]:
        result = graph(sampler)[:2]
        expected = getattr(recipes, recipe)(lambda title: graph(title)[0])
        assert [one is None for one in result] == [one is None for one in expected]
        for made, wanted in zip(result, expected, strict=True):
            assert made is None or relative_error(made["samples"], wanted) < TOLERANCE
