"""Component, version and config from names and shapes (spec 01 §3.6, §5, §12.7)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ltx_core_impl.loader import ConfigError, ModelVersion, VersionError, open_checkpoint
from ltx_core_impl.loader.key_maps.layouts import components_of, transformer_prefix
from ltx_core_impl.loader.model_config import config_for
from ltx_core_impl.loader.published import published_section
from ltx_core_impl.loader.version import version_from_metadata, version_from_shapes
from tests.conftest import GOLDEN, GOLDEN_25, TESTS, checkpoint_path, config
from tests.unit.loader_fixtures import inventory, sparse_checkpoint

P = "model.diffusion_model."
BLOCK = f"{P}transformer_blocks.0."


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({f"{BLOCK}scale_shift_table": (6, 4096), f"{P}caption_projection.linear_1.weight": (4096, 3840)}, "2.0"),
        ({f"{BLOCK}scale_shift_table": (9, 4096), f"{BLOCK}ff.net.0.proj.bias": (16384,)}, "2.3"),
        (
            {
                f"{BLOCK}scale_shift_table": (9, 4096),
                f"{BLOCK}ff.net.0.proj.weight": (16384, 4096),
                f"{P}keyframes_abs_pos_embedding": (1, 4096),
            },
            "2.5",
        ),
        ({"adaln_single.linear.weight": (24576, 4096)}, "2.0"),
        ({"diffusion_model.adaln_single.linear.weight": (36864, 4096)}, "2.3"),
        ({"text_embedding_projection.aggregate_embed.weight": (3840, 188160)}, "2.0"),
        ({"text_embedding_projection.video_aggregate_embed.weight": (4096, 188160)}, "2.3"),
        ({"vae.encoder.conv_out.conv.weight": (129, 2048, 3, 3, 3)}, "2.0"),
        ({"encoder.conv_out.conv.weight": (129, 1024, 3, 3, 3)}, "2.3"),
        ({f"{P}video_embeddings_connector.learnable_registers": (128, 3840)}, "2.0"),
        ({"video_embeddings_connector.learnable_registers": (128, 4096)}, "2.3"),
        ({"decoder.det_stages.0.0.attn.qkv.weight": (6144, 2048)}, "2.5"),
        ({"vocoder.conv_pre.weight": (1024, 128, 7)}, "2.0"),
        ({"vocoder.vocoder.conv_pre.weight": (1536, 128, 7)}, "2.3"),
        ({"vocoder.conv_pre.weight": (1536, 128, 7), "bwe_generator.conv_pre.weight": (512, 128, 7)}, "2.3"),
    ],
)
def test_version_from_shapes(shapes: dict, expected: str) -> None:
    assert version_from_shapes(shapes) == ModelVersion(expected)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (
            {f"{BLOCK}scale_shift_table": (6, 4096), f"{P}prompt_adaln_single.linear.weight": (8192, 4096)},
            "prompt_adaln_single.linear.weight means LTX-2.3 or LTX-2.5",
        ),
        ({f"{BLOCK}scale_shift_table": (7, 4096)}, "no known LTX-2 model"),
        ({f"{BLOCK}scale_shift_table": (6,)}, "no known LTX-2 model"),
        ({f"{P}adaln_single.linear.weight": (100, 0)}, "no known LTX-2 model"),
    ],
)
def test_contradictions_and_unknown_shapes_are_refused(shapes: dict, words: str) -> None:
    with pytest.raises(VersionError, match=words):
        version_from_shapes(shapes)


def test_nothing_known_is_no_version() -> None:
    assert version_from_shapes({"initial_conv.weight": (1024, 128, 3, 3, 3)}) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2.3.0", "2.3"), ("2.5.0", "2.5"), ("2.0.0", "2.0"), ("2.3-1", "2.3"), ("2", "2.0")]
    + [(text, None) for text in (None, "", "3.0", "x", "2.x", "2.9", "²")],
)
def test_version_from_metadata(text: str | None, expected: str | None) -> None:
    assert version_from_metadata(text) == (ModelVersion(expected) if expected else None)


ALL = ["transformer", "embeddings_processor", "video_encoder", "video_decoder", "audio_encoder", "audio_decoder"]
FILES_25 = {
    "diffusion_models/ltx-2.5-tiny-transformer-bf16": ["transformer", "embeddings_processor"],
    "vae/ltx-2.5-tiny-video-vae-bf16": ["video_encoder", "video_decoder"],
    "vae/ltx-2.5-tiny-video-vae-conv-bf16": ["video_encoder", "video_decoder"],
    "vae/ltx-2.5-tiny-audio-vae-bf16": ["audio_encoder", "audio_decoder", "vocoder"],
    "text_encoders/gemma4-tiny-with-proj-ltx-2.5-bf16": ["embeddings_processor", "text_encoder"],
    "model_patches/ltx-2.5-tiny-duration-head-bf16": ["duration_head"],
    "latent_upscale_models/ltx-2.5-tiny-latent-spatial-upscaler-x2-bf16-1.0": ["upsampler"],
}


@pytest.mark.parametrize("name", FILES_25)
def test_components_of_the_split_files(name: str) -> None:
    checkpoint = open_checkpoint(GOLDEN_25 / f"{name}.safetensors")
    assert list(checkpoint.components) == FILES_25[name]


def test_components_and_version_of_the_combined_files(version: str) -> None:
    checkpoint = open_checkpoint(checkpoint_path(version))
    assert list(checkpoint.components) == [*ALL, "vocoder"]
    assert checkpoint.version == ModelVersion(version) and not checkpoint.is_distilled
    assert open_checkpoint(GOLDEN / "gemma-tiny").components == ("text_encoder",)


@pytest.mark.parametrize("prefix", ["model.diffusion_model.", "diffusion_model.", "model.model.", "net.", "model.", ""])
def test_transformer_prefix(prefix: str) -> None:
    shapes = {f"{prefix}transformer_blocks.0.attn1.to_q.weight": (4, 4), f"{prefix}patchify_proj.weight": (4, 4)}
    assert transformer_prefix(shapes) == prefix and "transformer" in components_of(shapes)


def test_a_file_with_connectors_only_has_no_transformer() -> None:
    shapes = {f"{P}video_embeddings_connector.transformer_1d_blocks.{i}.attn1.to_q.weight": (4, 4) for i in range(9)}
    shapes[f"{P}video_embeddings_connector.learnable_registers"] = (128, 4)
    assert components_of(shapes) == ("embeddings_processor",)


@pytest.mark.parametrize("size", ["19b", "22b"])
@pytest.mark.parametrize("section", ["transformer", "vae", "audio_vae", "vocoder"])
def test_a_missing_config_is_the_published_one(tmp_path: Path, size: str, section: str) -> None:
    expected = json.loads((TESTS / "inventory" / f"config-{size}.json").read_text())[section]
    component = {"transformer": "transformer", "vae": "video_decoder", "audio_vae": "audio_decoder"}.get(
        section, section
    )
    checkpoint = open_checkpoint(sparse_checkpoint(tmp_path, inventory(size)))
    assert config_for(checkpoint, component)[section] == expected


def test_the_files_own_config_wins(version: str) -> None:
    checkpoint = open_checkpoint(checkpoint_path(version))
    assert config_for(checkpoint, "transformer") == config(checkpoint_path(version))


def test_published_configs_of_the_latest_version() -> None:
    transformer = published_section("transformer", ModelVersion.LTX_2_5)
    assert transformer["ff_bias"] is False and transformer["use_keyframes_abs_pos_embedding"] is True
    convolutional = ["decoder.up_blocks.0.res_blocks.0.conv1.conv.weight"]
    assert published_section("vae", ModelVersion.LTX_2_5)["_class_name"] == "CausalDiffusionVAE"
    assert published_section("vae", ModelVersion.LTX_2_5, convolutional)["_class_name"] == "CausalVideoAutoencoder"


def test_no_config_and_no_known_version_is_refused(tmp_path: Path) -> None:
    save_file({"something.weight": torch.ones(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ConfigError, match="no config for the transformer"):
        config_for(open_checkpoint(tmp_path / "x.safetensors"), "transformer")
