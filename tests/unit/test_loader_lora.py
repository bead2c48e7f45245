"""LoRA dialects, metadata and the arithmetic of fusion (spec 01 §7, §12.3-12.4)."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ltx_core_impl.loader import (
    LoraError,
    LoraStateDictWithStrength,
    SDOps,
    SingleGPUModelBuilder,
    StateDict,
    apply_loras,
    open_lora,
)
from ltx_core_impl.loader.key_maps.lora_names import ModuleNames, split_lora_key
from ltx_core_impl.loader.lora_file import lora_product
from ltx_core_impl.model.transformer import LTXModelConfigurator
from ltx_core_impl.quantization.fp8 import cast_to_fp8, quantize_weight
from tests.conftest import GOLDEN, checkpoint_path
from tests.unit.test_loader_components import to_diffusers

BF16, F16, F32 = torch.bfloat16, torch.float16, torch.float32
W = torch.tensor([[(4 * i + j - 5.5) / 8 for j in range(4)] for i in range(3)])
LORA_1 = (
    torch.tensor([[0.1, -0.2, 0.3, -0.4], [0.5, 0.25, -0.125, 0.0625]]),
    torch.tensor([[1, -1], [0.5, 0.75], [-0.3, 0.7]]),
)
LORA_2 = (torch.tensor([[0.3, 0.3, -0.3, 0.1]]), torch.tensor([[0.2], [0.4], [-0.6]]))

DELTA = [
    [-0.3203125, -0.361328125, 0.341796875, -0.37109375],
    [0.341796875, 0.0703125, 0.045166016, -0.122558594],
    [0.255859375, 0.1875, -0.141601562, 0.130859375],
]
ONE = [
    [-1.0078125, -0.921875, -0.095703125, -0.68359375],
    [0.154296875, 0.0078125, 0.107421875, 0.064941406],
    [0.5703125, 0.625, 0.421875, 0.8203125],
]
ONE_FP32 = [
    [-1.0078125, -0.921875, -0.09765625, -0.6796875],
    [0.15234375, 0.007324219, 0.107421875, 0.064941406],
    [0.5703125, 0.625, 0.421875, 0.8203125],
]
BOTH = [
    [-0.9765625, -0.89453125, -0.125, -0.671875],
    [0.21484375, 0.068359375, 0.047363281, 0.084960938],
    [0.478515625, 0.53515625, 0.51171875, 0.7890625],
]
ONE_FP8 = [[-1.0, -0.9375, -0.09375, -0.6875], [0.15625, 0.0078125, 0.109375, 0.0625], [0.5625, 0.625, 0.4375, 0.8125]]
CODES = [[-448, -416, -44, -320], [72, 4, 48, 28], [256, 288, 176, 352]]


def lora(matrices: tuple[Tensor, Tensor], strength: float, dtype: torch.dtype = BF16) -> LoraStateDictWithStrength:
    down, up = (matrix.to(dtype) for matrix in matrices)
    return LoraStateDictWithStrength(StateDict.of({"x.lora_A.weight": down, "x.lora_B.weight": up}, "cpu"), strength)


def fused(
    weight: Tensor, *loras: LoraStateDictWithStrength, dtype: torch.dtype | None = None, **extra: Tensor
) -> StateDict:
    return apply_loras(StateDict.of({"x.weight": weight, **extra}, "cpu"), loras, dtype)


def assert_rows(actual: Tensor, expected: list[list[float]]) -> None:
    torch.testing.assert_close(actual.float(), torch.tensor(expected, dtype=torch.float32), rtol=1e-6, atol=1e-9)


def test_the_change_of_one_lora() -> None:
    assert_rows(lora_product(LORA_1[0].to(BF16), LORA_1[1].to(BF16), 0.8), DELTA)


def test_fusion_into_bf16() -> None:
    assert_rows(fused(W.to(BF16), lora(LORA_1, 0.8)).sd["x.weight"], ONE)
    assert_rows(fused(W.to(BF16), lora(LORA_1, 0.8, torch.float32)).sd["x.weight"], ONE_FP32)
    assert_rows(fused(W.to(BF16), lora(LORA_1, 0.8), lora(LORA_2, 0.5)).sd["x.weight"], BOTH)


def test_fusion_into_unscaled_fp8() -> None:
    result = fused(cast_to_fp8(W), lora(LORA_1, 0.8)).sd["x.weight"]
    assert result.dtype == torch.float8_e4m3fn
    assert_rows(result, ONE_FP8)
    wide = fused(cast_to_fp8(W), lora(LORA_1, 0.8), dtype=BF16).sd["x.weight"]
    assert wide.dtype == BF16
    assert_rows(wide, ONE)


@pytest.mark.parametrize("shape", [(), (1,)])
def test_fusion_into_scaled_fp8_renews_the_scale(shape: tuple[int, ...]) -> None:
    codes, scale = quantize_weight(W)
    extra = {"x.weight_scale": scale.reshape(shape)}
    result = fused(codes, lora(LORA_1, 0.8), **extra).sd
    assert result["x.weight_scale"].shape == shape
    torch.testing.assert_close(result["x.weight_scale"].item(), 0.00224958151, rtol=1e-6, atol=0)
    assert_rows(result["x.weight"], CODES)
    row = result["x.weight"][0].float() * result["x.weight_scale"]
    assert_rows(row[None], [[-1.0078125, -0.935825884, -0.098981589, -0.719866097]])


class Odd(nn.Module):
    """Layers whose sizes are multiples of nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer_blocks = nn.ModuleList(
            nn.ModuleDict({"to_q": nn.Linear(21, 7), "net": nn.Linear(7, 33, bias=False)}) for _ in range(2)
        )
        self.proj_out = nn.Linear(7, 5)

    @classmethod
    def from_config(cls, config: dict) -> Odd:
        return cls()


LORAS = ((2, BF16, None, 0.8), (50, F32, 10.0, -0.3), (1, F16, 3.0, 1), (4, BF16, 4.0, 0.0), (3, BF16, None, 1.7))
"""Rank (also beyond the layers' sizes), dtype of the matrices, alpha, strength."""


@pytest.mark.parametrize(("stored", "built"), list(itertools.product((BF16, F32, F16), (None, BF16, F32))))
def test_stacked_loras_are_added_in_the_reference_order(
    tmp_path: Path, stored: torch.dtype, built: torch.dtype | None
) -> None:
    torch.manual_seed(0)
    weights = {name: value.to(stored) for name, value in Odd().state_dict().items()}
    save_file(weights, tmp_path / "model.safetensors")
    builder = SingleGPUModelBuilder(Odd, tmp_path / "model.safetensors")
    target = built or stored
    products: dict[str, list[Tensor]] = {}
    for number, (rank, dtype, alpha, strength) in enumerate(LORAS):
        lora = {}
        for name, weight in weights.items():
            if weight.ndim != 2:
                continue
            module = f"diffusion_model.{name.removesuffix('.weight')}"
            down, up = (torch.randn(rank, weight.shape[1]) * 0.2).to(dtype), torch.randn(len(weight), rank).to(dtype)
            lora |= {f"{module}.lora_A.weight": down, f"{module}.lora_B.weight": up}
            scale = strength
            if alpha is not None:
                lora[f"{module}.alpha"] = torch.tensor([alpha]) if number % 2 else torch.tensor(alpha, dtype=BF16)
                scale = strength * alpha / rank
            if strength:
                products.setdefault(name, []).append(torch.matmul(up * scale, down).to(target))
        save_file(lora, tmp_path / f"{number}.safetensors")
        builder = builder.lora(tmp_path / f"{number}.safetensors", strength)
    fused = builder.build(device="cpu", dtype=built).state_dict()
    for name, weight in weights.items():
        expected = weight.to(target)
        if name in products:
            expected = torch.stack(products[name]).sum(dim=0).add_(weight)
        assert fused[name].dtype == target
        assert torch.equal(fused[name], expected), name


def test_other_tensors_are_passed_on() -> None:
    bias, other = torch.ones(3), torch.ones(2, 2)
    state = StateDict.of({"x.weight": W.to(BF16), "x.bias": bias, "y.weight": other}, "cpu")
    result = apply_loras(state, [lora(LORA_1, 0.8)])
    assert result.sd["x.bias"] is bias and result.sd["y.weight"] is other
    assert torch.equal(state.sd["x.weight"], W.to(BF16))


MODULE = "transformer_blocks.0.attn1.to_q"
KOHYA = "lora_unet_" + MODULE.replace(".", "_")


@pytest.mark.parametrize(
    ("down", "up"),
    [
        (f"diffusion_model.{MODULE}.lora_A.weight", f"diffusion_model.{MODULE}.lora_B.weight"),
        (f"model.diffusion_model.{MODULE}.lora_A.weight", f"model.diffusion_model.{MODULE}.lora_B.weight"),
        (f"transformer.{MODULE}.lora_A.weight", f"transformer.{MODULE}.lora_B.weight"),
        (f"base_model.model.{MODULE}.lora_A.default.weight", f"base_model.model.{MODULE}.lora_B.default.weight"),
        (
            f"base_model.model.transformer.{MODULE}.lora_A.weight",
            f"base_model.model.transformer.{MODULE}.lora_B.weight",
        ),
        (f"{MODULE}.lora_A", f"{MODULE}.lora_B"),
        (f"{KOHYA}.lora_down.weight", f"{KOHYA}.lora_up.weight"),
        (f"{MODULE}.lora.down.weight", f"{MODULE}.lora.up.weight"),
        (f"{MODULE}_lora.down.weight", f"{MODULE}_lora.up.weight"),
        (
            f"diffusion_model.{MODULE}.lora_linear_layer.down.weight",
            f"diffusion_model.{MODULE}.lora_linear_layer.up.weight",
        ),
    ],
)
def test_dialects(down: str, up: str) -> None:
    names = ModuleNames({MODULE, "transformer_blocks.0.audio_attn1.to_q", "audio_patchify_proj"})
    first, second = split_lora_key(down), split_lora_key(up)
    assert first is not None and second is not None
    assert (first.role, second.role, first.module) == ("down", "up", second.module)
    assert names.find(first.module) == MODULE


def test_every_module_of_the_real_model_is_found_in_every_dialect(version: str) -> None:
    builder = SingleGPUModelBuilder(LTXModelConfigurator, checkpoint_path(version))
    model = builder.meta_model(builder.model_config())
    modules = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    names = ModuleNames(modules)
    for module in modules:
        diffusers = to_diffusers(module + ".").removesuffix(".")
        for spelled in (
            module,
            f"diffusion_model.{module}",
            f"transformer.{diffusers}",
            f"base_model.model.{diffusers}",
            "lora_unet_" + module.replace(".", "_"),
            "lora_transformer_" + diffusers.replace(".", "_"),
        ):
            assert names.find(spelled) == module
    assert names.find("lora_unet_transformer_blocks_99_attn1_to_q") is None
    assert names.find("text_embedding_projection.aggregate_embed") is None


@pytest.mark.parametrize("key", ["x.weight", "x.lora_mid.weight", "x.hada_w1_a", "x.diff", "x.diff_b", "lora_A.weight"])
def test_other_tensors_are_no_lora_matrices(key: str) -> None:
    assert split_lora_key(key) is None


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


def rewritten(tmp_path: Path, **changes: object) -> Path:
    """The golden LoRA ``a`` of LTX-2.3 under kohya names, with alpha or another dtype."""
    tensors = {}
    for key, value in load_file(GOLDEN / "ltx-2.3-tiny.lora-a.safetensors").items():
        module, side = key.removeprefix("diffusion_model.").removesuffix(".weight").rsplit(".", 1)
        name = "lora_unet_" + module.replace(".", "_")
        tensors[f"{name}.{'lora_down' if side == 'lora_A' else 'lora_up'}.weight"] = value.to(
            changes.get("dtype", BF16)
        )
        if "alpha" in changes:
            tensors[f"{name}.alpha"] = torch.tensor(changes["alpha"])
    save_file(tensors, tmp_path / "lora.safetensors")
    return tmp_path / "lora.safetensors"


def weights(path: Path, strength: float, sd_ops: SDOps | None = None) -> dict[str, Tensor]:
    builder = SingleGPUModelBuilder(LTXModelConfigurator, checkpoint_path("2.3"))
    return builder.lora(path, strength, sd_ops).build(device="cpu").state_dict()


def test_alpha_multiplies_the_strength(tmp_path: Path) -> None:
    plain = weights(GOLDEN / "ltx-2.3-tiny.lora-a.safetensors", 0.5)
    scaled = weights(rewritten(tmp_path, alpha=2.0), 1.0)  # rank 4: alpha / r = 0.5
    assert all(torch.equal(plain[key], scaled[key]) for key in plain)
    assert not all(torch.equal(plain[key], value) for key, value in weights(rewritten(tmp_path), 1.0).items())


def test_fp8_matrices_are_widened(tmp_path: Path) -> None:
    path = rewritten(tmp_path, dtype=torch.float8_e4m3fn)
    wide = {key: value.to(BF16) for key, value in load_file(path).items()}
    save_file(wide, tmp_path / "wide.safetensors")
    expected, actual = weights(tmp_path / "wide.safetensors", 0.8), weights(path, 0.8)
    assert all(torch.equal(actual[key], expected[key]) for key in expected)


def test_rules_rename_lora_keys_first(tmp_path: Path) -> None:
    path = GOLDEN / "ltx-2.3-tiny.lora-a.safetensors"
    renamed = {key.replace("diffusion_model.", "odd/"): value for key, value in load_file(path).items()}
    save_file(renamed, tmp_path / "odd.safetensors")
    rules = SDOps("odd").with_matching(prefix="odd/").with_replacement("odd/", "")
    expected, actual = weights(path, 0.8), weights(tmp_path / "odd.safetensors", 0.8, rules)
    assert all(torch.equal(actual[key], expected[key]) for key in expected)
    with pytest.raises(LoraError, match="changes nothing"):
        weights(tmp_path / "odd.safetensors", 0.8)


def test_a_lora_of_another_version_says_so(tmp_path: Path) -> None:
    keys = {
        "adaln_single.linear.lora_A.weight": torch.ones(2, 64),
        "adaln_single.linear.lora_B.weight": torch.ones(384, 2),
    }
    save_file(keys, tmp_path / "x.safetensors")
    with pytest.raises(
        LoraError, match=r"shape \(384, 64\), the model's is \(576, 64\); it was made for another model"
    ):
        weights(tmp_path / "x.safetensors", 1.0)


@pytest.mark.parametrize(("made_for", "warned"), [("2.5.0", True), ("2.3.0", False), (None, False)])
def test_a_lora_that_fits_but_is_for_another_version_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, made_for: str | None, warned: bool
) -> None:
    tensors = load_file(GOLDEN / "ltx-2.3-tiny.lora-a.safetensors")
    save_file(tensors, tmp_path / "x.safetensors", {"model_version": made_for} if made_for else None)
    SingleGPUModelBuilder(LTXModelConfigurator, checkpoint_path("2.3")).lora(tmp_path / "x.safetensors").validate()
    assert ("was made for LTX-2.5, the model is LTX-2.3" in caplog.text) is warned


@pytest.mark.parametrize(("text", "expected"), [(None, 1), ("2", 2), ("1.0", 1)])
def test_reference_metadata(tmp_path: Path, text: str | None, expected: float) -> None:
    keys = {"a.lora_A.weight": torch.ones(2, 4), "a.lora_B.weight": torch.ones(4, 2)}
    metadata = {"reference_downscale_factor": text, "hdr_transform": "logc3"} if text else None
    save_file(keys, tmp_path / "x.safetensors", metadata)
    opened = open_lora(tmp_path / "x.safetensors")
    assert opened.reference_downscale_factor == expected
    assert opened.hdr_transform == ("logc3" if text else None)
    assert opened.reference_spatial_scale_factor == opened.reference_temporal_scale_factor == 1


@pytest.mark.parametrize("text", ["0", "-1", "x", "nan", "inf"])
def test_senseless_reference_metadata_is_refused(tmp_path: Path, text: str) -> None:
    keys = {"a.lora_A.weight": torch.ones(2, 4), "a.lora_B.weight": torch.ones(4, 2)}
    save_file(keys, tmp_path / "x.safetensors", {"reference_downscale_factor": text})
    with pytest.raises(LoraError, match="a number >= 1"):
        _ = open_lora(tmp_path / "x.safetensors").reference_downscale_factor
