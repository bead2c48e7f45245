"""Low-precision weights: stored formats, fp8 layers and the policies that choose them."""

from __future__ import annotations

from ..on_demand import names_on_demand

__getattr__, __dir__, __all__ = names_on_demand(
    __name__,
    {
        ".formats": ("SCALE_NAMES",),
        ".gguf_blocks": ("BLOCK_TYPES",),
        ".policy": ("QuantizationPolicy",),
    },
)
