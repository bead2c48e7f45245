"""No tensor is left over without a word, and no scale is zero, negative or no number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ltx_core_impl.loader import SingleGPUModelBuilder
from ltx_core_impl.loader.errors import CheckpointError, UnsupportedFormatError
from ltx_core_impl.loader.leftovers import LeftoverTensorsError
from ltx_core_impl.model.audio_vae import AudioDecoderConfigurator, AudioEncoderConfigurator, VocoderConfigurator
from ltx_core_impl.model.transformer import (
    LTXAudioOnlyModelConfigurator,
    LTXModelConfigurator,
    LTXVideoOnlyModelConfigurator,
)
from ltx_core_impl.model.video_vae import VideoDecoderConfigurator, VideoEncoderConfigurator
from ltx_core_impl.text_encoders.gemma import EmbeddingsProcessorConfigurator
from tests.conftest import TESTS
from tests.unit.loader_fixtures import inventory, published_config, sparse_checkpoint

COMBINED = TESTS / "golden" / "ltx-2.3-tiny.safetensors"
LAYER = "model.diffusion_model.transformer_blocks.1.attn1.to_q"
ALL = (
    LTXModelConfigurator,
    LTXVideoOnlyModelConfigurator,
    LTXAudioOnlyModelConfigurator,
    EmbeddingsProcessorConfigurator,
    VideoEncoderConfigurator,
    VideoDecoderConfigurator,
    AudioEncoderConfigurator,
    AudioDecoderConfigurator,
    VocoderConfigurator,
)


def changed_copy(folder: Path, more: dict[str, torch.Tensor], config: dict | None = None) -> Path:
    """The tiny checkpoint with tensors added or replaced, and values of the transformer's config."""
    with safe_open(COMBINED, "pt") as source:
        tensors = {key: source.get_tensor(key) for key in source.keys()}
        metadata = source.metadata()
    whole = json.loads(metadata["config"])
    whole["transformer"].update(config or {})
    save_file({**tensors, **more}, folder / "model.safetensors", {**metadata, "config": json.dumps(whole)})
    return folder / "model.safetensors"


@pytest.mark.parametrize("size", ["19b", "22b"])
@pytest.mark.parametrize("configurator", ALL)
def test_the_published_files_leave_nothing_over(configurator: type, size: str, tmp_path: Path) -> None:
    path = sparse_checkpoint(tmp_path, inventory(size), {"config": published_config(size)})
    SingleGPUModelBuilder(configurator, path).validate()


@pytest.mark.parametrize(
    "config", [{"num_layers": 3}, {"apply_gated_attention": False}], ids=["three layers", "no gates"]
)
def test_a_config_that_leaves_tensors_unused_is_refused(config: dict, tmp_path: Path) -> None:
    path = changed_copy(tmp_path, {}, config)
    with pytest.raises(LeftoverTensorsError) as caught:
        SingleGPUModelBuilder(LTXModelConfigurator, path).validate()
    (key,) = config
    assert f"config.transformer.{key}" in str(caught.value) and str(path) in str(caught.value)
    assert caught.value.keys and all(name.startswith("model.diffusion_model.") for name in caught.value.keys)


def test_an_unknown_tensor_is_named(tmp_path: Path) -> None:
    path = changed_copy(tmp_path, {f"{LAYER}.surprise": torch.zeros(2)})
    with pytest.raises(LeftoverTensorsError, match="surprise"):
        SingleGPUModelBuilder(LTXModelConfigurator, path).validate()


def test_tensors_of_other_components_and_unused_statistics_are_no_surprise(tmp_path: Path) -> None:
    more = {"vae.per_channel_statistics.mean-of-stds": torch.ones(128), "other.thing": torch.ones(1)}
    path = changed_copy(tmp_path, more)
    for configurator in ALL:
        SingleGPUModelBuilder(configurator, path).validate()


def test_a_scale_beside_a_wide_weight_is_refused(tmp_path: Path) -> None:
    path = changed_copy(tmp_path, {f"{LAYER}.weight_scale": torch.tensor(0.01)})
    with pytest.raises(CheckpointError, match=r"to_q\.weight_scale"):
        SingleGPUModelBuilder(LTXModelConfigurator, path).validate()


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
@pytest.mark.parametrize("name", ["weight_scale", "scale_weight"])
def test_a_scale_that_no_quantiser_writes_is_refused(name: str, value: float, tmp_path: Path) -> None:
    with safe_open(COMBINED, "pt") as source:
        weight = source.get_tensor(f"{LAYER}.weight")
    more = {f"{LAYER}.weight": weight.to(torch.float8_e4m3fn), f"{LAYER}.{name}": torch.tensor(value)}
    path = changed_copy(tmp_path, more)
    with pytest.raises(UnsupportedFormatError) as caught:
        SingleGPUModelBuilder(LTXModelConfigurator, path).validate()
    assert f"{LAYER}.{name}" in str(caught.value) and str(path) in str(caught.value)


def test_a_good_scale_passes(tmp_path: Path) -> None:
    with safe_open(COMBINED, "pt") as source:
        weight = source.get_tensor(f"{LAYER}.weight")
    more = {
        f"{LAYER}.weight": weight.to(torch.float8_e4m3fn),
        f"{LAYER}.scale_weight": torch.tensor(0.01),
        f"{LAYER}.scale_input": torch.tensor(1.0),
        "model.diffusion_model.scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn),
    }
    SingleGPUModelBuilder(LTXModelConfigurator, changed_copy(tmp_path, more)).validate()
