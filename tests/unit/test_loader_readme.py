"""Code written after the ltx-core README runs with the import changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ltx_core_impl.loader import (
    LTXV_LORA_COMFY_RENAMING_MAP,
    LTXV_MODEL_COMFY_RENAMING_MAP,
    VAE_ENCODER_COMFY_KEYS_FILTER,
    VOCODER_COMFY_KEYS_FILTER,
    DummyRegistry,
    ModelBuilderProtocol,
    SafetensorsModelStateDictLoader,
    SingleGPUModelBuilder,
    StateDict,
    StateDictRegistry,
)
from ltx_core_impl.model.audio_vae import VocoderConfigurator
from ltx_core_impl.model.transformer import LTXModelConfigurator
from ltx_core_impl.model.video_vae import VideoEncoderConfigurator
from ltx_core_impl.quantization import QuantizationPolicy
from ltx_core_impl.quantization.linear import CastLinear, ScaledLinear
from tests.conftest import GOLDEN, checkpoint_path

CPU = torch.device("cpu")


def loras(version: str) -> tuple[str, str]:
    return tuple(str(GOLDEN / f"ltx-{version}-tiny.lora-{name}.safetensors") for name in "ab")


def test_a_builder_with_rules(version: str) -> None:
    for configurator, rules in (
        (LTXModelConfigurator, LTXV_MODEL_COMFY_RENAMING_MAP),
        (VideoEncoderConfigurator, VAE_ENCODER_COMFY_KEYS_FILTER),
        (VocoderConfigurator, VOCODER_COMFY_KEYS_FILTER),
    ):
        builder = SingleGPUModelBuilder(
            model_class_configurator=configurator,
            model_path=str(checkpoint_path(version)),
            model_sd_ops=rules,
        )
        explicit = builder.build(device=CPU, dtype=torch.bfloat16).state_dict()
        found_out = builder.with_sd_ops(None).build(device=CPU, dtype=torch.bfloat16).state_dict()
        assert explicit.keys() == found_out.keys()
        assert all(torch.equal(explicit[key], found_out[key]) for key in explicit)


def test_stacked_loras_read_to_a_device_of_choice(version: str) -> None:
    first, second = loras(version)
    builder = SingleGPUModelBuilder(
        model_class_configurator=LTXModelConfigurator,
        model_path=str(checkpoint_path(version)),
        lora_load_device=CPU,
    )
    with_rules = builder.lora(first, strength=0.8, sd_ops=LTXV_LORA_COMFY_RENAMING_MAP).lora(second, strength=0.5)
    without = builder.lora(first, strength=0.8).lora(second, strength=0.5)
    expected, actual = (each.build(device=CPU).state_dict() for each in (with_rules, without))
    plain = builder.build(device=CPU).state_dict()
    assert all(torch.equal(actual[key], expected[key]) for key in expected)
    assert sum(not torch.equal(actual[key], plain[key]) for key in plain) == 22  # 20 of one, 3 of the other, 1 of both


@pytest.mark.parametrize("calibrated", [False, True])
def test_both_policies(version: str, tmp_path: Path, calibrated: bool) -> None:
    amax = tmp_path / "amax.json"
    amax.write_text(json.dumps({"amax_values": {"transformer_blocks.1.attn1.to_q.input_quantizer": 12.34}}))
    for policy, kind in (
        (QuantizationPolicy.fp8_cast(), CastLinear),
        (QuantizationPolicy.fp8_scaled_mm(calibration_amax_path=str(amax) if calibrated else None), ScaledLinear),
    ):
        model = SingleGPUModelBuilder(
            model_class_configurator=LTXModelConfigurator,
            model_path=str(checkpoint_path(version)),
            module_ops=policy.module_ops,
        ).build(device=CPU)
        layer = model.transformer_blocks[1].attn1.to_q
        assert isinstance(layer, kind) and layer.weight.dtype == torch.float8_e4m3fn
        if kind is ScaledLinear:
            assert (layer.input_scale is not None) is calibrated


@pytest.mark.parametrize("name", ["fp8_cast", "fp8_scaled_mm"])
def test_a_policys_own_rules_leave_the_renaming_to_the_layout(version: str, name: str) -> None:
    """Both fields of a policy handed to the builder, as one would write it: its rules alone take no tensor."""
    policy = getattr(QuantizationPolicy, name)()
    by_layers = SingleGPUModelBuilder(
        model_class_configurator=LTXModelConfigurator,
        model_path=str(checkpoint_path(version)),
        module_ops=policy.module_ops,
    )
    by_rules_too = by_layers.with_sd_ops(policy.sd_ops)
    chained = by_layers.with_sd_ops(LTXV_MODEL_COMFY_RENAMING_MAP.chained_with(policy.sd_ops))
    expected = by_layers.build(device=CPU).state_dict()
    for builder in (by_rules_too, chained):
        built = builder.build(device=CPU).state_dict()
        assert built.keys() == expected.keys()
        assert all(torch.equal(built[key].float(), expected[key].float()) for key in expected)


class CountingLoader(SafetensorsModelStateDictLoader):
    """The default loader, counted."""

    loads = 0

    def load(self, *args: object, **kwargs: object) -> StateDict:
        self.loads += 1
        return super().load(*args, **kwargs)


@pytest.mark.parametrize("remembered", [False, True])
def test_a_loader_of_ones_own_reads_the_tensors(version: str, remembered: bool) -> None:
    loader = CountingLoader()
    registry = StateDictRegistry() if remembered else DummyRegistry()
    builder: ModelBuilderProtocol = SingleGPUModelBuilder(
        VocoderConfigurator, checkpoint_path(version), model_loader=loader, registry=registry
    )
    expected = SingleGPUModelBuilder(VocoderConfigurator, checkpoint_path(version)).build(device=CPU).state_dict()
    for _ in range(2):
        built = builder.build(device=CPU).state_dict()
        assert all(torch.equal(built[key], expected[key]) for key in expected)
    assert loader.loads == (1 if remembered else 2)


def test_tensors_by_rules_through_the_builder(version: str) -> None:
    builder = SingleGPUModelBuilder(VocoderConfigurator, checkpoint_path(version))
    read = builder.load_sd([checkpoint_path(version)], DummyRegistry(), CPU, VOCODER_COMFY_KEYS_FILTER)
    expected = builder.build(device=CPU).state_dict()
    assert all(torch.equal(read.sd[key], expected[key]) for key in expected)
