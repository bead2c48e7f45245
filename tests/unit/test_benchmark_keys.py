"""The benchmark's key conversion reaches every tensor, and the synthetic files have the published layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ltx_core_impl.loader import open_lora
from ltx_core_impl.model.transformer import LTXModelConfigurator
from ltx_core_impl.model.video_vae import VideoDecoderConfigurator
from tests.conftest import checkpoint_path, config
from tools.bench.model import SIZES, model_config, random_tensor, write_checkpoint, write_lora
from tools.bench.ours import published_shapes
from tools.bench.peer_keys import peer_decoder_key, peer_lora, peer_transformer_key

TINY = SIZES["tiny"]


def transformer_keys(version: str) -> list[str]:
    with torch.device("meta"):
        return list(LTXModelConfigurator.from_config(model_config(version, TINY)).state_dict())


def decoder_keys(version: str) -> list[str]:
    with torch.device("meta"):
        keys = VideoDecoderConfigurator.from_config(model_config(version, TINY)).state_dict()
    return [key for key in keys if not key.startswith("per_channel_statistics.")]


@pytest.mark.parametrize(
    ("ours", "peer"),
    [
        ("patchify_proj.weight", "proj_in.weight"),
        ("audio_patchify_proj.bias", "audio_proj_in.bias"),
        ("adaln_single.linear.weight", "time_embed.linear.weight"),
        ("audio_adaln_single.linear.weight", "audio_time_embed.linear.weight"),
        ("prompt_adaln_single.linear.bias", "prompt_adaln.linear.bias"),
        ("audio_prompt_adaln_single.linear.bias", "audio_prompt_adaln.linear.bias"),
        ("av_ca_video_scale_shift_adaln_single.linear.weight", "av_cross_attn_video_scale_shift.linear.weight"),
        ("av_ca_audio_scale_shift_adaln_single.linear.weight", "av_cross_attn_audio_scale_shift.linear.weight"),
        ("av_ca_a2v_gate_adaln_single.linear.weight", "av_cross_attn_video_a2v_gate.linear.weight"),
        ("av_ca_v2a_gate_adaln_single.linear.weight", "av_cross_attn_audio_v2a_gate.linear.weight"),
        (
            "transformer_blocks.3.scale_shift_table_a2v_ca_audio",
            "transformer_blocks.3.audio_a2v_cross_attn_scale_shift_table",
        ),
        ("transformer_blocks.11.attn1.q_norm.weight", "transformer_blocks.11.attn1.norm_q.weight"),
        ("transformer_blocks.0.audio_scale_shift_table", "transformer_blocks.0.audio_scale_shift_table"),
        ("caption_projection.linear_1.weight", "caption_projection.linear_1.weight"),
    ],
)
def test_transformer_names(ours: str, peer: str) -> None:
    assert peer_transformer_key(ours) == peer


@pytest.mark.parametrize(
    ("ours", "peer"),
    [
        ("conv_in.conv.weight", "conv_in.conv.weight"),
        ("up_blocks.0.res_blocks.1.conv1.conv.bias", "mid_block.resnets.1.conv1.conv.bias"),
        ("up_blocks.1.conv.conv.weight", "up_blocks.0.upsamplers.0.conv.conv.weight"),
        ("up_blocks.2.res_blocks.0.conv2.conv.weight", "up_blocks.0.resnets.0.conv2.conv.weight"),
        ("up_blocks.7.conv.conv.weight", "up_blocks.3.upsamplers.0.conv.conv.weight"),
        ("up_blocks.8.res_blocks.3.conv2.conv.weight", "up_blocks.3.resnets.3.conv2.conv.weight"),
    ],
)
def test_decoder_names(ours: str, peer: str) -> None:
    assert peer_decoder_key(ours) == peer


def test_no_two_tensors_share_a_name_and_no_published_spelling_is_left(version: str) -> None:
    names = [peer_transformer_key(key) for key in transformer_keys(version)]
    assert len(set(names)) == len(names)
    assert not [name for name in names if any(part in name for part in ("adaln_single", "patchify", "_norm.", "_ca_"))]
    names = [peer_decoder_key(key) for key in decoder_keys(version)]
    assert len(set(names)) == len(names)


def test_the_peer_has_exactly_these_tensors(version: str) -> None:
    diffusers = pytest.importorskip("diffusers", reason="only where constraints/peer.txt is installed")
    from tools.bench.peer import decoder_options, transformer_options

    shapes = published_shapes(model_config(version, TINY))
    with torch.device("meta"):
        transformer = diffusers.LTX2VideoTransformer3DModel(**transformer_options(model_config(version, TINY)))
        decoder = diffusers.AutoencoderKLLTX2Video(**decoder_options(version, TINY)).decoder
    for model, prefix, rename in (
        (transformer, "model.diffusion_model.", peer_transformer_key),
        (decoder, "vae.decoder.", peer_decoder_key),
    ):
        ours = {rename(key.removeprefix(prefix)): shape for key, shape in shapes.items() if key.startswith(prefix)}
        assert ours == {key: tensor.shape for key, tensor in model.state_dict().items()}


def test_every_option_of_a_published_config_is_kept(version: str) -> None:
    """The golden checkpoints' configs, sizes aside."""
    ours, golden = model_config(version, TINY)["transformer"], config(checkpoint_path(version))["transformer"]
    sizes = {
        "num_layers",
        "caption_channels",
        *(key for key in golden if "_head" in key or "cross_attention_dim" in key),
    }
    compared = {key for key in golden if "connector" not in key} - sizes
    compared |= {"caption_proj_before_connector"} & golden.keys()
    assert {key: ours[key] for key in compared} == {key: golden[key] for key in compared}


def test_the_checkpoint_is_a_published_layout(version: str, tmp_path: Path) -> None:
    path, settings = tmp_path / "model.safetensors", model_config(version, TINY)
    shapes = published_shapes(settings)
    write_checkpoint(path, version, settings, shapes)
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["config"]) == settings
        assert {key: torch.Size(file.get_slice(key).get_shape()) for key in file.keys()} == shapes
        assert file.get_tensor("model.diffusion_model.patchify_proj.weight").dtype == torch.bfloat16
        assert (file.get_tensor("vae.per_channel_statistics.std-of-means") > 0).all()


def test_the_lora_changes_all_wide_linear_layers_of_the_blocks(version: str, tmp_path: Path) -> None:
    path, width = tmp_path / "lora.safetensors", TINY.heads * 128
    write_lora(path, published_shapes(model_config(version, TINY)), width)
    lora = load_file(path)
    assert len(open_lora(path).pairs) == TINY.layers * 28  # spec 01 §2.3: 28 linear layers, without gates
    assert {min(tensor.shape) for tensor in lora.values()} == {width * 384 // 4096}
    assert "transformer.transformer_blocks.0.attn1.to_q.lora_A.weight" in peer_lora(lora)


@pytest.mark.parametrize(
    ("name", "shape", "mean", "std"),
    [
        ("x.weight", (64, 400), 0.0, 0.05),
        ("x.bias", (4000,), 0.0, 0.1),
        ("attn1.q_norm.weight", (4000,), 1.0, 0.1),
        ("transformer_blocks.0.scale_shift_table", (6, 900), 0.0, 0.1),
    ],
)
def test_random_weights_have_the_scale_of_their_role(name: str, shape: tuple, mean: float, std: float) -> None:
    values = random_tensor(name, torch.Size(shape), torch.Generator().manual_seed(0))
    assert values.mean().item() == pytest.approx(mean, abs=0.01)
    assert values.std().item() == pytest.approx(std, rel=0.1)
