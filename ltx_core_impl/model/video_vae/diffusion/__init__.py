"""Diffusion video decoder of LTX-2.5 (spec 03 §13)."""

from __future__ import annotations

from ....on_demand import names_on_demand

__getattr__, __dir__, __all__ = names_on_demand(
    __name__,
    {
        ".decoder": ("DiffusionVideoDecoder",),
        ".params": ("DiffusionDecoderParams",),
        ".room_tiling": ("ELEMENT_BYTES", "auto_tiling", "working_bytes"),
        ".tiles": ("diffusion_plan", "required_overlaps"),
    },
)
