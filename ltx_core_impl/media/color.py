"""RGB to BT.709 limited-range YCbCr with 4:2:0 chroma (spec 07 §7.4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Weights of full-range R'G'B'.
LUMA = (0.2126, 0.7152, 0.0722)
CB = (-0.1146, -0.3854, 0.5)
CR = (0.5, -0.4542, -0.0458)
# Codes are truncated; this keeps float32 rounding from lowering those that are whole numbers.
ROUNDING_GUARD = 2.0**-10


def rgb_to_i420(picture: Tensor) -> Tensor:
    """``(H, W, 3)`` uint8, or float in [0, 1], to planar codes ``(3 * H / 2, W)`` uint8 on the same device.

    ``H`` rows of luma, then the Cb and the Cr plane, flattened and cut into rows of ``W``. H and W are even.
    """
    height, width, _ = picture.shape
    rgb = picture.permute(2, 0, 1).float()
    rgb = rgb / 255.0 if picture.dtype == torch.uint8 else rgb.clamp(0.0, 1.0)
    luma = _weighted_sum(rgb, LUMA).mul_(219.0).add_(16.0 + ROUNDING_GUARD)
    # The transform is linear: averaging RGB first gives the averaged chroma at a quarter of the work.
    quads = F.avg_pool2d(rgb[None], kernel_size=2)[0]
    chroma = (_weighted_sum(quads, row).mul_(224.0).add_(128.0 + ROUNDING_GUARD) for row in (CB, CR))
    planes = [plane.clamp_(0.0, 255.0).to(torch.uint8).flatten() for plane in (luma, *chroma)]
    return torch.cat(planes).view(height * 3 // 2, width)


def _weighted_sum(rgb: Tensor, weights: tuple[float, float, float]) -> Tensor:
    return (rgb[0] * weights[0]).add_(rgb[1], alpha=weights[1]).add_(rgb[2], alpha=weights[2])
