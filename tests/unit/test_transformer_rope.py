"""Rotary embeddings against the numbers of spec 02 §17 C2-C4."""

from __future__ import annotations

import pytest
import torch

from ltx_core_impl.model.transformer.rope import (
    RopeTable,
    RopeType,
    apply_rotary_emb,
    frequency_grid,
    precompute_rope,
)

VIDEO_TOKEN = torch.tensor([[[[0.04, 0.36]], [[64.0, 96.0]], [[128.0, 160.0]]]])  # (B, 3, T, 2)
MAX_POS = (20, 2048, 2048)


def close(actual: torch.Tensor, expected: list[float], rtol: float = 1e-6, atol: float = 2e-6) -> None:
    torch.testing.assert_close(actual.double(), torch.tensor(expected, dtype=torch.float64), rtol=rtol, atol=atol)


def test_grid_of_the_video_stream() -> None:
    grid = frequency_grid(4096, 3, float64=True)
    assert grid.shape == (682,) and grid.dtype == torch.float32
    indices = [0, 1, 2, 341, 680, 681]
    close(grid[indices], [1.57079637, 1.59218526, 1.61386538, 158.145462, 15496.9473, 15707.9629], rtol=1e-8, atol=0)


def test_grid_of_the_audio_stream() -> None:
    grid = frequency_grid(2048, 1, float64=True)
    indices = [0, 1, 2, 512, 1022, 1023]
    expected = [1.57079637, 1.58500242, 1.5993371, 157.788345, 15567.1748, 15707.9629]
    close(grid[indices], expected, rtol=1e-8, atol=0)


def test_float32_grid_differs_at_the_top() -> None:
    grid = frequency_grid(4096, 3, float64=False)
    close(grid[[680, 681]], [15496.9492, 15707.9639], rtol=2e-7, atol=0)
    assert not torch.equal(grid, frequency_grid(4096, 3, float64=True))


def test_grid_survives_a_meta_device_context() -> None:
    frequency_grid.cache_clear()
    with torch.device("meta"):
        assert frequency_grid(64, 1).device.type == "cpu"


def test_video_table() -> None:
    cos, sin = precompute_rope(VIDEO_TOKEN, width=4096, heads=32, max_pos=MAX_POS, float64_grid=True)
    assert cos.shape == sin.shape == (1, 32, 1, 64)
    close(cos[0, 0, 0, :6], [1, 1, 0.0314107276, 0.122410625, 0.21910122, 0.0104545401])
    close(sin[0, 0, 0, :6], [0, 0, -0.999506533, -0.992479563, -0.975702167, -0.999945343])
    close(cos[0, 1, 0, :3], [-0.197104424, -0.456632972, -0.345634699], atol=2e-5)
    close(cos[0, 31, 0, -2:], [-0.382976592, -0.923626781], atol=1e-6)


def test_video_table_with_the_float32_grid() -> None:
    cos, _ = precompute_rope(VIDEO_TOKEN, width=4096, heads=32, max_pos=MAX_POS, float64_grid=False)
    close(cos[0, 31, 0, -2:], [-0.382074296, -0.924000621], atol=1e-6)


def test_audio_table() -> None:
    positions = torch.tensor([[[[0.01, 0.05]]]])
    cos, sin = precompute_rope(positions, width=2048, heads=32, max_pos=(20,), float64_grid=True)
    close(cos[0, 0, 0, :4], [0.00471240142, -0.00945093483, -0.023740489, -0.0381543227])
    close(sin[0, 0, 0, :1], [-0.999988914])


def test_bf16_positions_are_normalised_in_bf16() -> None:
    """The reference rounds video positions to the model dtype; 2f-1 becomes -0.98046875 instead of -0.98."""
    table = precompute_rope(VIDEO_TOKEN.bfloat16(), width=4096, heads=32, max_pos=MAX_POS, float64_grid=True)
    angle = torch.tensor(-0.98046875 * 1.57079637)
    close(table.cos[0, 0, 0, 2:3], [angle.cos().item()])
    assert table.cos.dtype == torch.float32


def test_points_and_intervals_agree() -> None:
    points = precompute_rope(torch.tensor([[[3.0]]]), width=16, heads=2, max_pos=(20,))
    intervals = precompute_rope(torch.tensor([[[[2.0, 4.0]]]]), width=16, heads=2, max_pos=(20,))
    assert torch.equal(points.cos, intervals.cos)


def test_equal_rows_share_one_table() -> None:
    both = precompute_rope(VIDEO_TOKEN.repeat(2, 1, 1, 1), width=96, heads=2, max_pos=MAX_POS)
    assert both.cos.shape[0] == 1
    shifted = torch.cat([VIDEO_TOKEN, VIDEO_TOKEN + 1])
    assert precompute_rope(shifted, width=96, heads=2, max_pos=MAX_POS).cos.shape[0] == 2


def test_wrong_axes_are_named() -> None:
    with pytest.raises(ValueError, match="3 axes"):
        precompute_rope(VIDEO_TOKEN, width=96, heads=2, max_pos=(20,))


def test_split_rotation() -> None:
    x = torch.arange(1.0, 9).view(1, 1, 8).unflatten(-1, (2, 4)).transpose(1, 2)
    cos = torch.tensor([[1, 0.5], [0, -1]]).view(1, 2, 1, 2)
    sin = torch.tensor([[0, 0.25], [1, 0.5]]).view(1, 2, 1, 2)
    rotated = apply_rotary_emb(x, RopeTable(cos, sin), RopeType.SPLIT)
    assert rotated.transpose(1, 2).flatten().tolist() == [1, 0, 3, 2.5, -7, -10, 5, -5]
    assert x.transpose(1, 2).flatten().tolist() == list(range(1, 9)), "the input must not change"


def test_interleaved_rotation() -> None:
    x = torch.arange(1.0, 9).view(1, 1, 1, 8)
    cos = torch.tensor([1, 0.5, 0, -1]).view(1, 1, 1, 4)
    sin = torch.tensor([0, 0.25, 1, 0.5]).view(1, 1, 1, 4)
    rotated = apply_rotary_emb(x, RopeTable(cos, sin), RopeType.INTERLEAVED)
    assert rotated.flatten().tolist() == [1, 2, 0.5, 2.75, -6, 5, -11, -4.5]


@pytest.mark.parametrize("rope_type", RopeType)
def test_rotation_can_be_differentiated(rope_type: RopeType) -> None:
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    angles = torch.randn(1, 2, 3, 2, dtype=torch.float64)
    table = RopeTable(angles.cos(), angles.sin())
    assert torch.autograd.gradcheck(lambda t: apply_rotary_emb(t, table, rope_type), (x,))
