"""Which model versions a file may belong to: what is certain, and what is not."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from ltx_core_impl.loader import ModelVersion, open_checkpoint
from ltx_core_impl.loader.version import possible_versions, version_from_name
from tests.conftest import GOLDEN_25

LTX_2, LTX_2_3, LTX_2_5 = ModelVersion.LTX_2, ModelVersion.LTX_2_3, ModelVersion.LTX_2_5
LATER_VAE = {"vae.encoder.conv_out.conv.weight": (129, 1024, 3, 3, 3)}


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("ltx-2-19b-dev.safetensors", LTX_2),
        ("ltx-2.3-22b-distilled-lora-384-1.1.safetensors", LTX_2_3),
        ("LTX-2.5-latent-spatial-upscaler-x2-bf16-1.0.safetensors", LTX_2_5),
        ("ltx-2.7-something.safetensors", None),
        ("my-style-for-ltx-2.3-and-2.5.safetensors", None),
        ("ltx-video-2b.safetensors", None),
    ],
)
def test_published_names(name: str, version: ModelVersion | None) -> None:
    assert version_from_name(name) is version


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({"something.weight": (4, 4)}, set()),
        (LATER_VAE, {LTX_2_3, LTX_2_5}),
        ({"decoder.det_stages.0.0.norm1.weight": (4,)}, {LTX_2_5}),
        ({"transformer_blocks.0.ff.net.0.proj.weight": (16, 4)}, {LTX_2_5}),
    ],
)
def test_all_versions_that_the_tensors_allow(shapes: dict, expected: set[ModelVersion]) -> None:
    assert possible_versions(shapes) == expected


def test_a_missing_bias_says_nothing_in_a_lora() -> None:
    changed = {"transformer_blocks.0.ff.net.0.proj.weight": (16, 4)}
    assert possible_versions(changed, complete=False) == frozenset()


@pytest.mark.parametrize(
    ("name", "metadata", "shapes", "expected"),
    [
        ("ltx-2.3-22b-dev.safetensors", {"model_version": "2.5.0"}, LATER_VAE, {LTX_2_5}),
        ("vae.safetensors", {}, LATER_VAE, {LTX_2_3, LTX_2_5}),
        ("ltx-2.5-video-vae-conv-bf16.safetensors", {}, LATER_VAE, {LTX_2_5}),
        ("ltx-2-wrongly-named.safetensors", {}, LATER_VAE, {LTX_2_3, LTX_2_5}),
        ("ltx-2.3-spatial-upscaler-x2-1.1.safetensors", {}, {"initial_conv.weight": (4, 4)}, {LTX_2_3}),
        ("upscaler.safetensors", {}, {"initial_conv.weight": (4, 4)}, set()),
    ],
)
def test_metadata_then_tensors_then_a_published_name(tmp_path, name, metadata, shapes, expected) -> None:
    tensors = {key: torch.zeros(shape, dtype=torch.float8_e4m3fn) for key, shape in shapes.items()}
    save_file(tensors, tmp_path / name, metadata=metadata)
    assert open_checkpoint(tmp_path / name).possible_versions == expected


def test_every_file_of_the_latest_version_is_known_as_such() -> None:
    for path in GOLDEN_25.glob("*/*.safetensors"):
        if path.parent.name != "text_encoders":
            assert open_checkpoint(path).possible_versions == {LTX_2_5}, path.name
