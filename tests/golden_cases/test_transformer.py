"""The transformer against the reference's numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ltx_core_impl.guidance import BatchedPerturbationConfig, Perturbation, PerturbationConfig, PerturbationType
from ltx_core_impl.model.transformer import LTXAudioOnlyModelConfigurator, LTXVideoOnlyModelConfigurator, X0Model
from tests.conftest import assert_close, golden
from tests.transformer_helpers import golden_modalities, load_transformer

SKIP_A2V = PerturbationType.SKIP_A2V_CROSS_ATTN
SKIP_V2A = PerturbationType.SKIP_V2A_CROSS_ATTN
SKIP_VIDEO = PerturbationType.SKIP_VIDEO_SELF_ATTN
SKIP_AUDIO = PerturbationType.SKIP_AUDIO_SELF_ATTN

PERTURBATIONS = {
    "perturb-stg": [[Perturbation(SKIP_VIDEO, [1]), Perturbation(SKIP_AUDIO, [2])], None],
    "perturb-modality": [[Perturbation(SKIP_A2V), Perturbation(SKIP_V2A)]] * 2,
    "perturb-mixed": [[Perturbation(SKIP_A2V, [0, 2])], [Perturbation(SKIP_V2A), Perturbation(SKIP_VIDEO)]],
}


@pytest.fixture(params=["2.0", "2.3", "2.5"])
def version(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(autouse=True)
def _inference() -> None:
    with torch.inference_mode():
        yield


def test_joint(version: str) -> None:
    case = golden(version, "transformer")
    video, audio = load_transformer(version)(*golden_modalities(version))
    assert_close(video, case["video_velocity"])
    assert_close(audio, case["audio_velocity"])


def test_context_mask(version: str) -> None:
    case = golden(version, "transformer-masks")
    modalities = (replace(m, context_mask=case["context_mask"]) for m in golden_modalities(version))
    video, audio = load_transformer(version)(*modalities)
    assert_close(video, case["ctxmask_video"])
    assert_close(audio, case["ctxmask_audio"])


def test_self_attention_mask(version: str) -> None:
    case = golden(version, "transformer-masks")
    video, audio = golden_modalities(version)
    video, audio = load_transformer(version)(replace(video, attention_mask=case["attention_mask"]), audio)
    assert_close(video, case["selfmask_video"])
    assert_close(audio, case["selfmask_audio"])


def test_denoised(version: str) -> None:
    case = golden(version, "transformer-masks")
    video, audio = X0Model(load_transformer(version))(*golden_modalities(version))
    assert_close(video, case["x0_video"])
    assert_close(audio, case["x0_audio"])


def test_one_stream(version: str) -> None:
    case = golden(version, "transformer-single")
    model = load_transformer(version)
    video, audio = golden_modalities(version)
    out, absent = model(video, None)
    assert absent is None
    assert_close(out, case["video_only"])
    absent, out = model(None, audio)
    assert absent is None
    assert_close(out, case["audio_only"])


def test_one_stream_models(version: str) -> None:
    case = golden(version, "transformer-single")
    video, audio = golden_modalities(version)
    out, _ = load_transformer(version, LTXVideoOnlyModelConfigurator)(video, None)
    assert_close(out, case["video_only"])
    _, out = load_transformer(version, LTXAudioOnlyModelConfigurator)(None, audio)
    assert_close(out, case["audio_only"])


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_perturbations(version: str, name: str) -> None:
    case = golden(version, name)
    perturbations = BatchedPerturbationConfig([PerturbationConfig(entry) for entry in PERTURBATIONS[name]])
    video, audio = load_transformer(version)(*golden_modalities(version), perturbations)
    assert_close(video, case["video_velocity"])
    assert_close(audio, case["audio_velocity"])


def test_keyframe_marks() -> None:
    case = golden("2.5", "transformer-keyframes")
    model = load_transformer("2.5")
    video, audio = golden_modalities("2.5")
    first_video, first_audio = model(replace(video, keyframes_mask=case["first_mask"]), audio)
    assert_close(first_video, case["first_video"])
    assert_close(first_audio, case["first_audio"])
    slots = replace(
        video,
        latent=case["slot_latent"],
        timesteps=case["slot_timesteps"],
        positions=case["slot_positions"],
        keyframes_mask=case["slot_mask"],
    )
    slots_video, slots_audio = model(slots, audio)
    assert_close(slots_video, case["slots_video"])
    assert_close(slots_audio, case["slots_audio"])


def test_frozen_audio() -> None:
    case = golden("2.5", "transformer-frozen-audio")
    video, audio = golden_modalities("2.5")
    frozen = replace(audio, sigma=torch.zeros_like(audio.sigma), timesteps=torch.zeros_like(audio.timesteps))
    out_video, out_audio = load_transformer("2.5")(video, frozen)
    assert_close(out_video, case["video_velocity"])
    assert_close(out_audio, case["audio_velocity"])
