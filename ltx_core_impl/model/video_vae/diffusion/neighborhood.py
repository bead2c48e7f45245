"""3-D neighbourhood attention in plain PyTorch (spec 03 §13.2).

Every query attends to exactly ``kernel`` positions per axis, centred on it, or shifted inward at a border. Queries
are taken in blocks; a block and the union of its windows go through ordinary masked attention.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ....kernels.neighborhood import fused_neighborhood_attention, neighborhood_kernel_name
from .params import Size

# Small blocks waste less of the union of windows, large ones launch fewer kernels.
QUERY_BLOCK: Size = (4, 8, 8)
# Masks are dense; this bounds one of them.
MAX_MASK_ELEMENTS = 2**26


@dataclass(frozen=True)
class AxisBlocks:
    """Query blocks along one axis: ``queries`` positions from each start, attending to ``keys`` positions.

    ``masks`` ``(blocks, queries, keys)`` says which of the block's keys lie in a query's window.
    """

    query_starts: list[int]
    key_starts: list[int]
    queries: int
    keys: int
    masks: Tensor


def axis_blocks(length: int, kernel: int, block: int, device: torch.device) -> AxisBlocks:
    """Cut an axis into query blocks of one size; the last block moves inward and may repeat queries.

    Raises:
        ValueError: the axis is shorter than the kernel.
    """
    check_window(length, kernel)
    queries = min(block, length)
    keys = min(length, queries + kernel - 1)
    query_starts = [min(start, length - queries) for start in range(0, length, queries)]
    key_starts = [min(max(start - kernel // 2, 0), length - keys) for start in query_starts]

    query = torch.tensor(query_starts, device=device)[:, None] + torch.arange(queries, device=device)
    window = (query - kernel // 2).clamp(0, length - kernel)[..., None]
    key = torch.tensor(key_starts, device=device)[:, None, None] + torch.arange(keys, device=device)
    return AxisBlocks(query_starts, key_starts, queries, keys, (key >= window) & (key < window + kernel))


def check_window(length: int, kernel: int) -> None:
    """Raises a ValueError when an axis is shorter than the window on it."""
    if length < kernel:
        raise ValueError(f"An attention window of {kernel} does not fit an axis of {length} positions.")


def neighborhood_attention(q: Tensor, k: Tensor, v: Tensor, kernel: Size, scale: float) -> Tensor:
    """Attention of ``(B, T, H, W, heads, d)`` tensors within windows of ``kernel`` positions.

    Half precision on a GPU goes through comfy-kitchen or NATTEN where one of them is installed.

    Raises:
        ValueError: an axis is shorter than its kernel.
    """
    package = neighborhood_kernel_name(q)
    if package is not None:
        for length, window in zip(q.shape[1:4], kernel, strict=True):
            check_window(length, window)
        return fused_neighborhood_attention(package, q, k, v, kernel, scale)
    time, height, width = (
        axis_blocks(length, window, block, q.device)
        for length, window, block in zip(q.shape[1:4], kernel, QUERY_BLOCK, strict=True)
    )
    batch = q.shape[0]
    columns = _column_groups(time, height, width, batch)
    out = torch.empty_like(q)
    for t, (t_query, t_key) in enumerate(zip(time.query_starts, time.key_starts, strict=True)):
        for h, (h_query, h_key) in enumerate(zip(height.query_starts, height.key_starts, strict=True)):
            rows = (
                slice(None),
                slice(t_query, t_query + time.queries),
                slice(h_query, h_query + height.queries),
            )
            key_rows = (slice(None), slice(t_key, t_key + time.keys), slice(h_key, h_key + height.keys))
            for group in columns:
                query_columns = width.query_starts[group]
                key_columns = width.key_starts[group]
                attended = F.scaled_dot_product_attention(
                    _gather(q[rows], query_columns, width.queries),
                    _gather(k[key_rows], key_columns, width.keys),
                    _gather(v[key_rows], key_columns, width.keys),
                    attn_mask=_window_mask(time.masks[t], height.masks[h], width.masks[group], batch),
                    scale=scale,
                )
                _scatter(out[rows], attended, query_columns, width.queries)
    return out


def _column_groups(time: AxisBlocks, height: AxisBlocks, width: AxisBlocks, batch: int) -> list[slice]:
    """Blocks along the width that are attended together, as many as their masks allow."""
    elements = batch * time.queries * time.keys * height.queries * height.keys * width.queries * width.keys
    step = max(1, MAX_MASK_ELEMENTS // elements)
    return [slice(start, start + step) for start in range(0, len(width.query_starts), step)]


def _window_mask(time: Tensor, height: Tensor, width: Tensor, batch: int) -> Tensor:
    """``(tq, tk)``, ``(hq, hk)`` and ``(n, wq, wk)`` -> ``(n·batch, 1, tq·hq·wq, tk·hk·wk)``."""
    rows = time[:, None, :, None] & height[None, :, None, :]
    mask = rows[None, :, :, None, :, :, None] & width[:, None, None, :, None, None, :]
    mask = mask.flatten(4, 6).flatten(1, 3)[:, None]
    return mask if batch == 1 else mask.repeat_interleave(batch, dim=0)


def _gather(x: Tensor, starts: list[int], size: int) -> Tensor:
    """``(B, t, h, W, heads, d)`` -> ``(n·B, heads, t·h·size, d)``, n start columns.

    Four dimensions, which the fused attention kernels ask for.
    """
    blocks = torch.stack([x[:, :, :, start : start + size] for start in starts])
    return blocks.flatten(0, 1).flatten(1, 3).transpose(1, 2)


def _scatter(out: Tensor, attended: Tensor, starts: list[int], size: int) -> None:
    """Write ``(n·B, heads, t·h·size, d)`` back into ``out`` ``(B, t, h, W, heads, d)``."""
    for start, block in zip(starts, attended.split(out.shape[0]), strict=True):
        target = out[:, :, :, start : start + size]
        target.copy_(block.transpose(1, 2).reshape(target.shape))
