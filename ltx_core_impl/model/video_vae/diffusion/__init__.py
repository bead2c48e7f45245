"""Diffusion video decoder of LTX-2.5 (spec 03 §13)."""

from .auto_tiling import auto_tiling
from .decoder import DiffusionVideoDecoder
from .params import DiffusionDecoderParams

__all__ = ["DiffusionDecoderParams", "DiffusionVideoDecoder", "auto_tiling"]
