"""Renaming rules, state dicts and registries (spec 01 §6.1-6.3, §12.2)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ltx_core_impl.loader import (
    EMBEDDINGS_PROCESSOR_KEY_OPS,
    GEMMA_LLM_KEY_OPS,
    LTXV_LORA_COMFY_RENAMING_MAP,
    LTXV_MODEL_COMFY_RENAMING_MAP,
    VAE_DECODER_COMFY_KEYS_FILTER,
    VAE_ENCODER_COMFY_KEYS_FILTER,
    VOCODER_COMFY_KEYS_FILTER,
    DummyRegistry,
    KeyValueOperationResult,
    SafetensorsModelStateDictLoader,
    SafetensorsStateDictLoader,
    SDOps,
    StateDictRegistry,
    load_state_dict,
    read_model_config,
)
from ltx_core_impl.loader.registry import state_dict_id
from ltx_core_impl.quantization import QuantizationPolicy
from tests.conftest import checkpoint_path, config

LORA_KEY = "transformer_blocks.0.attn1.to_q.lora_A.weight"


@pytest.mark.parametrize(
    ("rules", "key", "expected"),
    [
        (LTXV_LORA_COMFY_RENAMING_MAP, f"diffusion_model.{LORA_KEY}", LORA_KEY),
        (
            LTXV_LORA_COMFY_RENAMING_MAP,
            "text_embedding_projection.aggregate_embed.lora_A.weight",
            "text_embedding_projection.aggregate_embed.lora_A.weight",
        ),
        (LTXV_LORA_COMFY_RENAMING_MAP, "base.diffusion_model.x.diffusion_model.y", "base.x.y"),
        (QuantizationPolicy.fp8_cast().sd_ops, "transformer_blocks.0.attn1.to_q.weight", None),
        (VOCODER_COMFY_KEYS_FILTER, "vocoder.vocoder.conv_pre.weight", "vocoder.vocoder.conv_pre.weight"),
        (
            LTXV_LORA_COMFY_RENAMING_MAP.with_replacement("transformer_blocks.11.", "transformer_blocks.11._orig_mod."),
            "diffusion_model.transformer_blocks.11.attn1.to_q.lora_A.weight",
            "transformer_blocks.11._orig_mod.attn1.to_q.lora_A.weight",
        ),
        (SDOps("x").with_replacement("a", "b"), "transformer_blocks.0.x", None),
        (VAE_ENCODER_COMFY_KEYS_FILTER, "audio_vae.encoder.conv_in.conv.weight", None),
        (VAE_ENCODER_COMFY_KEYS_FILTER, "vae.encoder.conv_in.conv.weight", "conv_in.conv.weight"),
        (VAE_DECODER_COMFY_KEYS_FILTER, "vae.encoder.conv_in.conv.weight", None),
        (
            VAE_DECODER_COMFY_KEYS_FILTER,
            "vae.per_channel_statistics.std-of-means",
            "per_channel_statistics.std-of-means",
        ),
        (LTXV_MODEL_COMFY_RENAMING_MAP, "model.diffusion_model.patchify_proj.bias", "patchify_proj.bias"),
        (LTXV_MODEL_COMFY_RENAMING_MAP, "vae.encoder.conv_in.conv.weight", None),
        (
            EMBEDDINGS_PROCESSOR_KEY_OPS,
            "model.diffusion_model.audio_embeddings_connector.learnable_registers",
            "audio_connector.learnable_registers",
        ),
        (
            EMBEDDINGS_PROCESSOR_KEY_OPS,
            "text_embedding_projection.video_aggregate_embed.bias",
            "feature_extractor.video_aggregate_embed.bias",
        ),
        (GEMMA_LLM_KEY_OPS, "language_model.model.norm.weight", "model.model.language_model.norm.weight"),
        (GEMMA_LLM_KEY_OPS, "lm_head.weight", None),
        (SDOps("x").with_matching(suffix=".bias"), "a.weight", None),
        (SDOps("x").with_matching().with_additional_allowed_keys(["b"]), "a", None),
        (SDOps("x").with_matching().with_additional_allowed_keys(["b"]).with_additional_allowed_keys(["a"]), "a", "a"),
    ],
)
def test_names(rules: SDOps, key: str, expected: str | None) -> None:
    assert rules.apply_to_key(key) == expected


def test_the_vocoder_loses_its_prefix_once() -> None:
    ((name, _),) = VOCODER_COMFY_KEYS_FILTER.apply_to_key_value("vocoder.vocoder.conv_pre.weight", torch.ones(1))
    assert name == "vocoder.conv_pre.weight"


def test_the_tied_head_is_emitted_twice() -> None:
    key = "model.model.language_model.embed_tokens.weight"
    results = GEMMA_LLM_KEY_OPS.apply_to_key_value(key, torch.ones(1))
    assert [result.new_key for result in results] == [key, "model.lm_head.weight"]


@pytest.mark.parametrize(
    ("key", "cast"),
    [
        ("transformer_blocks.5.audio_to_video_attn.to_out.0.weight", True),
        ("transformer_blocks.5.audio_ff.net.2.bias", True),
        ("transformer_blocks.5.attn1.to_gate_logits.weight", False),
        ("transformer_blocks.5.attn1.q_norm.weight", False),
        ("adaln_single.linear.weight", False),
        ("video_embeddings_connector.transformer_1d_blocks.0.attn1.to_q.weight", False),
    ],
)
def test_fp8_cast_rules(key: str, cast: bool) -> None:
    rules = LTXV_MODEL_COMFY_RENAMING_MAP.chained_with(QuantizationPolicy.fp8_cast().sd_ops)
    assert rules.name == "sd_ops_chain_LTXV_MODEL_COMFY_PREFIX_MAP+fp8_cast"
    assert rules.apply_to_key(f"model.diffusion_model.{key}") == key
    ((name, value),) = rules.apply_to_key_value(key, torch.ones(2, dtype=torch.bfloat16))
    assert name == key and value.dtype == (torch.float8_e4m3fn if cast else torch.bfloat16)


def test_only_the_first_operation_runs_and_may_drop_or_multiply() -> None:
    def twice(key: str, value: torch.Tensor) -> list[KeyValueOperationResult]:
        return [KeyValueOperationResult(key + "1", value), KeyValueOperationResult(key + "2", value)]

    rules = SDOps("x").with_kv_operation(lambda key, value: [], key_suffix=".drop").with_kv_operation(twice)
    assert rules.apply_to_key_value("a.drop", torch.ones(1)) == []
    assert [result.new_key for result in rules.apply_to_key_value("a", torch.ones(1))] == ["a1", "a2"]


def test_registry_id() -> None:
    expected = "543dc2c7f9825d2aaa5a895a319672a71b28e1456670a78b049c915e0025bc56"
    assert state_dict_id(["/models/x.safetensors"], SDOps("opsname")) == expected


def test_loading_through_a_registry(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"p.a": torch.ones(2), "p.b": torch.ones(3, dtype=torch.bfloat16), "q": torch.ones(1)}, path)
    rules = SDOps("strip").with_matching(prefix="p.").with_replacement("p.", "")
    loader, registry = SafetensorsStateDictLoader(), StateDictRegistry()
    first = load_state_dict(path, loader, registry, torch.device("cpu"), rules)
    assert set(first.sd) == {"a", "b"} and first.footprint() == (8 + 6, torch.device("cpu"))
    assert first.dtype == {torch.float32, torch.bfloat16}
    assert load_state_dict(path, loader, registry, None, rules) is first
    assert load_state_dict(path, loader, DummyRegistry(), None, rules) is not first
    with pytest.raises(ValueError, match="already added"):
        registry.add([path], rules, first)
    assert registry.pop([path], rules) is first and registry.get([path], rules) is None
    with pytest.raises(NotImplementedError):
        loader.metadata(path)


def test_later_shards_override_earlier_ones(tmp_path: Path) -> None:
    for index in range(2):
        save_file({"a": torch.full((1,), float(index))}, tmp_path / f"{index}.safetensors")
    paths = [tmp_path / "0.safetensors", tmp_path / "1.safetensors"]
    assert SafetensorsStateDictLoader().load(paths, None).sd["a"].item() == 1


def test_the_model_loader_reads_the_config_of_the_first_file(version: str, tmp_path: Path) -> None:
    path = checkpoint_path(version)
    assert read_model_config([path], SafetensorsModelStateDictLoader()) == config(path)
    save_file({"a": torch.ones(1)}, tmp_path / "bare.safetensors")
    assert SafetensorsModelStateDictLoader().metadata(tmp_path / "bare.safetensors") == {}
