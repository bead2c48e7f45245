"""fp8 weights with many scales: mxfp8, and a scale per row or block; kept packed, with LoRAs and every precision."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from ltx_core_impl.loader import SingleGPUModelBuilder, UnsupportedFormatError
from ltx_core_impl.loader.streaming import BlockStreamer, smallest_budget
from ltx_core_impl.model.transformer import LTXModelConfigurator
from ltx_core_impl.quantization import QuantizationPolicy
from ltx_core_impl.quantization.fp8 import cast_to_fp8
from ltx_core_impl.quantization.fp8_blocks import block_shape, dequantize_blocks
from ltx_core_impl.quantization.linear import CastLinear, ScaledLinear
from ltx_core_impl.quantization.mxfp8 import dequantize_mxfp8, power_of_two, scales_are_tiled
from ltx_core_impl.quantization.packed import PackedLinear
from tests.conftest import GOLDEN, checkpoint_path, relative_error
from tests.transformer_helpers import golden_modalities
from tests.unit.loader_fixtures import Blocks, BlocksConfigurator

BF16, FP8 = torch.bfloat16, torch.float8_e4m3fn
E8M0 = torch.float8_e8m0fnu
LAYER = "transformer_blocks.1.attn1.to_q"
WIDTH = 256


class WideConfigurator(BlocksConfigurator):
    """Blocks large enough for several scales in each direction."""

    @classmethod
    def from_config(cls, config: dict) -> Blocks:
        return Blocks(2, WIDTH)


def wide_tensors() -> dict[str, Tensor]:
    torch.manual_seed(3)
    return {name: torch.randn_like(value).mul(0.05).to(BF16) for name, value in Blocks(2, WIDTH).state_dict().items()}


def uneven_weight(shape: tuple[int, int] = (WIDTH, WIDTH)) -> Tensor:
    """A weight whose scale differs from place to place, so that a mixed-up scale shows."""
    generator = torch.Generator().manual_seed(7)
    sizes = torch.exp2(torch.arange(shape[0])[:, None] % 11 - torch.arange(shape[1]) // 32 % 5.0)
    return torch.randn(shape, generator=generator) * sizes * 0.01


def tiled(scales: Tensor) -> Tensor:
    """Scales ``(rows, blocks)`` in the order of cuBLAS: tiles of 128 x 4, within each 32 x 4 x 4."""
    rows, blocks = (-(-size // step) for size, step in zip(scales.shape, (128, 4), strict=True))
    padded = torch.zeros(rows * 128, blocks * 4, dtype=torch.uint8)
    padded[: scales.shape[0], : scales.shape[1]] = scales
    tiles = padded.reshape(rows, 4, 32, blocks, 4).permute(0, 3, 2, 1, 4)
    return tiles.reshape(rows * 128, blocks * 4)


def mxfp8(weight: Tensor, padding: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, plain scales and the decoded weight; rows and columns filled up to a multiple."""
    out, columns = (-(-size // padding) * padding for size in weight.shape)
    padded = torch.zeros(out, columns)
    padded[: weight.shape[0], : weight.shape[1]] = weight
    blocks = padded.unflatten(1, (-1, 32))
    exponent = (blocks.abs().amax(-1) / 448).clamp_min(2.0**-126).log2().ceil().int()
    codes = cast_to_fp8(blocks / torch.exp2(exponent.float())[:, :, None])
    decoded = (codes.float() * torch.exp2(exponent.float())[:, :, None]).flatten(1)
    return codes.flatten(1), (exponent + 127).to(torch.uint8), decoded[: weight.shape[0], : weight.shape[1]]


@pytest.mark.parametrize("shape", [(128, 128), (256, 384), (16, 32), (130, 160)])
@pytest.mark.parametrize("dtype", [torch.uint8, E8M0])
def test_mxfp8_scales_are_read_in_the_tiled_order(shape: tuple[int, int], dtype: torch.dtype) -> None:
    codes, scales, decoded = mxfp8(uneven_weight(shape))
    assert relative_error(decoded, uneven_weight(shape)) < 0.04
    assert torch.equal(dequantize_mxfp8(codes, tiled(scales).view(dtype), shape, torch.float32), decoded)
    if shape == (128, 128):  # the trap: a plain tensor has the same shape
        assert not torch.equal(dequantize_mxfp8(codes, scales, shape, torch.float32), decoded)


def test_mxfp8_of_a_size_that_cannot_be_tiled_is_read_row_by_row() -> None:
    codes, scales, decoded = mxfp8(uneven_weight((16, 96)))
    assert torch.equal(dequantize_mxfp8(codes, scales, (16, 96), torch.float32), decoded)
    assert [scales_are_tiled((16, 96), shape) for shape in ((16, 3), (128, 4), (512,), (16, 4))] == [
        False,
        True,
        True,
        None,
    ]


def test_mxfp8_may_be_padded() -> None:
    codes, scales, decoded = mxfp8(uneven_weight((100, 72)), padding=32)
    assert codes.shape == (128, 96)
    assert torch.equal(dequantize_mxfp8(codes, tiled(scales), (100, 72), torch.float32), decoded)


def test_powers_of_two_are_exact() -> None:
    bits = torch.arange(256, dtype=torch.uint8)
    expected = [2.0 ** (bit - 127) for bit in range(255)]
    assert power_of_two(bits)[:255].tolist() == expected and power_of_two(bits)[255].isnan()


@pytest.mark.parametrize(
    ("weight", "scale", "blocks"),
    [
        ((256, 384), (256,), (1, 384)),
        ((256, 384), (256, 1), (1, 384)),
        ((256, 384), (2, 3), (128, 128)),
        ((160, 300), (2, 3), (128, 128)),
        ((256, 384), (256, 6), (1, 64)),
        ((256, 384), (256, 6, 1), (1, 64)),
        ((256, 384), (8, 12), (32, 32)),
        ((256, 384), (256, 5), None),
        ((256, 384), (384,), None),
        ((256, 384), (0, 1), None),
        ((256,), (256,), None),
    ],
)
def test_what_a_scale_is_for(weight: tuple[int, ...], scale: tuple[int, ...], blocks: tuple[int, int] | None) -> None:
    assert block_shape(weight, scale) == blocks


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(["row", "square", "inputs"]))
def test_blocks_are_decoded_element_by_element(rows: int, columns: int, kind: str) -> None:
    shapes = {"row": (rows, 1), "square": (-(-rows // 128), -(-columns // 128)), "inputs": (rows, columns)}
    scale = torch.rand(shapes[kind], generator=torch.Generator().manual_seed(rows))
    codes = cast_to_fp8(torch.randn(rows, columns, generator=torch.Generator().manual_seed(columns)) * 20)
    decoded = dequantize_blocks(codes, scale, torch.float32)
    for row in {0, rows // 2, rows - 1}:
        for column in {0, columns // 2, columns - 1}:
            place = {"row": (row, 0), "square": (row // 128, column // 128), "inputs": (row, column)}[kind]
            assert decoded[row, column] == codes[row, column].float() * scale[place]


def stored(kind: str) -> tuple[dict[str, Tensor], Tensor]:
    """The tensors of one layer by leaf, and its weight."""
    weight = uneven_weight()
    if kind.startswith("mxfp8"):
        codes, scales, decoded = mxfp8(weight)
        return {
            "weight": codes,
            "weight_scale": tiled(scales).view(E8M0 if kind == "mxfp8 e8m0" else torch.uint8),
        }, decoded
    leaf, shape, view = {
        "row": ("weight_scale", (WIDTH, 1), (1, WIDTH)),
        "row flat": ("weight_scale", (WIDTH,), (1, WIDTH)),
        "square": ("weight_scale_inv", (2, 2), (128, 128)),
        "inputs": ("scale_weight", (WIDTH, 4, 1), (1, 64)),
    }[kind]
    blocks = weight.unflatten(1, (-1, view[1])).unflatten(0, (-1, view[0]))  # (m, rows, n, columns)
    scale = blocks.abs().amax(dim=(1, 3)) / 448
    codes = cast_to_fp8(blocks / scale[:, None, :, None])
    decoded = (codes.float() * scale[:, None, :, None]).reshape(weight.shape)
    return {"weight": codes.reshape(weight.shape), leaf: scale.reshape(shape)}, decoded


KINDS = ["row", "row flat", "square", "inputs", "mxfp8", "mxfp8 e8m0"]


def packed_file(
    tmp_path: Path, kind: str, metadata: dict[str, str] | None = None, **more: Tensor
) -> tuple[Path, Tensor]:
    leaves, weight = stored(kind)
    tensors = wide_tensors() | {f"{LAYER}.{leaf}": value for leaf, value in (leaves | more).items()}
    save_file(tensors, tmp_path / "x.safetensors", metadata)
    return tmp_path / "x.safetensors", weight


def build(path: Path, policy: QuantizationPolicy | None = None, **options: object) -> Blocks:
    operations = policy.module_ops if policy else ()
    return SingleGPUModelBuilder(WideConfigurator, path, module_ops=operations).build(device="cpu", **options)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_stays_packed_and_computes_the_same(tmp_path: Path, kind: str) -> None:
    path, weight = packed_file(tmp_path, kind, input_scale=torch.tensor(1.0))
    layer = build(path, dtype=torch.float32).get_submodule(LAYER)
    x = torch.randn(3, WIDTH)
    assert type(layer) is PackedLinear and layer.weight.dtype == FP8
    assert torch.equal(layer(x), torch.nn.functional.linear(x, weight, layer.bias))
    scale = layer.weight_scale
    layer.to(BF16)
    assert layer.weight.dtype == FP8 and layer.weight_scale.dtype == scale.dtype and layer.bias.dtype == BF16
    assert relative_error(layer(x.to(BF16)).float(), torch.nn.functional.linear(x, weight, layer.bias.float())) < 0.02


@pytest.mark.parametrize("kind", ["square", "mxfp8"])
def test_precisions_decode_the_layer_first(tmp_path: Path, kind: str) -> None:
    path, weight = packed_file(tmp_path, kind)
    wide = build(path, QuantizationPolicy.dequantize(), dtype=BF16).get_submodule(LAYER)
    assert torch.equal(wide.weight, weight.to(BF16)) and "weight_scale" not in wide.state_dict()
    cast = build(path, QuantizationPolicy.fp8_cast(), dtype=BF16).get_submodule(LAYER)
    assert type(cast) is CastLinear and torch.equal(cast.weight.float(), cast_to_fp8(weight.to(BF16)).float())
    scaled = build(path, QuantizationPolicy.fp8_scaled_mm(), dtype=BF16).get_submodule(LAYER)
    assert type(scaled) is ScaledLinear
    assert relative_error(scaled.weight.float() * scaled.weight_scale, weight) < 0.04


@pytest.mark.parametrize("kind", ["row", "mxfp8"])
def test_a_lora_widens_only_the_layers_that_it_changes(tmp_path: Path, kind: str) -> None:
    leaves, weight = stored(kind)
    tensors = wide_tensors()
    for index in (0, 1):
        tensors |= {f"transformer_blocks.{index}.attn1.to_q.{leaf}": value.clone() for leaf, value in leaves.items()}
    save_file(tensors, tmp_path / "x.safetensors")
    down, up = torch.randn(4, WIDTH), torch.randn(WIDTH, 4)
    lora = tmp_path / "lora.safetensors"
    save_file({f"{LAYER}.lora_A.weight": down, f"{LAYER}.lora_B.weight": up}, lora)
    builder = SingleGPUModelBuilder(WideConfigurator, tmp_path / "x.safetensors").lora(lora, 0.5)
    model = builder.build("cpu", torch.float32)
    layer, other = (model.transformer_blocks[i].attn1.to_q for i in (1, 0))
    assert type(layer) is torch.nn.Linear and type(other) is PackedLinear
    assert relative_error(layer.weight, weight + 0.5 * (up @ down)) < 1e-6
    assert relative_error(other.decoded(torch.float32), weight) == 0


@pytest.mark.parametrize("kind", ["square", "mxfp8"])
def test_streamed_the_result_is_the_same(tmp_path: Path, kind: str) -> None:
    model = build(packed_file(tmp_path, kind)[0], dtype=torch.float32)
    x = torch.randn(2, WIDTH)
    expected = model(x)
    with BlockStreamer(model, model.transformer_blocks, "cpu", smallest_budget(model, model.transformer_blocks)):
        assert torch.equal(model(x), expected)


def description(where: str, format_name: str) -> tuple[dict[str, str] | None, dict[str, Tensor]]:
    described = {"format": format_name}
    if where == "tensor":
        return None, {"comfy_quant": torch.tensor(list(json.dumps(described).encode()), dtype=torch.uint8)}
    return {"_quantization_metadata": json.dumps({"layers": {LAYER: described}})}, {}


@pytest.mark.parametrize("where", ["tensor", "metadata"])
def test_files_that_describe_their_mxfp8_layers(tmp_path: Path, where: str) -> None:
    metadata, more = description(where, "mxfp8")
    path, weight = packed_file(tmp_path, "mxfp8", metadata, **more)
    assert torch.equal(build(path).get_submodule(LAYER).decoded(torch.float32), weight)


def test_a_description_must_be_of_what_is_stored(tmp_path: Path) -> None:
    for where in ("metadata", "tensor"):
        metadata, more = description(where, "mxfp8")
        path, _ = packed_file(tmp_path, "row", metadata, **more)
        with pytest.raises(UnsupportedFormatError, match="'mxfp8', which is not supported for a weight stored as fp8"):
            build(path)


@pytest.mark.parametrize(
    ("leaves", "words"),
    [
        (
            {"weight": torch.zeros(WIDTH, WIDTH).to(FP8), "weight_scale": torch.zeros(WIDTH, 9, dtype=torch.uint8)},
            "mxfp8",
        ),
        (
            {
                "weight": torch.zeros(WIDTH, WIDTH).to(torch.float8_e5m2),
                "weight_scale": torch.zeros(256, 8).to(torch.uint8),
            },
            "float8_e5m2",
        ),
        ({"weight": torch.zeros(WIDTH, WIDTH).to(FP8), "weight_scale": torch.zeros(7, 5)}, "per equal block"),
        ({"weight": torch.zeros(WIDTH, WIDTH).to(FP8), "weight_scale": torch.ones(2, dtype=torch.int32)}, "int32"),
    ],
)
def test_scales_that_do_not_fit_are_refused(tmp_path: Path, leaves: dict[str, Tensor], words: str) -> None:
    tensors = wide_tensors() | {f"{LAYER}.{leaf}": value for leaf, value in leaves.items()}
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(UnsupportedFormatError, match=words) as caught:
        SingleGPUModelBuilder(WideConfigurator, tmp_path / "x.safetensors").validate()
    assert LAYER in str(caught.value)


@pytest.mark.parametrize("kind", ["row", "square", "inputs"])
@pytest.mark.parametrize("lora", [False, True], ids=["plain", "lora"])
def test_a_transformer_computes_what_it_should(tmp_path: Path, kind: str, lora: bool) -> None:
    """The tiny LTX-2.3 with the linears of its blocks in fp8 with many scales."""
    tensors = load_file(checkpoint_path("2.3"))
    for key, value in list(tensors.items()):
        if "transformer_blocks." in key and "connector" not in key and key.endswith(".weight") and value.dim() == 2:
            rows, columns = value.shape
            step = {"row": (1, columns), "square": (128, 128), "inputs": (1, columns // 2)}[kind]
            scale = torch.empty(-(-rows // step[0]), -(-columns // step[1]))
            codes = torch.empty(value.shape, dtype=FP8)
            for m, n in torch.cartesian_prod(*(torch.arange(size) for size in scale.shape)).tolist():
                place = slice(m * step[0], (m + 1) * step[0]), slice(n * step[1], (n + 1) * step[1])
                scale[m, n] = value[place].abs().max().float().clamp_min(1e-12) / 448
                codes[place] = cast_to_fp8(value[place].float() / scale[m, n])
            tensors |= {key: codes, f"{key}_scale": scale}
    config = SingleGPUModelBuilder(LTXModelConfigurator, checkpoint_path("2.3")).model_config()
    path = tmp_path / "x.safetensors"
    save_file(tensors, path, {"config": json.dumps(config)})

    def output(source: Path) -> tuple[Tensor, Tensor]:
        builder = SingleGPUModelBuilder(LTXModelConfigurator, source)
        builder = builder.lora(GOLDEN / "ltx-2.3-tiny.lora-a.safetensors", 0.8) if lora else builder
        with torch.inference_mode():
            return builder.build("cpu", torch.float32)(*golden_modalities("2.3"))

    for actual, expected in zip(output(path), output(Path(checkpoint_path("2.3"))), strict=True):
        assert relative_error(actual, expected) < 0.08
