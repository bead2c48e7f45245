"""Token layout of latents and the space-time extent of every token (spec 06 §2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from ..types import (
    AUDIO_DOWNSAMPLE_FACTOR,
    AUDIO_HOP_LENGTH,
    AUDIO_SAMPLE_RATE,
    AudioLatentShape,
    SpatioTemporalScaleFactors,
    VideoLatentShape,
)


class VideoLatentPatchifier:
    """One token for each latent cell; width runs fastest, then height, then frames."""

    def patchify(self, latent: Tensor) -> Tensor:
        """``(B, C, F, H, W)`` to ``(B, F·H·W, C)``."""
        return rearrange(latent, "b c f h w -> b (f h w) c")

    def unpatchify(self, tokens: Tensor, shape: VideoLatentShape) -> Tensor:
        """``(B, F·H·W, C)`` back to ``(B, C, F, H, W)``."""
        return rearrange(tokens, "b (f h w) c -> b c f h w", f=shape.frames, h=shape.height, w=shape.width)

    def bounds(self, shape: VideoLatentShape, device: torch.device | str | None = None) -> Tensor:
        """``[start, end)`` of every token in latent cells: int64 ``(B, 3, N, 2)``, axes (frame, row, column)."""
        axes = [torch.arange(size, device=device) for size in (shape.frames, shape.height, shape.width)]
        starts = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(start_dim=1)
        bounds = torch.stack([starts, starts + 1], dim=-1)
        return bounds.expand(shape.batch, -1, -1, -1)


@dataclass(frozen=True)
class AudioPatchifier:
    """One token for each latent frame; within a token the channel is slowest, the mel bin fastest.

    Attributes:
        sample_rate: samples per second of the spectrogram's input.
        hop_length: samples per mel frame.
        downsample_factor: mel frames per latent frame.
        is_causal: the first latent frame covers a single mel frame.
    """

    sample_rate: int = AUDIO_SAMPLE_RATE
    hop_length: int = AUDIO_HOP_LENGTH
    downsample_factor: int = AUDIO_DOWNSAMPLE_FACTOR
    is_causal: bool = True

    def patchify(self, latent: Tensor) -> Tensor:
        """``(B, C, T, mel)`` to ``(B, T, C·mel)``."""
        return rearrange(latent, "b c t f -> b t (c f)")

    def unpatchify(self, tokens: Tensor, shape: AudioLatentShape) -> Tensor:
        """``(B, T, C·mel)`` back to ``(B, C, T, mel)``."""
        return rearrange(tokens, "b t (c f) -> b c t f", c=shape.channels, f=shape.mel_bins)

    def bounds_seconds(self, shape: AudioLatentShape, device: torch.device | str | None = None) -> Tensor:
        """``[start, end)`` of every token in seconds: float32 ``(B, 1, T, 2)``."""
        edges = torch.arange(shape.frames + 1, device=device, dtype=torch.float32) * self.downsample_factor
        if self.is_causal:
            edges = (edges + 1 - self.downsample_factor).clamp(min=0)
        edges = edges * self.hop_length / self.sample_rate
        return torch.stack([edges[:-1], edges[1:]], dim=-1).expand(shape.batch, 1, -1, -1)


def latent_to_pixel_bounds(bounds: Tensor, scale_factors: SpatioTemporalScaleFactors, causal_fix: bool) -> Tensor:
    """Latent cells to pixels, integer ``(B, 3, N, 2)``.

    With ``causal_fix`` latent frame 0 covers one pixel frame and every later frame ends a full group after it.
    """
    factors = torch.tensor(scale_factors, device=bounds.device).view(1, 3, 1, 1)
    pixels = bounds * factors
    if causal_fix:
        pixels[:, 0] = (pixels[:, 0] + 1 - scale_factors.time).clamp(min=0)
    return pixels
