"""Norms of the video VAE (spec 03 §3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

PIXEL_NORM_EPS = 1e-8
GROUP_NORM_EPS = 1e-6
GROUPS = 32
# Channels that are squared and summed at a time: little memory, and not too many kernels on a GPU.
STRIP_CHANNELS = 8


class PixelNorm(nn.Module):
    """Divides each position of ``(B, C, ...)`` by the root mean square of its channels; no parameters."""

    def forward(self, x: Tensor) -> Tensor:
        scale = (_sum_of_squares(x) / x.shape[1]).add_(PIXEL_NORM_EPS).rsqrt_()
        return x * scale.to(x.dtype)


def _sum_of_squares(x: Tensor) -> Tensor:
    """Sum over the channels of ``(B, C, ...)`` in float32 or wider, ``(B, 1, ...)``.

    Element by element, so that the order of the sum, and with it the last bit, is the same in a tile as in the whole;
    reductions over a strided axis are also several times slower on a CPU.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    first, *others = x.split(STRIP_CHANNELS, dim=1)
    total = first.to(dtype).square()
    for strip in others:
        strip = strip.to(dtype)
        total[:, : strip.shape[1]].addcmul_(strip, strip)
    while (count := total.shape[1]) > 1:
        half = (count + 1) // 2
        total[:, : count - half] += total[:, half:]
        total = total[:, :half]
    return total


def make_norm(kind: str, channels: int) -> nn.Module:
    """The norm that config key ``norm_layer`` names.

    Raises:
        ValueError: unknown name.
    """
    if kind == "pixel_norm":
        return PixelNorm()
    if kind == "group_norm":
        return nn.GroupNorm(num_groups=GROUPS, num_channels=channels, eps=GROUP_NORM_EPS)
    raise ValueError(f"norm_layer is '{kind}'; it must be 'pixel_norm' or 'group_norm'.")
