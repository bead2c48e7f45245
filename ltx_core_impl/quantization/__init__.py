"""Low-precision weights: stored formats, fp8 layers and the policies that choose them."""

from __future__ import annotations

from .policy import QuantizationPolicy

__all__ = ["QuantizationPolicy"]
