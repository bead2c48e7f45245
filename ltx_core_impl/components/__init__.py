"""Schedulers, guiders, solver steps, noise and token layout."""

from .diffusion_steps import (
    EulerAncestralDiffusionStep,
    EulerCfgPpDiffusionStep,
    EulerDiffusionStep,
    Res2sDiffusionStep,
)
from .guiders import CFGGuider, CFGStarRescalingGuider, LegacyStatefulAPGGuider, LtxAPGGuider, STGGuider
from .multimodal_guider import MultiModalGuider, MultiModalGuiderFactory, MultiModalGuiderParams
from .noisers import GaussianNoiser, Noiser, apply_noise, seeded_generators
from .patchifiers import AudioPatchifier, VideoLatentPatchifier
from .schedulers import BetaScheduler, LinearQuadraticScheduler, LTX2Scheduler

__all__ = [
    "AudioPatchifier",
    "BetaScheduler",
    "CFGGuider",
    "CFGStarRescalingGuider",
    "EulerAncestralDiffusionStep",
    "EulerCfgPpDiffusionStep",
    "EulerDiffusionStep",
    "GaussianNoiser",
    "LTX2Scheduler",
    "LegacyStatefulAPGGuider",
    "LinearQuadraticScheduler",
    "LtxAPGGuider",
    "MultiModalGuider",
    "MultiModalGuiderFactory",
    "MultiModalGuiderParams",
    "Noiser",
    "Res2sDiffusionStep",
    "STGGuider",
    "VideoLatentPatchifier",
    "apply_noise",
    "seeded_generators",
]
