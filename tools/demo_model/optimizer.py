"""Muon for matrices and convolutions, Adam for the rest: half the steps of Adam alone on these small models.

Muon (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon) replaces a matrix's momentum by the nearest
orthogonal matrix, found by a quintic Newton-Schulz iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

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


def muon_update(gradients: Tensor) -> Tensor:
    """The directions for weights ``(N, out, in, ...)``: unit singular values, piece by piece."""
    rows, columns = gradients.shape[1], gradients[0, 0].numel()
    piece = PIECE_ROWS if rows % PIECE_ROWS == 0 else rows
    update = orthogonalize(gradients.reshape(-1, piece, columns))
    return update.reshape(gradients.shape) * max(1.0, piece / columns) ** 0.5


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
            alike: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if is_matrix(parameter):
                    alike.setdefault(parameter.shape, []).append(parameter)
                else:
                    self._adam(parameter, group["lr"] * self.adam_share)
            for parameters in alike.values():
                self._muon(parameters, group["lr"])

    def _muon(self, parameters: Sequence[nn.Parameter], rate: float) -> None:
        """Move parameters of one shape."""
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters]
        momenta = [self.state[parameter]["momentum"] for parameter in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        ahead = torch._foreach_lerp(gradients, momenta, MOMENTUM)
        torch._foreach_add_(list(parameters), list(muon_update(torch.stack(ahead))), alpha=-rate)

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
