"""Guidance: what a pass of the transformer leaves out."""

from __future__ import annotations

from ..on_demand import names_on_demand

__getattr__, __dir__, __all__ = names_on_demand(
    __name__,
    {
        ".perturbations": ("BatchedPerturbationConfig", "Perturbation", "PerturbationConfig", "PerturbationType"),
    },
)
