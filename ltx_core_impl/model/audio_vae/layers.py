"""Building blocks of the audio VAE on ``(B, C, time, mel)`` (spec 04 §5.1)."""

from __future__ import annotations

from enum import Enum

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPS = 1e-6
GROUP_NORM_GROUPS = 32


class CausalityAxis(Enum):
    """Axis along which convolutions see only the past: time is the height, mel the width."""

    NONE = None
    WIDTH = "width"
    HEIGHT = "height"
    WIDTH_COMPATIBILITY = "width-compatibility"


DOWNSAMPLE_KERNEL, DOWNSAMPLE_STRIDE = 3, 2
# (left, right, top, bottom) around the strided convolution.
DOWNSAMPLE_PADDING = {
    CausalityAxis.HEIGHT: (0, 1, 2, 0),
    CausalityAxis.WIDTH: (2, 0, 0, 1),
    CausalityAxis.WIDTH_COMPATIBILITY: (1, 0, 0, 1),
    CausalityAxis.NONE: (0, 1, 0, 1),
}


class PixelNorm(nn.Module):
    """Divide every location by the root mean square over its channels."""

    def forward(self, x: Tensor) -> Tensor:
        return x / torch.sqrt(x.square().mean(dim=1, keepdim=True) + NORM_EPS)


def make_norm(channels: int, norm_type: str) -> nn.Module:
    """The norm named by the config: "pixel" (no parameters) or "group"."""
    if norm_type == "pixel":
        return PixelNorm()
    return nn.GroupNorm(GROUP_NORM_GROUPS, channels, eps=NORM_EPS, affine=True)


class CausalConv2d(nn.Module):
    """Stride-1 convolution that keeps the size and pads only the past along the causal axis."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, axis: CausalityAxis) -> None:
        super().__init__()
        total = kernel_size - 1
        before, after = total // 2, total - total // 2
        horizontal, vertical = (before, after), (before, after)
        if axis is CausalityAxis.HEIGHT:
            vertical = (total, 0)
        elif axis in (CausalityAxis.WIDTH, CausalityAxis.WIDTH_COMPATIBILITY):
            horizontal = (total, 0)
        self.padding = (*horizontal, *vertical)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, self.padding) if any(self.padding) else x)


class ResnetBlock(nn.Module):
    """Two normalised 3x3 convolutions with a residual connection, ``C_in -> C_out``."""

    def __init__(
        self, in_channels: int, out_channels: int, *, axis: CausalityAxis, norm_type: str, dropout: float
    ) -> None:
        super().__init__()
        self.norm1 = make_norm(in_channels, norm_type)
        self.conv1 = CausalConv2d(in_channels, out_channels, kernel_size=3, axis=axis)
        self.norm2 = make_norm(out_channels, norm_type)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = CausalConv2d(out_channels, out_channels, kernel_size=3, axis=axis)
        if in_channels != out_channels:
            self.nin_shortcut = CausalConv2d(in_channels, out_channels, kernel_size=1, axis=axis)
        else:
            self.nin_shortcut = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv1(F.silu(self.norm1(x)))
        hidden = self.conv2(self.dropout(F.silu(self.norm2(hidden))))
        return self.nin_shortcut(x) + hidden


class AttentionBlock(nn.Module):
    """Single-head self-attention over all time x mel positions, residual."""

    def __init__(self, channels: int, *, norm_type: str) -> None:
        super().__init__()
        self.norm = make_norm(channels, norm_type)
        self.q = nn.Conv2d(channels, channels, kernel_size=1)
        self.k = nn.Conv2d(channels, channels, kernel_size=1)
        self.v = nn.Conv2d(channels, channels, kernel_size=1)
        self.proj_out = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(x)
        query, key, value = (project(hidden).flatten(2).transpose(1, 2) for project in (self.q, self.k, self.v))
        attended = F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None])
        return x + self.proj_out(attended.squeeze(1).transpose(1, 2).reshape(x.shape))


class Downsample(nn.Module):
    """Halve time and mel with a strided 3x3 convolution: time ``L -> ceil(L / 2)`` when causal in time."""

    def __init__(self, channels: int, axis: CausalityAxis) -> None:
        super().__init__()
        self.padding = DOWNSAMPLE_PADDING[axis]
        self.conv = nn.Conv2d(channels, channels, kernel_size=DOWNSAMPLE_KERNEL, stride=DOWNSAMPLE_STRIDE)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, self.padding))


def downsampled_bins(bins: int, axis: CausalityAxis) -> int:
    """Mel bins behind a :class:`Downsample`: half, rounded up when causal in mel, else down."""
    left, right, _, _ = DOWNSAMPLE_PADDING[axis]
    return (bins + left + right - DOWNSAMPLE_KERNEL) // DOWNSAMPLE_STRIDE + 1


class Upsample(nn.Module):
    """Double time and mel; the first element of the causal axis stands alone, so ``L -> 2L - 1`` there."""

    def __init__(self, channels: int, axis: CausalityAxis) -> None:
        super().__init__()
        self.axis = axis
        self.conv = CausalConv2d(channels, channels, kernel_size=3, axis=axis)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        if self.axis is CausalityAxis.HEIGHT:
            return x[:, :, 1:]
        if self.axis is CausalityAxis.WIDTH:
            return x[:, :, :, 1:]
        return x


class MidBlock(nn.Module):
    """Two residual blocks at the deepest width, with attention between them if asked for."""

    def __init__(self, channels: int, *, axis: CausalityAxis, norm_type: str, dropout: float, attention: bool) -> None:
        super().__init__()
        block = {"axis": axis, "norm_type": norm_type, "dropout": dropout}
        self.block_1 = ResnetBlock(channels, channels, **block)
        self.attn_1 = AttentionBlock(channels, norm_type=norm_type) if attention else nn.Identity()
        self.block_2 = ResnetBlock(channels, channels, **block)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))
