"""RMS norm and modulation in one launch: ``rms_adaln`` of comfy-kitchen where it is present."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from .optional import is_fast, optional_function


def modulated_norm_kernel(x: Tensor, *modulation: Tensor) -> Callable[[Tensor, Tensor, Tensor, float], Tensor] | None:
    """``(x, scale, shift, eps) -> rms_norm(x) * (1 + scale) + shift``, or ``None`` where the plain form has to do it.

    Args:
        x: ``(B, T, D)`` that will be normalised.
        modulation: tensors that scale and shift come from.
    """
    if not is_fast(x, *modulation):
        return None
    return optional_function("comfy_kitchen", "rms_adaln", ("x", "scale", "shift", "eps"))
