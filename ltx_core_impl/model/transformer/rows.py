"""Picking batch rows without copies where that is possible."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def take_rows(tensor: torch.Tensor, rows: Sequence[int] | None) -> torch.Tensor:
    """Rows ``rows`` of dimension 0; a leading dimension of 1 is shared by all rows and returned as it is.

    ``None`` means every row. Consecutive ascending rows give a view, others a copy.
    """
    if rows is None or tensor.shape[0] == 1:
        return tensor
    rows = list(rows)
    if rows and rows == list(range(rows[0], rows[0] + len(rows))):
        return tensor[rows[0] : rows[0] + len(rows)]
    return tensor[rows]


def share_rows(tensor: torch.Tensor) -> torch.Tensor:
    """One row of a tensor that was expanded along dimension 0, any other tensor as it is."""
    return tensor[:1] if tensor.shape[0] > 1 and tensor.stride(0) == 0 else tensor


def put_rows(tensor: torch.Tensor, rows: Sequence[int] | None, values: torch.Tensor) -> torch.Tensor:
    """A copy of ``tensor`` whose rows ``rows`` are ``values``; ``None`` replaces every row."""
    if rows is None:
        return values
    tensor = tensor.clone()
    tensor[list(rows)] = values
    return tensor
