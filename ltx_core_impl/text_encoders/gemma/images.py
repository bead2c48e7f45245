"""The reference picture of a prompt, as Gemma 3's vision tower wants it (spec 05 §12.5)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LONG_SIDE = 896

# What the published preprocessor_config.json says, for single files, which come without one.
_PUBLISHED = {
    "do_resize": True,
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
# The reference shows the whole picture once; which class reads it is decided here.
_NOT_SETTINGS = ("image_processor_type", "processor_class", "do_pan_and_scan")


def image_pixels(image: Tensor, image_size: int, processor: Mapping[str, Any], long_side: int = LONG_SIDE) -> Tensor:
    """A picture ``(H, W, 3)``, uint8 or float in [0, 1], as ``(1, 3, image_size, image_size)`` in [-1, 1].

    As the reference does, the picture is first brought to ``long_side`` without antialiasing and stored in 8 bits;
    then transformers' processor squeezes it to the square the tower was trained on.

    Args:
        image_size: side of that square, from the tower's tensors.
        processor: preprocessor_config.json of the encoder, empty for the published one.

    Raises:
        ValueError: not one RGB picture.
    """
    if image.dim() != 3 or image.shape[-1] != 3:
        raise ValueError(f"One picture (height, width, 3) is needed to enhance a prompt; got {tuple(image.shape)}.")
    settings = {name: value for name, value in processor.items() if name not in _NOT_SETTINGS}
    settings = _PUBLISHED | settings | {"size": {"height": image_size, "width": image_size}}
    shown = _on_long_side(image, long_side).numpy()
    return _processor_class()(**settings)(shown, return_tensors="pt", input_data_format="channels_last")["pixel_values"]


def _processor_class() -> type:
    """The processor that resizes with Pillow, as the reference does; transformers 5 gave its name to another."""
    import transformers

    return getattr(transformers, "Gemma3ImageProcessorPil", None) or transformers.Gemma3ImageProcessor


def _on_long_side(image: Tensor, long_side: int) -> Tensor:
    """The picture in 8 bits ``(h, w, 3)``, its longer side ``long_side``."""
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
    return pixels[0].movedim(0, -1)
