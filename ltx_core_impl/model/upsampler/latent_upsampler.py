"""Latent upscaler: residual blocks, one upsampling step, residual blocks (spec 03 §15-17)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .resamplers import DepthToTime, RationalResampler

GROUPS = 32


class ResBlock(nn.Module):
    """Convolution and norm, twice; the activation comes after the sum."""

    def __init__(self, channels: int, dims: int):
        super().__init__()
        self.conv1 = _conv(dims, channels, channels)
        self.norm1 = nn.GroupNorm(GROUPS, channels)
        self.conv2 = _conv(dims, channels, channels)
        self.norm2 = nn.GroupNorm(GROUPS, channels)

    def forward(self, x: Tensor) -> Tensor:
        h = F.silu(self.norm1(self.conv1(x)), inplace=True)
        h = self.norm2(self.conv2(h)).add_(x)
        return F.silu(h, inplace=True)


class LatentUpsampler(nn.Module):
    """Upscales **raw** (un-normalised) video latents in space, in time, or both.

    Group norms see the whole clip and picture, so the network cannot be tiled without changing its result.

    Args:
        in_channels: latent channels.
        mid_channels: width; a multiple of 32.
        dims: 3, or 2 for a network that treats every frame alone (plain spatial upsampling only).
        spatial_scale: used by the rational resampler only; the plain one doubles.
        rational_resampler: spatial upsampling by a ratio (0.75, 1.5, 2, 4).

    Raises:
        ValueError: no upsampling asked for, or an unsupported combination.
    """

    def __init__(
        self,
        in_channels: int = 128,
        mid_channels: int = 512,
        num_blocks_per_stage: int = 4,
        dims: int = 3,
        spatial_upsample: bool = True,
        temporal_upsample: bool = False,
        spatial_scale: float = 2.0,
        rational_resampler: bool = False,
    ):
        super().__init__()
        if dims not in (2, 3):
            raise ValueError(f"The upsampler has dims = {dims}; it must be 2 or 3.")
        if mid_channels % GROUPS:
            raise ValueError(f"The upsampler has mid_channels = {mid_channels}; it must be a multiple of {GROUPS}.")
        if not (spatial_upsample or temporal_upsample):
            raise ValueError("The upsampler has neither spatial_upsample nor temporal_upsample; it would do nothing.")
        self.in_channels = in_channels
        self.dims = dims
        self.per_frame = spatial_upsample and not temporal_upsample
        if dims == 2 and not (self.per_frame and not rational_resampler):
            raise ValueError("An upsampler with dims = 2 can only do the plain spatial upsampling.")

        self.initial_conv = _conv(dims, in_channels, mid_channels)
        self.initial_norm = nn.GroupNorm(GROUPS, mid_channels)
        self.res_blocks = nn.ModuleList(ResBlock(mid_channels, dims) for _ in range(num_blocks_per_stage))
        if not self.per_frame:
            factor = 8 if spatial_upsample else 2
            self.upsampler = nn.Sequential(
                _conv(3, mid_channels, factor * mid_channels), DepthToTime(spatial=spatial_upsample)
            )
        elif rational_resampler:
            self.upsampler = RationalResampler(mid_channels, spatial_scale)
        else:
            self.upsampler = nn.Sequential(_conv(2, mid_channels, 4 * mid_channels), nn.PixelShuffle(2))
        self.post_upsample_res_blocks = nn.ModuleList(ResBlock(mid_channels, dims) for _ in range(num_blocks_per_stage))
        self.final_conv = _conv(dims, mid_channels, in_channels)

    def forward(self, latent: Tensor) -> Tensor:
        """``(B, C, F, H, W)`` raw -> raw, with H and W scaled and/or ``2F - 1`` frames.

        Raises:
            ValueError: the latent does not have the model's channels.
        """
        if latent.ndim != 5 or latent.shape[1] != self.in_channels:
            raise ValueError(
                f"The upsampler needs a video latent (batch, {self.in_channels}, frames, height, width); this one has "
                f"shape {tuple(latent.shape)}."
            )
        if self.dims == 3:
            return self._run(latent)
        frames = self._run(rearrange(latent, "b c f h w -> (b f) c h w"))
        return rearrange(frames, "(b f) c h w -> b c f h w", b=latent.shape[0])

    def _run(self, x: Tensor) -> Tensor:
        x = F.silu(self.initial_norm(self.initial_conv(x)), inplace=True)
        for block in self.res_blocks:
            x = block(x)
        if self.per_frame and self.dims == 3:
            # One frame at a time: the widened feature map before the shuffle is the largest tensor of the network.
            x = torch.stack([self.upsampler(frame) for frame in x.unbind(2)], dim=2)
        else:
            x = self.upsampler(x)
        for block in self.post_upsample_res_blocks:
            x = block(x)
        return self.final_conv(x)


def _conv(dims: int, in_channels: int, out_channels: int) -> nn.Module:
    """3-wide convolution with zero padding on every axis, time included."""
    kind = nn.Conv3d if dims == 3 else nn.Conv2d
    return kind(in_channels, out_channels, kernel_size=3, padding=1)
