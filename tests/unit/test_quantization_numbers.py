"""Casting, quantising and multiplying in fp8, and decoding nvfp4 (spec 01 §12.4-12.6)."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ltx_core_impl.quantization.fp8 import (
    cast_to_fp8,
    dequantize,
    dynamic_scale,
    emulated_scaled_mm,
    quantize_input,
    quantize_weight,
)
from ltx_core_impl.quantization.linear import CastLinear, ScaledLinear, to_cast_linear, to_scaled_linear
from ltx_core_impl.quantization.nvfp4 import dequantize_nvfp4, scale_offset

W = torch.tensor([[(4 * i + j - 5.5) / 8 for j in range(4)] for i in range(3)])
X = torch.tensor([[0.5, -1.25, 2.0, 0.1], [3.0, -0.7, 0.0, 1.1]])
BF16, FP8 = torch.bfloat16, torch.float8_e4m3fn


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((0.1, 0.1015625), (1.3, 1.25), (0.00097, 0), (0.00098, 0.001953125), (17, 16), (19, 20), (440, 448)),
        *((449, 448), (464, 448), (464.1, 448), (500, 448), (math.inf, 448), (-1e5, -448)),  # torch: NaN beyond 464
    ],
)
def test_cast(value: float, expected: float) -> None:
    assert cast_to_fp8(torch.tensor([value])).float().item() == expected


def test_weight_quantisation() -> None:
    codes, scale = quantize_weight(W)
    assert codes.dtype == FP8 and codes.shape == (3, 4) and scale.shape == () and scale.dtype == torch.float32
    torch.testing.assert_close(scale.item(), 0.00153459830, rtol=1e-6, atol=0)
    expected = [[-448, -352, -288, -208], [-120, -40, 40, 120], [208, 288, 352, 448]]
    assert codes.float().tolist() == expected


def test_a_zero_weight_has_scale_one() -> None:
    codes, scale = quantize_weight(torch.zeros(3, 4))
    assert scale.item() == 1 and not codes.float().any()


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-6, 1e6), st.integers(0, 1000))
def test_quantisation_is_within_half_a_step(size: float, seed: int) -> None:
    weight = torch.randn(8, 8, generator=torch.Generator().manual_seed(seed)) * size
    error = (dequantize(*quantize_weight(weight), torch.float32) - weight).abs()
    amax = weight.abs().amax()
    assert (error <= weight.abs() / 16 + amax / 448 * 2**-10 + amax * 1e-6).all()


DYNAMIC = [[-0.5213797, 0.1270154, 0.6964885], [-2.028300, -0.3124003, 1.386400]]
STATIC = [[-0.5645129, 0.1277005, 0.7392379], [-1.331154, -0.1271524, 1.059311]]
DYNAMIC_BF16 = [[-0.51953125, 0.126953125, 0.6953125], [-2.03125, -0.3125, 1.3828125]]
STATIC_BF16 = [[-0.56640625, 0.127929688, 0.73828125], [-1.328125, -0.126953125, 1.0625]]


def layer(input_scale: float | None, bias: Tensor | None = None) -> ScaledLinear:
    linear = to_scaled_linear(nn.Linear(4, 3, bias=bias is not None))
    codes, _ = quantize_weight(W)
    linear.weight = nn.Parameter(codes, requires_grad=False)
    if bias is not None:
        linear.bias = nn.Parameter(bias, requires_grad=False)
    stored = None if input_scale is None else torch.tensor(input_scale)
    linear.set_scales(torch.tensor(0.6875 / 448), stored)
    return linear


def test_input_codes() -> None:
    assert dynamic_scale(X).item() == pytest.approx(0.00669642864, rel=1e-6)
    assert quantize_input(X, dynamic_scale(X)).float().tolist() == [[72, -192, 288, 15], [448, -104, 0, 160]]
    assert quantize_input(X, torch.tensor(2 / 448)).float().tolist() == [[112, -288, 448, 22], [448, -160, 0, 240]]


@pytest.mark.parametrize(
    ("input_scale", "dtype", "expected"),
    [
        (None, torch.float32, DYNAMIC),
        (2 / 448, torch.float32, STATIC),
        (None, BF16, DYNAMIC_BF16),
        (2 / 448, BF16, STATIC_BF16),
        (1.0, torch.float32, DYNAMIC),  # a placeholder: as if absent
    ],
)
def test_scaled_multiplication(input_scale: float | None, dtype: torch.dtype, expected: list) -> None:
    x = X.to(dtype) if dtype == torch.float32 else X
    linear = layer(input_scale)
    scale = dynamic_scale(x) if linear.input_scale is None else linear.input_scale
    y = emulated_scaled_mm(quantize_input(x, scale), linear.weight, scale, linear.weight_scale, dtype)
    torch.testing.assert_close(y.float(), torch.tensor(expected), rtol=1e-6, atol=1e-7)
    if dtype == torch.float32:
        torch.testing.assert_close(linear(x), torch.tensor(expected), rtol=1e-6, atol=1e-7)


def test_the_emulation_is_torchs_operation() -> None:
    scale = dynamic_scale(X)
    codes, weight, ws = quantize_input(X, scale), quantize_weight(W)[0], torch.tensor(0.6875 / 448)
    for dtype in (torch.float32, BF16):
        reference = torch._scaled_mm(codes, weight.t(), scale_a=scale, scale_b=ws, out_dtype=dtype)
        torch.testing.assert_close(emulated_scaled_mm(codes, weight, scale, ws, dtype), reference, rtol=1e-6, atol=1e-7)


def test_a_scaled_layer_keeps_rank_dtype_and_adds_its_bias() -> None:
    bias = torch.tensor([1.0, 2.0, 3.0])
    x = X.reshape(1, 2, 1, 4).to(BF16)
    y = layer(None, bias)(x)
    assert y.shape == (1, 2, 1, 3) and y.dtype == BF16
    assert torch.equal(y, layer(None)(x) + bias.to(BF16))
    assert layer(None, bias)(X[:0]).shape == (0, 3)


@pytest.mark.parametrize("shape", [(21,), (3, 21), (2, 3, 21), (0, 21), (2, 0, 21), (1, 2, 3, 21)])
def test_scaled_layers_take_inputs_of_any_rank_and_size(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    plain = nn.Linear(21, 7)
    codes, scale = quantize_weight(plain.weight.detach())
    layer = to_scaled_linear(nn.Linear(21, 7))
    layer.weight, layer.bias = nn.Parameter(codes, requires_grad=False), plain.bias
    layer.set_scales(scale.reshape(1), torch.tensor([0.02]))
    x = torch.randn(shape)
    y = layer(x)
    assert y.shape == (*shape[:-1], 7)
    torch.testing.assert_close(y, plain(x), atol=0.2, rtol=0.1)


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


def test_full_precision_multiplies_the_dequantised_weight() -> None:
    linear = layer(2 / 448)
    linear.full_precision = True
    expected = nn.functional.linear(X, dequantize(linear.weight, linear.weight_scale, torch.float32))
    assert torch.equal(linear(X), expected)


def test_changing_the_models_dtype_leaves_codes_and_scales_alone() -> None:
    linear = layer(2 / 448, torch.ones(3))
    expected = linear(X)
    linear.to(BF16).float()
    assert linear.weight.dtype == FP8 and linear.weight_scale.dtype == torch.float32
    assert torch.equal(linear(X), expected)
    assert set(linear.state_dict()) == {"weight", "bias", "weight_scale", "input_scale"}


def test_a_cast_layer_widens_its_weights_per_call() -> None:
    linear = to_cast_linear(nn.Linear(4, 3))
    linear.weight = nn.Parameter(cast_to_fp8(W), requires_grad=False)
    linear.bias = nn.Parameter(cast_to_fp8(torch.tensor([0.1, 1.3, 17.0])), requires_grad=False)
    assert isinstance(linear, CastLinear)
    for dtype in (torch.float32, BF16):
        expected = nn.functional.linear(X.to(dtype), W.to(FP8).to(dtype), linear.bias.to(dtype))
        assert torch.equal(linear(X.to(dtype)), expected)


def test_nvfp4_decoding() -> None:
    first = [26, 76, 94, 110, 127, 25, 60, 6]
    packed = torch.tensor([first + [112] + [0] * 7], dtype=torch.uint8)
    scales = torch.zeros(128 * 4)
    scales[0], scales[1] = 112, 448
    expected = [0.0833333, -0.166667, 0.333333, -0.333333, 0.5, -0.666667, 0.666667, -0.666667]
    expected += [1.0, -1.0, 0.0833333, -0.0833333, 0.25, -0.333333, 0, 0.666667, 4.0] + [0.0] * 15
    for stored in (scales.to(FP8), scales.to(FP8).view(torch.uint8)):
        tensor_scale = torch.tensor(4 / 2688)
        weight = dequantize_nvfp4(packed, stored, tensor_scale, (1, 32), torch.float32)
        torch.testing.assert_close(weight, torch.tensor([expected]), rtol=1e-5, atol=1e-6)
    cut = dequantize_nvfp4(packed, scales.to(FP8), torch.tensor(4 / 2688), (1, 17), BF16)
    assert cut.shape == (1, 17) and cut.dtype == BF16 and cut[0, 16] == 4


@pytest.mark.parametrize(
    ("row", "column", "offset"), [(0, 0, 0), (0, 5, 513), (31, 3, 499), (32, 0, 4), (100, 6, 590), (130, 9, 33825)]
)
def test_nvfp4_scale_order(row: int, column: int, offset: int) -> None:
    assert scale_offset(row, column, padded_columns=256) == offset


def test_nvfp4_of_the_wrong_size_is_refused() -> None:
    packed, scale = torch.zeros(4, 16, dtype=torch.uint8), torch.ones(())
    with pytest.raises(ValueError, match="512 block scales, got 511"):
        dequantize_nvfp4(packed, torch.zeros(511).to(FP8), scale, (4, 32), BF16)
    with pytest.raises(ValueError, match="too small"):
        dequantize_nvfp4(packed, torch.zeros(512).to(FP8), scale, (5, 32), BF16)
