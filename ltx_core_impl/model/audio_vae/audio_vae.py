"""Causal audio autoencoder: log-mel spectrograms to normalised latents and back (spec 04 §5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ...types import AUDIO_DOWNSAMPLE_FACTOR
from .layers import (
    AttentionBlock,
    CausalConv2d,
    CausalityAxis,
    Downsample,
    MidBlock,
    ResnetBlock,
    Upsample,
    downsampled_bins,
    make_norm,
)
from .statistics import PerChannelStatistics


@dataclass(frozen=True)
class AudioVAEConfig:
    """Architecture shared by encoder and decoder, named as in the checkpoint's ``ddconfig``.

    ``mel_bins`` is None when no key of the config tells it. ``sampling_rate`` (Hz), ``hop_length`` and ``n_fft``
    (samples) describe the spectrograms.
    """

    ch: int
    ch_mult: tuple[int, ...]
    num_res_blocks: int
    attn_resolutions: frozenset[int]
    resolution: int
    in_channels: int
    out_ch: int
    z_channels: int
    double_z: bool
    mel_bins: int | None
    mid_block_add_attention: bool
    attention: bool
    norm_type: str
    causality_axis: CausalityAxis
    dropout: float
    sampling_rate: int
    hop_length: int
    n_fft: int

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, full resolution first."""
        return tuple(self.ch * multiplier for multiplier in self.ch_mult)

    @property
    def latent_features(self) -> int:
        """Features of a latent frame: channels times latent mel bins."""
        if self.mel_bins is None:
            return self.ch
        bins = self.mel_bins
        for _ in self.ch_mult[1:]:
            bins = downsampled_bins(bins, self.causality_axis)
        return self.z_channels * bins


class Level(nn.Module):
    """Residual blocks (and attention) of one resolution; its owner sets the change of resolution that follows."""

    def __init__(self, config: AudioVAEConfig, index: int, in_channels: int, blocks: int) -> None:
        super().__init__()
        width = config.widths[index]
        attention = config.attention and config.resolution // 2**index in config.attn_resolutions
        self.block = nn.ModuleList(
            ResnetBlock(
                in_channels if i == 0 else width,
                width,
                axis=config.causality_axis,
                norm_type=config.norm_type,
                dropout=config.dropout,
            )
            for i in range(blocks)
        )
        self.attn = nn.ModuleList(
            AttentionBlock(width, norm_type=config.norm_type) for _ in range(blocks if attention else 0)
        )
        self.downsample: nn.Module = nn.Identity()
        self.upsample: nn.Module = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        for i, block in enumerate(self.block):
            x = block(x)
            if self.attn:
                x = self.attn[i](x)
        return self.upsample(self.downsample(x))


def _mid_block(config: AudioVAEConfig) -> MidBlock:
    return MidBlock(
        config.widths[-1],
        axis=config.causality_axis,
        norm_type=config.norm_type,
        dropout=config.dropout,
        attention=config.attention and config.mid_block_add_attention,
    )


class AudioEncoder(nn.Module):
    """Log-mel ``(B, in_channels, M, mel_bins)`` to normalised latents ``(B, z, ceil(M / 4), mel_bins / 4)``."""

    def __init__(self, config: AudioVAEConfig) -> None:
        super().__init__()
        self.config = config
        widths, axis = config.widths, config.causality_axis
        self.conv_in = CausalConv2d(config.in_channels, config.ch, kernel_size=3, axis=axis)
        self.down = nn.ModuleList()
        for i, width in enumerate(widths):
            level = Level(config, i, in_channels=widths[i - 1] if i else config.ch, blocks=config.num_res_blocks)
            if i < len(widths) - 1:
                level.downsample = Downsample(width, axis)
            self.down.append(level)
        self.mid = _mid_block(config)
        self.norm_out = make_norm(widths[-1], config.norm_type)
        out_channels = config.z_channels * (2 if config.double_z else 1)
        self.conv_out = CausalConv2d(widths[-1], out_channels, kernel_size=3, axis=axis)
        self.per_channel_statistics = PerChannelStatistics(config.latent_features)

    def forward(self, mel: Tensor) -> Tensor:
        """Encode to the mean of the latent distribution; the variance half is dropped, nothing is sampled."""
        channels = self.config.in_channels
        if mel.ndim != 4 or mel.shape[1] != channels:
            raise ValueError(
                f"The audio encoder reads mel spectrograms (batch, {channels} channels, time, mel bins); "
                f"got shape {tuple(mel.shape)}."
            )
        hidden = self.conv_in(mel)
        for level in self.down:
            hidden = level(hidden)
        hidden = self.conv_out(F.silu(self.norm_out(self.mid(hidden))))
        return self.per_channel_statistics.normalize(hidden[:, : self.config.z_channels])


class AudioDecoder(nn.Module):
    """Normalised latents ``(B, z, T, bins)`` to log-mel ``(B, out_ch, 4 T - 3, mel_bins)`` (causal in time)."""

    def __init__(self, config: AudioVAEConfig) -> None:
        super().__init__()
        self.config = config
        widths, axis = config.widths, config.causality_axis
        self.conv_in = CausalConv2d(config.z_channels, widths[-1], kernel_size=3, axis=axis)
        self.mid = _mid_block(config)
        levels = []
        for i, width in enumerate(widths):
            level = Level(config, i, in_channels=widths[min(i + 1, len(widths) - 1)], blocks=config.num_res_blocks + 1)
            if i > 0:
                level.upsample = Upsample(width, axis)
            levels.append(level)
        self.up = nn.ModuleList(levels)
        self.norm_out = make_norm(widths[0], config.norm_type)
        self.conv_out = CausalConv2d(widths[0], config.out_ch, kernel_size=3, axis=axis)
        self.per_channel_statistics = PerChannelStatistics(config.latent_features)

    def forward(self, latent: Tensor) -> Tensor:
        """Decode; raises ValueError when the latent is not 4-dimensional with the VAE's channels."""
        channels = self.config.z_channels
        if latent.ndim != 4 or latent.shape[1] != channels:
            raise ValueError(
                f"The audio decoder reads latents (batch, {channels} channels, frames, mel bins); "
                f"got shape {tuple(latent.shape)}."
            )
        hidden = self.mid(self.conv_in(self.per_channel_statistics.un_normalize(latent)))
        for level in reversed(self.up):
            hidden = level(hidden)
        mel = self.conv_out(F.silu(self.norm_out(hidden)))
        return self._fit(mel, latent_frames=latent.shape[2], latent_bins=latent.shape[3])

    def _fit(self, mel: Tensor, latent_frames: int, latent_bins: int) -> Tensor:
        """Crop or zero-pad to the documented output size (spec 04 §5.5); a no-op for the published models."""
        frames = AUDIO_DOWNSAMPLE_FACTOR * latent_frames
        if self.config.causality_axis is not CausalityAxis.NONE:
            frames = max(frames - (AUDIO_DOWNSAMPLE_FACTOR - 1), 1)
        bins = self.config.mel_bins or latent_bins
        mel = mel[:, :, :frames, :bins]
        return F.pad(mel, (0, bins - mel.shape[3], 0, frames - mel.shape[2]))
