"""One input, several layers: what a layer makes of its input is made once."""

from __future__ import annotations

from collections.abc import Hashable

from torch import Tensor, nn


class SharedInput:
    """An input that several linear layers read. Layers with ``shares_input`` keep what they make of it in ``prepared``.

    Attributes:
        x: ``(..., D)``; it must not change while this object is used.
        prepared: quantised forms of ``x``, by what they depend on.
    """

    def __init__(self, x: Tensor) -> None:
        self.x = x
        self.prepared: dict[Hashable, tuple[Tensor, Tensor]] = {}

    def through(self, linear: nn.Module) -> Tensor:
        """The layer's output."""
        if getattr(linear, "shares_input", False):
            return linear(self.x, self.prepared)
        return linear(self.x)
