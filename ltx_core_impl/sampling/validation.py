"""Checks of a schedule before any model call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def checked_sigmas(sigmas: Tensor | Sequence[float]) -> Tensor:
    """The schedule as float32 on the CPU, where reading a value does not wait for the device.

    Raises:
        ValueError: unless it is 1-D with at least two finite, strictly descending values in [0, 1].
    """
    sigmas = torch.as_tensor(sigmas, dtype=torch.float32).detach().cpu()
    values = [round(value, 6) for value in sigmas.flatten().tolist()]
    if sigmas.ndim != 1 or len(values) < 2:
        raise ValueError(f"A schedule is a list of at least 2 sigmas; got shape {tuple(sigmas.shape)}: {values}.")
    if not bool(torch.isfinite(sigmas).all()) or bool((sigmas < 0).any() | (sigmas > 1).any()):
        raise ValueError(f"Sigmas of this model lie between 0 and 1; got {values}.")
    for index in range(len(values) - 1):
        if not sigmas[index] > sigmas[index + 1]:
            raise ValueError(
                f"Sigmas must descend; number {index + 1} is {values[index]} and number {index + 2} is "
                f"{values[index + 1]}. Sort the list, or join two schedules without the repeated value."
            )
    return sigmas
