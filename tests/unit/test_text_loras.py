"""LoRAs of the text encoder: their spellings, and their changes in every stored format."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ltx_core_impl.loader.errors import LoraError
from ltx_core_impl.loader.lora_file import LoraPathStrengthAndSDOps
from ltx_core_impl.quantization.fp8 import dequantize, quantize_weight
from ltx_core_impl.quantization.int8 import dequantize_int8
from ltx_core_impl.quantization.nvfp4 import dequantize_nvfp4
from ltx_core_impl.text_encoders.gemma import GemmaTextEncoder, load_text_encoder, match_loras, open_gemma
from tests.text_helpers import GEMMA3
from tests.unit.test_text_loading import PROMPT, comfy_tensors, single_file

LAYER = "layers.0.self_attn.q_proj"
NAME = f"language_model.{LAYER}.weight"
STORED = load_file(GEMMA3 / "model-00001-of-00001.safetensors")[f"language_model.model.{LAYER}.weight"]
OUT, IN = STORED.shape
DOWN = torch.randn(2, IN, generator=torch.Generator().manual_seed(1))
UP = torch.randn(OUT, 2, generator=torch.Generator().manual_seed(2))


def with_lora(encoder: Path, folder: Path, keys: dict[str, Tensor], strength: float = 1.0) -> GemmaTextEncoder:
    save_file({key: value.clone() for key, value in keys.items()}, folder / "lora.safetensors")
    loras = [LoraPathStrengthAndSDOps(folder / "lora.safetensors", strength)]
    return load_text_encoder(encoder, dtype=torch.float32, loras=loras)


def weight_of(encoder: GemmaTextEncoder) -> Tensor:
    return encoder.gemma.state_dict()[NAME]


def pair(module: str) -> dict[str, Tensor]:
    return {f"{module}.lora_A.weight": DOWN, f"{module}.lora_B.weight": UP}


@pytest.mark.parametrize(
    "module",
    [
        f"base_model.model.model.{LAYER}",
        f"base_model.model.model.language_model.{LAYER}",
        f"base_model.model.language_model.model.{LAYER}",
        f"language_model.{LAYER}",
        f"model.{LAYER}",
        f"text_encoder.model.{LAYER}",
        f"text_encoders.{LAYER}",
        f"text_encoders.gemma3_12b.transformer.model.{LAYER}",
        "lora_te_" + LAYER.replace(".", "_"),
        "lora_te_model_" + LAYER.replace(".", "_"),
        "lora_te1_model_language_model_" + LAYER.replace(".", "_"),
    ],
)
def test_spellings(tmp_path: Path, module: str) -> None:
    encoder = with_lora(GEMMA3, tmp_path, pair(module), 0.5)
    torch.testing.assert_close(weight_of(encoder), STORED.float() + 0.5 * UP @ DOWN)
    plain = load_text_encoder(GEMMA3, dtype=torch.float32)
    others = {name: value for name, value in plain.gemma.state_dict().items() if name != NAME}
    assert all(torch.equal(encoder.gemma.state_dict()[name], value) for name, value in others.items())
    assert (encoder.hidden_states([PROMPT])[0] - plain.hidden_states([PROMPT])[0]).abs().max() > 1e-3


def test_dora_and_lokr(tmp_path: Path) -> None:
    magnitude = torch.rand(OUT, generator=torch.Generator().manual_seed(3)) + 0.5
    name = f"base_model.model.model.{LAYER}"
    merged = STORED.float() + UP @ DOWN
    encoder = with_lora(GEMMA3, tmp_path, pair(name) | {f"{name}.lora_magnitude_vector": magnitude})
    expected = merged / merged.norm(dim=1, keepdim=True) * magnitude[:, None]
    torch.testing.assert_close(weight_of(encoder), expected)
    first, second = torch.tensor([[1.0, -2.0]]), torch.randn(OUT, IN // 2, generator=torch.Generator().manual_seed(4))
    kohya = "lora_te_" + LAYER.replace(".", "_")
    encoder = with_lora(GEMMA3, tmp_path, {f"{kohya}.lokr_w1": first, f"{kohya}.lokr_w2": second}, 0.25)
    expected = STORED.float() + 0.25 * torch.cat([second, -2 * second], dim=1)
    torch.testing.assert_close(weight_of(encoder), expected)


def fp8(scaled: bool) -> tuple[dict[str, Tensor], Tensor]:
    codes, scale = quantize_weight(STORED)
    if not scaled:
        codes = STORED.to(torch.float8_e4m3fn)
        return {"weight": codes}, codes.float()
    return {"weight": codes, "weight_scale": scale}, dequantize(codes, scale, torch.float32)


@pytest.mark.parametrize("scaled", [False, True])
def test_fp8_layers_stay_fp8(tmp_path: Path, scaled: bool) -> None:
    parts, wide = fp8(scaled)
    tensors = comfy_tensors() | {f"model.{LAYER}.{leaf}": value for leaf, value in parts.items()}
    layer = with_lora(single_file(tmp_path, tensors), tmp_path, pair(LAYER)).gemma.get_submodule(
        NAME[: -len(".weight")]
    )
    assert layer.weight.dtype == torch.float8_e4m3fn
    result = layer.weight.float() * (layer.weight_scale if scaled else 1.0)
    expected = wide + UP @ DOWN
    torch.testing.assert_close(result, expected, rtol=2**-3, atol=2**-8 * expected.abs().max().item())


def test_fp8_layers_with_a_scale_per_row_are_widened(tmp_path: Path) -> None:
    codes = torch.randn(OUT, IN, generator=torch.Generator().manual_seed(6)).to(torch.float8_e4m3fn)
    scale = torch.linspace(0.5, 2.0, OUT).unsqueeze(1)
    parts = {"weight": codes, "weight_scale": scale}
    path = single_file(tmp_path, comfy_tensors() | {f"model.{LAYER}.{leaf}": value for leaf, value in parts.items()})
    torch.testing.assert_close(weight_of(with_lora(path, tmp_path, pair(LAYER))), codes.float() * scale + UP @ DOWN)


def test_packed_layers_are_widened(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(5)
    int8 = torch.randint(-127, 128, (OUT, IN), generator=random, dtype=torch.int8)
    scale = torch.rand(OUT, 1, generator=random) / 100
    described = torch.tensor(list(b'{"format": "int8_tensorwise"}'), dtype=torch.uint8)
    parts = {"weight": int8, "weight_scale": scale, "comfy_quant": described}
    path = single_file(tmp_path, comfy_tensors() | {f"model.{LAYER}.{leaf}": value for leaf, value in parts.items()})
    result = weight_of(with_lora(path, tmp_path, pair(LAYER)))
    torch.testing.assert_close(result, dequantize_int8(int8, scale, 0, torch.float32) + UP @ DOWN)
    packed = torch.randint(0, 256, (OUT, IN // 2), generator=random, dtype=torch.uint8)
    scales = torch.rand(-(-OUT // 128) * 128, -(-(IN // 16) // 4) * 4, generator=random).to(torch.float8_e4m3fn)
    parts = {"weight": packed, "weight_scale": scales, "weight_scale_2": torch.tensor(0.01)}
    path = single_file(tmp_path, comfy_tensors() | {f"model.{LAYER}.{leaf}": value for leaf, value in parts.items()})
    wide = dequantize_nvfp4(packed, scales, torch.tensor(0.01), (OUT, IN), torch.float32)
    torch.testing.assert_close(weight_of(with_lora(path, tmp_path, pair(LAYER))), wide + UP @ DOWN)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (pair("diffusion_model.transformer_blocks.0.attn1.to_q"), "changes nothing of this model"),
        (pair(LAYER) | {f"{LAYER}.strange": UP}, "no part of an adapter"),
        ({f"{LAYER}.lora_A.weight": DOWN[:, :-1], f"{LAYER}.lora_B.weight": UP}, "does not fit this model"),
    ],
)
def test_others_are_refused_from_their_headers(tmp_path: Path, keys: dict[str, Tensor], words: str) -> None:
    save_file({key: value.clone().contiguous() for key, value in keys.items()}, tmp_path / "lora.safetensors")
    with pytest.raises(LoraError, match=words):
        match_loras(open_gemma(GEMMA3), [LoraPathStrengthAndSDOps(tmp_path / "lora.safetensors")])


def test_strength_zero_opens_no_file() -> None:
    assert match_loras(open_gemma(GEMMA3), [LoraPathStrengthAndSDOps("/nowhere/x.safetensors", 0.0)]) is None
