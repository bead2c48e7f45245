"""From latents to frames to show or write (spec 03 §8)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .decoder import VideoDecoder
from .diffusion import DiffusionVideoDecoder
from .tile_plan import Tiling


def to_frames(video: Tensor, dtype: torch.dtype = torch.uint8) -> Tensor:
    """``(3, F, H, W)`` in [-1, 1] -> ``(F, H, W, 3)`` in [0, 1], or 0..255 (truncated) for uint8."""
    frames = video.add(1).mul_(0.5).clamp_(0, 1)
    if dtype == torch.uint8:
        frames = frames.mul_(255)
    return frames.to(dtype).permute(1, 2, 3, 0).contiguous()


def decode_video(
    latent: Tensor,
    decoder: VideoDecoder | DiffusionVideoDecoder,
    tiling_config: Tiling | None = None,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.uint8,
) -> Iterator[Tensor]:
    """Decode one video ``(1, C, f, h, w)`` and yield chunks ``(n, H, W, 3)`` of frames in order.

    A chunk may be empty (n = 0). Frames are uint8, or [0, 1] for a floating ``dtype``.

    Raises:
        ValueError: a batch of several videos, pictures that are not finite, or as the decoder's ``tiled_decode``.
    """
    if latent.shape[0] != 1:
        raise ValueError(
            f"decode_video makes one video, but the latent holds {latent.shape[0]}. Decode them in turn: latent[i:i+1]."
        )
    chunks = decoder.tiled_decode(latent, tiling_config, generator=generator)
    # map, unlike a generator expression, drops a chunk before it asks for the next.
    return map(lambda chunk: to_frames(_finite(chunk[0]), dtype), chunks)


def _finite(video: Tensor) -> Tensor:
    """The video itself: in 8 bits what is not a number would look like black."""
    if not video.isfinite().all():
        raise ValueError(
            "The decoded picture holds values that are infinite or not a number. The file of the video VAE is damaged, "
            "or the latent is far out of range."
        )
    return video
