"""The solvers by name, and what each needs besides the model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ...ltx_core_impl.sampling.loops import (
    States,
    euler_ancestral_denoising_loop,
    euler_cfg_pp_denoising_loop,
    euler_denoising_loop,
    gradient_estimating_euler_denoising_loop,
)
from ...ltx_core_impl.sampling.res2s import res2s_denoising_loop

SOLVERS = {
    "euler": euler_denoising_loop,
    "res_2s": res2s_denoising_loop,
    "gradient_estimating_euler": gradient_estimating_euler_denoising_loop,
    "euler_ancestral": euler_ancestral_denoising_loop,
    "euler_cfg_pp": partial(euler_cfg_pp_denoising_loop, eta=0.0),
    "euler_ancestral_cfg_pp": euler_cfg_pp_denoising_loop,
}
WITH_OWN_NOISE = ("res_2s", "euler_ancestral", "euler_ancestral_cfg_pp")
WITH_ETA = ("euler_ancestral", "euler_ancestral_cfg_pp")
WINDOW_SEED_STRIDE = 1000


def window_loop(solver: str, eta: float, seed: int, batch: int, window: int) -> Callable[..., States]:
    """The loop of a window; each window and each clip of the batch has a seed of its own for the noise of its steps."""
    loop = partial(SOLVERS[solver], eta=eta) if solver in WITH_ETA else SOLVERS[solver]
    if solver not in WITH_OWN_NOISE:
        return loop
    first = seed + window * WINDOW_SEED_STRIDE
    return partial(loop, noise_seed=[first + index for index in range(batch)])
