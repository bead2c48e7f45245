"""Quantised files of LTX-2.5, made from the tiny ones: every format gives the weights that it stands for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ltx_core_impl.loader import SingleGPUModelBuilder, UnsupportedFormatError
from ltx_core_impl.model.transformer import LTXModelConfigurator
from ltx_core_impl.quantization.fp8 import dequantize
from ltx_core_impl.quantization.int8 import dequantize_int8, rotation_matrix
from ltx_core_impl.quantization.nvfp4 import dequantize_nvfp4
from ltx_core_impl.text_encoders.gemma import (
    AVGemmaTextEncoderModel,
    EmbeddingsProcessorConfigurator,
    load_text_encoder,
)
from tests.conftest import golden, metadata, relative_error
from tests.text_helpers import GEMMA4, PROMPTS, TRANSFORMER_25

FP8, BF16 = torch.float8_e4m3fn, torch.bfloat16
GROUP = 16


class Quantized(NamedTuple):
    """A weight as it is stored, how its file describes it, and the weight that it stands for, in bf16."""

    tensors: dict[str, Tensor]
    description: dict[str, object] | None
    meant: Tensor


def plain_fp8(weight: Tensor) -> Quantized:
    codes = weight.to(FP8)
    return Quantized({"weight": codes}, None, codes.to(BF16))


def scaled_fp8(weight: Tensor) -> Quantized:
    scale = weight.abs().max().float() / 448
    codes = (weight.float() / scale).clamp(-448, 448).to(FP8)
    return Quantized(
        {"weight": codes, "weight_scale": scale},
        {"format": "float8_e4m3fn", "full_precision_matrix_mult": True},
        dequantize(codes, scale, BF16),
    )


def nvfp4(weight: Tensor) -> Quantized:
    rows, columns = weight.shape
    generator = torch.Generator().manual_seed(rows * columns)
    packed = torch.randint(0, 256, (rows, columns // 2), generator=generator, dtype=torch.uint8)
    padded = (-(-rows // 128) * 128, -(-columns // 16 // 4) * 4)
    scales = torch.rand(padded, generator=generator).to(FP8)
    whole = torch.tensor(0.02)
    meant = dequantize_nvfp4(packed, scales, whole, (rows, columns), BF16)
    return Quantized({"weight": packed, "weight_scale": scales, "weight_scale_2": whole}, {"format": "nvfp4"}, meant)


def int8_convrot(weight: Tensor) -> Quantized:
    rotated = (weight.float().unflatten(1, (-1, GROUP)) @ rotation_matrix(GROUP)).flatten(1)
    scale = rotated.abs().amax(dim=1, keepdim=True).clamp_min(1e-30) / 127
    codes = (rotated / scale).round().to(torch.int8)
    return Quantized(
        {"weight": codes, "weight_scale": scale},
        {"format": "int8_tensorwise", "convrot": True, "convrot_groupsize": GROUP},
        dequantize_int8(codes, scale, GROUP, BF16),
    )


FORMATS: dict[str, Callable[[Tensor], Quantized]] = {
    "plain fp8": plain_fp8,
    "scaled fp8": scaled_fp8,
    "nvfp4": nvfp4,
    "int8 convrot": int8_convrot,
}


def quantized_file(
    source: Path, target: Path, form: str, chosen: Callable[[str], bool], in_metadata: bool = False
) -> dict[str, Tensor]:
    """Write a copy with the chosen linears quantised; returns the tensors that it stands for."""
    stored, meant, described = load_file(source), load_file(source), {}
    for key in [key for key in stored if key.endswith(".weight") and chosen(key) and stored[key].ndim == 2]:
        layer, result = key.removesuffix(".weight"), FORMATS[form](stored[key])
        stored |= {f"{layer}.{leaf}": tensor for leaf, tensor in result.tensors.items()}
        meant[key] = result.meant
        if result.description and in_metadata:
            described[layer] = result.description
        elif result.description:
            text = json.dumps(result.description).encode()
            stored[f"{layer}.comfy_quant"] = torch.tensor(list(text), dtype=torch.uint8)
    header = dict(metadata(source))
    if described:
        header["_quantization_metadata"] = json.dumps({"format_version": "1.0", "layers": described})
    save_file(stored, target, header)
    return meant


def is_block_linear(key: str) -> bool:
    return "transformer_blocks." in key and key.endswith((".to_q.weight", ".to_out.0.weight", ".net.0.proj.weight"))


@pytest.mark.parametrize("in_metadata", [False, True], ids=["comfy_quant", "metadata"])
@pytest.mark.parametrize("form", FORMATS)
def test_the_transformer_runs_with_what_its_file_stands_for(tmp_path: Path, form: str, in_metadata: bool) -> None:
    path, plain = tmp_path / "quantized.safetensors", tmp_path / "meant.safetensors"
    meant = quantized_file(TRANSFORMER_25, path, form, is_block_linear, in_metadata)
    save_file(meant, plain, metadata(TRANSFORMER_25))
    changed, expected = (SingleGPUModelBuilder(LTXModelConfigurator, file).build("cpu", BF16) for file in (path, plain))
    assert sum(is_block_linear(key) for key in meant) > 20
    for name, module in expected.named_modules():
        if isinstance(module, torch.nn.Linear):
            x = torch.randn(3, module.in_features, generator=torch.Generator().manual_seed(1)).to(BF16)
            assert torch.equal(changed.get_submodule(name)(x), module(x)), name


def test_int8_without_its_description_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "quantized.safetensors"
    quantized_file(TRANSFORMER_25, path, "int8 convrot", is_block_linear)
    kept = {key: value for key, value in load_file(path).items() if not key.endswith(".comfy_quant")}
    save_file(kept, path, metadata(TRANSFORMER_25))
    with pytest.raises(UnsupportedFormatError, match="stored as int8 without comfy_quant"):
        SingleGPUModelBuilder(LTXModelConfigurator, path).validate()


@pytest.mark.parametrize("in_metadata", [False, True], ids=["comfy_quant", "metadata"])
@pytest.mark.parametrize("form", ["plain fp8", "scaled fp8", "int8 convrot"])
def test_the_text_encoder_with_its_projection(tmp_path: Path, form: str, in_metadata: bool) -> None:
    path, plain = tmp_path / "quantized.safetensors", tmp_path / "meant.safetensors"

    def chosen(key: str) -> bool:
        return ("_proj." in key and "layers." in key) or "aggregate_embed" in key

    save_file(quantized_file(GEMMA4, path, form, chosen, in_metadata), plain, metadata(GEMMA4))
    contexts = []
    for file in (path, plain):
        processor = SingleGPUModelBuilder(EmbeddingsProcessorConfigurator, (TRANSFORMER_25, file))
        model = AVGemmaTextEncoderModel(load_text_encoder(file, dtype=BF16), processor.build("cpu", BF16))
        contexts.append(model(PROMPTS["text-pos"]).video_encoding.float())
    assert relative_error(*contexts) < 0.02, "the same numbers up to bf16 rounding"
    assert relative_error(contexts[0], golden("2.5", "text-pos")["video_context"]) < 0.3
