"""Convolutional video decoder (spec 03 §5)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from .blend import Spread, stream_tiles
from .blocks import BlockOptions, BlockSpec, build_decoder_block, decoder_multiplier, scale_factors
from .convolution import CausalConv3d
from .noise import draw_noise
from .normalization import make_norm
from .patchify import unpatchify
from .resnet import BlockContext, modulated_silu
from .statistics import PerChannelStatistics
from .tile_plan import TilePlan, Tiling
from .time_embedding import TimeEmbedding

NOISE_SCALE = 0.025
DEFAULT_TIMESTEP = 0.05
# Overwritten by the checkpoint of every timestep-conditioned decoder.
INITIAL_TIMESTEP_MULTIPLIER = 1000.0


class VideoDecoder(nn.Module):
    """Normalised latents -> pixels.

    Args:
        blocks: decoder blocks **in execution order** (the reverse of the config's list).
        base_channels: width of the last stage.
        causal: pad convolutions in time with the first frame only (no published model does).
        timestep_conditioning: add a little noise to the latent and tell the network how much.
    """

    def __init__(
        self,
        blocks: Sequence[BlockSpec],
        out_channels: int = 3,
        latent_channels: int = 128,
        base_channels: int = 128,
        patch_size: int = 4,
        norm_layer: str = "pixel_norm",
        spatial_padding_mode: str = "reflect",
        causal: bool = False,
        timestep_conditioning: bool = False,
    ):
        super().__init__()
        self.latent_channels = latent_channels
        self.out_channels = out_channels
        self.patch_size = patch_size
        self.causal = causal
        self.timestep_conditioning = timestep_conditioning
        self.spread: Spread | None = None
        self.scale_factors = scale_factors(blocks, patch_size)
        # Reflection cannot pad an axis of length 1.
        self.min_spatial_size = 2 if spatial_padding_mode == "reflect" else 1
        self.per_channel_statistics = PerChannelStatistics(latent_channels)

        width = base_channels * math.prod(decoder_multiplier(spec) for spec in blocks)
        self.conv_in = CausalConv3d(latent_channels, width, spatial_padding_mode=spatial_padding_mode)
        options = BlockOptions(norm_layer, spatial_padding_mode, timestep_conditioning)
        self.up_blocks = nn.ModuleList()
        for spec in blocks:
            block, width = build_decoder_block(spec, width, options)
            self.up_blocks.append(block)
        self.conv_norm_out = make_norm(norm_layer, width)
        self.conv_out = CausalConv3d(width, out_channels * patch_size**2, spatial_padding_mode=spatial_padding_mode)
        if timestep_conditioning:
            self.timestep_scale_multiplier = nn.Parameter(torch.tensor(INITIAL_TIMESTEP_MULTIPLIER))
            self.last_time_embedder = TimeEmbedding(2 * width)
            self.last_scale_shift_table = nn.Parameter(torch.zeros(2, width))

    @property
    def draws_noise_per_tile(self) -> bool:
        """Whether the result depends on the order of the tiles, each of which draws noise."""
        injects = any("per_channel_scale" in name for name, _ in self.named_parameters())
        return self.timestep_conditioning or injects

    def forward(
        self, latent: Tensor, timestep: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Decode ``(B, C, f, h, w)`` into ``(B, 3, 8(f-1)+1, 32h, 32w)`` in about [-1, 1].

        Computes in the weights' dtype, returns the latent's dtype. ``timestep`` ``(B,)`` (default 0.05 each) and
        ``generator`` matter only to a timestep-conditioned or noise-injecting decoder.

        Raises:
            ValueError: the latent's shape does not fit the decoder.
        """
        self._check(latent)
        z = latent.to(self.conv_in.conv.weight.dtype)
        scaled_timestep = None
        if self.timestep_conditioning:
            z = draw_noise(z.shape, like=z, generator=generator) * NOISE_SCALE + (1 - NOISE_SCALE) * z
            if timestep is None:
                timestep = z.new_full((z.shape[0],), DEFAULT_TIMESTEP)
            scaled_timestep = timestep.to(z) * self.timestep_scale_multiplier
        context = BlockContext(causal=self.causal, timestep=scaled_timestep, generator=generator)

        x = self.conv_in(self.per_channel_statistics.un_normalize(z), self.causal)
        for block in self.up_blocks:
            x = block(x, context)
        shift, scale = self._output_modulation(scaled_timestep, x.dtype)
        x = modulated_silu(self.conv_norm_out(x), shift, scale)
        x = self.conv_out.pad(x, self.causal)
        x = self.conv_out.convolve(x)
        return unpatchify(x, self.patch_size).to(latent.dtype)

    def tiled_decode(
        self,
        latent: Tensor,
        tiling_config: Tiling | None = None,
        generator: torch.Generator | None = None,
        timestep: Tensor | None = None,
    ) -> Iterator[Tensor]:
        """Decode tile by tile and yield blended chunks ``(B, 3, n, 32h, 32w)`` in order, in the latent's dtype.

        The chunks are ``8(f-1)+1`` frames together; one may be empty (n = 0). Memory holds the frames of one
        temporal tile, never the clip. Without a tiling config the whole clip is one chunk.

        Raises:
            ValueError: the latent's shape or the tiles do not fit the decoder.
        """
        self._check(latent)
        if tiling_config is None:
            return (self(whole, timestep=timestep, generator=generator) for whole in [latent])
        plan = tiling_config.decode_plan(latent.shape[2:], self.scale_factors)
        self._check_tiles(plan)
        return stream_tiles(
            plan,
            run=lambda tile: self(latent[tile.source], timestep=timestep, generator=generator),
            batch=latent.shape[0],
            channels=self.out_channels,
            like=latent,
            spread=self.spread,
        )

    def _output_modulation(
        self, scaled_timestep: Tensor | None, dtype: torch.dtype
    ) -> tuple[Tensor | None, Tensor | None]:
        """Shift and scale ``(B, C, 1, 1, 1)`` of the last norm."""
        if scaled_timestep is None:
            return None, None
        embedding = self.last_time_embedder(scaled_timestep, dtype=dtype).unflatten(1, (2, -1))
        modulation = self.last_scale_shift_table.to(dtype) + embedding
        shift, scale = modulation[..., None, None, None].unbind(dim=1)
        return shift, scale

    def _check_tiles(self, plan: TilePlan) -> None:
        """Before anything is decoded: without overlap the last tile of an axis may be a single cell."""
        smallest = min(end - start for start, end in (tile.source for tile in (*plan.height, *plan.width)))
        if smallest < self.min_spatial_size:
            raise ValueError(
                f"This decoder pads by reflection and needs tiles of at least {self.min_spatial_size} latent cells; "
                f"these leave one of {smallest}. Let them overlap, or change their size by one cell "
                f"({self.scale_factors.width} px)."
            )

    def _check(self, latent: Tensor) -> None:
        if latent.ndim != 5 or latent.shape[1] != self.latent_channels or 0 in latent.shape:
            raise ValueError(
                f"The video decoder needs a latent (batch, {self.latent_channels}, frames, height, width); "
                f"this one has shape {tuple(latent.shape)}."
            )
        height, width = latent.shape[3:]
        if min(height, width) < self.min_spatial_size:
            raise ValueError(
                f"This decoder pads by reflection and needs a latent of at least 2x2 cells; this one is "
                f"{width}x{height}. Use a video of at least {2 * self.scale_factors.width}x"
                f"{2 * self.scale_factors.height} px, or larger tiles."
            )
