"""Latent upscalers (spec 03, part C)."""

from .configurator import LatentUpsamplerConfigurator, infer_config
from .latent_upsampler import LatentUpsampler
from .upsample_video import upsample_video

__all__ = ["LatentUpsampler", "LatentUpsamplerConfigurator", "infer_config", "upsample_video"]
