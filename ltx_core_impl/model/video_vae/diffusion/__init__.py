"""Diffusion video decoder of LTX-2.5 (spec 03 §13)."""

from .auto_tiling import ELEMENT_BYTES, auto_tiling, working_bytes
from .decoder import DiffusionVideoDecoder
from .params import DiffusionDecoderParams
from .tiles import diffusion_plan, required_overlaps

__all__ = [
    "ELEMENT_BYTES",
    "DiffusionDecoderParams",
    "DiffusionVideoDecoder",
    "auto_tiling",
    "diffusion_plan",
    "required_overlaps",
    "working_bytes",
]
