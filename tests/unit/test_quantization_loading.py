"""Policies and stored formats through the builder (spec 01 §5.3, §8, §9)."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ltx_core_impl.loader import (
    LTXV_MODEL_COMFY_RENAMING_MAP,
    SDOps,
    SingleGPUModelBuilder,
    UnsupportedFormatError,
)
from ltx_core_impl.model.transformer import LTXModel, LTXModelConfigurator
from ltx_core_impl.quantization import QuantizationPolicy
from ltx_core_impl.quantization.calibration import read_input_scales
from ltx_core_impl.quantization.formats import StoredFormat, StoredTensor, comfy_quant_of, stored_format
from ltx_core_impl.quantization.fp8 import cast_to_fp8, dequantize, quantize_weight
from ltx_core_impl.quantization.int8 import dequantize_int8
from ltx_core_impl.quantization.linear import CastLinear, ScaledLinear
from ltx_core_impl.quantization.nvfp4 import dequantize_nvfp4
from tests.conftest import GOLDEN, checkpoint_path, relative_error
from tests.transformer_helpers import golden_modalities
from tests.unit.loader_fixtures import Blocks, BlocksConfigurator, inventory, published_config, sparse_checkpoint

BF16, FP8 = torch.bfloat16, torch.float8_e4m3fn
CAST, SCALED = QuantizationPolicy.fp8_cast(), QuantizationPolicy.fp8_scaled_mm()
LAYER = "transformer_blocks.1.attn1.to_q"


def blocks_tensors() -> dict[str, Tensor]:
    torch.manual_seed(3)
    return {name: torch.randn_like(value).to(BF16) for name, value in Blocks().state_dict().items()}


def save(tmp_path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> Path:
    save_file(tensors, tmp_path / "x.safetensors", metadata)
    return tmp_path / "x.safetensors"


def build(path: Path, policy: QuantizationPolicy | None = None, **options: object) -> Blocks:
    operations = policy.module_ops if policy else ()
    return SingleGPUModelBuilder(BlocksConfigurator, path, module_ops=operations).build(device="cpu", **options)


def scaled_file(
    tmp_path: Path, layers: tuple[str, ...] = (LAYER,), input_scale: float | None = 0.02, **names: str
) -> Path:
    """A file in the official scaled layout, or with other leaf names."""
    tensors = blocks_tensors()
    for name in layers:
        codes, scale = quantize_weight(tensors[f"{name}.weight"])
        tensors[f"{name}.weight"] = codes
        tensors[f"{name}.{names.get('scale', 'weight_scale')}"] = scale
        if input_scale is not None:
            tensors[f"{name}.{names.get('input', 'input_scale')}"] = torch.tensor(input_scale)
    return save(tmp_path, tensors)


def dequantized(tmp_path: Path) -> Tensor:
    tensors = load_file(tmp_path / "x.safetensors")
    scale = next(
        tensors[f"{LAYER}.{leaf}"] for leaf in ("weight_scale", "scale_weight") if f"{LAYER}.{leaf}" in tensors
    )
    return tensors[f"{LAYER}.weight"].float() * scale


def test_scaled_mm_quantises_a_bf16_file(tmp_path: Path) -> None:
    tensors = blocks_tensors()
    model = build(save(tmp_path, tensors), SCALED)
    kinds = {name: type(module) for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    scaled = {name for name, kind in kinds.items() if kind is ScaledLinear}
    assert scaled == {f"transformer_blocks.{i}.attn1.{leaf}" for i in (1, 2) for leaf in ("to_q", "to_gate_logits")}
    layer = model.get_submodule(LAYER)
    codes, scale = quantize_weight(tensors[f"{LAYER}.weight"])
    assert torch.equal(layer.weight.float(), codes.float()) and torch.equal(layer.weight_scale, scale)
    assert layer.input_scale is None and layer.bias.dtype == BF16


def test_cast_saturates_and_takes_biases(tmp_path: Path) -> None:
    tensors = blocks_tensors()
    tensors[f"{LAYER}.weight"][0, 0] = 10_000
    model = build(save(tmp_path, tensors), CAST)
    layer = model.get_submodule(LAYER)
    assert isinstance(layer, CastLinear) and layer.weight.dtype == layer.bias.dtype == FP8
    assert layer.weight.float()[0, 0] == 448
    assert model.transformer_blocks[0].attn1.to_gate_logits.weight.dtype == BF16
    assert model.patchify_proj.weight.dtype == BF16


@pytest.mark.parametrize("input_scale", [0.02, 1.0, None])
def test_official_scaled_files_load_as_they_are(tmp_path: Path, input_scale: float | None) -> None:
    model = build(scaled_file(tmp_path, input_scale=input_scale))
    layer = model.get_submodule(LAYER)
    assert isinstance(layer, ScaledLinear) and layer.weight.dtype == FP8
    assert torch.equal(layer.weight.float() * layer.weight_scale, dequantized(tmp_path))
    expected = None if input_scale in (None, 1.0) else pytest.approx(0.02)
    assert (None if layer.input_scale is None else layer.input_scale.item()) == expected
    assert type(model.transformer_blocks[2].attn1.to_q) is torch.nn.Linear


def test_the_file_decides_which_layers_are_scaled(tmp_path: Path) -> None:
    first = "transformer_blocks.0.attn1.to_q"  # one the policy would leave alone
    model = build(scaled_file(tmp_path, layers=(first,)), SCALED)
    scaled = [name for name, module in model.named_modules() if isinstance(module, ScaledLinear)]
    assert scaled == [first]
    assert model.get_submodule(LAYER).weight.dtype == BF16


def test_legacy_comfy_scaled_files(tmp_path: Path) -> None:
    path = scaled_file(tmp_path, scale="scale_weight", input="scale_input")
    save_file({**load_file(path), "scaled_fp8": torch.ones(1, dtype=FP8)}, path)
    layer = build(path).get_submodule(LAYER)
    assert isinstance(layer, ScaledLinear) and layer.input_scale.item() == pytest.approx(0.02)
    assert torch.equal(layer.weight.float() * layer.weight_scale, dequantized(tmp_path))


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
@pytest.mark.parametrize(("values", "full_precision"), [(0, False), (1, False), (2, True)])
def test_the_marker_of_legacy_files_may_ask_for_full_precision(
    tmp_path: Path, values: int, full_precision: bool, prefix: str
) -> None:
    path = scaled_file(tmp_path, scale="scale_weight", input="scale_input")
    save_file({**load_file(path), f"{prefix}scaled_fp8": torch.ones(values, dtype=FP8)}, path)
    layer = build(path).get_submodule(LAYER)
    assert isinstance(layer, ScaledLinear) and layer.full_precision is full_precision
    x = torch.randn(3, 16)
    exact = torch.nn.functional.linear(x, dequantized(tmp_path), layer.bias.float())
    assert torch.equal(layer(x), exact) is full_precision


@pytest.mark.parametrize("where", ["tensor", "metadata", "metadata prefix", "metadata string"])
def test_comfy_descriptions(tmp_path: Path, where: str) -> None:
    path = scaled_file(tmp_path)
    described: object = {"format": "float8_e4m3fn", "full_precision_matrix_mult": True}
    if where == "tensor":
        raw = torch.tensor(list(json.dumps(described).encode()), dtype=torch.uint8)
        save_file({**load_file(path), f"{LAYER}.comfy_quant": raw}, path)
    else:
        described = "float8_e4m3fn" if where == "metadata string" else described
        prefix = "model.diffusion_model." if where == "metadata prefix" else ""
        layers = {"format_version": "1.0", "layers": {prefix + LAYER: described}}
        save_file(load_file(path), path, {"_quantization_metadata": json.dumps(layers)})
    layer = build(path).get_submodule(LAYER)
    assert isinstance(layer, ScaledLinear) and layer.full_precision is (where != "metadata string")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"{", "not JSON"),
        (b'{"format": "mxfp4"}', "'mxfp4', which is not supported"),
        (b'{"format": "mxfp8"}', "'mxfp8', which is not supported for a weight stored as fp8 with a scale"),
        (b" " * 9999, "bytes"),
    ],
)
def test_other_comfy_descriptions_are_refused(tmp_path: Path, raw: bytes, words: str) -> None:
    path = scaled_file(tmp_path)
    stored = torch.tensor(list(raw), dtype=torch.uint8)
    save_file({**load_file(path), f"{LAYER}.comfy_quant": stored}, path)
    with pytest.raises(UnsupportedFormatError, match=words):
        build(path)


def test_a_file_with_everything_in_fp8_is_widened_where_no_layer_can(tmp_path: Path) -> None:
    tensors = {key: cast_to_fp8(value) for key, value in blocks_tensors().items()}
    model = build(save(tmp_path, tensors))
    assert model.transformer_blocks[0].attn1.q_norm.weight.dtype == BF16
    layer = model.get_submodule(LAYER)
    assert layer.weight.dtype == layer.bias.dtype == FP8
    x = torch.randn(2, 16, dtype=BF16)
    assert model(x).isfinite().all()
    scaled = build(save(tmp_path, tensors), SCALED)
    assert scaled.get_submodule(LAYER).bias.dtype == BF16 and scaled(x).isfinite().all()


def test_unscaled_fp8_files_are_cast_up_per_call(tmp_path: Path) -> None:
    tensors = blocks_tensors()
    tensors[f"{LAYER}.weight"] = cast_to_fp8(tensors[f"{LAYER}.weight"])
    model = build(save(tmp_path, tensors), dtype=torch.float32)
    layer = model.get_submodule(LAYER)
    assert isinstance(layer, CastLinear) and layer.weight.dtype == FP8 and layer.bias.dtype == torch.float32
    rescaled = build(save(tmp_path, tensors), SCALED).get_submodule(LAYER)
    assert torch.equal(rescaled.weight.float() * rescaled.weight_scale, layer.weight.float())


def test_cast_of_a_scaled_file_folds_the_scales_in(tmp_path: Path) -> None:
    layer = build(scaled_file(tmp_path), CAST).get_submodule(LAYER)
    expected = cast_to_fp8(dequantized(tmp_path).to(BF16))
    assert isinstance(layer, CastLinear) and torch.equal(layer.weight.float(), expected.float())
    assert set(layer.state_dict()) == {"weight", "bias"}


@pytest.mark.parametrize("scaled", [True, False])
def test_dequantize_widens_every_fp8_layer(tmp_path: Path, scaled: bool) -> None:
    path = scaled_file(tmp_path)
    expected = dequantized(tmp_path)
    if not scaled:
        tensors = blocks_tensors()
        tensors[f"{LAYER}.weight"] = cast_to_fp8(tensors[f"{LAYER}.weight"])
        path, expected = save(tmp_path, tensors), tensors[f"{LAYER}.weight"].float()
    model = build(path, QuantizationPolicy.dequantize(), dtype=BF16)
    assert {value.dtype for value in model.state_dict().values()} == {BF16}
    assert torch.equal(model.get_submodule(LAYER).weight, expected.to(BF16))
    assert "weight_scale" not in model.get_submodule(LAYER).state_dict()


def nvfp4_file(tmp_path: Path) -> tuple[Path, Tensor]:
    tensors = blocks_tensors()
    torch.manual_seed(0)
    packed = torch.randint(0, 256, (16, 8), dtype=torch.uint8)
    block, whole = (torch.rand(128 * 4) + 0.5).to(FP8), torch.tensor(0.25)
    weight = dequantize_nvfp4(packed, block, whole, (16, 16), BF16)
    tensors |= {
        f"{LAYER}.weight": packed,
        f"{LAYER}.weight_scale": block.reshape(128, 4),
        f"{LAYER}.weight_scale_2": whole,
    }
    return save(tmp_path, tensors), weight


def test_nvfp4_is_dequantised(tmp_path: Path) -> None:
    path, weight = nvfp4_file(tmp_path)
    assert torch.equal(build(path).get_submodule(LAYER).weight, weight)
    assert torch.equal(build(path, CAST).get_submodule(LAYER).weight.float(), cast_to_fp8(weight).float())
    codes, scale = quantize_weight(weight)
    layer = build(path, SCALED).get_submodule(LAYER)
    assert torch.equal(layer.weight.float(), codes.float()) and torch.equal(layer.weight_scale, scale)


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


@pytest.mark.parametrize("group", [0, 4, 16])
@pytest.mark.parametrize("scale_shape", [(), (1,), (16,), (16, 1)])
@pytest.mark.parametrize("where", ["tensor", "metadata"])
def test_int8_is_dequantised(tmp_path: Path, where: str, scale_shape: tuple[int, ...], group: int) -> None:
    torch.manual_seed(0)
    codes, scale = torch.randint(-127, 128, (16, 16), dtype=torch.int8), torch.rand(scale_shape) * 0.01
    weight = dequantize_int8(codes, scale, group, BF16)
    described = {"format": "int8_tensorwise"} | ({"convrot": True, "convrot_groupsize": group} if group else {})
    tensors = blocks_tensors() | {f"{LAYER}.weight": codes, f"{LAYER}.weight_scale": scale}
    path = save(tmp_path, tensors)
    if where == "tensor":
        raw = torch.tensor(list(json.dumps(described).encode()), dtype=torch.uint8)
        save_file({**tensors, f"{LAYER}.comfy_quant": raw}, path)
    else:
        save_file(tensors, path, {"_quantization_metadata": json.dumps({"layers": {LAYER: described}})})
    assert torch.equal(build(path).get_submodule(LAYER).weight, weight)
    assert torch.equal(build(path, CAST).get_submodule(LAYER).weight.float(), cast_to_fp8(weight).float())
    quantized, whole = quantize_weight(weight)
    layer = build(path, SCALED).get_submodule(LAYER)
    assert torch.equal(layer.weight.float(), quantized.float()) and torch.equal(layer.weight_scale, whole)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"weight": torch.ones(16, 16, dtype=torch.int8), "weight_scale": torch.ones(1)}, "int8 without comfy_quant"),
        ({"weight": torch.ones(16, 16, dtype=torch.int8), "weight_scale": torch.ones(4, 4)}, "one per row"),
        ({"weight": torch.ones(16, 16, dtype=torch.int8)}, "needs one scale"),
        ({"weight": torch.ones(16, 8, dtype=torch.uint8)}, "without its weight_scale"),
        ({"weight": torch.ones(16, 8, dtype=torch.uint8), "weight_scale": torch.ones(1).to(FP8)}, "weight_scale_2"),
        ({"weight": torch.ones(16, 16).to(FP8), "weight_scale": torch.ones(5, 3)}, "one scale per tensor"),
        ({"weight": torch.ones(16, 16, dtype=torch.int32)}, "no known weight format"),
        ({"pre_quant_scale": torch.ones(16)}, "pre_quant_scale"),
        (
            {"weight": torch.ones(16, 16).to(FP8), "weight_scale": torch.ones(()), "input_scale": torch.ones(16)},
            "a single number",
        ),
        (
            {
                "weight": torch.ones(16, 8, dtype=torch.uint8),
                "weight_scale": torch.ones(16),
                "weight_scale_2": torch.ones(()),
            },
            "only nvfp4",
        ),
    ],
)
def test_other_formats_are_refused_by_name(tmp_path: Path, extra: dict[str, Tensor], words: str) -> None:
    path = save(tmp_path, {**blocks_tensors(), **{f"{LAYER}.{leaf}": value for leaf, value in extra.items()}})
    with pytest.raises(UnsupportedFormatError, match=words) as caught:
        SingleGPUModelBuilder(BlocksConfigurator, path).validate()
    assert LAYER in str(caught.value) and str(path) in str(caught.value)


DTYPES = st.sampled_from([BF16, torch.float32, FP8, torch.float8_e5m2, torch.uint8, torch.int8, torch.int64])
TENSORS = st.builds(StoredTensor, DTYPES, st.lists(st.integers(0, 4), max_size=3).map(tuple))
LEAVES = st.sampled_from(["weight_scale", "scale_weight", "weight_scale_2", "input_scale", "comfy_quant"])


@settings(max_examples=200, deadline=None)
@given(weight=TENSORS, auxiliary=st.dictionaries(LEAVES, TENSORS))
def test_any_combination_is_classified_or_refused(weight: StoredTensor, auxiliary: dict[str, StoredTensor]) -> None:
    try:
        form = stored_format("layer", weight, auxiliary)
    except ValueError as error:
        assert "layer" in str(error)
    else:
        assert (form is StoredFormat.PLAIN) == (weight.dtype in (BF16, torch.float32))


@pytest.mark.parametrize("value", [None, 3, [], {}, {"format": 1}])
def test_malformed_descriptions_are_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(ValueError, match="'format' is needed"):
        comfy_quant_of(value, "x")
    path = scaled_file(tmp_path)
    save_file(load_file(path), path, {"_quantization_metadata": json.dumps({"layers": {LAYER: value}})})
    with pytest.raises(UnsupportedFormatError):
        SingleGPUModelBuilder(BlocksConfigurator, path).validate()


def calibration(tmp_path: Path, values: object) -> Path:
    (tmp_path / "amax.json").write_text(json.dumps({"amax_values": values}))
    return tmp_path / "amax.json"


@pytest.mark.parametrize("prefix", ["", "diffusion_model.", "model.diffusion_model."])
def test_a_calibration_gives_static_scales(tmp_path: Path, prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    path = calibration(tmp_path, {f"{prefix}{LAYER}.input_quantizer": 12.34, "elsewhere.input_quantizer": 1.0})
    policy = QuantizationPolicy.fp8_scaled_mm(calibration_amax_path=path)
    with caplog.at_level(logging.WARNING):
        model = build(save(tmp_path, blocks_tensors()), policy)
    assert model.get_submodule(LAYER).input_scale.item() == pytest.approx(12.34 / 448)
    assert model.get_submodule("transformer_blocks.2.attn1.to_q").input_scale is None
    assert caplog.text.count("elsewhere") == 1
    file_too = build(scaled_file(tmp_path), policy)
    assert file_too.get_submodule(LAYER).input_scale.item() == pytest.approx(12.34 / 448)


@pytest.mark.parametrize("values", [None, [], {"x": "1"}, {"x": -1}, {"x": float("inf")}, {"x": True}, {"x": 0}])
def test_malformed_calibrations_are_refused(tmp_path: Path, values: object) -> None:
    with pytest.raises(ValueError, match="calibration file"):
        read_input_scales(calibration(tmp_path, values))


def test_absent_and_garbled_calibrations(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no calibration file"):
        QuantizationPolicy.fp8_scaled_mm(tmp_path / "none.json")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        QuantizationPolicy.fp8_scaled_mm(tmp_path / "x.json")


def test_the_policies_rules_do_the_same_for_renaming_loaders(version: str) -> None:
    """The way of the ltx-core README: the policy's rules chained after the renaming map."""
    path = checkpoint_path(version)
    rules = LTXV_MODEL_COMFY_RENAMING_MAP.chained_with(CAST.sd_ops)
    chained = SingleGPUModelBuilder(LTXModelConfigurator, path, model_sd_ops=rules, module_ops=CAST.module_ops)
    plain = SingleGPUModelBuilder(LTXModelConfigurator, path, module_ops=CAST.module_ops)
    first, second = (builder.build(device="cpu").state_dict() for builder in (chained, plain))
    assert all(first[key].dtype == second[key].dtype for key in second)
    assert all(torch.equal(first[key].float(), second[key].float()) for key in second)
    assert isinstance(SCALED.sd_ops, SDOps)


@pytest.mark.parametrize("size", ["19b", "22b"])
def test_cast_touches_the_published_number_of_tensors(tmp_path: Path, size: str) -> None:
    path = sparse_checkpoint(tmp_path, inventory(size), {"config": published_config(size)})
    builder = SingleGPUModelBuilder(LTXModelConfigurator, path)
    model = builder.meta_model(builder.model_config(), CAST.module_ops)
    linears = [module for module in model.modules() if isinstance(module, CastLinear)]
    tensors = [tensor for linear in linears for tensor in (linear.weight, linear.bias)]
    assert (len(tensors), sum(tensor.numel() for tensor in tensors)) == (2688, 18_526_765_056)


def run(model: LTXModel) -> tuple[Tensor, Tensor]:
    with torch.inference_mode():
        return model(*golden_modalities("2.3"))


def scaled_transformer(tmp_path: Path) -> Path:
    """The tiny LTX-2.3 with the linears of blocks 1 and 2 in the official scaled layout."""
    tensors = load_file(checkpoint_path("2.3"))
    for key, value in list(tensors.items()):
        block = any(f"transformer_blocks.{index}." in key for index in (1, 2)) and "connector" not in key
        if block and key.endswith(".weight") and value.dim() == 2:
            codes, scale = quantize_weight(value)
            tensors |= {key: codes, f"{key}_scale": scale, key.replace(".weight", ".input_scale"): torch.tensor(1.0)}
    builder = SingleGPUModelBuilder(LTXModelConfigurator, checkpoint_path("2.3"))
    save_file(tensors, tmp_path / "scaled.safetensors", {"config": json.dumps(builder.model_config())})
    return tmp_path / "scaled.safetensors"


@pytest.mark.parametrize("policy", [None, CAST, SCALED], ids=["none", "cast", "scaled"])
@pytest.mark.parametrize("lora", [False, True], ids=["plain", "lora"])
@pytest.mark.parametrize("stored", ["bf16", "scaled"])
def test_every_mixture_is_close_to_full_precision(
    tmp_path: Path, policy: QuantizationPolicy | None, lora: bool, stored: str
) -> None:
    path = scaled_transformer(tmp_path) if stored == "scaled" else checkpoint_path("2.3")
    lora_path = GOLDEN / "ltx-2.3-tiny.lora-a.safetensors"
    operations = policy.module_ops if policy else ()

    def output(builder: SingleGPUModelBuilder) -> tuple[Tensor, Tensor]:
        return run((builder.lora(lora_path, 0.8) if lora else builder).build("cpu", torch.float32))

    expected = output(SingleGPUModelBuilder(LTXModelConfigurator, checkpoint_path("2.3")))
    actual = output(SingleGPUModelBuilder(LTXModelConfigurator, path, module_ops=operations))
    exact = policy is None and stored == "bf16"
    for ours, reference in zip(actual, expected, strict=True):
        assert relative_error(ours, reference) == 0 if exact else 0 < relative_error(ours, reference) < 0.1


def test_a_lora_renews_the_scale_of_a_scaled_layer(tmp_path: Path) -> None:
    path, lora = scaled_transformer(tmp_path), GOLDEN / "ltx-2.3-tiny.lora-a.safetensors"
    name = "transformer_blocks.1.attn1.to_q"
    before = SingleGPUModelBuilder(LTXModelConfigurator, path).build("cpu").get_submodule(name)
    after = SingleGPUModelBuilder(LTXModelConfigurator, path).lora(lora, 4.0).build("cpu").get_submodule(name)
    matrices = load_file(lora)
    down, up = (matrices[f"diffusion_model.{name}.lora_{side}.weight"] for side in "AB")
    wide = dequantize(before.weight, before.weight_scale, torch.float32) + ((up * 4.0) @ down).float()
    codes, scale = quantize_weight(wide)
    assert torch.equal(after.weight.float(), codes.float()) and torch.equal(after.weight_scale, scale)
    assert not torch.equal(after.weight_scale, before.weight_scale)
