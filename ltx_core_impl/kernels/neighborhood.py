"""3-D neighbourhood attention of other packages: comfy-kitchen, else NATTEN."""

from __future__ import annotations

from torch import Tensor

from .optional import is_fast, optional_function

_PROVIDERS = (
    ("comfy_kitchen", ("q", "k", "v", "kernel_size", "scale")),
    ("natten", ("query", "key", "value", "kernel_size", "scale")),
)


def neighborhood_kernel_name(q: Tensor) -> str | None:
    """The package that serves ``q`` ``(B, T, H, W, heads, d)``; ``None`` where the plain form has to do it."""
    if not is_fast(q):
        return None
    return next((module for module, names in _PROVIDERS if optional_function(module, "na3d", names)), None)


def fused_neighborhood_attention(
    package: str, q: Tensor, k: Tensor, v: Tensor, kernel: tuple[int, int, int], scale: float
) -> Tensor:
    """Attention of ``(B, T, H, W, heads, d)`` tensors within windows that are shifted inward at the borders.

    No axis may be shorter than its window: comfy-kitchen would clamp the window, NATTEN refuses.
    """
    na3d = optional_function(package, "na3d", dict(_PROVIDERS)[package])
    # Both take lists or tuples; q, k and v are halves of one projection, and NATTEN wants them dense.
    return na3d(q.contiguous(), k.contiguous(), v.contiguous(), kernel_size=tuple(kernel), scale=scale)
