"""Layouts and stored formats of text encoders, and what is said about broken ones (spec 05 §2)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ltx_core_impl.loader.errors import CheckpointError, MissingTensorsError, ShapeMismatchError
from ltx_core_impl.quantization.int8 import dequantize_int8
from ltx_core_impl.quantization.nvfp4 import dequantize_nvfp4
from ltx_core_impl.quantization.packed import PackedLinear
from ltx_core_impl.text_encoders.gemma import TextEncoderFileError, load_gemma, load_text_encoder, open_gemma
from ltx_core_impl.text_encoders.gemma.linear import Fp8Linear, Int8Linear, Nvfp4Linear, dequantize_fp8
from tests.text_helpers import GEMMA3, GEMMA4, PROMPTS

PROMPT = PROMPTS["text-pos"]
Tensors = dict[str, torch.Tensor]


def hf_tensors() -> Tensors:
    return load_file(GEMMA3 / "model-00001-of-00001.safetensors")


def comfy_tensors() -> Tensors:
    renamed = {}
    for key, value in hf_tensors().items():
        key = key.replace("language_model.model.", "model.").replace("vision_tower.vision_model.", "vision_model.")
        renamed[key] = value
    return renamed


def new_hf_tensors() -> Tensors:
    renamed = {}
    for key, value in hf_tensors().items():
        key = key.replace("language_model.model.", "language_model.").replace("vision_model.", "")
        renamed[f"model.{key}"] = value
    return renamed | {"lm_head.weight": hf_tensors()["language_model.model.embed_tokens.weight"].clone()}


def single_file(folder: Path, tensors: Tensors, metadata: dict[str, str] | None = None) -> Path:
    """A single-file encoder with the tiny tokenizer beside it and the tiny architecture in its metadata."""
    path = folder / "gemma.safetensors"
    config = (GEMMA3 / "config.json").read_text()
    save_file(tensors, path, metadata={"gemma_config": config} | (metadata or {}))
    shutil.copy(GEMMA3 / "tokenizer.json", folder)
    return path


def states(path: Path) -> torch.Tensor:
    return load_text_encoder(path, dtype=torch.float32).hidden_states([PROMPT])[0]


def linear_names(tensors: Tensors) -> list[str]:
    return [key[: -len(".weight")] for key in tensors if key.endswith("_proj.weight") and key.startswith("model.")]


@pytest.fixture(scope="module")
def expected() -> torch.Tensor:
    return states(GEMMA3)


@pytest.mark.parametrize("tensors", [hf_tensors, comfy_tensors, new_hf_tensors])
def test_every_spelling_of_the_keys_gives_the_same(
    tensors: Callable[[], Tensors], tmp_path: Path, expected: torch.Tensor
) -> None:
    path = single_file(tmp_path, tensors())
    assert torch.equal(states(path), expected)
    with_vision = load_gemma(open_gemma(path), dtype=torch.float32, with_vision=True)
    assert with_vision.vision_tower is not None


def test_a_shard_stands_for_its_folder(expected: torch.Tensor) -> None:
    assert torch.equal(states(GEMMA3 / "model-00001-of-00001.safetensors"), expected)


def test_several_shards_in_a_subfolder_without_index(tmp_path: Path, expected: torch.Tensor) -> None:
    folder = tmp_path / "snapshot"
    folder.mkdir()
    tensors = hf_tensors()
    names = sorted(tensors)
    for index, part in enumerate((names[::2], names[1::2])):
        save_file({name: tensors[name] for name in part}, folder / f"model-0000{index + 1}-of-00002.safetensors")
    save_file({"language_model.model.norm.weight": torch.zeros(32)}, folder / "adapter.safetensors")
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(GEMMA3 / name, folder)
    assert torch.equal(states(tmp_path), expected)


def quantize(tensors: Tensors, dtype: torch.dtype, scale_name: str | None) -> tuple[Tensors, Tensors]:
    """The tensors with fp8 linears, and the same with the values those stand for."""
    stored, meant = dict(tensors), dict(tensors)
    for name in linear_names(tensors):
        weight = tensors[f"{name}.weight"].float()
        scale = torch.tensor(1.0) if scale_name is None else weight.abs().max() / 448
        fp8 = (weight / scale).to(dtype)
        stored[f"{name}.weight"] = fp8
        meant[f"{name}.weight"] = fp8.float() * scale
        if scale_name is not None:
            stored[f"{name}.{scale_name}"] = scale
    return stored, meant


def marked(tensors: Tensors, form: str) -> Tensors:
    mark = torch.frombuffer(bytearray(json.dumps({"format": form}).encode()), dtype=torch.uint8)
    return tensors | {f"{name}.comfy_quant": mark.clone() for name in linear_names(tensors)}


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize("kind", ["plain", "comfy_quant", "metadata", "legacy"])
def test_fp8_weights_stay_fp8_and_give_what_they_stand_for(kind: str, dtype: torch.dtype, tmp_path: Path) -> None:
    scale_name = {"plain": None, "legacy": "scale_weight"}.get(kind, "weight_scale")
    stored, meant = quantize(comfy_tensors(), dtype, scale_name)
    metadata, form = {}, str(dtype).removeprefix("torch.")
    if kind == "comfy_quant":
        stored = marked(stored, form)
    elif kind == "metadata":
        layers = {name: form if index % 2 else {"format": form} for index, name in enumerate(linear_names(stored))}
        metadata = {"_quantization_metadata": json.dumps({"format_version": "1.0", "layers": layers})}
    elif kind == "legacy":
        stored |= {"scaled_fp8": torch.zeros(0, dtype=dtype)}
        stored |= {f"{name}.scale_input": torch.ones(1) for name in linear_names(stored)}
    (tmp_path / "meant").mkdir()
    path = single_file(tmp_path, stored, metadata)
    model = load_gemma(open_gemma(path), dtype=torch.float32)
    layer = model.language_model.layers[0].mlp.up_proj
    assert isinstance(layer, Fp8Linear) and layer.weight.dtype == dtype
    assert torch.equal(states(path), states(single_file(tmp_path / "meant", meant)))


def test_scaled_fp8_embedding(tmp_path: Path) -> None:
    tensors = comfy_tensors()
    name, scale = "model.embed_tokens.weight", torch.tensor(0.5)
    fp8 = (tensors[name].float() / scale).to(torch.float8_e4m3fn)
    path = single_file(tmp_path, tensors | {name: fp8, f"{name}_scale": scale})
    loaded = load_gemma(open_gemma(path), dtype=torch.float32).language_model.embed_tokens.weight
    assert torch.equal(loaded, fp8.float() * scale)


def test_nvfp4_file(tmp_path: Path) -> None:
    tensors = comfy_tensors()
    generator = torch.Generator().manual_seed(0)
    stored, meant = dict(tensors), dict(tensors)
    for name in linear_names(tensors):
        rows, columns = tensors[f"{name}.weight"].shape
        packed = torch.randint(0, 256, (rows, columns // 2), generator=generator, dtype=torch.uint8)
        scales = torch.rand(128, 4, generator=generator).to(torch.float8_e4m3fn)
        total = torch.tensor(0.05)
        stored |= {f"{name}.weight": packed, f"{name}.weight_scale": scales, f"{name}.weight_scale_2": total}
        meant[f"{name}.weight"] = dequantize_nvfp4(packed, scales, total, (rows, columns), torch.float32)
    (tmp_path / "meant").mkdir()
    path = single_file(tmp_path, marked(stored, "nvfp4"))
    model = load_gemma(open_gemma(path), dtype=torch.float32)
    assert isinstance(model.language_model.layers[0].mlp.up_proj, Nvfp4Linear)
    assert torch.equal(states(path), states(single_file(tmp_path / "meant", meant)))


@pytest.mark.parametrize("group", [0, 16])
@pytest.mark.parametrize("where", ["tensor", "metadata"])
def test_int8_file(group: int, where: str, tmp_path: Path) -> None:
    tensors = comfy_tensors()
    generator = torch.Generator().manual_seed(0)
    stored, meant = dict(tensors), dict(tensors)
    form = {"format": "int8_tensorwise"} | ({"convrot": True, "convrot_groupsize": group} if group else {})
    names = [*linear_names(tensors), "model.embed_tokens"]
    for name in names:
        rows, columns = tensors[f"{name}.weight"].shape
        codes = torch.randint(-127, 128, (rows, columns), generator=generator, dtype=torch.int8)
        scale = torch.rand(rows, 1, generator=generator) * 1e-3
        stored |= {f"{name}.weight": codes, f"{name}.weight_scale": scale}
        meant[f"{name}.weight"] = dequantize_int8(codes, scale, group, torch.float32)
        if where == "tensor":
            stored[f"{name}.comfy_quant"] = torch.tensor(list(json.dumps(form).encode()), dtype=torch.uint8)
    described = {"_quantization_metadata": json.dumps({"layers": dict.fromkeys(names, form)})}
    (tmp_path / "meant").mkdir()
    path = single_file(tmp_path, stored, described if where == "metadata" else {})
    model = load_gemma(open_gemma(path), dtype=torch.float32)
    layer = model.language_model.layers[0].mlp.up_proj
    assert isinstance(layer, Int8Linear) and layer.weight.dtype == torch.int8
    assert torch.equal(states(path), states(single_file(tmp_path / "meant", meant)))


@pytest.mark.parametrize("kind", ["row", "row inv", "mxfp8"])
def test_fp8_with_many_scales_stays_packed_and_gives_what_it_stands_for(kind: str, tmp_path: Path) -> None:
    tensors = comfy_tensors()
    stored, meant = dict(tensors), dict(tensors)
    for name in [*linear_names(tensors), "model.embed_tokens"]:
        weight = tensors[f"{name}.weight"].float()
        rows, columns = weight.shape
        if kind == "mxfp8":
            scale = torch.full((-(-rows // 128) * 128, -(-(columns // 32) // 4) * 4), 121, dtype=torch.uint8)
            wide: float | torch.Tensor = 2.0**-6
        else:
            wide = scale = weight.abs().amax(dim=1, keepdim=True) / 448
        codes = (weight / wide).clamp(-448, 448).to(torch.float8_e4m3fn)
        leaf = "weight_scale_inv" if kind == "row inv" else "weight_scale"
        stored |= {f"{name}.weight": codes, f"{name}.{leaf}": scale}
        meant[f"{name}.weight"] = codes.float() * wide
    (tmp_path / "meant").mkdir()
    path = single_file(tmp_path, stored)
    model = load_gemma(open_gemma(path), dtype=torch.float32)
    assert type(model.language_model.layers[0].mlp.up_proj) is PackedLinear
    assert model.language_model.layers[0].mlp.up_proj.weight.dtype == torch.float8_e4m3fn
    assert torch.equal(states(path), states(single_file(tmp_path / "meant", meant)))


@pytest.mark.parametrize("leaf", ["scale", "weight_scales", "weight.scale", "weight_scale_2"])
def test_a_companion_that_nobody_takes_is_refused(leaf: str, tmp_path: Path) -> None:
    stored, _ = quantize(comfy_tensors(), torch.float8_e4m3fn, None)
    extra = f"{linear_names(stored)[0]}.{leaf}"
    with pytest.raises(TextEncoderFileError, match=f"lies {extra}, which is not known"):
        open_gemma(single_file(tmp_path, stored | {extra: torch.full((), 800.0)}))


def test_dequantisation_does_not_change_the_stored_weight() -> None:
    weight = torch.ones(2, 2)
    assert torch.equal(dequantize_fp8(weight, torch.tensor(3.0), torch.float32), torch.full((2, 2), 3.0))
    assert torch.equal(weight, torch.ones(2, 2))


def test_unknown_formats_are_refused(tmp_path: Path) -> None:
    tensors = comfy_tensors()
    with pytest.raises(TextEncoderFileError, match=r"'mxfp8', which is not supported.*bf16, fp8 or fp4 version"):
        open_gemma(single_file(tmp_path, marked(tensors, "mxfp8")))
    weight = f"{linear_names(tensors)[0]}.weight"
    with pytest.raises(TextEncoderFileError, match="format I32 cannot be read"):
        open_gemma(single_file(tmp_path, tensors | {weight: tensors[weight].to(torch.int32)}))
    codes = {weight: tensors[weight].to(torch.int8)}
    with pytest.raises(TextEncoderFileError, match="is int8 but its weight_scale is missing"):
        open_gemma(single_file(tmp_path, tensors | codes))
    codes[f"{weight}_scale"] = torch.ones(3)
    with pytest.raises(TextEncoderFileError, match="is int8 but its comfy_quant is missing"):
        open_gemma(single_file(tmp_path, tensors | codes))
    with pytest.raises(TextEncoderFileError, match=r"int8 with scales of shape \(3,\)"):
        open_gemma(single_file(tmp_path, marked(tensors | codes, "int8_tensorwise")))


def test_missing_tensors_are_listed(tmp_path: Path) -> None:
    tensors = comfy_tensors()
    del tensors["model.layers.3.mlp.up_proj.weight"], tensors["model.norm.weight"]
    with pytest.raises(MissingTensorsError, match=r"2 of \d+ tensors") as error:
        load_gemma(open_gemma(single_file(tmp_path, tensors)))
    assert set(error.value.keys) == {"language_model.layers.3.mlp.up_proj.weight", "language_model.norm.weight"}


def test_wrong_shapes_are_listed(tmp_path: Path) -> None:
    tensors = comfy_tensors() | {"model.layers.3.mlp.up_proj.weight": torch.zeros(3, 3)}
    with pytest.raises(ShapeMismatchError, match=r"layers\.3\.mlp\.up_proj\.weight \(3, 3\) instead of \(64, 32\)"):
        load_gemma(open_gemma(single_file(tmp_path, tensors)))


def test_vision_is_optional_but_not_when_asked_for(tmp_path: Path, expected: torch.Tensor) -> None:
    tensors = {key: value for key, value in comfy_tensors().items() if key.startswith("model.")}
    path = single_file(tmp_path, tensors)
    assert torch.equal(states(path), expected)
    with pytest.raises(TextEncoderFileError, match="no vision tower"):
        load_gemma(open_gemma(path), with_vision=True)


def copy_of_folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GEMMA3, tmp_path / "gemma"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, r"config\.json is missing"),
        ("config.json", b'{"model_type": "gem', r"config\.json is not valid JSON"),
        ("config.json", b"[]", "a JSON list, an object was expected"),
        ("tokenizer.json", None, r"no tokenizer.*tokenizer\.json or tokenizer\.model"),
        ("tokenizer_config.json", b"{", r"tokenizer_config\.json is not valid JSON"),
        ("model-00001-of-00001.safetensors", None, r"lacks 1 of 1 shards, first model-00001-of-00001\.safetensors"),
        ("model-00001-of-00001.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("model-00001-of-00001.safetensors", b"<!DOCTYPE html><html>sign in</html>", "web page"),
        ("model.safetensors.index.json", b"{", "not a shard index"),
    ],
)
def test_damaged_folders_are_described(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    folder = copy_of_folder(tmp_path)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as error:
        load_text_encoder(folder)
    assert str(folder) in str(error.value)


def test_cut_off_weights(tmp_path: Path) -> None:
    folder = copy_of_folder(tmp_path)
    path = folder / "model-00001-of-00001.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="truncated"):
        open_gemma(folder)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(TextEncoderFileError, match="no such file or folder"):
        open_gemma(tmp_path / "nothing")
    with pytest.raises(TextEncoderFileError, match=r"no model\*\.safetensors in this folder"):
        open_gemma(tmp_path)
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(TextEncoderFileError, match=r"other\.safetensors: .*'unknown' model"):
        open_gemma(tmp_path / "other.safetensors")


def test_gemma_4_side_files_are_required(tmp_path: Path) -> None:
    from tests.conftest import metadata

    tensors = {key: value for key, value in load_file(GEMMA4).items() if key != "hf_asset__tokenizer_config.json"}
    path = tmp_path / "gemma4.safetensors"
    save_file(tensors, path, metadata=metadata(GEMMA4))
    with pytest.raises(TextEncoderFileError, match=r"side file tokenizer_config\.json is missing"):
        load_text_encoder(path)
    save_file(tensors, path, metadata=metadata(GEMMA4) | {"tokenizer_config.json": "{}"})
    assert load_text_encoder(path).tokenizer.encode("") == [2]
