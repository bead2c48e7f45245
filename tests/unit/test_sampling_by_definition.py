"""Loops and guided denoising against second ones written step by step from spec 06, over what no fixture has.

Masks are fractional, both modalities have sizes of their own, and the toy model answers with the noise level of each
token, so that a wrong sigma, mask, order of draws or rounding shows.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from ltx_core_impl.components.multimodal_guider import MultiModalGuider, MultiModalGuiderParams
from ltx_core_impl.guidance import PerturbationType
from ltx_core_impl.sampling import denoisers, loops, res2s
from ltx_core_impl.types import LatentState

SIGMAS = [0.97, 0.9, 0.55, 0.2, 0.0]
KINDS = (PerturbationType.SKIP_VIDEO_SELF_ATTN, PerturbationType.SKIP_AUDIO_SELF_ATTN)


def make_state(tokens: int, width: int, axes: int, seed: int, batch: int = 1, dtype=torch.float32) -> LatentState:
    g = torch.Generator().manual_seed(seed)
    return LatentState(
        latent=torch.randn(batch, tokens, width, generator=g).to(dtype),
        clean_latent=torch.randn(batch, tokens, width, generator=g).to(dtype),
        denoise_mask=torch.tensor([1.0, 0.0, 0.3, 0.85, 0.1])
        .repeat(tokens)[:tokens]
        .view(1, -1, 1)
        .repeat(batch, 1, 1),
        positions=torch.rand(batch, axes, tokens, 2, generator=g),
    )


class ToyModel:
    """Rows depend on latents, noise levels, context, perturbation and the other stream, and on nothing else."""

    def __call__(self, video=None, audio=None, perturbations=None, forks=()):
        rows = (video or audio).latent.shape[0]
        configs = list(perturbations.perturbations) if perturbations else [None] * rows
        order = [(row, configs[row]) for row in range(rows)] + [(row, config) for row, config in forks]
        outputs = []
        for stream, other, own, cross in (
            (video, audio, KINDS[0], PerturbationType.SKIP_A2V_CROSS_ATTN),
            (audio, video, KINDS[1], PerturbationType.SKIP_V2A_CROSS_ATTN),
        ):
            if stream is None:
                outputs.append(None)
                continue
            out = []
            for row, config in order:
                x = stream.latent[row].double()
                y = x - x.sin() * stream.timesteps[row].double() + 0.1 * stream.sigma[row].double()
                y = y + stream.context[row].double().mean()
                skipped = sum(config.is_perturbed(own, block) for block in range(4)) if config else 0
                y = y * (1 + 0.03 * skipped)
                if other is not None and not (config and config.is_perturbed(cross, 0)):
                    y = y + 0.2 * other.latent[row].double().mean() * other.sigma[row].double()
                out.append(y)
            outputs.append(torch.stack(out).to(stream.latent.dtype))
        return tuple(outputs)


def toy(states: list[LatentState], sigma: float, contexts, skips=((), ()), isolated: bool = False) -> list[Tensor]:
    """What ToyModel predicts for one sample, written once more."""
    results = []
    for i, state in enumerate(states):
        x, other = state.latent.double(), states[1 - i]
        y = (
            x
            - x.sin() * (state.denoise_mask * torch.tensor(sigma).float()).double()
            + 0.1 * torch.tensor(sigma).double()
        )
        y = (y + contexts[i].double().mean()) * (1 + 0.03 * len(skips[i]))
        if not isolated:
            y = y + 0.2 * other.latent.double().mean() * sigma
        results.append(y.to(state.latent.dtype))
    return results


def blend(d: Tensor, state: LatentState) -> Tensor:
    return (d * state.denoise_mask + state.clean_latent.float() * (1 - state.denoise_mask)).to(d.dtype)


CONTEXTS = (torch.full((1, 3, 2), 0.05), torch.full((1, 4, 2), -0.07))


def run(loop, states, **options) -> list[Tensor]:
    denoiser = denoisers.SimpleDenoiser(*CONTEXTS)
    ends = loop(torch.tensor(SIGMAS), *states, ToyModel(), denoiser, **options)
    return [end.latent for end in ends]


def both_states(**options) -> list[LatentState]:
    return [make_state(7, 6, 3, seed=1, **options), make_state(4, 3, 1, seed=2, **options)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_euler(dtype: torch.dtype) -> None:
    states = both_states(dtype=dtype)
    got = run(loops.euler_denoising_loop, states)
    sigmas = torch.tensor(SIGMAS)
    for i in range(len(SIGMAS) - 1):
        predicted = toy(states, sigmas[i].item(), CONTEXTS)
        new = []
        for state, d in zip(states, predicted, strict=True):
            x = state.latent.float()
            v = ((x - blend(d, state).float()) / sigmas[i].item()).to(dtype)
            new.append(replace(state, latent=(x + v.float() * (sigmas[i + 1] - sigmas[i])).to(dtype)))
        states = new
    for latent, state in zip(got, states, strict=True):
        assert latent.dtype == dtype
        torch.testing.assert_close(latent, state.latent)


def res2s_noise(generator: torch.Generator, like: Tensor) -> Tensor:
    z = torch.randn(like.shape, generator=generator, dtype=torch.float64)
    z = (z - z.mean()) / z.std()
    return (z - z.mean(dim=(-2, -1), keepdim=True)) / z.std(dim=(-2, -1), keepdim=True)


def inject(x: Tensor, y: Tensor, sigma: Tensor, sigma_next: Tensor, noise: Tensor, eta: float) -> Tensor:
    up = torch.minimum(eta * sigma_next, 0.9999 * sigma_next)
    residual = (sigma_next**2 - up**2).sqrt()
    alpha = (1 - sigma_next) + residual
    if up == 0 or sigma_next == 0:
        return y
    eps = (x - y) / (sigma - sigma_next)
    return alpha * ((x - sigma * eps) + residual / alpha * eps) + up * noise


@pytest.mark.parametrize(("eta", "bong", "seed"), [(0.5, True, -1), (0.0, True, 7), (1.0, False, 8), (0.25, True, 9)])
@pytest.mark.parametrize("schedule", [SIGMAS, [0.97, 0.9, 0.55, 0.2], [0.3, 0.2, 0.05, 0.04, 0.025, 0.02, 0.0]])
def test_res2s(eta: float, bong: bool, seed: int, schedule: list[float]) -> None:
    """Long and short steps, above and below the noise level where the anchor stops moving, to 0 and not to 0."""
    last = schedule[-1]
    states = both_states()
    denoiser = denoisers.SimpleDenoiser(*CONTEXTS)
    ends = res2s.res2s_denoising_loop(
        torch.tensor(schedule), *states, ToyModel(), denoiser, eta=eta, bongmath=bong, noise_seed=seed
    )
    sigmas = torch.tensor(schedule if last else [*schedule[:-1], 0.0011, 0.0])
    step_g, sub_g = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed + 10000)
    for i in range(len(sigmas) - 1 - (not last)):
        sigma, following = sigmas[i].double(), sigmas[i + 1].double()
        h = -(following / sigma).log().item()
        phi1, half = (1 - math.exp(-h)) / h, (1 - math.exp(-h / 2)) / (h / 2)
        b2 = 2 * (math.exp(-h) - 1 + h) / h**2
        a21, b1, middle = 0.5 * half, phi1 - b2, (sigma * following).sqrt()
        firsts = [blend(d, s).double() for d, s in zip(toy(states, sigmas[i].item(), CONTEXTS), states, strict=True)]
        anchors, mids = [], []
        for state, d1 in zip(states, firsts, strict=True):
            x = state.latent.double()
            y = inject(x, x + h * a21 * (d1 - x), sigma, middle, res2s_noise(sub_g, x), 0.5)
            y = y * state.denoise_mask + state.clean_latent * (1 - state.denoise_mask)
            if bong and h < 0.5 and sigma > 0.03:
                e1 = d1 - x
                for _ in range(100):
                    x = y - h * a21 * e1
                    e1 = d1 - x
            anchors.append(x)
            mids.append(replace(state, latent=y.float()))
        seconds = [blend(d, s).double() for d, s in zip(toy(mids, middle.item(), CONTEXTS), mids, strict=True)]
        new = []
        for state, x, d1, d2 in zip(states, anchors, firsts, seconds, strict=True):
            y = x + h * (b1 * (d1 - x) + b2 * (d2 - x))
            y = inject(x, y, sigmas[i], sigmas[i + 1], res2s_noise(step_g, x), eta)
            y = y * state.denoise_mask + state.clean_latent * (1 - state.denoise_mask)
            new.append(replace(state, latent=y.float()))
        states = new
    if not last:
        final = toy(states, sigmas[-2].item(), CONTEXTS)
        states = [replace(s, latent=blend(d, s)) for d, s in zip(final, states, strict=True)]
    for end, state in zip(ends, states, strict=True):
        torch.testing.assert_close(end.latent, state.latent, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize(("eta", "s_noise"), [(0.0, 1.0), (0.4, 0.7), (1.0, 1.0)])
def test_ancestral(eta: float, s_noise: float) -> None:
    states = both_states()
    got = run(partial(loops.euler_ancestral_denoising_loop, eta=eta, s_noise=s_noise, noise_seed=5), states)
    sigmas, generator = torch.tensor(SIGMAS), torch.Generator().manual_seed(5)
    for i in range(len(SIGMAS) - 1):
        s, t, new = sigmas[i], sigmas[i + 1], []
        for state, prediction in zip(states, toy(states, s.item(), CONTEXTS), strict=True):
            d = blend(prediction, state)
            if t == 0:
                new.append(replace(state, latent=d))
                continue
            down = t * (1 + (t / s - 1) * eta)
            x = down / s * state.latent + (1 - down / s) * d
            if eta > 0:
                noise = torch.randn(x.shape, generator=generator)
                scale = (t**2 - down**2 * (1 - t) ** 2 / (1 - down) ** 2).clamp(min=0).sqrt()
                x = blend((1 - t) / (1 - down) * x + noise * s_noise * scale, state)
            new.append(replace(state, latent=x))
        states = new
    for latent, state in zip(got, states, strict=True):
        torch.testing.assert_close(latent, state.latent, atol=1e-6, rtol=1e-5)


GUIDANCE = [
    (MultiModalGuiderParams(), MultiModalGuiderParams()),
    (
        MultiModalGuiderParams(cfg_scale=3.0, stg_scale=1.0, stg_blocks=(0, 2), rescale_scale=0.7, modality_scale=2.0),
        MultiModalGuiderParams(cfg_scale=7.0, stg_scale=0.5, stg_blocks=None, rescale_scale=1.0),
    ),
    (MultiModalGuiderParams(stg_scale=2.0, stg_blocks=[]), MultiModalGuiderParams(modality_scale=0.5)),
    (MultiModalGuiderParams(cfg_scale=0.0, rescale_scale=0.3), MultiModalGuiderParams(cfg_scale=1.0)),
    (
        MultiModalGuiderParams(cfg_scale=-1.0, modality_scale=3.0),
        MultiModalGuiderParams(stg_scale=-1.0, stg_blocks=(3,)),
    ),
]


@pytest.mark.parametrize("params", GUIDANCE)
@pytest.mark.parametrize("max_batch_size", [None, 1, 2, 3])
@pytest.mark.parametrize("batch", [1, 2])
def test_guidance(params: tuple, max_batch_size: int | None, batch: int) -> None:
    """Every sample gets its own combination of cond, uncond, ptb and mod, however calls are cut."""
    states = both_states(batch=batch)
    negatives = [context * -3 for context in CONTEXTS]
    guiders = [MultiModalGuider(p, negative) for p, negative in zip(params, negatives, strict=True)]
    denoiser = denoisers.GuidedDenoiser(*CONTEXTS, *guiders, max_batch_size=max_batch_size)
    got = denoiser(ToyModel(), *states, torch.tensor([0.8, 0.4]), 0)
    sigma = torch.tensor(0.8).item()
    for sample in range(batch):
        one = [
            replace(
                s,
                latent=s.latent[sample : sample + 1],
                clean_latent=s.clean_latent[sample : sample + 1],
                denoise_mask=s.denoise_mask[sample : sample + 1],
            )
            for s in states
        ]
        blocks = [(range(4) if p.stg_blocks is None else p.stg_blocks) if p.stg_scale != 0 else () for p in params]
        cond, uncond = toy(one, sigma, CONTEXTS), toy(one, sigma, negatives)
        ptb, mod = toy(one, sigma, CONTEXTS, skips=blocks), toy(one, sigma, CONTEXTS, isolated=True)
        for i, p in enumerate(params):
            c = cond[i]
            want = c + (p.cfg_scale - 1) * (c - uncond[i]) + p.stg_scale * (c - ptb[i])
            want = want + (p.modality_scale - 1) * (c - mod[i])
            if p.rescale_scale:
                want = want * (p.rescale_scale * c.std() / want.std() + 1 - p.rescale_scale)
            torch.testing.assert_close(got[i].denoised[sample : sample + 1], want, atol=1e-5, rtol=1e-5)
