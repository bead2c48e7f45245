"""Laying pictures over pictures without a visible edge: Laplacian pyramids (Burt and Adelson 1983, spec 07 §8.1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 7
SOFT_GRID = 64
"""Cells of a picture's longer side in which a mask is grown softly."""
FRAMES_AT_ONCE = 8
_SMALLEST_SIDE = 4


def pyramid_blend(upper: Tensor, lower: Tensor, mask: Tensor, levels: int = LEVELS) -> Tensor:
    """``upper`` where the mask is 1, ``lower`` where it is 0; the transition is the wider, the coarser the detail.

    Fine detail changes within a few pixels of the mask's edge, brightness and colour over some ``2 ** levels`` pixels.
    Frames are worked on a few at a time.

    Args:
        upper, lower: ``(F, H, W, C)`` in [0, 1], of the same shape.
        mask: ``(1 or F, H, W)`` in [0, 1].
        levels: halvings of the size; small pictures allow fewer. 0 mixes by the mask alone.

    Returns:
        ``(F, H, W, C)`` float32 in [0, 1].

    Raises:
        ValueError: for pictures or masks of different sizes.
    """
    if upper.shape != lower.shape or upper.ndim != 4:
        raise ValueError(
            f"Pictures to blend have the same shape (frames, height, width, colours); got {tuple(upper.shape)} and "
            f"{tuple(lower.shape)}."
        )
    if mask.ndim != 3 or mask.shape[0] not in (1, len(upper)) or mask.shape[1:] != upper.shape[1:3]:
        raise ValueError(
            f"The mask has shape {tuple(mask.shape)}; these pictures need (1 or {len(upper)}, {upper.shape[1]}, "
            f"{upper.shape[2]})."
        )
    mask = mask.to(upper.device).expand(len(upper), -1, -1)
    result = torch.empty(upper.shape, device=upper.device)
    for part in torch.arange(len(upper)).split(FRAMES_AT_ONCE):
        chosen = slice(int(part[0]), int(part[-1]) + 1)
        pictures = [one[chosen].float().movedim(-1, 1) for one in (upper, lower)]
        result[chosen] = _blended(*pictures, mask[chosen, None].float(), levels).movedim(1, -1)
    return result


def softly_grown(mask: Tensor, cells: int) -> Tensor:
    """A mask ``(F, H, W)`` larger by so many 64ths of the longer side, its edge soft (spec 08 §3.4).

    It is grown in a small size, whose longer side has 64 cells, by a square of ``2 * cells + 1``. 0 changes nothing.
    """
    if cells <= 0:
        return mask
    height, width = mask.shape[1:]
    small = [max(1, round(side * SOFT_GRID / max(height, width))) for side in (height, width)]
    planes = F.interpolate(mask[:, None].float(), size=small, mode="bilinear", align_corners=False)
    grown = F.max_pool2d(planes, 2 * cells + 1, stride=1, padding=cells)
    return F.interpolate(grown, size=(height, width), mode="bilinear", align_corners=False)[:, 0]


def _blended(upper: Tensor, lower: Tensor, mask: Tensor, levels: int) -> Tensor:
    details = []
    while len(details) < levels and min(upper.shape[-2:]) >= 2 * _SMALLEST_SIDE:
        smaller = [_halved(one) for one in (upper, lower)]
        bands = [one - _enlarged(small, one) for one, small in zip((upper, lower), smaller, strict=True)]
        details.append(torch.lerp(bands[1], bands[0], mask))
        (upper, lower), mask = smaller, _halved(mask)
    picture = torch.lerp(lower, upper, mask)
    for detail in reversed(details):
        picture = _enlarged(picture, detail) + detail
    return picture.clamp(0.0, 1.0)


def _halved(picture: Tensor) -> Tensor:
    """Half the size (rounded up) behind a binomial filter of 5 x 5."""
    weights = picture.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    channels = picture.shape[1]
    padded = F.pad(picture, (2, 2, 2, 2), mode="replicate")
    rows = F.conv2d(padded, weights.view(1, 1, 5, 1).expand(channels, -1, -1, -1), stride=(2, 1), groups=channels)
    return F.conv2d(rows, weights.view(1, 1, 1, 5).expand(channels, -1, -1, -1), stride=(1, 2), groups=channels)


def _enlarged(picture: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(picture, size=like.shape[-2:], mode="bilinear", align_corners=False)
