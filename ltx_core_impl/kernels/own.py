"""Launching our Triton kernels. Each function returns ``None`` where the plain form has to do the work.

A kernel that cannot be built here (no compiler, a driver that is too old) is given up with one warning, and the plain
form serves the rest of the process.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
from collections.abc import Callable
from contextlib import nullcontext
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from .optional import is_fast

logger = logging.getLogger(__name__)

FP8_MAX = torch.finfo(torch.float8_e4m3fn).max
_VALUES_PER_PROGRAM = 4096
_WIDEST_ROW = 16384
_broken: set[str] = set()


def norm_rotate(
    x: Tensor,
    weight: Tensor,
    eps: float,
    heads: int,
    table: tuple[Tensor, Tensor] | None,
    split: bool,
) -> Tensor | None:
    """RMS norm over all heads together, then the rotation of the channel pairs of each head, in one pass.

    Args:
        x: ``(B, T, H * d)``, dense along the last dimension.
        weight: ``(H * d,)`` of the norm.
        eps: epsilon of the norm.
        heads: H.
        table: cosines and sines, each ``(B or 1, H, T, d / 2)``; ``None`` for no rotation.
        split: pairs are ``(j, j + d/2)`` rather than ``(2j, 2j + 1)``.

    Returns:
        ``(B, T, H * d)``, contiguous, in the dtype of ``x``. Rounded once, from float32.
    """
    width = x.shape[-1]
    if not is_fast(x, weight, *(table or ())) or x.stride(-1) != 1 or width > _WIDEST_ROW:
        return None
    cos, sin = table or (x, x)
    if table is not None and (cos.stride() != sin.stride() or cos.stride(-1) != 1):
        return None
    # Only rows of the batch are shared here; anything else that broadcasts would be read beyond its end.
    if table is not None and cos.shape not in ((rows, heads, x.shape[1], width // heads // 2) for rows in (1, len(x))):
        return None

    def launch(kernels: ModuleType) -> Tensor:
        batch, tokens, _ = x.shape
        out = torch.empty((batch, tokens, width), dtype=x.dtype, device=x.device)
        strides = (0, 0, 0)
        if table is not None:
            strides = (0 if cos.shape[0] == 1 else cos.stride(0), cos.stride(1), cos.stride(2))
        block = _power_of_two(width // 2)
        kernels.norm_rotate_kernel[(batch * tokens,)](
            x,
            weight,
            cos,
            sin,
            out,
            tokens,
            width // 2,
            x.stride(0),
            x.stride(1),
            *strides,
            eps,
            width // heads // 2,
            SPLIT=split,
            ROTATES=table is not None,
            BLOCK=block,
            num_warps=8 if block >= 2048 else 4,
        )
        return out

    return _run("norm_rotate", x, launch)


def gate_heads(x: Tensor, logits: Tensor) -> Tensor | None:
    """``x * 2 sigmoid(logits)`` per head, in one pass.

    Args:
        x: ``(B, T, H, d)``, dense along the last dimension.
        logits: ``(B, T, H)``, contiguous.

    Returns:
        ``(B, T, H, d)``, contiguous, in the dtype of ``x``.
    """
    if not is_fast(x, logits) or x.stride(-1) != 1 or not logits.is_contiguous():
        return None
    batch, tokens, heads, head_dim = x.shape
    if heads * head_dim > _WIDEST_ROW or logits.shape != x.shape[:3]:
        return None

    def launch(kernels: ModuleType) -> Tensor:
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        kernels.gate_heads_kernel[(batch * tokens,)](
            x, logits, out, tokens, heads, head_dim, *x.stride()[:3], heads, BLOCK=_power_of_two(heads * head_dim)
        )
        return out

    return _run("gate_heads", x, launch)


def quantize(x: Tensor, scale: Tensor | None, smallest: float) -> tuple[Tensor, Tensor] | None:
    """e4m3 codes and scale of ``x``, bit for bit those of :mod:`ltx_core_impl.quantization.fp8`.

    Args:
        x: any shape.
        scale: fp32 ``()``; ``None`` for the one that maps the largest ``|x|`` to 448.
        smallest: largest values below this count as this much.

    Returns:
        Contiguous codes of the shape of ``x``, and the scale, fp32 ``()``.
    """
    if not is_fast(x) or not _has_fp8(x.device):
        return None

    def launch(kernels: ModuleType) -> tuple[Tensor, Tensor]:
        dense = x.contiguous()
        codes = torch.empty(dense.shape, dtype=torch.float8_e4m3fn, device=x.device)
        low = high = dense
        target = scale
        if target is None:
            low, high = dense.aminmax()
            target = torch.empty((), dtype=torch.float32, device=x.device)
        kernels.quantize_kernel[(-(-dense.numel() // _VALUES_PER_PROGRAM),)](
            dense,
            low,
            high,
            target,
            codes,
            dense.numel(),
            DYNAMIC=scale is None,
            LARGEST=FP8_MAX,
            SMALLEST=smallest,
            BLOCK=_VALUES_PER_PROGRAM,
        )
        return codes, target

    return _run("quantize", x, launch)


def widen(codes: Tensor, like: Tensor) -> Tensor | None:
    """e4m3 ``codes`` in the dtype of ``like``: exact, every code is a 16-bit float."""
    if not is_fast(like, codes) or codes.dtype != torch.float8_e4m3fn or not codes.is_contiguous():
        return None
    if not _has_fp8(like.device):
        return None

    def launch(kernels: ModuleType) -> Tensor:
        out = torch.empty(codes.shape, dtype=like.dtype, device=codes.device)
        grid = (-(-codes.numel() // _VALUES_PER_PROGRAM),)
        kernels.widen_kernel[grid](codes, out, codes.numel(), BLOCK=_VALUES_PER_PROGRAM)
        return out

    return _run("widen", like, launch)


@functools.cache
def kernels() -> ModuleType | None:
    """The kernels, ``None`` without Triton."""
    if importlib.util.find_spec("triton") is None:
        return None
    try:
        return importlib.import_module(f"{__package__}.triton_kernels")
    except Exception as error:  # a broken optional package must not stop a model that runs without it
        logger.warning("Triton is installed but cannot be imported (%s); going on without it", error)
        return None


def _run(name: str, x: Tensor, launch: Callable[[ModuleType], Any]) -> Any:
    module = None if name in _broken or not x.numel() else kernels()
    if module is None:
        return None
    try:
        # Triton launches on the current device, which need not be the tensor's.
        with torch.cuda.device(x.device) if x.is_cuda else nullcontext():
            return launch(module)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        _broken.add(name)
        logger.warning("the Triton kernel %s cannot run here (%s); plain PyTorch does its work", name, error)
        return None


@functools.cache
def _has_fp8(device: torch.device) -> bool:
    return device.type == "cpu" or torch.cuda.get_device_capability(device) >= (8, 9)


def _power_of_two(size: int) -> int:
    return 1 << (size - 1).bit_length()
