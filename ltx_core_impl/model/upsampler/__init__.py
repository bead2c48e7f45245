"""Latent upscalers (spec 03, part C)."""

from __future__ import annotations

from ...on_demand import names_on_demand

__getattr__, __dir__, __all__ = names_on_demand(
    __name__,
    {
        ".configurator": ("LatentUpsamplerConfigurator", "infer_config"),
        ".latent_upsampler": ("LatentUpsampler",),
        ".upsampling": ("upsample_video",),
    },
)
