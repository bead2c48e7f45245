"""A denoising loop never waits for the device: what decides anything is known on the host after the first step."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from ltx_core_impl.components.multimodal_guider import MultiModalGuider, MultiModalGuiderParams
from ltx_core_impl.model.transformer import X0Model
from ltx_core_impl.model.transformer.rope import forget_constants
from ltx_core_impl.sampling.denoisers import GuidedDenoiser, SimpleDenoiser
from ltx_core_impl.sampling.loops import (
    euler_ancestral_denoising_loop,
    euler_cfg_pp_denoising_loop,
    euler_denoising_loop,
    gradient_estimating_euler_denoising_loop,
)
from ltx_core_impl.sampling.res2s import res2s_denoising_loop
from ltx_core_impl.types import LatentState
from tests.device_reads import DeviceReads
from tests.transformer_helpers import golden_modalities, load_transformer

SIGMAS = torch.tensor([1.0, 0.8, 0.5, 0.2, 0.0])
GUIDED = MultiModalGuiderParams(cfg_scale=3.0, stg_scale=1.0, stg_blocks=(1,), rescale_scale=0.7, modality_scale=3.0)


def states(kept: int, partly: bool, attention: bool) -> tuple[LatentState, LatentState]:
    """Two samples of video and audio whose first ``kept`` tokens are given."""
    found = []
    for modality in golden_modalities("2.3"):
        latent = modality.latent[:1].expand(2, -1, -1).clone()
        mask = torch.ones(*latent.shape[:2], 1)
        mask[:, :kept] = 0.0
        if partly:
            mask[1, kept : 2 * kept] = 0.5
        tokens = latent.shape[1]
        found.append(
            LatentState(
                latent=latent,
                denoise_mask=mask,
                positions=modality.positions[:1].expand(2, -1, -1, -1).clone(),
                clean_latent=latent.clone(),
                attention_mask=torch.full((2, tokens, tokens), 0.5) if attention else None,
            )
        )
    return tuple(found)


def denoiser(guided: bool, limit: int | None = None) -> tuple[object, list[torch.Tensor]]:
    video, audio = (modality.context[:1].clone() for modality in golden_modalities("2.3"))
    if not guided:
        return SimpleDenoiser(video, audio), [video, audio]
    negatives = [-video, -audio]
    guiders = [MultiModalGuider(GUIDED, negative_context=negative) for negative in negatives]
    made = GuidedDenoiser(video, audio, *guiders, max_batch_size=limit, force_uncond=True)
    return made, [video, audio, *negatives]


CASES = {
    "plain": (euler_denoising_loop, False, (0, False, False), None),
    "guided": (euler_denoising_loop, True, (0, False, False), None),
    "guided, in calls of three rows": (euler_denoising_loop, True, (0, False, False), 3),
    "image": (euler_denoising_loop, False, (4, False, False), None),
    "image of partial strength, guided": (euler_denoising_loop, True, (4, True, False), None),
    "reference": (euler_denoising_loop, True, (4, False, True), None),
    "gradient estimation": (gradient_estimating_euler_denoising_loop, False, (4, False, False), None),
    "ancestral": (euler_ancestral_denoising_loop, False, (4, False, False), None),
    "CFG++": (euler_cfg_pp_denoising_loop, True, (4, False, False), None),
    "res_2s": (res2s_denoising_loop, True, (4, True, False), None),
}


@pytest.mark.parametrize("inference", [False, True], ids=["no_grad", "inference_mode"])
@pytest.mark.parametrize("case", CASES)
def test_no_step_after_the_first_reads_from_the_device(case: str, inference: bool) -> None:
    loop, guided, layout, limit = CASES[case]
    model = X0Model(load_transformer("2.3"))
    with torch.inference_mode(inference), torch.no_grad():
        video, audio = states(*layout)
        chosen, contexts = denoiser(guided, limit)
        tensors = [value for state in (video, audio) for value in vars(state).values() if torch.is_tensor(value)]
        mode = DeviceReads([*tensors, *contexts, *model.parameters(), *model.buffers()])
        after_first: list[int] = []

        def callback(index: int, *_: object) -> None:
            if index == 0:
                after_first.append(mode.reads.total())

        with mode:
            loop(SIGMAS, video, audio, model, chosen, callback)
    assert mode.reads.total() == after_first[0], mode.reads


def test_the_first_step_reads_each_mask_and_each_set_of_positions_once() -> None:
    forget_constants()
    model = X0Model(load_transformer("2.3"))
    with torch.no_grad():
        video, audio = states(4, False, False)
        chosen, contexts = denoiser(True)
        tensors = [value for state in (video, audio) for value in vars(state).values() if torch.is_tensor(value)]
        with DeviceReads([*tensors, *contexts, *model.parameters()]) as mode:
            euler_denoising_loop(SIGMAS, video, audio, model, chosen)
    copied = mode.reads["tensor to the device"] + mode.reads["copy to the device"]
    # Per stream: are all levels equal, which are there; are the rows of positions equal (own and cross table).
    assert 0 < mode.reads.total() - copied <= 8, mode.reads
    # Grid and scale of four tables, which stay there for all later runs.
    assert 0 < copied <= 8, mode.reads


@pytest.mark.parametrize(
    "read",
    [
        lambda x: bool(x.sum() > 0),
        lambda x: x[0, 0].item(),
        lambda x: torch.equal(x, x + 1),
        lambda x: x[x > 0],
        lambda x: x[[0, 2]],
        lambda x: torch.unique(x),
        lambda x: x.cpu(),
        lambda x: x.to("cpu", torch.float64),
        lambda x: x.tolist(),
        lambda x: x * torch.ones(2).to(x.device),
        lambda x: x * torch.tensor([1.0, 2.0], device=x.device),
    ],
)
def test_the_counter_sees_every_kind_of_read(read: Callable[[torch.Tensor], object]) -> None:
    x = torch.arange(6.0).reshape(3, 2)
    with DeviceReads([x]) as mode:
        read(x)
    assert mode.reads.total() > 0


@pytest.mark.parametrize(
    "harmless",
    [
        lambda x: x.to(torch.float64),
        lambda x: x.to(x.device),
        lambda x: x * torch.ones(2, device=x.device),
        lambda x: x[1:] + 1,
        lambda x: torch.ones(3).cpu().tolist(),
    ],
)
def test_the_counter_sees_no_read_where_none_is(harmless: Callable[[torch.Tensor], object]) -> None:
    x = torch.arange(6.0).reshape(3, 2)
    with DeviceReads([x]) as mode:
        harmless(x)
    assert mode.reads.total() == 0, mode.reads
