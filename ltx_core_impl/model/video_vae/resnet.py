"""Residual blocks of the video VAE (spec 03 §3.4, §3.5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .convolution import CausalConv3d
from .noise import draw_noise
from .normalization import GROUP_NORM_EPS, make_norm
from .time_embedding import TimeEmbedding

MODULATION_ROWS = 4


@dataclass(frozen=True)
class BlockContext:
    """What every block of one encoder or decoder pass shares.

    Attributes:
        causal: temporal padding kind of the convolutions.
        timestep: scaled timesteps ``(B,)`` of a timestep-conditioned decoder, else None.
        generator: source of the injected noise; None uses the global one.
    """

    causal: bool
    timestep: Tensor | None = None
    generator: torch.Generator | None = None


class ResnetBlock3D(nn.Module):
    """Norm, SiLU, convolution, twice, around a shortcut.

    Args:
        inject_noise: add one noise plane, scaled per channel, after each convolution.
        timestep_conditioning: modulate both norms by ``scale_shift_table`` plus the embedding given to ``forward``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        norm_layer: str,
        spatial_padding_mode: str,
        inject_noise: bool = False,
        timestep_conditioning: bool = False,
    ):
        super().__init__()
        self.inject_noise = inject_noise
        self.norm1 = make_norm(norm_layer, in_channels)
        self.conv1 = CausalConv3d(in_channels, out_channels, spatial_padding_mode=spatial_padding_mode)
        self.norm2 = make_norm(norm_layer, out_channels)
        self.conv2 = CausalConv3d(out_channels, out_channels, spatial_padding_mode=spatial_padding_mode)
        if inject_noise:
            self.per_channel_scale1 = nn.Parameter(torch.zeros(out_channels, 1, 1))
            self.per_channel_scale2 = nn.Parameter(torch.zeros(out_channels, 1, 1))
        if timestep_conditioning:
            self.scale_shift_table = nn.Parameter(torch.zeros(MODULATION_ROWS, in_channels))
        self.has_projection = in_channels != out_channels
        if self.has_projection:
            self.norm3 = nn.GroupNorm(num_groups=1, num_channels=in_channels, eps=GROUP_NORM_EPS)
            self.conv_shortcut = nn.Conv3d(in_channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor, context: BlockContext, embedding: Tensor | None = None) -> Tensor:
        """``(B, Cin, F, H, W)`` -> ``(B, Cout, F, H, W)``; overwrites x.

        ``embedding`` is ``(B, 4, Cin)`` if conditioned.
        """
        shift1 = scale1 = shift2 = scale2 = None
        if embedding is not None:
            modulation = self.scale_shift_table.to(x.dtype) + embedding
            shift1, scale1, shift2, scale2 = modulation[..., None, None, None].unbind(dim=1)

        padded = self.conv1.pad(modulated_silu(self.norm1(x), shift1, scale1), context.causal)
        h = self.conv1.convolve(padded)
        if self.inject_noise:
            h = self._add_noise(h, self.per_channel_scale1, context.generator)
        padded = self.conv2.pad(modulated_silu(self.norm2(h), shift2, scale2), context.causal)
        del h
        h = self.conv2.convolve(padded)
        del padded
        if self.inject_noise:
            h = self._add_noise(h, self.per_channel_scale2, context.generator)
        if self.has_projection:
            x = self.conv_shortcut(self.norm3(x))
        # The decoder still holds x: adding into it saves one of the largest tensors. Autograd needs x as it was.
        return h.add_(x) if torch.is_grad_enabled() else x.add_(h)

    @staticmethod
    def _add_noise(h: Tensor, scale: Tensor, generator: torch.Generator | None) -> Tensor:
        """Add one noise plane ``(H, W)``, shared by all frames and batch items."""
        plane = draw_noise(h.shape[-2:], like=h, generator=generator)
        return h.add_((plane * scale).unsqueeze(1))


def modulated_silu(h: Tensor, shift: Tensor | None, scale: Tensor | None) -> Tensor:
    """``silu(h·(1 + scale) + shift)``, or ``silu(h)`` without modulation; overwrites ``h``."""
    if scale is not None and shift is not None:
        h = h.mul_(1 + scale).add_(shift)
    return F.silu(h, inplace=True)


class UNetMidBlock3D(nn.Module):
    """``num_layers`` residual blocks of one width that share one time embedding."""

    def __init__(
        self,
        channels: int,
        num_layers: int,
        norm_layer: str,
        spatial_padding_mode: str,
        inject_noise: bool = False,
        timestep_conditioning: bool = False,
    ):
        super().__init__()
        self.time_embedder = TimeEmbedding(MODULATION_ROWS * channels) if timestep_conditioning else None
        self.res_blocks = nn.ModuleList(
            ResnetBlock3D(
                in_channels=channels,
                out_channels=channels,
                norm_layer=norm_layer,
                spatial_padding_mode=spatial_padding_mode,
                inject_noise=inject_noise,
                timestep_conditioning=timestep_conditioning,
            )
            for _ in range(num_layers)
        )

    def forward(self, x: Tensor, context: BlockContext) -> Tensor:
        """``(B, C, F, H, W)`` -> same shape."""
        embedding = None
        if self.time_embedder is not None:
            embedding = self.time_embedder(context.timestep, dtype=x.dtype).unflatten(1, (MODULATION_ROWS, -1))
        for block in self.res_blocks:
            x = block(x, context, embedding)
        return x
