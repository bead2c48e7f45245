"""Spatial self-attention block of the convolutional VAE (block kind ``attn``, spec 03 §12)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .resnet import BlockContext


class ChannelRMSNorm(nn.Module):
    """Scales each position of ``(N, C, H, W)`` to length √C, times ``gamma`` ``(C, 1, 1)``."""

    def __init__(self, channels: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=1) * (math.sqrt(x.shape[1]) * self.gamma)


class SpatialAttention(nn.Module):
    """Single-head attention over the positions of each frame, added to its input."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = ChannelRMSNorm(channels)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, kernel_size=1)
        self.proj = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, x: Tensor, context: BlockContext) -> Tensor:
        """``(B, C, F, H, W)`` -> same shape."""
        batch, _, _, height, _ = x.shape
        frames = rearrange(x, "b c f h w -> (b f) c h w")
        q, k, v = rearrange(self.to_qkv(self.norm(frames)), "n (three c) h w -> three n 1 (h w) c", three=3)
        attended = F.scaled_dot_product_attention(q, k, v)
        attended = self.proj(rearrange(attended, "n 1 (h w) c -> n c h w", h=height))
        return x + rearrange(attended, "(b f) c h w -> b c f h w", b=batch)
