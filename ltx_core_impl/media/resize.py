"""Fitting pictures to the generated size (spec 06 §13.2 and §13.4, spec 07 §7.2)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .image import h264_round_trip


def resize_and_center_crop(frames: Tensor, height: int, width: int) -> Tensor:
    """Scale ``(F, H, W, C)`` to cover ``height`` x ``width`` and cut the centre out: float32 ``(F, C, height, width)``.

    Bilinear without antialiasing; values keep their range.
    """
    source_height, source_width = frames.shape[1:3]
    scale = max(height / source_height, width / source_width)
    size = (math.ceil(source_height * scale), math.ceil(source_width * scale))
    resized = _bilinear(frames, size)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return resized[:, :, top : top + height, left : left + width]


def resize_and_reflect_pad(frames: Tensor, height: int, width: int) -> Tensor:
    """Fit ``(F, H, W, C)`` inside ``height`` x ``width`` and mirror it into the rest: ``(F, C, height, width)``.

    Smaller pictures are not enlarged. Padding goes to the right and the bottom, replicating the edge where the
    picture is too small to mirror.
    """
    source_height, source_width = frames.shape[1:3]
    size = (source_height, source_width)
    if height < source_height or width < source_width:
        scale = min(height / source_height, width / source_width)
        size = (round(source_height * scale), round(source_width * scale))
    resized = _bilinear(frames, size)
    bottom, right = height - size[0], width - size[1]
    mode = "reflect" if bottom < size[0] and right < size[1] else "replicate"
    return F.pad(resized, (0, right, 0, bottom), mode=mode)


CROP, PAD = "crop", "pad"
FITS = {CROP: resize_and_center_crop, PAD: resize_and_reflect_pad}
"""Ways of bringing frames to a size, by name."""


def conditioning_image(image: Tensor, height: int, width: int, crf: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """A uint8 image ``(H, W, 3)`` as the video encoder reads it: ``(1, 3, 1, height, width)`` in [-1, 1].

    The H.264 round trip at ``crf`` (33 for LTX-2 and LTX-2.3, 18 for LTX-2.5, 0 for none) comes before resizing.
    """
    return conditioning_video(h264_round_trip(image, crf)[None], height, width, dtype)


def conditioning_video(frames: Tensor, height: int, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Frames ``(F, H, W, 3)`` as the video encoder reads them: ``(1, 3, F, height, width)`` in [-1, 1].

    Frames are uint8, or floats in [0, 1], as the video reader gives them.
    Frames are resized one at a time, so the peak is one float frame above the result.
    """
    count = frames.shape[0]
    video = torch.empty(1, 3, count, height, width, dtype=dtype, device=frames.device)
    for i in range(count):
        video[0, :, i] = to_encoder_range(resize_and_center_crop(frames[i : i + 1], height, width)[0], frames.dtype)
    return video


def to_encoder_range(pictures: Tensor, dtype: torch.dtype) -> Tensor:
    """Resized pictures in [-1, 1], the range of the video encoder; ``dtype`` is what they were: uint8 or float."""
    return pictures * 2.0 - 1.0 if dtype.is_floating_point else pictures / 127.5 - 1.0


def _bilinear(frames: Tensor, size: tuple[int, int]) -> Tensor:
    planes = frames.permute(0, 3, 1, 2).float()
    if size == tuple(frames.shape[1:3]):
        return planes
    return F.interpolate(planes, size=size, mode="bilinear", align_corners=False, antialias=False)
