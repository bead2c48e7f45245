"""Picking batch rows without copies where that is possible."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def take_rows(tensor: torch.Tensor, rows: Sequence[int] | None) -> torch.Tensor:
    """Rows ``rows`` of dimension 0; a leading dimension of 1 is shared by all rows and returned as it is.

    ``None`` means every row. Consecutive ascending rows give a view, others a copy.
    """
    return tensor if rows is None or tensor.shape[0] == 1 else pick_rows(tensor, rows)


def pick_rows(tensor: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
    """Rows ``rows`` of dimension 0, of which none stands for others.

    Made of slices: a list of numbers would be copied to the device as an index, and that copy waits for the device.
    """
    pieces = [tensor[start:stop] for start, stop in _runs(rows)]
    if not pieces:
        return tensor[:0]
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


def share_rows(tensor: torch.Tensor) -> torch.Tensor:
    """One row of a tensor that was expanded along dimension 0, any other tensor as it is."""
    return tensor[:1] if tensor.shape[0] > 1 and tensor.stride(0) == 0 else tensor


def put_rows(tensor: torch.Tensor, rows: Sequence[int] | None, values: torch.Tensor) -> torch.Tensor:
    """A copy of ``tensor`` whose rows ``rows`` are ``values``; ``None`` replaces every row."""
    if rows is None:
        return values
    tensor = tensor.clone()
    done = 0
    for start, stop in _runs(rows):
        tensor[start:stop] = values[done : done + stop - start]
        done += stop - start
    return tensor


def _runs(rows: Sequence[int]) -> list[tuple[int, int]]:
    """``[start, stop)`` of each stretch of consecutive ascending rows, in order."""
    runs: list[tuple[int, int]] = []
    for row in rows:
        if runs and runs[-1][1] == row:
            runs[-1] = (runs[-1][0], row + 1)
        else:
            runs.append((row, row + 1))
    return runs
