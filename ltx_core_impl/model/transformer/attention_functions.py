"""The softmax attention behind every attention layer, and the back-ends that can compute it.

A back-end is a callable ``(q, k, v) -> out`` on ``(B, H, T, d)`` tensors. PyTorch's scaled dot product attention is the
default; the others are looked up when they are asked for and never at import. Masked calls always take PyTorch's.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

import torch
from torch.nn.functional import scaled_dot_product_attention

AttentionFunction = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

_HALF_PRECISION = (torch.float16, torch.bfloat16)


class AttentionBackendUnavailable(RuntimeError):
    """The chosen attention back-end is not installed."""


def attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None = None,
    function: AttentionFunction = scaled_dot_product_attention,
) -> torch.Tensor:
    """``softmax(q kᵀ / √d + mask) v``, not causal.

    Args:
        q: ``(B, H, Tq, d)``.
        k: ``(B, H, Tk, d)``; ``(1, H, Tk, d)`` is shared by all rows.
        v: like ``k``.
        mask: ``None`` or an additive mask that broadcasts to ``(B, H, Tq, Tk)``; ``(Tq, Tk)`` and ``(B, Tq, Tk)``
            are accepted as well.
        function: back-end for the calls without a mask.

    Returns:
        ``(B, H, Tq, d)``.
    """
    if k.shape[0] != q.shape[0]:
        k, v = k.expand(q.shape[0], -1, -1, -1), v.expand(q.shape[0], -1, -1, -1)
    if mask is None:
        return function(q, k, v)
    if mask.ndim == 3:
        mask = mask.unsqueeze(1)
    return scaled_dot_product_attention(q, k, v, attn_mask=mask)


def attention_function(name: str) -> AttentionFunction:
    """The back-end called ``name``: "default" or "pytorch", "xformers", "flash_attention_3", "sage".

    The optional back-ends serve half precision on a GPU; other tensors take PyTorch's attention.

    Raises:
        ValueError: there is no such back-end.
        AttentionBackendUnavailable: the package it needs cannot be imported; the message names it.
    """
    if name not in _FACTORIES:
        raise ValueError(f"Unknown attention back-end {name!r}; choose one of {', '.join(sorted(_FACTORIES))}.")
    return _FACTORIES[name]()


def available_attention_backends() -> list[str]:
    """Names that :func:`attention_function` accepts on this machine."""
    names = []
    for name, factory in _FACTORIES.items():
        try:
            factory()
        except AttentionBackendUnavailable:
            continue
        names.append(name)
    return names


def _pytorch() -> AttentionFunction:
    return scaled_dot_product_attention


def _xformers() -> AttentionFunction:
    memory_efficient_attention = _import("xformers", "xformers.ops", "memory_efficient_attention")

    def run(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        return memory_efficient_attention(q, k, v).transpose(1, 2)

    return _for_half_precision(run)


def _flash_attention_3() -> AttentionFunction:
    flash_attn_func = _import("flash_attention_3", "flash_attn_interface", "flash_attn_func")

    def run(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        out = flash_attn_func(*(t.transpose(1, 2) for t in (q, k, v)))
        out = out[0] if isinstance(out, tuple) else out  # older releases also return the log-sum-exp
        return out.transpose(1, 2)

    return _for_half_precision(run)


def _sage() -> AttentionFunction:
    sageattn = _import("sage", "sageattention", "sageattn")

    def run(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return sageattn(q, k, v, tensor_layout="HND", is_causal=False)

    return _for_half_precision(run)


_FACTORIES: dict[str, Callable[[], AttentionFunction]] = {
    "default": _pytorch,
    "pytorch": _pytorch,
    "xformers": _xformers,
    "flash_attention_3": _flash_attention_3,
    "sage": _sage,
}


def _for_half_precision(function: AttentionFunction) -> AttentionFunction:
    def run(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        if q.device.type == "cuda" and q.dtype in _HALF_PRECISION:
            return function(q, k, v)
        return scaled_dot_product_attention(q, k, v)

    return run


def _import(backend: str, module: str, name: str) -> Callable[..., torch.Tensor]:
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, OSError) as error:  # OSError: a compiled library that does not load
        raise AttentionBackendUnavailable(
            f"Attention back-end {backend!r} needs `{module}.{name}`, which cannot be imported ({error}). "
            'Install that package, or choose "pytorch".'
        ) from error
