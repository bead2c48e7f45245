"""Elementary operations of the video VAE (spec 03 §19.1)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ltx_core_impl.model.video_vae import PerChannelStatistics, convolution
from ltx_core_impl.model.video_vae.convolution import CausalConv3d
from ltx_core_impl.model.video_vae.normalization import PixelNorm, make_norm
from ltx_core_impl.model.video_vae.patchify import depth_to_space, patchify, space_to_depth, unpatchify
from ltx_core_impl.model.video_vae.resnet import BlockContext
from ltx_core_impl.model.video_vae.sampling import DepthToSpaceUpsample, SpaceToDepthDownsample
from ltx_core_impl.model.video_vae.spatial_attention import SpatialAttention
from ltx_core_impl.model.video_vae.time_embedding import sinusoid
from tests.unit.video_vae_fixtures import fill

CONTEXT = BlockContext(causal=False)


def zero_convolution(block: SpaceToDepthDownsample | DepthToSpaceUpsample) -> None:
    for parameter in block.parameters():
        parameter.requires_grad_(False).zero_()


def column(*values: float) -> Tensor:
    """One channel, one position, several frames."""
    return torch.tensor(values, dtype=torch.float32).view(1, 1, -1, 1, 1)


def test_patchify_puts_the_width_offset_before_the_height_offset() -> None:
    video = torch.arange(192.0).reshape(2, 3, 1, 4, 8)
    patches = patchify(video, 4)
    expected = [0, 8, 16, 24, 1, 9, 17, 25, 2, 10, 18, 26, 3, 11, 19, 27, 32, 40]
    assert patches[0, :18, 0, 0, 0].tolist() == expected
    assert patches[0, :4, 0, 0, 1].tolist() == [4, 12, 20, 28]
    assert torch.equal(unpatchify(patches, 4), video)


def test_depth_to_space_inverts_space_to_depth() -> None:
    x = torch.arange(2 * 3 * 4 * 4 * 6.0).reshape(2, 3, 4, 4, 6)
    assert torch.equal(depth_to_space(space_to_depth(x, (2, 2, 2)), (2, 2, 2)), x)
    assert space_to_depth(x, (2, 1, 1))[0, 1, 0].equal(x[0, 0, 1])


@pytest.mark.parametrize(("causal", "expected"), [(True, [111, 211, 321, 432]), (False, [211, 321, 432, 443])])
def test_convolution_repeats_edge_frames(causal: bool, expected: list[int]) -> None:
    layer = CausalConv3d(1, 1).requires_grad_(False)
    layer.conv.weight.zero_()
    layer.conv.bias.zero_()
    layer.conv.weight[0, 0, :, 1, 1] = torch.tensor([1.0, 10.0, 100.0])
    out = layer(column(1, 2, 3, 4), causal)
    assert out.flatten().tolist() == expected


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_convolution_in_pieces_equals_the_whole(monkeypatch: pytest.MonkeyPatch, causal: bool, mode: str) -> None:
    layer = fill(CausalConv3d(2, 3, spatial_padding_mode=mode))
    x = torch.randn(1, 2, 7, 4, 5, generator=torch.Generator().manual_seed(0))
    whole = layer(x, causal)
    for frames in (1, 2, 3, 6):
        monkeypatch.setattr(convolution, "MAX_PIECE_ELEMENTS", frames * 2 * 4 * 5)
        torch.testing.assert_close(layer(x, causal), whole, rtol=1e-6, atol=1e-6)


def test_convolution_rejects_an_unknown_padding() -> None:
    with pytest.raises(ValueError, match="spatial_padding_mode is 'mirror'"):
        CausalConv3d(1, 1, spatial_padding_mode="mirror")


def test_pixel_norm() -> None:
    out = PixelNorm()(torch.tensor([3.0, 4.0, 0.0, 0.0]).view(1, 4, 1, 1, 1))
    torch.testing.assert_close(out.flatten(), torch.tensor([1.2, 1.6, 0.0, 0.0]))


def test_pixel_norm_keeps_bfloat16_and_does_not_change_its_input() -> None:
    x = torch.randn(1, 8, 2, 3, 3, generator=torch.Generator().manual_seed(0)).bfloat16()
    before = x.clone()
    out = PixelNorm()(x)
    assert out.dtype == torch.bfloat16
    assert torch.equal(x, before)
    exact = x.double() / (x.double().square().mean(1, keepdim=True) + 1e-8).sqrt()
    torch.testing.assert_close(out.double(), exact, rtol=2**-7, atol=0)


def test_unknown_norm() -> None:
    with pytest.raises(ValueError, match="norm_layer is 'batch_norm'"):
        make_norm("batch_norm", 32)


def test_downsampling_skip_averages_consecutive_channels() -> None:
    block = SpaceToDepthDownsample(2, 4, stride=(2, 1, 1), spatial_padding_mode="zeros")
    zero_convolution(block)
    x = torch.tensor([[1.0, 2, 3], [4, 5, 6]]).view(1, 2, 3, 1, 1)
    out = block(x, CONTEXT).reshape(4, 2)
    assert out.tolist() == [[1, 2], [1, 3], [4, 5], [4, 6]]


def test_upsampling_residual_repeats_the_channel_stack() -> None:
    block = DepthToSpaceUpsample(8, 2, stride=(2, 2, 2), residual=True, spatial_padding_mode="zeros")
    zero_convolution(block)
    x = torch.arange(1.0, 9).view(1, 8, 1, 1, 1)
    out = block(x, CONTEXT)
    assert out.shape == (1, 4, 1, 2, 2)
    assert out.reshape(4, 4).tolist() == [[5, 6, 7, 8]] * 4


def test_sinusoid_is_cosine_first() -> None:
    out = sinusoid(torch.tensor([45.8]))[0]
    torch.testing.assert_close(out[:3], torch.tensor([-0.2444047, 0.2071848, -0.3813490]), rtol=0, atol=2e-6)
    expected = torch.tensor([0.9999879, 0.9696733, -0.9783018, 0.9244311])
    torch.testing.assert_close(out[127:131], expected, rtol=0, atol=2e-6)
    assert out[255].item() == pytest.approx(0.0049217, abs=1e-6)


def test_statistics_are_inverse_and_start_as_identity() -> None:
    statistics = PerChannelStatistics(4)
    latent = torch.randn(2, 4, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(statistics.normalize(latent), latent)
    fill(statistics)
    raw = statistics.un_normalize(latent)
    torch.testing.assert_close(statistics.normalize(raw), latent)
    torch.testing.assert_close(
        raw[:, 1],
        latent[:, 1] * statistics.state_dict()["std-of-means"][1]
        + raw.new_tensor(statistics.state_dict()["mean-of-means"][1].item()),
    )


def test_spatial_attention_sees_one_frame_only() -> None:
    block = fill(SpatialAttention(4))
    x = torch.randn(1, 4, 3, 2, 3, generator=torch.Generator().manual_seed(0))
    out = block(x, CONTEXT)
    torch.testing.assert_close(block(x[:, :, 1:2], CONTEXT), out[:, :, 1:2])

    frame = x[0, :, 0].reshape(4, 6)
    normed = frame / frame.norm(dim=0) * 2 * block.norm.gamma.reshape(4, 1)
    qkv = block.to_qkv.weight.reshape(12, 4) @ normed + block.to_qkv.bias[:, None]
    q, k, v = qkv.chunk(3)
    attended = v @ torch.softmax(q.T @ k * 4**-0.5, dim=1).T
    expected = frame + block.proj.weight.reshape(4, 4) @ attended + block.proj.bias[:, None]
    torch.testing.assert_close(out[0, :, 0].reshape(4, 6), expected)
