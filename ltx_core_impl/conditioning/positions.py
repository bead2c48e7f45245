"""Space-time positions of video tokens (spec 06 §2.2, §3).

Positions are float32 always: at bf16 precision a frame time is off by up to a frame.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..components.patchifiers import VideoLatentPatchifier, latent_to_pixel_bounds
from ..types import SpatioTemporalScaleFactors, VideoLatentShape


def video_pixel_bounds(
    shape: VideoLatentShape,
    scale_factors: SpatioTemporalScaleFactors,
    causal_fix: bool,
    device: torch.device | str | None = None,
) -> Tensor:
    """``[start, end)`` of every token in pixels: int64 ``(1, 3, N, 2)``, axes (frame, row, column)."""
    cells = VideoLatentPatchifier().bounds(shape._replace(batch=1), device=device)
    return latent_to_pixel_bounds(cells, scale_factors=scale_factors, causal_fix=causal_fix)


def frames_to_seconds(pixel_bounds: Tensor, fps: float) -> Tensor:
    """Pixel bounds ``(1, 3, N, 2)`` as float32 positions: the frame axis divided by ``fps``."""
    positions = pixel_bounds.to(torch.float32)
    positions[:, 0] /= fps
    return positions
