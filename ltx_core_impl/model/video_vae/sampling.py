"""Resampling blocks of the video VAE (spec 03 §3.7-3.9)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .convolution import CausalConv3d
from .patchify import Stride, depth_to_space, space_to_depth
from .resnet import BlockContext


class SpaceToDepthDownsample(nn.Module):
    """Encoder ``compress_*_res``: convolution and space-to-depth, plus a skip of averaged channel groups."""

    def __init__(self, in_channels: int, out_channels: int, stride: Stride, spatial_padding_mode: str):
        super().__init__()
        self.stride = stride
        self.group_size = in_channels * math.prod(stride) // out_channels
        self.conv = CausalConv3d(
            in_channels, out_channels // math.prod(stride), spatial_padding_mode=spatial_padding_mode
        )

    def forward(self, x: Tensor, context: BlockContext) -> Tensor:
        """``(B, Cin, F, H, W)`` -> ``(B, Cout, ⌈F/p1⌉, H/p2, W/p3)``."""
        if self.stride[0] > 1:
            x = torch.cat([x[:, :, :1], x], dim=2)
        skip = space_to_depth(x, self.stride).unflatten(1, (-1, self.group_size)).mean(dim=2)
        return skip.add_(space_to_depth(self.conv(x, context.causal), self.stride))


class StridedDownsample(CausalConv3d):
    """Encoder ``compress_*`` without a skip: the convolution itself is strided."""

    def forward(self, x: Tensor, context: BlockContext) -> Tensor:
        """``(B, Cin, F, H, W)`` -> ``(B, Cout, ⌈F/p1⌉, H/p2, W/p3)``."""
        return super().forward(x, context.causal)


class DepthToSpaceUpsample(nn.Module):
    """Decoder ``compress_*``: convolution and depth-to-space, optionally plus the rearranged input.

    Args:
        multiplier: divides the width, ``Cout = Cin / multiplier``.
        residual: add the depth-to-space of the input, its channel stack repeated to the output width.
    """

    def __init__(self, in_channels: int, multiplier: int, stride: Stride, residual: bool, spatial_padding_mode: str):
        super().__init__()
        self.stride = stride
        self.residual = residual
        self.conv = CausalConv3d(
            in_channels, math.prod(stride) * in_channels // multiplier, spatial_padding_mode=spatial_padding_mode
        )

    def forward(self, x: Tensor, context: BlockContext) -> Tensor:
        """``(B, Cin, F, H, W)`` -> ``(B, Cin/m, F·p1, H·p2, W·p3)``, one frame less when time is upsampled."""
        y = depth_to_space(self.conv(x, context.causal), self.stride)
        if self.residual:
            repeated = depth_to_space(x, self.stride)
            # The whole stack repeats (r0 r1 … r0 r1 …), so its channels are the fast part of the output's.
            y.unflatten(1, (-1, repeated.shape[1])).add_(repeated.unsqueeze(1))
        return y[:, :, 1:] if self.stride[0] > 1 else y
