"""The solvers by name, and what each needs besides the model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ...ltx_core_impl import sampling

# Called for the loop, so that the loops are imported when one runs.
SOLVERS = {
    "euler": lambda: sampling.euler_denoising_loop,
    "res_2s": lambda: sampling.res2s_denoising_loop,
    "gradient_estimating_euler": lambda: sampling.gradient_estimating_euler_denoising_loop,
    "euler_ancestral": lambda: sampling.euler_ancestral_denoising_loop,
    "euler_cfg_pp": lambda: partial(sampling.euler_cfg_pp_denoising_loop, eta=0.0),
    "euler_ancestral_cfg_pp": lambda: sampling.euler_cfg_pp_denoising_loop,
}
WITH_OWN_NOISE = ("res_2s", "euler_ancestral", "euler_ancestral_cfg_pp")
WITH_ETA = ("euler_ancestral", "euler_ancestral_cfg_pp")
WINDOW_SEED_STRIDE = 1000


def window_loop(solver: str, eta: float, seed: int, batch: int, window: int) -> Callable[..., sampling.States]:
    """The loop of a window; each window and each clip of the batch has a seed of its own for the noise of its steps."""
    loop = SOLVERS[solver]()
    if solver in WITH_ETA:
        loop = partial(loop, eta=eta)
    if solver not in WITH_OWN_NOISE:
        return loop
    first = seed + window * WINDOW_SEED_STRIDE
    return partial(loop, noise_seed=[first + index for index in range(batch)])
