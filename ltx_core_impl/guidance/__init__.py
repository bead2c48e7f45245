"""Guidance: what a pass of the transformer leaves out."""

from .perturbations import BatchedPerturbationConfig, Perturbation, PerturbationConfig, PerturbationType

__all__ = ["BatchedPerturbationConfig", "Perturbation", "PerturbationConfig", "PerturbationType"]
