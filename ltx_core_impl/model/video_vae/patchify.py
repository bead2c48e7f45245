"""Space-to-depth of pixels (spec 03 §3.1) and of feature maps (§3.7, §3.9)."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor

Stride = tuple[int, int, int]


def patchify(video: Tensor, patch_size: int) -> Tensor:
    """``(B, C, F, H, W)`` -> ``(B, C·p², F, H/p, W/p)``; the width offset is the slower part of the channel index."""
    return rearrange(video, "b c f (h q) (w r) -> b (c r q) f h w", q=patch_size, r=patch_size)


def unpatchify(patches: Tensor, patch_size: int) -> Tensor:
    """Inverse of :func:`patchify`."""
    return rearrange(patches, "b (c r q) f h w -> b c f (h q) (w r)", q=patch_size, r=patch_size)


def space_to_depth(x: Tensor, stride: Stride) -> Tensor:
    """``(B, C, F, H, W)`` -> ``(B, C·P, F/p1, H/p2, W/p3)``, channel order (c, time, height, width)."""
    p1, p2, p3 = stride
    return rearrange(x, "b c (f p1) (h p2) (w p3) -> b (c p1 p2 p3) f h w", p1=p1, p2=p2, p3=p3)


def depth_to_space(x: Tensor, stride: Stride) -> Tensor:
    """Inverse of :func:`space_to_depth`."""
    p1, p2, p3 = stride
    return rearrange(x, "b (c p1 p2 p3) f h w -> b c (f p1) (h p2) (w p3)", p1=p1, p2=p2, p3=p3)
