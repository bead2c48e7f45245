"""Muon for matrices and convolutions, Adam for the rest: half the steps of Adam alone on these small models.

Muon (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon) replaces a matrix's momentum by the nearest
orthogonal matrix, found by a quintic Newton-Schulz iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
MOMENTUM = 0.9
# Tall matrices are orthogonalised in pieces of this many rows, which is much cheaper and works as well here.
PIECE_ROWS = 64
SMALLEST_SIDE = 8


def orthogonalize(matrix: Tensor) -> Tensor:
    """About the nearest matrix with orthonormal rows (or columns) to each of ``(..., R, C)``."""
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def muon_update(gradient: Tensor) -> Tensor:
    """The direction for a weight ``(out, in, ...)``: unit singular values, piece by piece."""
    flat = gradient.flatten(1)
    rows, columns = flat.shape
    if rows > PIECE_ROWS and rows % PIECE_ROWS == 0:
        update = orthogonalize(flat.view(-1, PIECE_ROWS, columns))
        rows = PIECE_ROWS
    else:
        update = orthogonalize(flat)
    return update.reshape(gradient.shape) * max(1.0, rows / columns) ** 0.5


class Muon(torch.optim.Optimizer):
    """Muon for parameters of two or more dimensions, Adam for vectors and thin matrices.

    Args:
        parameters: all of them.
        lr: of Muon; :data:`adam_share` of it is Adam's.
    """

    adam_share = 0.1

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(list(parameters), {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        """One update."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if is_matrix(parameter):
                    self._muon(parameter, group["lr"])
                else:
                    self._adam(parameter, group["lr"] * self.adam_share)

    def _muon(self, parameter: nn.Parameter, rate: float) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].lerp_(parameter.grad, 1 - MOMENTUM)
        parameter.sub_(muon_update(torch.lerp(parameter.grad, momentum, MOMENTUM)), alpha=rate)

    def _adam(self, parameter: nn.Parameter, rate: float, first: float = 0.9, second: float = 0.99) -> None:
        state = self.state[parameter]
        if not state:
            state |= {"steps": torch.zeros(1), "exp_avg": torch.zeros_like(parameter)}
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["steps"] += 1
        count = float(state["steps"])
        mean = state["exp_avg"].lerp_(parameter.grad, 1 - first)
        square = state["exp_avg_sq"].lerp_(parameter.grad.square(), 1 - second)
        deviation = (square / (1 - second**count)).sqrt_().add_(1e-8)
        parameter.addcdiv_(mean, deviation, value=-rate / (1 - first**count))


def is_matrix(parameter: Tensor) -> bool:
    """Whether Muon moves it."""
    return parameter.ndim >= 2 and min(parameter.shape[0], parameter[0].numel()) >= SMALLEST_SIDE
