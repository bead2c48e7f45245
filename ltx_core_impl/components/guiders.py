"""Guidance deltas: what an extra prediction adds to the conditional one (spec 06 §8).

Every ``delta(cond, other)`` takes denoised predictions, tokens ``(B, N, D)`` or latents ``(B, C, F, H, W)``, computes
in float32 and returns the dtype of ``cond``. Projections and norms are taken for each sample, so a batch gives every
sample what it gets alone; for one sample they equal the reference.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class CFGGuider:
    """Classifier-free guidance (arXiv 2207.12598)."""

    scale: float

    def enabled(self) -> bool:
        """Whether the extra pass changes anything."""
        return self.scale != 1.0

    def delta(self, cond: Tensor, uncond: Tensor) -> Tensor:
        """(scale − 1)·(c − u)."""
        return ((self.scale - 1.0) * (cond.float() - uncond.float())).to(cond.dtype)


@dataclass(frozen=True)
class CFGStarRescalingGuider:
    """CFG against the optimally scaled negative prediction (CFG-Zero*, arXiv 2503.18886)."""

    scale: float

    def enabled(self) -> bool:
        """Whether the extra pass changes anything."""
        return self.scale != 1.0

    def delta(self, cond: Tensor, uncond: Tensor) -> Tensor:
        """(scale − 1)·(c − proj(c, u)·u)."""
        c, u = cond.float(), uncond.float()
        return ((self.scale - 1.0) * (c - projection_coefficient(c, u) * u)).to(cond.dtype)


@dataclass(frozen=True)
class STGGuider:
    """Spatio-temporal guidance away from a perturbed prediction (arXiv 2411.18664)."""

    scale: float

    def enabled(self) -> bool:
        """Whether the extra pass changes anything."""
        return self.scale != 0.0

    def delta(self, cond: Tensor, perturbed: Tensor) -> Tensor:
        """scale·(c − p)."""
        return (self.scale * (cond.float() - perturbed.float())).to(cond.dtype)


@dataclass(frozen=True)
class LtxAPGGuider:
    """Adaptive projected guidance (arXiv 2410.02416).

    Attributes:
        scale: guidance scale; 1 is neutral.
        eta: weight of the part parallel to the conditional prediction; 1 keeps it.
        norm_threshold: largest norm of the guidance; 0 does not limit it.
    """

    scale: float
    eta: float = 1.0
    norm_threshold: float = 0.0

    def enabled(self) -> bool:
        """Whether the extra pass changes anything."""
        return self.scale != 1.0

    def delta(self, cond: Tensor, uncond: Tensor) -> Tensor:
        """(eta·g∥ + g⊥)·(scale − 1) with g the limited c − u."""
        c = cond.float()
        guidance = _project(c - uncond.float(), c, self.eta, self.norm_threshold)
        return (guidance * (self.scale - 1.0)).to(cond.dtype)


@dataclass
class LegacyStatefulAPGGuider:
    """APG with a running average of the guidance; one object serves one run.

    Attributes:
        scale: guidance scale; 0 is neutral (the whole guidance is multiplied by it, not by scale − 1).
        eta: weight of the parallel part.
        norm_threshold: largest norm of the guidance; 0 does not limit it.
        momentum: weight of the previous average; 0 keeps no average.
    """

    scale: float
    eta: float
    norm_threshold: float = 5.0
    momentum: float = 0.0
    running_average: Tensor | None = None

    def enabled(self) -> bool:
        """Whether the extra pass changes anything."""
        return self.scale != 0.0

    def delta(self, cond: Tensor, uncond: Tensor) -> Tensor:
        """(eta·g∥ + g⊥)·scale with g the limited running average of c − u."""
        c = cond.float()
        guidance = c - uncond.float()
        if self.momentum != 0.0:
            if self.running_average is not None:
                guidance = self.momentum * self.running_average + guidance
            self.running_average = guidance
        return (_project(guidance, c, self.eta, self.norm_threshold) * self.scale).to(cond.dtype)


def projection_coefficient(vector: Tensor, onto: Tensor) -> Tensor:
    """⟨a, b⟩/(‖b‖² + 1e-8) for each sample, shaped to broadcast against the inputs: ``(B, 1, ..., 1)``."""
    dims = tuple(range(1, vector.ndim))
    product = (vector * onto).sum(dim=dims, keepdim=True)
    return product / (onto.square().sum(dim=dims, keepdim=True) + 1e-8)


def _project(guidance: Tensor, cond: Tensor, eta: float, norm_threshold: float) -> Tensor:
    """Limit the norm of the guidance and weight its part parallel to ``cond`` with ``eta``."""
    if norm_threshold > 0.0:
        dims = tuple(range(max(1, guidance.ndim - 3), guidance.ndim))  # of video latents each channel by itself
        norm = torch.linalg.vector_norm(guidance, dim=dims, keepdim=True)
        guidance = guidance * (norm_threshold / norm).clamp(max=1.0)
    parallel = projection_coefficient(guidance, cond) * cond
    return eta * parallel + (guidance - parallel)
