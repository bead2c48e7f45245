"""Convolutional video encoder (spec 03 §4)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blend import blend_tiles
from .blocks import BlockOptions, BlockSpec, build_encoder_block, scale_factors
from .convolution import CausalConv3d
from .normalization import make_norm
from .patchify import patchify
from .resnet import BlockContext
from .statistics import PerChannelStatistics
from .tile_plan import Tiling
from .tiling import TilingConfig

logger = logging.getLogger(__name__)


def log_var_channels(kind: str, latent_channels: int) -> int:
    """Channels that ``conv_out`` adds behind the means for the (unused) log-variance.

    Raises:
        ValueError: unknown kind.
    """
    channels = {"uniform": 1, "constant": 1, "per_channel": latent_channels, "none": 0}
    if kind not in channels:
        raise ValueError(f"latent_log_var is '{kind}'; it must be one of {', '.join(channels)}.")
    return channels[kind]


class VideoEncoder(nn.Module):
    """Pixels -> normalised latents, causal in time.

    Args:
        blocks: encoder blocks in order.
        latent_channels: channels of the latent and of the first stage.
        latent_log_var: ``uniform``, ``constant``, ``per_channel`` or ``none``.
    """

    def __init__(
        self,
        blocks: Sequence[BlockSpec],
        in_channels: int = 3,
        latent_channels: int = 128,
        patch_size: int = 4,
        norm_layer: str = "pixel_norm",
        latent_log_var: str = "uniform",
        spatial_padding_mode: str = "zeros",
    ):
        super().__init__()
        self.latent_channels = latent_channels
        self.patch_size = patch_size
        self.scale_factors = scale_factors(blocks, patch_size)
        self.per_channel_statistics = PerChannelStatistics(latent_channels)

        width = latent_channels
        self.conv_in = CausalConv3d(in_channels * patch_size**2, width, spatial_padding_mode=spatial_padding_mode)
        options = BlockOptions(norm_layer=norm_layer, spatial_padding_mode=spatial_padding_mode)
        self.down_blocks = nn.ModuleList()
        for spec in blocks:
            block, width = build_encoder_block(spec, width, options)
            self.down_blocks.append(block)
        self.conv_norm_out = make_norm(norm_layer, width)
        self.conv_out = CausalConv3d(
            width,
            latent_channels + log_var_channels(latent_log_var, latent_channels),
            spatial_padding_mode=spatial_padding_mode,
        )

    def forward(self, video: Tensor) -> Tensor:
        """Encode ``(B, 3, F, H, W)`` in [-1, 1] into a normalised latent ``(B, C, f, h, w)``.

        The latent is the mean of the posterior; nothing is sampled. Frames beyond ``8k + 1`` (for a temporal
        factor of 8) are dropped with a warning. A still image is a video of one frame.

        Raises:
            ValueError: height or width is not a multiple of the spatial factor, or there is no frame.
        """
        video = self._checked(video)
        context = BlockContext(causal=True)
        x = self.conv_in(patchify(video, self.patch_size), context.causal)
        for block in self.down_blocks:
            x = block(x, context)
        x = self.conv_out(F.silu(self.conv_norm_out(x), inplace=True), context.causal)
        return self.per_channel_statistics.normalize(x[:, : self.latent_channels])

    def tiled_encode(self, video: Tensor, tiling_config: Tiling | None = None) -> Tensor:
        """Encode tile by tile and blend the latents; the default tiling if none is given.

        ``video`` may lie on another device than the encoder, in another dtype: each tile is moved on its own.

        Returns:
            Normalised latent ``(B, C, f, h, w)`` on the encoder's device, in its dtype.

        Raises:
            ValueError: as :meth:`forward`, or the tiles do not fit this encoder.
        """
        video = self._checked(video)
        weight = self.conv_in.conv.weight
        plan = (tiling_config or TilingConfig.default()).encode_plan(video.shape[2:], self.scale_factors)
        latent = torch.zeros(
            video.shape[0], self.latent_channels, *plan.target_size, dtype=weight.dtype, device=weight.device
        )
        blend_tiles(latent, plan, lambda tile: self(video[tile.source].to(weight)))
        return latent

    def _checked(self, video: Tensor) -> Tensor:
        """The video cropped to a whole number of latent frames."""
        frames, height, width = video.shape[2:]
        scale = self.scale_factors
        if height % scale.height or width % scale.width or not (frames and height and width):
            raise ValueError(
                f"The video is {width}x{height} px with {frames} frame(s); the encoder needs at least one frame, a "
                f"width that is a multiple of {scale.width} and a height that is a multiple of {scale.height}. "
                f"Resize or crop it to {max(width // scale.width, 1) * scale.width}x"
                f"{max(height // scale.height, 1) * scale.height}."
            )
        surplus = (frames - 1) % scale.time
        if surplus:
            logger.warning(
                "Dropping the last %d of %d frames: the encoder needs %d·k + 1 frames.", surplus, frames, scale.time
            )
        return video[:, :, : frames - surplus]
