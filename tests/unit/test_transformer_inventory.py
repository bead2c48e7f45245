"""Full-size models on the meta device have the published tensors and shapes (spec 02 §3)."""

from __future__ import annotations

import json

import pytest
import torch

from ltx_core_impl.model.transformer import (
    LTXAudioOnlyModelConfigurator,
    LTXModel,
    LTXModelConfigurator,
    LTXVideoOnlyModelConfigurator,
)
from tests.conftest import TESTS

PREFIX = "model.diffusion_model."
NEW_IN_25 = {"ff_bias": False, "use_keyframes_abs_pos_embedding": True}


def published_config(size: str) -> dict:
    return json.loads((TESTS / "inventory" / f"config-{size}.json").read_text())


def config_25(**changes) -> dict:
    return {"transformer": published_config("22b")["transformer"] | NEW_IN_25 | changes}


def build(config: dict, configurator: type = LTXModelConfigurator) -> LTXModel:
    with torch.device("meta"):
        return configurator.from_config(config)


def shapes(model: LTXModel) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def published_shapes(size: str) -> dict[str, tuple[int, ...]]:
    """Tensors of the combined file under the transformer's prefix, without the text connectors that share it."""
    result = {}
    for line in (TESTS / "inventory" / f"inventory-{size}.tsv").read_text().splitlines():
        key, shape = line.split("\t")
        if key.startswith(PREFIX) and "_embeddings_connector." not in key:
            result[key.removeprefix(PREFIX)] = tuple(int(size) for size in shape.split(","))
    return result


def count(model: LTXModel, part: str = "") -> int:
    return sum(value.numel() for key, value in model.state_dict().items() if part in key)


@pytest.mark.parametrize("size", ["19b", "22b"])
def test_tensors_are_those_of_the_published_file(size: str) -> None:
    assert shapes(build(published_config(size))) == published_shapes(size)


@pytest.mark.parametrize(
    ("config", "tensors", "parameters", "in_blocks"),
    [
        (published_config("19b"), 3510, 18_876_174_592, 18_531_581_952),
        (published_config("22b"), 4186, 18_988_838_144, 18_561_377_280),
        (config_25(), 4091, 18_987_859_200, None),
        (config_25(use_prompt_adaln_single=False), 4079, 18_923_347_200, None),
    ],
    ids=["19B", "22B", "2.5", "2.5 without prompt timestep"],
)
def test_counts(config: dict, tensors: int, parameters: int, in_blocks: int | None) -> None:
    model = build(config)
    assert len(model.state_dict()) == tensors
    assert count(model) == parameters
    assert in_blocks is None or count(model, "transformer_blocks.") == in_blocks


@pytest.mark.parametrize(
    ("config", "tensors", "video", "audio"),
    [
        (published_config("19b"), 1215, 13_041_520_768, 3_265_980_544),
        (published_config("22b"), 1457, 13_124_316_288, 3_286_408_320),
    ],
    ids=["19B", "22B"],
)
def test_counts_of_one_stream(config: dict, tensors: int, video: int, audio: int) -> None:
    for configurator, parameters in ((LTXVideoOnlyModelConfigurator, video), (LTXAudioOnlyModelConfigurator, audio)):
        model = build(config, configurator)
        assert len(model.state_dict()) == tensors
        assert count(model) == parameters
        assert shapes(model).items() <= shapes(build(config)).items()


def test_parts_of_2_5() -> None:
    found = shapes(build(config_25()))
    assert found["keyframes_abs_pos_embedding"] == (1, 4096)
    assert "transformer_blocks.0.ff.net.2.bias" not in found
    assert "transformer_blocks.0.audio_ff.net.2.bias" in found
    audio = build(config_25(), LTXAudioOnlyModelConfigurator)
    assert (len(audio.state_dict()), count(audio)) == (1457, 3_286_408_320)
