"""Triton kernels for what neither PyTorch nor comfy-kitchen does in one pass. Imported only where Triton is present."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def norm_rotate_kernel(
    x_ptr,
    weight_ptr,
    cos_ptr,
    sin_ptr,
    out_ptr,
    tokens,
    pairs,
    x_batch_stride,
    x_token_stride,
    table_batch_stride,
    table_head_stride,
    table_token_stride,
    eps,
    half,
    SPLIT: tl.constexpr,
    ROTATES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One program normalises one token over all its heads and rotates its channel pairs."""
    row = tl.program_id(0)
    batch, token = row // tokens, row % tokens
    pair = tl.arange(0, BLOCK)
    inside = pair < pairs
    head, channel = pair // half, pair % half
    if SPLIT:
        first = head * (2 * half) + channel
        second = first + half
    else:
        first = 2 * pair
        second = first + 1
    source = x_ptr + batch.to(tl.int64) * x_batch_stride + token.to(tl.int64) * x_token_stride
    a = tl.load(source + first, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(source + second, mask=inside, other=0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(a * a + b * b, axis=0) / (2 * pairs) + eps)
    a = a * scale * tl.load(weight_ptr + first, mask=inside, other=0.0).to(tl.float32)
    b = b * scale * tl.load(weight_ptr + second, mask=inside, other=0.0).to(tl.float32)
    if ROTATES:
        table = (
            batch.to(tl.int64) * table_batch_stride
            + head.to(tl.int64) * table_head_stride
            + token.to(tl.int64) * table_token_stride
            + channel
        )
        cos = tl.load(cos_ptr + table, mask=inside, other=0.0).to(tl.float32)
        sin = tl.load(sin_ptr + table, mask=inside, other=0.0).to(tl.float32)
        a, b = a * cos - b * sin, b * cos + a * sin
    target = out_ptr + row.to(tl.int64) * (2 * pairs)
    tl.store(target + first, a.to(out_ptr.dtype.element_ty), mask=inside)
    tl.store(target + second, b.to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def gate_heads_kernel(
    x_ptr,
    logits_ptr,
    out_ptr,
    tokens,
    heads,
    head_dim,
    batch_stride,
    token_stride,
    head_stride,
    logits_row_stride,
    BLOCK: tl.constexpr,
):
    """One program scales all heads of one token by twice the sigmoid of their gates."""
    row = tl.program_id(0)
    batch, token = row // tokens, row % tokens
    position = tl.arange(0, BLOCK)
    inside = position < heads * head_dim
    head, channel = position // head_dim, position % head_dim
    source = x_ptr + batch.to(tl.int64) * batch_stride + token.to(tl.int64) * token_stride
    x = tl.load(source + head.to(tl.int64) * head_stride + channel, mask=inside, other=0.0).to(tl.float32)
    logits = tl.load(logits_ptr + row.to(tl.int64) * logits_row_stride + head, mask=inside, other=0.0).to(tl.float32)
    gated = x * (2.0 / (1.0 + tl.exp(-logits)))
    tl.store(
        out_ptr + row.to(tl.int64) * (heads * head_dim) + position,
        gated.to(out_ptr.dtype.element_ty),
        mask=inside,
    )


@triton.jit
def quantize_kernel(
    x_ptr,
    low_ptr,
    high_ptr,
    scale_ptr,
    codes_ptr,
    elements,
    DYNAMIC: tl.constexpr,
    LARGEST: tl.constexpr,
    SMALLEST: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """e4m3 codes in one pass. ``DYNAMIC`` makes the scale from the extremes and stores it, else it is read."""
    program = tl.program_id(0)
    if DYNAMIC:
        low, high = tl.load(low_ptr).to(tl.float32), tl.load(high_ptr).to(tl.float32)
        # IEEE division as PyTorch has it: the default one may be off by a bit.
        largest = tl.maximum(tl.abs(low), tl.abs(high), propagate_nan=tl.PropagateNan.ALL)
        scale = tl.div_rn(tl.maximum(largest, SMALLEST, propagate_nan=tl.PropagateNan.ALL), LARGEST)
        if program == 0:
            tl.store(scale_ptr, scale)
    else:
        scale = tl.load(scale_ptr)
    factor = tl.div_rn(1.0, scale)
    position = program.to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = position < elements
    x = tl.load(x_ptr + position, mask=inside, other=0.0).to(tl.float32) * factor
    # As PyTorch's clamp: a NaN stays one. Left to themselves these make it the largest number.
    x = tl.maximum(x, -LARGEST, propagate_nan=tl.PropagateNan.ALL)
    x = tl.minimum(x, LARGEST, propagate_nan=tl.PropagateNan.ALL)
    tl.store(codes_ptr + position, x.to(codes_ptr.dtype.element_ty), mask=inside)


@triton.jit
def widen_kernel(codes_ptr, out_ptr, elements, BLOCK: tl.constexpr):
    """fp8 codes to 16-bit floats, many values per thread: a plain cast reads them one by one."""
    position = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = position < elements
    codes = tl.load(codes_ptr + position, mask=inside)
    tl.store(out_ptr + position, codes.to(out_ptr.dtype.element_ty), mask=inside)
