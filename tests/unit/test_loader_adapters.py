"""Adapters beyond the plain LoRA: alpha in metadata, DoRA, LoHa, LoKr, differences, biases; none is used by half."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ltx_core_impl.loader import LoraError, SingleGPUModelBuilder
from ltx_core_impl.loader.header import Header, read_header
from ltx_core_impl.loader.lora_scale import TrainedScales
from ltx_core_impl.loader.streaming import BlockStreamer, smallest_budget
from ltx_core_impl.quantization import QuantizationPolicy
from ltx_core_impl.quantization.fp8 import cast_to_fp8, dequantize, quantize_weight

OUT, IN, RANK = 6, 4, 2


class Small(nn.Module):
    """Two linear layers, a norm and a table, named like those of a transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.to_q = nn.Linear(IN, OUT)
        self.to_out = nn.Linear(IN, OUT, bias=False)
        self.norm = nn.LayerNorm(IN)
        self.scale_shift_table = nn.Parameter(torch.zeros(2, IN))

    @classmethod
    def from_config(cls, config: dict) -> Small:
        return cls()


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


WEIGHTS = {name: numbers(*value.shape, seed=10) for name, value in Small().state_dict().items()}
W = WEIGHTS["to_q.weight"]
A, B = numbers(RANK, IN, seed=1), numbers(OUT, RANK, seed=2)


def fused(
    tmp_path: Path, keys: dict[str, Tensor], strength: float = 1.0, metadata: dict[str, str] | None = None
) -> dict[str, Tensor]:
    """The tensors of ``Small`` with an adapter of these keys."""
    return build(tmp_path, WEIGHTS, keys, strength, metadata).state_dict()


def build(
    tmp_path: Path,
    weights: dict[str, Tensor],
    keys: dict[str, Tensor],
    strength: float = 1.0,
    metadata: dict[str, str] | None = None,
    policy: QuantizationPolicy | None = None,
) -> nn.Module:
    save_file(weights, tmp_path / "model.safetensors")
    save_file({key: value.contiguous().clone() for key, value in keys.items()}, tmp_path / "lora.safetensors", metadata)
    builder = SingleGPUModelBuilder(
        Small, tmp_path / "model.safetensors", module_ops=policy.module_ops if policy else ()
    )
    return builder.lora(tmp_path / "lora.safetensors", strength).build("cpu")


def pair(module: str = "to_q", down: Tensor = A, up: Tensor = B) -> dict[str, Tensor]:
    return {f"{module}.lora_A.weight": down, f"{module}.lora_B.weight": up}


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)


# Strength


@pytest.mark.parametrize(
    ("content", "factor"),
    [
        ({"transformer.r": 2, "transformer.lora_alpha": 4}, 2.0),
        ({"transformer": {"r": 2, "lora_alpha": 4}}, 2.0),
        ({"r": 2, "lora_alpha": 4}, 2.0),
        ({"transformer.r": 2, "transformer.lora_alpha": 2}, 1.0),
        ({"transformer.r": 2, "transformer.lora_alpha": 6, "transformer.use_rslora": True}, 6 / math.sqrt(2)),
        ({"transformer.r": 2, "transformer.lora_alpha": 6, "transformer.use_rslora": 1}, 6 / math.sqrt(2)),
        ({"transformer.r": 2, "transformer.lora_alpha": 6, "transformer.use_rslora": "True"}, 6 / math.sqrt(2)),
        ({"transformer.lora_alpha": 4, "transformer.alpha_pattern": {"to_q": 1}}, 0.5),
        ({"transformer.lora_alpha": 4, "transformer.alpha_pattern": {"^transformer.to_q$": 3}}, 1.5),
        ({"transformer.lora_alpha": 4, "transformer.alpha_pattern": {"o_q": 1, "to_q.x": 1}}, 2.0),
        ({"transformer.r": 8, "transformer.lora_alpha": 8, "transformer.rank_pattern": {"to_q": 2}}, 4.0),
        ({"text_encoder.r": 2, "text_encoder.lora_alpha": 4, "transformer.lora_alpha": 6, "transformer.r": 2}, 3.0),
        ({"text_encoder.r": 2, "text_encoder.lora_alpha": 4}, 1.0),
        ({"transformer.target_modules": ["to_q"]}, 1.0),
        ({}, 1.0),
    ],
)
def test_alpha_in_the_metadata(tmp_path: Path, content: dict, factor: float) -> None:
    metadata = {"lora_adapter_metadata": json.dumps(content)}
    result = fused(tmp_path, pair("transformer.to_q"), 0.5, metadata)
    close(result["to_q.weight"], W + 0.5 * factor * B @ A)


def test_patterns_find_the_names_of_kohya(tmp_path: Path) -> None:
    content = {"transformer.lora_alpha": 4, "transformer.alpha_pattern": {"attn1.to_q": 1, "o_k": 3}}
    scales = TrainedScales(header_with(tmp_path, json.dumps(content)))
    factor = scales.of("lora_unet_transformer_blocks_0_attn1_to_q").factor
    assert factor("lora_unet_transformer_blocks_0_attn1_to_q", 2) == 0.5
    assert factor("lora_unet_transformer_blocks_0_attn1_to_k", 2) == 2.0


def header_with(folder: Path, text: str) -> Header:
    save_file({"x": torch.zeros(1)}, folder / "header.safetensors", {"lora_adapter_metadata": text})
    return read_header(folder / "header.safetensors")


def test_an_alpha_tensor_comes_before_the_metadata(tmp_path: Path) -> None:
    metadata = {"lora_adapter_metadata": json.dumps({"transformer.lora_alpha": 100, "transformer.r": 2})}
    result = fused(tmp_path, pair() | {"to_q.alpha": torch.tensor(3.0)}, 1.0, metadata)
    close(result["to_q.weight"], W + 1.5 * B @ A)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"transformer.lora_alpha": "8"}', r"transformer.lora_alpha is '8'; a number is needed"),
        ('{"transformer.lora_alpha": true}', "a number is needed"),
        ('{"transformer.lora_alpha": NaN}', "a number is needed"),
        ('{"transformer.alpha_pattern": [1]}', "one alpha per module is needed"),
        ('{"transformer.alpha_pattern": {"(a+)+b": 1}}', "regular expression"),
        ("[1]", "is a JSON list, an object is needed"),
        ("{", "is not valid JSON"),
        ('{"transformer.use_dora": true}', "says that it is a DoRA .* but has no magnitude for to_q"),
    ],
)
def test_metadata_that_tell_no_strength_are_refused(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fused(tmp_path, pair(), 1.0, {"lora_adapter_metadata": content})


# Kinds

ROWS, COLUMNS = numbers(OUT, 1, seed=3).abs(), numbers(1, IN, seed=4).abs()


def dora(weight: Tensor, change: Tensor, magnitude: Tensor, dim: int) -> Tensor:
    merged = weight + change
    return merged / (merged**2).sum(dim, keepdim=True).sqrt() * magnitude


@pytest.mark.parametrize(
    ("key", "magnitude", "dim"),
    [
        ("lora_magnitude_vector", ROWS[:, 0], 1),
        ("lora_magnitude_vector.weight", ROWS[:, 0], 1),
        ("lora_magnitude_vector.default.weight", ROWS[:, 0], 1),
        ("dora_scale", ROWS, 1),
        ("dora_scale", COLUMNS, 0),
    ],
)
@pytest.mark.parametrize("strength", [1.0, 0.25])
def test_dora(tmp_path: Path, key: str, magnitude: Tensor, dim: int, strength: float) -> None:
    keys = pair("base_model.model.to_q") | {
        f"base_model.model.to_q.{key}": magnitude,
        "base_model.model.to_q.alpha": torch.tensor(6.0),
    }
    expected = dora(W, 3 * B @ A, magnitude.reshape(ROWS.shape if dim == 1 else COLUMNS.shape), dim)
    close(fused(tmp_path, keys, strength)["to_q.weight"], W + strength * (expected - W))


def test_a_dora_works_on_what_the_loras_before_it_left(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    save_file(pair(), tmp_path / "1.safetensors")
    save_file(pair() | {"to_q.dora_scale": ROWS}, tmp_path / "2.safetensors")
    builder = SingleGPUModelBuilder(Small, tmp_path / "model.safetensors")
    plain, last = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    after = builder.lora(plain, 0.5).lora(last).build("cpu").to_q.weight
    close(after.data, dora(W + 0.5 * B @ A, B @ A, ROWS, 1))
    before = builder.lora(last).lora(plain, 0.5).build("cpu").to_q.weight
    close(before.data, dora(W, B @ A, ROWS, 1) + 0.5 * B @ A)


W1A, W1B, W2A, W2B = numbers(OUT, 2, seed=5), numbers(2, IN, seed=6), numbers(OUT, 2, seed=7), numbers(2, IN, seed=8)
T1, T2 = numbers(2, 2, seed=9), numbers(2, 2, seed=11)
HADA = {"hada_w1_a": W1A, "hada_w1_b": W1B, "hada_w2_a": W2A, "hada_w2_b": W2B}
TUCKER = {"hada_w1_a": W1A.t(), "hada_w2_a": W2A.t(), "hada_w1_b": W1B, "hada_w2_b": W2B, "hada_t1": T1, "hada_t2": T2}
K1, K2 = numbers(2, 2, seed=12), numbers(3, 2, seed=13)  # 2 * 3 outputs, 2 * 2 inputs
K1A, K1B, K2A, K2B = numbers(2, 1, seed=14), numbers(1, 2, seed=15), numbers(3, 2, seed=16), numbers(2, 2, seed=17)


def kron(first: Tensor, second: Tensor) -> Tensor:
    """``[i·p + k, j·q + l] = first[i, j] · second[k, l]``, written out."""
    result = torch.empty(first.shape[0] * second.shape[0], first.shape[1] * second.shape[1])
    for i, row in enumerate(first):
        for j, value in enumerate(row):
            rows, columns = second.shape
            result[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns] = value * second
    return result


KINDS = {
    "LoHa": (HADA, 3.0, 1.5 * (W1A @ W1B) * (W2A @ W2B)),
    "LoHa without alpha": (HADA, None, (W1A @ W1B) * (W2A @ W2B)),
    "LoHa with cores": (TUCKER, 3.0, 1.5 * (W1A @ T1 @ W1B) * (W2A @ T2 @ W2B)),
    "LoKr": ({"lokr_w1": K1, "lokr_w2": K2}, None, kron(K1, K2)),
    "LoKr, both whole: alpha says nothing": ({"lokr_w1": K1, "lokr_w2": K2}, 9.0, kron(K1, K2)),
    "LoKr, second low": ({"lokr_w1": K1, "lokr_w2_a": K2A, "lokr_w2_b": K2B}, 3.0, 1.5 * kron(K1, K2A @ K2B)),
    "LoKr, first low": ({"lokr_w1_a": K1A, "lokr_w1_b": K1B, "lokr_w2": K2}, 3.0, 3.0 * kron(K1A @ K1B, K2)),
    "LoKr, both low: the second's rank": (
        {"lokr_w1_a": K1A, "lokr_w1_b": K1B, "lokr_w2_a": K2A, "lokr_w2_b": K2B},
        3.0,
        1.5 * kron(K1A @ K1B, K2A @ K2B),
    ),
    "LoKr with a core": (
        {"lokr_w1": K1, "lokr_w2_a": K2A.t(), "lokr_w2_b": K2B, "lokr_t2": T1},
        4.0,
        2.0 * kron(K1, K2A @ T1 @ K2B),
    ),
    "LoRA with a core": (
        {"lora_up.weight": B, "lora_down.weight": A, "lora_mid.weight": T1},
        4.0,
        2.0 * B @ T1 @ A,
    ),
    "LoRA as 1 x 1 convolutions": (
        {"lora_up.weight": B[..., None, None], "lora_down.weight": A[..., None, None]},
        4.0,
        2.0 * B @ A,
    ),
    "difference": ({"diff": numbers(OUT, IN, seed=18)}, None, numbers(OUT, IN, seed=18)),
    "difference beside a pair": (
        {"diff": numbers(OUT, IN, seed=18), "lora_up.weight": B, "lora_down.weight": A},
        4.0,
        numbers(OUT, IN, seed=18) + 2.0 * B @ A,
    ),
}


def named(parts: dict[str, Tensor], alpha: float | None, module: str) -> dict[str, Tensor]:
    keys = {f"{module}.{role}": value for role, value in parts.items()}
    return keys if alpha is None else keys | {f"{module}.alpha": torch.tensor(alpha)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("module", ["lycoris_to_q", "lora_unet_to_q", "diffusion_model.to_q", "transformer.to_q"])
def test_kinds(tmp_path: Path, kind: str, module: str) -> None:
    parts, alpha, change = KINDS[kind]
    close(fused(tmp_path, named(parts, alpha, module), 0.75)["to_q.weight"], W + 0.75 * change)


@pytest.mark.parametrize("kind", ["LoHa", "LoKr, second low"])
def test_their_doras(tmp_path: Path, kind: str) -> None:
    parts, alpha, change = KINDS[kind]
    keys = named(parts, alpha, "lycoris_to_q") | {"lycoris_to_q.dora_scale": COLUMNS}
    close(fused(tmp_path, keys)["to_q.weight"], dora(W, change, COLUMNS, 0))


@pytest.mark.parametrize("kind", ["LoHa", "LoKr, second low", "dora"])
def test_into_bf16_and_fp8(tmp_path: Path, kind: str) -> None:
    """The exact sum, rounded as each format rounds; the change itself may be rounded to bf16 before."""
    parts, alpha, change = KINDS["LoRA as 1 x 1 convolutions" if kind == "dora" else kind]
    keys = named(parts, alpha, "to_q")
    codes, scale = quantize_weight(W)
    stored = {
        "bf16": ({}, W.bfloat16(), W.bfloat16().float(), 2**-7),
        "fp8": ({}, cast_to_fp8(W), cast_to_fp8(W).float(), 2**-3),
        "scaled": ({"to_q.weight_scale": scale}, codes, dequantize(codes, scale, torch.float32), 2**-3),
    }
    for extra, weight, wide, step in stored.values():
        expected = dora(wide, change, ROWS, 1) if kind == "dora" else wide + change
        adapter = keys | ({"to_q.dora_scale": ROWS} if kind == "dora" else {})
        layer = build(tmp_path, WEIGHTS | {"to_q.weight": weight} | extra, adapter).to_q
        assert layer.weight.dtype == weight.dtype
        result = layer.weight.float() * (layer.weight_scale if extra else 1.0)
        torch.testing.assert_close(result, expected, rtol=step, atol=step * 2**-4 * expected.abs().max().item())
        assert (expected - wide).abs().max() > 0.5  # the change is far larger than the rounding


@pytest.mark.parametrize("policy", [QuantizationPolicy.fp8_cast(), QuantizationPolicy.fp8_scaled_mm()])
def test_into_precisions_chosen_by_the_user(tmp_path: Path, policy: QuantizationPolicy) -> None:
    parts, alpha, change = KINDS["LoKr, second low"]
    keys = named(parts, alpha, "to_q") | {"to_q.dora_scale": ROWS}
    layer = build(tmp_path, WEIGHTS, keys, policy=policy).to_q
    scale = getattr(layer, "weight_scale", None)
    expected = dora(W, change, ROWS, 1)
    result = layer.weight.float() * (1.0 if scale is None else scale)
    torch.testing.assert_close(result, expected, rtol=2**-3, atol=2**-6 * expected.abs().max().item())


# Nothing by half


def test_biases_norms_and_tables(tmp_path: Path) -> None:
    bias, table = numbers(OUT, seed=20), numbers(2, IN, seed=21)
    keys = pair() | {
        "to_q.alpha": torch.tensor(4.0),
        "to_q.lora_B.bias": bias,
        "to_q.diff_b": 3 * bias,
        "norm.diff": numbers(IN, seed=22),
        "norm.diff_b": numbers(IN, seed=23),
        "diffusion_model.scale_shift_table.diff": table,
    }
    result = fused(tmp_path, keys, 0.5)
    close(result["to_q.weight"], W + B @ A)
    close(result["to_q.bias"], WEIGHTS["to_q.bias"] + 0.5 * (2 * bias + 3 * bias))
    close(result["norm.weight"], WEIGHTS["norm.weight"] + 0.5 * numbers(IN, seed=22))
    close(result["norm.bias"], WEIGHTS["norm.bias"] + 0.5 * numbers(IN, seed=23))
    close(result["scale_shift_table"], WEIGHTS["scale_shift_table"] + 0.5 * table)
    assert torch.equal(result["to_out.weight"], WEIGHTS["to_out.weight"])


def test_other_spellings_of_biases_and_replacements(tmp_path: Path) -> None:
    new, bias = numbers(OUT, IN, seed=24), numbers(OUT, seed=25)
    keys = {
        "lora_unet_to_q.lora_down.weight": A,
        "lora_unet_to_q.lora_up.weight": B,
        "lora_unet_to_q.lora_up.bias": bias,
        "lora_unet_norm.w_norm": numbers(IN, seed=26),
        "lora_unet_norm.b_norm": numbers(IN, seed=27),
        "base_model.model.to_out.modules_to_save.weight": new,
    }
    result = fused(tmp_path, keys)
    close(result["to_q.bias"], WEIGHTS["to_q.bias"] + bias)
    close(result["norm.weight"], WEIGHTS["norm.weight"] + numbers(IN, seed=26))
    close(result["norm.bias"], WEIGHTS["norm.bias"] + numbers(IN, seed=27))
    close(result["to_out.weight"], new)
    halfway = fused(tmp_path, pair() | {"to_out.set_weight": new, "to_q.bias": bias}, 0.5)
    close(halfway["to_out.weight"], (new + WEIGHTS["to_out.weight"]) / 2)
    close(halfway["to_q.bias"], (bias + WEIGHTS["to_q.bias"]) / 2)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"to_q.lora_A.bias": torch.ones(RANK)}, r"to_q\.lora_A\.bias, which is no part of an adapter"),
        ({"to_q.vera_lambda_b": torch.ones(OUT), "x.strange": torch.ones(1)}, "'to_q.vera_lambda_b' and 1 more"),
        ({"to_out.lora_A.weight": A}, r"'to_out\.lora_A\.weight' is only a part of a change of to_out"),
        ({"to_out.hada_w1_a": W1A, "to_out.hada_w1_b": W1B}, "'to_out.hada_w1_a' and 1 more is only a part"),
        ({"to_out.dora_scale": ROWS}, "'to_out.dora_scale' is only a part"),
        ({"to_out.alpha": torch.ones(())}, "'to_out.alpha' is only a part"),
        ({"to_q.lokr_w1": K1}, "'to_q.lokr_w1' is only a part"),
        ({"to_out.diff_b": torch.ones(OUT)}, r"has a bias for to_out \(to_out.diff_b\), which has none in this model"),
        ({"to_q.dora_scale": torch.ones(5, 1)}, r"to_q\.dora_scale is a magnitude of shape \(5, 1\); \(6,\), .*needed"),
        ({"to_q.diff_b": torch.ones(5)}, r"to_q\.diff_b has the shape \(5,\), the model's to_q\.bias \(6,\)"),
        ({"norm.set_weight": torch.ones(5)}, r"norm\.set_weight has the shape \(5,\), the model's norm \(4,\)"),
        (
            {"to_out.diff": torch.ones(5, 4)},
            r"to_out\.diff \(5, 4\), which make a change of shape \(5, 4\), the model's",
        ),
        ({"to_out.lokr_w1": K1, "to_out.lokr_w2": K1}, r"make a change of shape \(4, 4\), the model's is \(6, 4\)"),
        (named(HADA | {"hada_w1_b": torch.ones(3, 4)}, 1.0, "to_out"), "which make no change of any weight"),
        ({"to_q.lora_mid.weight": torch.ones(3, 3)}, "which make no change of any weight"),
        ({"to_q.reshape_weight": torch.ones(2)}, "changes the sizes of the model"),
    ],
)
def test_what_cannot_be_applied_is_named(tmp_path: Path, keys: dict[str, Tensor], words: str) -> None:
    with pytest.raises(LoraError, match=words):
        fused(tmp_path, pair() | keys)


class Deep(nn.Module):
    """Blocks that may be streamed."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(IN, IN) for _ in range(4))

    @classmethod
    def from_config(cls, config: dict) -> Deep:
        return cls()

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


@pytest.mark.parametrize("scaled", [False, True])
def test_streamed_blocks_hold_the_changed_weights(tmp_path: Path, scaled: bool) -> None:
    weights = {name: numbers(*value.shape, seed=30) for name, value in Deep().state_dict().items()}
    save_file({name: value.clone() for name, value in weights.items()}, tmp_path / "model.safetensors")
    magnitude = numbers(IN, seed=31).abs()
    keys = named({"lokr_w1": K1, "lokr_w2": K1.t().contiguous()}, None, "lycoris_blocks_2")
    save_file(keys | {"lycoris_blocks_2.dora_scale": magnitude}, tmp_path / "lora.safetensors")
    operations = QuantizationPolicy.fp8_scaled_mm().module_ops if scaled else ()
    builder = SingleGPUModelBuilder(Deep, tmp_path / "model.safetensors", module_ops=operations)
    changed = builder.lora(tmp_path / "lora.safetensors").build("cpu", torch.float32)
    x = numbers(3, IN, seed=32)
    with torch.inference_mode():
        expected, plain = changed(x), builder.build("cpu", torch.float32)(x)
        with BlockStreamer(changed, changed.blocks, "cpu", smallest_budget(changed, changed.blocks)) as streamer:
            assert streamer.plan.resident_blocks < 4
            assert torch.equal(changed(x), expected)
    assert (expected - plain).abs().max() > 0.1


@pytest.mark.parametrize(
    "keys",
    [
        {"to_q.alpha": torch.ones(2)},
        {"to_q.alpha": torch.ones(0)},
        {"to_q.alpha": torch.tensor(math.nan)},
        {"to_q.alpha": torch.tensor(math.inf)},
        {"to_q.lora_A.weight": torch.ones(0, IN), "to_q.lora_B.weight": torch.ones(OUT, 0)},
        {"to_q.lora_A.weight": A.to(torch.int32)},
    ],
)
def test_a_part_that_holds_no_numbers_is_refused_by_its_name(tmp_path: Path, keys: dict[str, Tensor]) -> None:
    with pytest.raises(LoraError, match=next(iter(keys)).replace(".", r"\.")):
        fused(tmp_path, pair() | keys)


def test_an_alpha_beyond_all_floats_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoraError, match="lora_alpha"):
        fused(tmp_path, pair(), 1.0, {"lora_adapter_metadata": json.dumps({"transformer.lora_alpha": 10**400})})


@pytest.mark.parametrize(
    "keys",
    [
        {"to_q.lora_down.weight": 2 * A, "to_q.lora_up.weight": B},
        {"to_q.dora_scale": torch.ones(OUT, 1), "to_q.lora_magnitude_vector": torch.ones(OUT)},
    ],
)
def test_two_tensors_of_one_meaning_are_refused(tmp_path: Path, keys: dict[str, Tensor]) -> None:
    with pytest.raises(LoraError, match="only one of them could be applied"):
        fused(tmp_path, pair() | keys)
