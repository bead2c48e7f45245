"""Denoisers, loops and the stage that ties them together."""

from .denoisers import Denoiser, GuidedDenoiser, Prediction, SimpleDenoiser
from .loops import (
    euler_ancestral_denoising_loop,
    euler_cfg_pp_denoising_loop,
    euler_denoising_loop,
    gradient_estimating_euler_denoising_loop,
)
from .res2s import res2s_denoising_loop
from .stage import StageModality, denoise_stage
from .validation import checked_sigmas

__all__ = [
    "Denoiser",
    "GuidedDenoiser",
    "Prediction",
    "SimpleDenoiser",
    "StageModality",
    "checked_sigmas",
    "denoise_stage",
    "euler_ancestral_denoising_loop",
    "euler_cfg_pp_denoising_loop",
    "euler_denoising_loop",
    "gradient_estimating_euler_denoising_loop",
    "res2s_denoising_loop",
]
