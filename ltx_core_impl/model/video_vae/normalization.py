"""Norms of the video VAE (spec 03 §3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

PIXEL_NORM_EPS = 1e-8
GROUP_NORM_EPS = 1e-6
GROUPS = 32


class PixelNorm(nn.Module):
    """Divides each position of ``(B, C, ...)`` by the root mean square of its channels; no parameters."""

    def forward(self, x: Tensor) -> Tensor:
        # vector_norm reduces without a squared copy of x, the largest tensor of the network.
        accumulate = torch.promote_types(x.dtype, torch.float32)
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=accumulate)
        scale = length.square().div_(x.shape[1]).add_(PIXEL_NORM_EPS).rsqrt_()
        return x * scale.to(x.dtype)


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
