"""Schedulers, guiders, solver steps, noise and token layout."""

from __future__ import annotations

from ..on_demand import names_on_demand

__getattr__, __dir__, __all__ = names_on_demand(
    __name__,
    {
        ".diffusion_steps": (
            "EulerAncestralDiffusionStep",
            "EulerCfgPpDiffusionStep",
            "EulerDiffusionStep",
            "Res2sDiffusionStep",
        ),
        ".guiders": ("CFGGuider", "CFGStarRescalingGuider", "LegacyStatefulAPGGuider", "LtxAPGGuider", "STGGuider"),
        ".latent_statistics": ("adain", "normalize_statistics"),
        ".multimodal_guider": ("MultiModalGuider", "MultiModalGuiderFactory", "MultiModalGuiderParams"),
        ".noisers": ("GaussianNoiser", "Generators", "Noiser", "apply_noise", "seeded_generators"),
        ".patchifiers": ("AudioPatchifier", "VideoLatentPatchifier"),
        ".schedulers": ("BetaScheduler", "LTX2Scheduler", "LinearQuadraticScheduler"),
    },
)
