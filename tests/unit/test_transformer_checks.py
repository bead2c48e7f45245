"""Wrong input is named before anything is computed; unusual but valid input works."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ltx_core_impl.model.transformer import (
    LTXAudioOnlyModelConfigurator,
    LTXVideoOnlyModelConfigurator,
    Modality,
    X0Model,
)
from tests.conftest import assert_close, golden
from tests.transformer_helpers import golden_modalities, load_transformer


@pytest.fixture(scope="module")
def model():
    return load_transformer("2.3")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: {"latent": m.latent[..., :5]}, r"video.latent has shape \(2, 18, 5\); the model needs .*128"),
        (lambda m: {"latent": m.latent[:, :0]}, "no tokens; pass None"),
        (lambda m: {"context": m.context[..., :32]}, r"video.context .*same model version"),
        (lambda m: {"sigma": torch.ones(3)}, "video.sigma"),
        (lambda m: {"timesteps": m.timesteps[:, :4]}, "video.timesteps"),
        (lambda m: {"timesteps": m.timesteps.expand(-1, -1, 128)}, "video.timesteps"),
        (lambda m: {"positions": m.positions[:, :1]}, "video.positions"),
        (lambda m: {"positions": m.positions[..., 0]}, "video.positions"),
        (lambda m: {"attention_mask": torch.ones(2, 18, 17)}, "video.attention_mask"),
        (lambda m: {"keyframes_mask": torch.ones(2, 17, 1)}, "video.keyframes_mask"),
    ],
)
def test_wrong_shapes(model, change, message: str) -> None:
    video, audio = golden_modalities("2.3")
    with pytest.raises(ValueError, match=message):
        model(replace(video, **change(video)), audio)


def test_streams_must_agree(model) -> None:
    video, audio = golden_modalities("2.3")
    one = {name: getattr(audio, name)[:1] for name in ("latent", "sigma", "timesteps", "positions", "context")}
    with pytest.raises(ValueError, match="2 batch rows and audio 1"):
        model(video, replace(audio, **one))
    with pytest.raises(ValueError, match="neither a video nor an audio"):
        model(None, None)


def test_models_of_one_stream_refuse_the_other() -> None:
    video, audio = golden_modalities("2.3")
    with pytest.raises(ValueError, match="has no audio stream"):
        load_transformer("2.3", LTXVideoOnlyModelConfigurator)(video, audio)
    with pytest.raises(ValueError, match="has no video stream"):
        load_transformer("2.3", LTXAudioOnlyModelConfigurator)(video, audio)


@torch.inference_mode()
def test_leading_dimensions_of_one_are_shared(model) -> None:
    video, audio = golden_modalities("2.3")
    shared = {"context": video.context[:1], "timesteps": video.timesteps[:1], "positions": video.positions[:1]}
    expanded = {name: value.expand(2, *value.shape[1:]) for name, value in shared.items()}
    out = X0Model(model)(replace(video, **shared), audio)
    expected = X0Model(model)(replace(video, **expanded), audio)
    assert_close(out[0], expected[0])
    assert_close(out[1], expected[1])


@torch.inference_mode()
def test_a_self_attention_mask_may_be_one_row_for_all_queries(model) -> None:
    video, audio = golden_modalities("2.3")
    strengths = torch.rand(2, 1, 18)
    out, _ = model(replace(video, attention_mask=strengths), audio)
    expected, _ = model(replace(video, attention_mask=strengths.expand(2, 18, 18)), audio)
    assert_close(out, expected)


@pytest.mark.parametrize("version", ["2.0", "2.3"])
@torch.inference_mode()
def test_expanded_rows_are_computed_once(version: str) -> None:
    model = load_transformer(version)
    video, audio = golden_modalities(version)
    shared = {"context": video.context[:1], "attention_mask": torch.rand(1, 18, 18), "positions": video.positions[:1]}
    projected: list[int] = []
    model.transformer_blocks[0].attn2.to_k.register_forward_pre_hook(lambda _, args: projected.append(len(args[0])))
    copied = {name: torch.cat([value, value]) for name, value in shared.items()}
    expanded = {name: value.expand(2, *value.shape[1:]) for name, value in shared.items()}
    expected = model(replace(video, **copied), audio)
    out = model(replace(video, **expanded), audio)
    assert_close(out[0], expected[0])
    assert_close(out[1], expected[1])
    assert projected == ([2, 1] if version == "2.0" else [2, 2]), "the text of LTX-2.3 is modulated per row"


@torch.inference_mode()
def test_an_additive_text_mask_is_used_as_it_is(model) -> None:
    case = golden("2.3", "transformer-masks")
    additive = (case["context_mask"].float() - 1) * torch.finfo(torch.float32).max
    video, audio = (replace(m, context_mask=additive) for m in golden_modalities("2.3"))
    out, _ = model(video, audio)
    assert_close(out, case["ctxmask_video"])


@torch.inference_mode()
def test_bfloat16_stays_bfloat16_and_close() -> None:
    half = load_transformer("2.3").bfloat16()
    video, audio = golden_modalities("2.3")

    def cast(modality: Modality) -> Modality:
        return replace(modality, latent=modality.latent.bfloat16(), context=modality.context.bfloat16())

    out = half(cast(video), cast(audio))
    case = golden("2.3", "transformer")
    for actual, expected in zip(out, (case["video_velocity"], case["audio_velocity"]), strict=True):
        assert actual.dtype == torch.bfloat16
        assert_close(actual, expected, tolerance=3e-2)


@torch.inference_mode()
def test_inputs_are_not_changed(model) -> None:
    modalities = golden_modalities("2.3")
    names = ("latent", "sigma", "timesteps", "positions", "context")
    before = [[getattr(m, name).clone() for name in names] for m in modalities]
    X0Model(model)(*modalities)
    after = [[getattr(m, name) for name in names] for m in modalities]
    assert all(torch.equal(a, b) for x, y in zip(before, after, strict=True) for a, b in zip(x, y, strict=True))


def test_gradients_reach_every_parameter() -> None:
    model = load_transformer("2.5")
    video, audio = golden_modalities("2.5")
    video = replace(video, keyframes_mask=torch.ones(2, 18, 1))
    out = model(video, audio)
    (out[0].square().mean() + out[1].square().mean()).backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]
