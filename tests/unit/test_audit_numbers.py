"""Sizes, shapes and values that neither the fixtures nor the published models have."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from ltx_core_impl.components.guiders import LegacyStatefulAPGGuider, LtxAPGGuider
from ltx_core_impl.loader import SingleGPUModelBuilder, StateDict
from ltx_core_impl.loader.fusion import LoraStateDictWithStrength, apply_loras
from ltx_core_impl.model.transformer.rope import RopeType
from ltx_core_impl.quantization.fp8 import FP8, dynamic_scale, quantize_input, quantize_weight
from ltx_core_impl.quantization.linear import to_scaled_linear
from ltx_core_impl.quantization.nvfp4 import dequantize_nvfp4
from ltx_core_impl.text_encoders.gemma.configurator import EmbeddingsProcessorConfigurator
from tests.unit.test_quantization_loading import save


@pytest.mark.parametrize("value", [0.0, 1e-44, 1e-37])
def test_inputs_and_weights_of_nothing_give_nothing(value: float) -> None:
    x = torch.tensor([[value] * 16, [0.0] * 16])
    assert not quantize_input(x, dynamic_scale(x)).float().any()
    codes, scale = quantize_weight(x)
    assert not codes.float().any()
    assert scale == 1

    layer = to_scaled_linear(nn.Linear(16, 3))
    codes, scale = quantize_weight(torch.randn(3, 16))
    layer.weight = nn.Parameter(codes, requires_grad=False)
    layer.set_scales(scale, None)
    assert torch.equal(layer(x), layer.bias.expand(2, 3))


def test_the_smallest_inputs_that_count_keep_their_value() -> None:
    x = torch.tensor([[3e-30, -1e-30]])
    scale = dynamic_scale(x)
    torch.testing.assert_close(quantize_input(x, scale).float() * scale, x, rtol=0.04, atol=0)


@pytest.mark.parametrize("shape", [(1, 5, 6), (1, 3, 5, 2), (1, 4, 3, 2, 5)])
def test_apg_limits_video_latents_channel_by_channel(shape: tuple[int, ...]) -> None:
    """The norm is over the last three dimensions, the projection over everything (spec 06 §8)."""
    torch.manual_seed(0)
    cond, uncond = torch.randn(shape), torch.randn(shape)
    guidance = cond - uncond
    norm = guidance.pow(2).sum(dim=(-1, -2, -3), keepdim=True).sqrt()
    guidance = guidance * torch.minimum(torch.ones(()), 1.5 / norm)
    parallel = (guidance * cond).sum() / (cond.pow(2).sum() + 1e-8) * cond
    expected = 0.25 * parallel + guidance - parallel
    torch.testing.assert_close(LtxAPGGuider(3.0, eta=0.25, norm_threshold=1.5).delta(cond, uncond), 2 * expected)
    legacy = LegacyStatefulAPGGuider(3.0, eta=0.25, norm_threshold=1.5)
    torch.testing.assert_close(legacy.delta(cond, uncond), 3 * expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8])
def test_loras_are_not_added_to_codes(dtype: torch.dtype) -> None:
    weights = StateDict.of({"a.weight": torch.ones(4, 4, dtype=dtype), "b.weight": torch.ones(4, 4)}, "cpu")
    pair = {"lora_A.weight": torch.ones(1, 4), "lora_B.weight": torch.ones(4, 1)}
    other = LoraStateDictWithStrength(StateDict.of({f"b.{key}": value for key, value in pair.items()}, "cpu"), 0.5)
    fused = apply_loras(weights, [other]).sd
    assert fused["a.weight"] is weights.sd["a.weight"]
    assert torch.equal(fused["b.weight"], torch.full((4, 4), 1.5))
    lora = LoraStateDictWithStrength(StateDict.of({f"a.{key}": value for key, value in pair.items()}, "cpu"), 0.5)
    with pytest.raises(ValueError, match="Unsupported dtype"):
        apply_loras(weights, [lora])


class Narrow(nn.Module):
    """A layer of which neither side is a multiple of 16."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(20, 5)

    @classmethod
    def from_config(cls, config: dict) -> Narrow:
        return cls()


def test_nvfp4_padding_is_cut(tmp_path: Path) -> None:
    torch.manual_seed(0)
    packed = torch.randint(0, 256, (16, 16), dtype=torch.uint8)
    block, whole = (torch.rand(128, 4) + 0.5).to(FP8), torch.tensor(0.25)
    weight = dequantize_nvfp4(packed, block, whole, (5, 20), torch.bfloat16)
    tensors = {
        "layer.weight": packed,
        "layer.weight_scale": block,
        "layer.weight_scale_2": whole,
        "layer.bias": torch.zeros(5, dtype=torch.bfloat16),
    }
    loaded = SingleGPUModelBuilder(Narrow, save(tmp_path, tensors)).build(device="cpu")
    assert torch.equal(loaded.layer.weight, weight)


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({}, RopeType.INTERLEAVED),
        ({"ff_bias": False}, RopeType.SPLIT),
        ({"ff_bias": False, "rope_type": "interleaved"}, RopeType.INTERLEAVED),
        ({"rope_type": "split"}, RopeType.SPLIT),
    ],
)
def test_connectors_have_the_transformers_default_rotation(section: dict, expected: RopeType) -> None:
    sizes = {"caption_channels": 8, "connector_num_attention_heads": 2, "connector_attention_head_dim": 4}
    processor = EmbeddingsProcessorConfigurator.from_config({"transformer": sizes | section})
    for connector in (processor.video_connector, processor.audio_connector):
        assert connector.transformer_1d_blocks[0].attn1.rope_type is expected
