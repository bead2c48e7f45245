"""The stochastic loops of LTX-2.5 on a conditioned state, against the reference's."""

from __future__ import annotations

import pytest
import torch

from ltx_core_impl.components.multimodal_guider import MultiModalGuider, MultiModalGuiderParams
from ltx_core_impl.components.noisers import apply_noise
from ltx_core_impl.model.transformer import X0Model
from ltx_core_impl.sampling.denoisers import GuidedDenoiser, SimpleDenoiser
from ltx_core_impl.sampling.loops import euler_ancestral_denoising_loop, euler_cfg_pp_denoising_loop
from tests.conftest import assert_close, golden
from tests.golden_cases.test_conditioning import AUDIO_TOOLS, applied
from tests.sampling_helpers import given_loop_noise
from tests.transformer_helpers import load_transformer

SIGMAS = torch.tensor([0.975, 0.909375, 0.725, 0.421875, 0.0])
CFG = {0.0: 1.0, 1.0: 3.0}


@pytest.mark.parametrize("seeded", [False, True])
@pytest.mark.parametrize(("kind", "eta"), [("ancestral", 0.5), ("ancestral", 1.0), ("cfgpp", 0.0), ("cfgpp", 1.0)])
@torch.inference_mode()
def test_loop(kind: str, eta: float, seeded: bool) -> None:
    case = golden("2.5", f"sampler-{kind}-{eta}")
    video = apply_noise(applied("2.5", "chain"), case["noise_video"])
    audio = apply_noise(AUDIO_TOOLS.create_initial_state("cpu", torch.float32), case["noise_audio"])
    positive = (case["video_context"], case["audio_context"])
    if kind == "ancestral":
        loop, denoiser = euler_ancestral_denoising_loop, SimpleDenoiser(*positive)
    else:
        params = MultiModalGuiderParams(cfg_scale=CFG[eta])
        guiders = (
            MultiModalGuider(params, negative_context=case[f"negative_{name}_context"]) for name in ("video", "audio")
        )
        loop, denoiser = euler_cfg_pp_denoising_loop, GuidedDenoiser(*positive, *guiders, force_uncond=True)

    def run() -> tuple:
        return loop(
            sigmas=SIGMAS,
            video_state=video,
            audio_state=audio,
            transformer=X0Model(load_transformer("2.5")),
            denoiser=denoiser,
            eta=eta,
            noise_seed=5,
        )

    if seeded:
        video, audio = run()
    else:
        with given_loop_noise(case[name] for name in sorted(case) if name.startswith("noise_0")):
            video, audio = run()
    assert_close(video.latent, case["video_latent"], tolerance=1e-4)
    assert_close(audio.latent, case["audio_latent"], tolerance=1e-4)
