"""How much memory a convolutional video VAE needs besides its weights."""

from __future__ import annotations

VALUES_PER_PIXEL = 48
"""Values alive at once at the widest point: an H200 showed 41 for a clip of 768x512x121 decoded whole, and 57 for its
default tiles, the blended frames included."""


def convolution_bytes(pixels: int, itemsize: int) -> int:
    """Bytes for a tile of ``pixels`` (frames x height x width), in a dtype of ``itemsize`` bytes."""
    return pixels * VALUES_PER_PIXEL * itemsize
