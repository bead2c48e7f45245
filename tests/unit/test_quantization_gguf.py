"""GGUF: headers, the numbers of each block type against the gguf package, and layers that stay packed."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path

import gguf
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ltx_core_impl.loader import (
    HeaderError,
    SafetensorsModelStateDictLoader,
    SingleGPUModelBuilder,
    StateDictRegistry,
    UnsupportedFormatError,
    open_checkpoint,
    read_header,
)
from ltx_core_impl.loader.streaming import BlockStreamer, smallest_budget
from ltx_core_impl.loader.version import ModelVersion
from ltx_core_impl.model.transformer import LTXModelConfigurator
from ltx_core_impl.quantization import QuantizationPolicy, gguf_blocks
from ltx_core_impl.quantization.gguf_blocks import BLOCK_TYPES, decodes_in_torch, dequantize_gguf
from ltx_core_impl.quantization.linear import CastLinear, ScaledLinear
from ltx_core_impl.quantization.packed import PackedLinear
from tests.conftest import GOLDEN, checkpoint_path, relative_error
from tests.transformer_helpers import golden_modalities
from tests.unit.gguf_fixtures import gguf_bytes, random_blocks, save_gguf
from tests.unit.loader_fixtures import Blocks, BlocksConfigurator, inventory

BF16 = torch.bfloat16
IN_TORCH = [name for name in BLOCK_TYPES if decodes_in_torch(name)]
BY_PACKAGE = ["IQ4_NL"]
LAYER = "transformer_blocks.1.attn1.to_q"
WIDTH = 256


class WideConfigurator(BlocksConfigurator):
    """Blocks whose rows are one K block long."""

    @classmethod
    def from_config(cls, config: dict) -> Blocks:
        return Blocks(2, WIDTH)


def wide_tensors() -> dict[str, Tensor]:
    torch.manual_seed(3)
    return {name: torch.randn_like(value).mul(0.05).to(BF16) for name, value in Blocks(2, WIDTH).state_dict().items()}


def packed_file(tmp_path: Path, kind: str) -> tuple[Path, Tensor]:
    """A file with one packed layer, and that layer's weight by the gguf package."""
    raw = random_blocks(kind, (WIDTH, WIDTH))
    path = save_gguf(tmp_path / "x.gguf", {**wide_tensors(), f"{LAYER}.weight": (kind, (WIDTH, WIDTH), raw)})
    return path, torch.from_numpy(gguf.quants.dequantize(raw.numpy(), gguf.GGMLQuantizationType[kind]))


def build(path: Path, policy: QuantizationPolicy | None = None, **options: object) -> Blocks:
    operations = policy.module_ops if policy else ()
    return SingleGPUModelBuilder(WideConfigurator, path, module_ops=operations).build(device="cpu", **options)


def test_block_sizes_are_those_of_the_package() -> None:
    for name, sizes in BLOCK_TYPES.items():
        assert gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]] == sizes, name


@pytest.mark.parametrize("kind", BLOCK_TYPES)
def test_decoded_blocks_are_those_of_the_package(kind: str) -> None:
    raw = random_blocks(kind, (6, 512), seed=1)
    expected = torch.from_numpy(gguf.quants.dequantize(raw.numpy(), gguf.GGMLQuantizationType[kind]))
    assert expected.shape == (6, 512)
    assert kind not in IN_TORCH or (expected.isfinite().all() and expected.std() > 0)
    actual = dequantize_gguf(raw, kind, (6, 512), torch.float32)
    assert torch.allclose(actual, expected, rtol=0, atol=0, equal_nan=kind not in IN_TORCH)


def test_a_large_weight_is_decoded_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = random_blocks("Q5_K", (5, 512))
    whole = dequantize_gguf(raw, "Q5_K", (5, 512), BF16)
    monkeypatch.setattr(gguf_blocks, "AT_ONCE", 3 * 256)
    assert torch.equal(dequantize_gguf(raw, "Q5_K", (5, 512), BF16), whole)


def test_too_few_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="Q4_K of shape"):
        dequantize_gguf(torch.zeros(144, dtype=torch.uint8), "Q4_K", (2, 256), torch.float32)


def test_a_file_of_the_packages_writer_is_read(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "ltxv")
    writer.add_string("model_version", "2.5.0")
    writer.add_array("words", ["one", "two"])
    writer.add_array("sizes", list(range(20)))
    weight = torch.randn(8, 64)
    codes = gguf.quants.quantize(weight.numpy(), gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("a.weight", codes, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("a.bias", torch.randn(8).numpy())
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    header = read_header(tmp_path / "x.gguf")
    assert header.metadata["model_version"] == "2.5.0"
    assert {name: (entry.dtype, entry.shape) for name, entry in header.tensors.items()} == {
        "a.weight": ("Q8_0", (8, 64)),
        "a.bias": ("F32", (8,)),
    }
    loaded = SafetensorsModelStateDictLoader().load(tmp_path / "x.gguf", None).sd
    assert relative_error(loaded["a.weight"], weight) < 0.01 and loaded["a.bias"].shape == (8,)


@pytest.mark.parametrize("kind", [*IN_TORCH, *BY_PACKAGE])
def test_a_layer_stays_packed_and_computes_the_same(tmp_path: Path, kind: str) -> None:
    path, weight = packed_file(tmp_path, kind)
    layer = build(path, dtype=torch.float32).get_submodule(LAYER)
    x = torch.randn(3, WIDTH)
    assert torch.equal(layer(x), torch.nn.functional.linear(x, weight, layer.bias))
    if kind in IN_TORCH:
        assert type(layer) is PackedLinear and layer.weight.dtype == torch.uint8
        assert layer.weight.nbytes == WIDTH * BLOCK_TYPES[kind][1] * WIDTH // BLOCK_TYPES[kind][0]
        assert layer.to(BF16).weight.dtype == torch.uint8 and layer(x.to(BF16)).dtype == BF16
    else:
        assert type(layer) is torch.nn.Linear and torch.equal(layer.weight, weight)


def test_a_type_that_only_the_package_decodes_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = packed_file(tmp_path, "IQ4_NL")
    find = gguf_blocks.importlib.util.find_spec
    monkeypatch.setattr(
        gguf_blocks.importlib.util, "find_spec", lambda name, *rest: None if name == "gguf" else find(name, *rest)
    )
    with pytest.raises(UnsupportedFormatError, match=r"IQ4_NL.*pip install gguf"):
        SingleGPUModelBuilder(WideConfigurator, path).validate()


def test_precisions_decode_the_layer_first(tmp_path: Path) -> None:
    path, weight = packed_file(tmp_path, "Q6_K")
    wide = build(path, QuantizationPolicy.dequantize(), dtype=BF16).get_submodule(LAYER)
    assert torch.equal(wide.weight, weight.to(BF16))
    for policy, kind in (
        (QuantizationPolicy.fp8_cast(), CastLinear),
        (QuantizationPolicy.fp8_scaled_mm(), ScaledLinear),
    ):
        layer = build(path, policy, dtype=BF16).get_submodule(LAYER)
        scale = getattr(layer, "weight_scale", 1.0)
        assert type(layer) is kind and relative_error(layer.weight.float() * scale, weight) < 0.04


def test_tensors_that_are_no_weights_of_linears_are_decoded(tmp_path: Path) -> None:
    raw = random_blocks("Q8_0", (1, WIDTH))
    name = "transformer_blocks.0.attn1.q_norm.weight"
    path = save_gguf(
        tmp_path / "x.gguf",
        {**wide_tensors(), name: ("Q8_0", (WIDTH,), raw), "patchify_proj.bias": ("Q8_0", (WIDTH,), raw)},
    )
    model, expected = build(path, dtype=torch.float32), dequantize_gguf(raw, "Q8_0", (WIDTH,), torch.float32)
    assert torch.equal(model.get_parameter(name), expected) and torch.equal(model.patchify_proj.bias, expected)


def lora_file(tmp_path: Path) -> tuple[Path, Tensor]:
    torch.manual_seed(5)
    down, up = torch.randn(4, WIDTH), torch.randn(WIDTH, 4)
    save_file({f"{LAYER}.lora_A.weight": down, f"{LAYER}.lora_B.weight": up}, tmp_path / "lora.safetensors")
    return tmp_path / "lora.safetensors", up @ down


def test_a_lora_widens_only_the_layers_that_it_changes(tmp_path: Path) -> None:
    raw = random_blocks("Q4_K", (WIDTH, WIDTH))
    packed = {f"transformer_blocks.{i}.attn1.to_q.weight": ("Q4_K", (WIDTH, WIDTH), raw) for i in (0, 1)}
    path = save_gguf(tmp_path / "x.gguf", {**wide_tensors(), **packed})
    lora, delta = lora_file(tmp_path)
    model = SingleGPUModelBuilder(WideConfigurator, path).lora(lora, 0.5).build("cpu", torch.float32)
    layer, other = (model.transformer_blocks[i].attn1.to_q for i in (1, 0))
    assert type(layer) is torch.nn.Linear and type(other) is PackedLinear
    base = dequantize_gguf(raw, "Q4_K", (WIDTH, WIDTH), torch.float32)
    assert relative_error(layer.weight, base + 0.5 * delta) < 1e-6


def test_through_a_registry_and_streamed_the_result_is_the_same(tmp_path: Path) -> None:
    path, _ = packed_file(tmp_path, "Q4_K")
    builder = SingleGPUModelBuilder(WideConfigurator, path)
    x = torch.randn(2, WIDTH)
    model = builder.build("cpu", torch.float32)
    expected = model(x)
    assert torch.equal(builder.with_registry(StateDictRegistry()).build("cpu", torch.float32)(x), expected)
    budget = smallest_budget(model, model.transformer_blocks)
    with BlockStreamer(model, model.transformer_blocks, "cpu", budget):
        assert torch.equal(model(x), expected)


def tiny_gguf(tmp_path: Path, metadata: dict[str, str] | None = None) -> Path:
    """The tiny LTX-2.3 as a transformer-only GGUF: Q8_0 where rows are whole blocks, else as converters do it."""
    prefix, tensors = "model.diffusion_model.", {}
    for key, value in load_file(checkpoint_path("2.3")).items():
        if not key.startswith(prefix):
            continue
        name = key.removeprefix(prefix)
        if value.dim() == 2 and value.shape[1] % 32 == 0 and name.endswith(".weight"):
            codes = gguf.quants.quantize(value.float().numpy(), gguf.GGMLQuantizationType.Q8_0)
            tensors[name] = ("Q8_0", tuple(value.shape), torch.from_numpy(codes))
        else:
            tensors[name] = value.float() if value.dim() < 2 else value.to(BF16)
    return save_gguf(tmp_path / "tiny.gguf", tensors, metadata)


@pytest.mark.parametrize("lora", [False, True], ids=["plain", "lora"])
def test_a_transformer_computes_what_it_should(tmp_path: Path, lora: bool) -> None:
    config = SingleGPUModelBuilder(LTXModelConfigurator, checkpoint_path("2.3")).model_config()
    path = tiny_gguf(tmp_path, {"general.architecture": "ltxv", "config": json.dumps(config), "model_version": "2.3"})
    checkpoint = open_checkpoint(path)
    assert "transformer" in checkpoint.components and checkpoint.version is ModelVersion.LTX_2_3

    def output(source: Path) -> tuple[Tensor, Tensor]:
        builder = SingleGPUModelBuilder(LTXModelConfigurator, source)
        builder = builder.lora(GOLDEN / "ltx-2.3-tiny.lora-a.safetensors", 0.8) if lora else builder
        model = builder.build("cpu", torch.float32)
        packed = [module for module in model.modules() if isinstance(module, PackedLinear)]
        assert bool(packed) is (source == path)
        with torch.inference_mode():
            return model(*golden_modalities("2.3"))

    for actual, expected in zip(output(path), output(checkpoint_path("2.3")), strict=True):
        assert relative_error(actual, expected) < 0.02


def test_without_a_config_the_shapes_say_which_model_it_is(tmp_path: Path) -> None:
    """A full-size header in a file of holes: names and shapes of LTX-2.3, no text in it."""
    prefix = "model.diffusion_model."
    shapes = {key.removeprefix(prefix): shape for key, shape in inventory("22b").items() if key.startswith(prefix)}
    infos, position = b"", 0
    for name, shape in shapes.items():
        packed = len(shape) == 2 and shape[1] % 256 == 0
        size = torch.Size(shape).numel()
        infos += struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", len(shape))
        infos += b"".join(struct.pack("<Q", one) for one in reversed(shape))
        infos += struct.pack("<IQ", 12 if packed else 0, position)
        position += size // 256 * 144 if packed else size * 4
        position += -position % 32
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), 0) + infos
    with open(tmp_path / "full.gguf", "wb") as file:
        file.write(head)
        file.truncate(len(head) + -len(head) % 32 + position)
    begin = time.perf_counter()
    checkpoint = open_checkpoint(tmp_path / "full.gguf")
    assert time.perf_counter() - begin < 2
    assert checkpoint.version is ModelVersion.LTX_2_3
    SingleGPUModelBuilder(LTXModelConfigurator, tmp_path / "full.gguf").validate()


def test_shapes_before_the_conversion_are_given_back(tmp_path: Path) -> None:
    value = torch.arange(12.0)
    shape = {"comfy.gguf.orig_shape.a": (3, 2, 2)}
    path = save_gguf(tmp_path / "x.gguf", {"a": value}, shape)
    assert torch.equal(SafetensorsModelStateDictLoader().load(path, None).sd["a"], value.reshape(3, 2, 2))
    with pytest.raises(HeaderError, match="cannot have been"):
        read_header(save_gguf(tmp_path / "y.gguf", {"a": value}, {"comfy.gguf.orig_shape.a": (5, 2)}))


WHOLE = gguf_bytes({"a.weight": ("Q4_K", (2, 256), random_blocks("Q4_K", (2, 256))), "b": torch.ones(3)})
COUNT = b"GGUF" + struct.pack("<I", 3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (WHOLE[:-1], "truncated"),
        (WHOLE[:40], "cut off within its header"),
        (b"GGUF" + struct.pack("<IQQ", 9, 1, 0) + bytes(64), "version 9"),
        (COUNT + struct.pack("<QQ", 0, 0), "without tensors"),
        (COUNT + struct.pack("<QQ", 1 << 40, 0), "claims"),
        (COUNT + struct.pack("<QQQ", 1, 1, 1 << 50), "a text of"),
        (WHOLE.replace(struct.pack("<IQ", 12, 0), struct.pack("<IQ", 99, 0)), "unknown type 99"),
        (WHOLE.replace(struct.pack("<QQ", 256, 2), struct.pack("<QQ", 255, 2)), "no whole blocks"),
        (WHOLE.replace(struct.pack("<IQ", 0, 288), struct.pack("<IQ", 0, 0)), "overlaps"),
        (gguf_bytes({"a": torch.ones(1), "b": torch.ones(1)}).replace(b"\0b\x01", b"\0a\x01"), "occurs twice"),
        (gguf_bytes({"a": torch.ones(1)}, {"general.alignment": "x"}), "alignment"),
    ],
)
def test_damaged_files_are_refused_in_a_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    with pytest.raises(HeaderError, match=words) as caught:
        read_header(path)
    assert str(path) in str(caught.value)
