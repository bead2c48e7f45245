"""The reference picture of a prompt, as Gemma 3's vision tower wants it (spec 05 §12.5)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LONG_SIDE = 896


def image_pixels(image: Tensor, image_size: int, long_side: int = LONG_SIDE) -> Tensor:
    """A picture ``(H, W, 3)``, uint8 or float in [0, 1], as ``(1, 3, image_size, image_size)`` in [-1, 1].

    As the reference does, the picture is first brought to ``long_side`` without antialiasing and stored in 8 bits,
    then squeezed to the square the tower was trained on.

    Raises:
        ValueError: not one RGB picture.
    """
    if image.dim() != 3 or image.shape[-1] != 3:
        raise ValueError(f"One picture (height, width, 3) is needed to enhance a prompt; got {tuple(image.shape)}.")
    pixels = image.movedim(-1, 0)[None].float().cpu()
    pixels = pixels if image.dtype == torch.uint8 else pixels * 255
    height, width = image.shape[:2]
    scale = long_side / max(height, width)
    target = (int(height * scale), int(width * scale))
    cover = max(target[0] / height, target[1] / width)
    size = (math.ceil(height * cover), math.ceil(width * cover))
    pixels = F.interpolate(pixels, size=size, mode="bilinear", align_corners=False)
    top, left = (size[0] - target[0]) // 2, (size[1] - target[1]) // 2
    pixels = pixels[..., top : top + target[0], left : left + target[1]].clamp(0, 255).to(torch.uint8)
    pixels = F.interpolate(pixels, size=(image_size, image_size), mode="bilinear", antialias=True)
    return pixels.float() / 127.5 - 1
