"""Rotated int8 weights: the numbers of the format."""

from __future__ import annotations

import pytest
import torch

from ltx_core_impl.quantization.formats import comfy_quant_of
from ltx_core_impl.quantization.int8 import dequantize_int8, rotation_matrix


@pytest.mark.parametrize("size", [4, 16, 64, 256])
def test_the_rotation_is_orthogonal_and_its_own_inverse(size: int) -> None:
    matrix = rotation_matrix(size)
    assert torch.equal(matrix, matrix.T)
    assert torch.allclose(matrix @ matrix, torch.eye(size), atol=1e-6)
    assert torch.allclose(matrix.abs(), torch.full((size, size), size**-0.5)), "all entries have the same size"
    assert torch.allclose(matrix.sum(0), torch.ones(size), atol=1e-5), "regular: all rows have the same sum"


def test_entries_of_the_smallest_rotation() -> None:
    expected = torch.tensor([[1, 1, 1, -1], [1, 1, -1, 1], [1, -1, 1, 1], [-1, 1, 1, 1]]) / 2
    assert torch.equal(rotation_matrix(4), expected)
    assert torch.equal(rotation_matrix(16), torch.kron(expected, expected))


def test_a_rotated_weight_comes_back() -> None:
    """Rotated, rounded to int8 with a scale per row, and decoded: what is lost is the rounding."""
    weight = torch.randn(8, 128, generator=torch.Generator().manual_seed(0))
    rotated = (weight.unflatten(1, (-1, 64)) @ rotation_matrix(64)).flatten(1)
    scale = rotated.abs().amax(dim=1, keepdim=True) / 127
    codes = (rotated / scale).round().to(torch.int8)
    decoded = dequantize_int8(codes, scale, rotation=64, dtype=torch.float32)
    assert (decoded - weight).norm() / weight.norm() < 0.01
    unrotated = dequantize_int8(codes, scale, rotation=0, dtype=torch.float32)
    assert (unrotated - weight).norm() / weight.norm() > 0.5


def test_one_decoded_row() -> None:
    codes = torch.tensor([[10, -20, 30, 40]], dtype=torch.int8)
    decoded = dequantize_int8(codes, torch.tensor([0.5]), rotation=4, dtype=torch.float32)
    assert decoded.tolist() == [[-5.0, 0.0, 25.0, 10.0]]


@pytest.mark.parametrize(("size", "message"), [(8, "got 8"), (32, "got 32"), (2, "got 2")])
def test_other_group_sizes_are_refused(size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rotation_matrix(size)


def test_groups_must_divide_the_inputs() -> None:
    with pytest.raises(ValueError, match="24 inputs has no whole groups of 16"):
        dequantize_int8(torch.ones(2, 24, dtype=torch.int8), torch.ones(()), rotation=16, dtype=torch.float32)


@pytest.mark.parametrize(
    ("value", "rotation"),
    [
        ("int8_tensorwise", 0),
        ({"format": "int8_tensorwise", "convrot": False, "convrot_groupsize": 64}, 0),
        ({"format": "int8_tensorwise", "convrot": True}, 256),
        ({"format": "int8_tensorwise", "convrot": True, "convrot_groupsize": 64}, 64),
        ({"format": "int8_convrot", "convrot_groupsize": 16}, 16),
    ],
)
def test_descriptions(value: object, rotation: int) -> None:
    assert comfy_quant_of(value, "layer").rotation == rotation


@pytest.mark.parametrize("size", [0, -4, 32, 4096, 16.0, "64", None, True])
def test_bad_group_sizes_in_descriptions_are_refused(size: object) -> None:
    with pytest.raises(ValueError, match="groups"):
        comfy_quant_of({"format": "int8_tensorwise", "convrot": True, "convrot_groupsize": size}, "layer")
