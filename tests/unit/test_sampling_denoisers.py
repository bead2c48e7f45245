"""Denoisers: which passes run, in which order, how they share calls, and batches."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf

import pytest
import torch
from torch import Tensor

from ltx_core_impl.components.multimodal_guider import (
    MultiModalGuider,
    MultiModalGuiderFactory,
    MultiModalGuiderParams,
)
from ltx_core_impl.guidance.perturbations import PerturbationType
from ltx_core_impl.model.transformer import X0Model
from ltx_core_impl.model.transformer.modality import Modality
from ltx_core_impl.sampling.denoisers import GuidedDenoiser, SimpleDenoiser
from ltx_core_impl.sampling.passes import GuidancePass, plan_calls
from ltx_core_impl.types import LatentState, VideoPixelShape
from tests.sampling_helpers import tools
from tests.transformer_helpers import load_transformer

SIGMAS = torch.tensor([0.9, 0.5, 0.2, 0.0])
PIXELS = VideoPixelShape(batch=1, frames=9, height=64, width=64, fps=25.0)
FULL = MultiModalGuiderParams(cfg_scale=3, stg_scale=1, stg_blocks=(1,), rescale_scale=0.7, modality_scale=3)
POSITIVE_VIDEO, POSITIVE_AUDIO = torch.full((1, 2, 4), 1.0), torch.full((1, 2, 4), 2.0)
NEGATIVE_VIDEO, NEGATIVE_AUDIO = torch.full((1, 2, 4), -1.0), torch.full((1, 2, 4), -2.0)


@dataclass
class Recorder:
    """An X0 model that predicts the value of the context and remembers its calls."""

    calls: list[dict] = field(default_factory=list)

    def __call__(self, video: Modality | None, audio: Modality | None, perturbations: object, forks: list) -> tuple:
        self.calls.append({"video": video, "audio": audio, "perturbations": perturbations, "forks": list(forks)})
        return tuple(None if one is None else self._predict(one, forks) for one in (video, audio))

    @staticmethod
    def _predict(modality: Modality, forks: list) -> Tensor:
        values = modality.context[:, 0, 0].expand(modality.latent.shape[0])
        values = torch.cat([values, torch.tensor([values[row].item() + 0.5 for row, _ in forks])])
        return values[:, None, None] * torch.linspace(0.5, 1.5, modality.latent.shape[1])[None, :, None].expand(
            len(values), -1, modality.latent.shape[2]
        )


def states(batch: int = 1) -> tuple[LatentState, LatentState]:
    return tuple(one.create_initial_state("cpu", torch.float32) for one in tools(PIXELS._replace(batch=batch)))


def guided(
    video: MultiModalGuiderParams | None = FULL, audio: MultiModalGuiderParams | None = FULL, **options: object
) -> GuidedDenoiser:
    return GuidedDenoiser(
        video_context=POSITIVE_VIDEO,
        audio_context=POSITIVE_AUDIO,
        video_guider=None if video is None else MultiModalGuider(video, NEGATIVE_VIDEO),
        audio_guider=None if audio is None else MultiModalGuider(audio, NEGATIVE_AUDIO),
        **options,
    )


def contexts(call: dict, stream: str) -> list[float]:
    modality = call[stream]
    return modality.context[:, 0, 0].expand(modality.latent.shape[0]).tolist()


def kinds(config: object) -> set:
    return {(one.type, one.blocks) for one in config.perturbations or ()}


A2V, V2A = PerturbationType.SKIP_A2V_CROSS_ATTN, PerturbationType.SKIP_V2A_CROSS_ATTN
VIDEO_SELF, AUDIO_SELF = PerturbationType.SKIP_VIDEO_SELF_ATTN, PerturbationType.SKIP_AUDIO_SELF_ATTN


def test_simple_denoiser_runs_one_pass() -> None:
    model = Recorder()
    video, audio = SimpleDenoiser(POSITIVE_VIDEO, POSITIVE_AUDIO)(model, *states(), SIGMAS, 1)
    (call,) = model.calls
    assert call["perturbations"] is None
    assert call["forks"] == []
    assert call["video"].sigma.tolist() == [0.5]
    assert call["video"].timesteps.shape == (1, 8, 1)
    assert video.uncond is None
    assert audio.denoised.shape == (1, 9, 128)


def test_passes_in_one_call() -> None:
    model = Recorder()
    guided()(model, *states(), SIGMAS, 0)
    (call,) = model.calls
    assert contexts(call, "video") == [1, -1, 1]
    assert contexts(call, "audio") == [2, -2, 2]
    assert call["video"].sigma.tolist() == pytest.approx([0.9] * 3)
    assert [kinds(config) for config in call["perturbations"].perturbations] == [
        set(),
        set(),
        {(A2V, None), (V2A, None)},
    ]
    ((row, fork),) = call["forks"]
    assert row == 0
    assert kinds(fork) == {(VIDEO_SELF, (1,)), (AUDIO_SELF, (1,))}


def test_passes_one_by_one_keep_their_order() -> None:
    model = Recorder()
    guided(max_batch_size=1)(model, *states(), SIGMAS, 0)
    assert [contexts(call, "video") for call in model.calls] == [[1], [-1], [1], [1]]
    assert all(call["forks"] == [] for call in model.calls)
    assert [call["perturbations"] is None for call in model.calls] == [True, True, False, False]
    assert kinds(model.calls[2]["perturbations"].perturbations[0]) == {(VIDEO_SELF, (1,)), (AUDIO_SELF, (1,))}


def test_guided_video_with_default_audio() -> None:
    model = Recorder()
    video, audio = guided(audio=MultiModalGuiderParams())(model, *states(), SIGMAS, 0)
    (call,) = model.calls
    assert contexts(call, "audio") == [2, -2, 2]
    assert kinds(call["forks"][0][1]) == {(VIDEO_SELF, (1,))}
    without_negative = guided(audio=None)
    without_negative(model, *states(), SIGMAS, 0)
    assert contexts(model.calls[1], "audio") == [2, 2, 2]
    plain = torch.linspace(0.5, 1.5, 9)[None, :, None].expand(1, 9, 128) * 2
    torch.testing.assert_close(audio.denoised, plain)
    assert not torch.allclose(video.denoised, torch.linspace(0.5, 1.5, 8)[None, :, None].expand(1, 8, 128))


@pytest.mark.parametrize(
    ("params", "rows", "forks"),
    [
        (MultiModalGuiderParams(), 1, 0),
        (MultiModalGuiderParams(cfg_scale=3), 2, 0),
        (MultiModalGuiderParams(stg_scale=1, stg_blocks=None), 1, 1),
        (MultiModalGuiderParams(stg_scale=1, stg_blocks=()), 1, 1),
        (MultiModalGuiderParams(modality_scale=3), 2, 0),
    ],
)
def test_only_needed_passes_run(params: MultiModalGuiderParams, rows: int, forks: int) -> None:
    model = Recorder()
    guided(params, MultiModalGuiderParams())(model, *states(), SIGMAS, 0)
    assert model.calls[0]["video"].latent.shape[0] == rows
    assert len(model.calls[0]["forks"]) == forks


@pytest.mark.parametrize("absent", ["video", "audio"])
def test_one_modality_alone(absent: str) -> None:
    model = Recorder()
    video, audio = states()
    video, audio = (None, audio) if absent == "video" else (video, None)
    found = guided()(model, video, audio, SIGMAS, 0)
    (call,) = model.calls
    assert call[absent] is None
    assert found[0 if absent == "video" else 1] is None
    # Without the other modality there is no isolated pass: it would repeat the conditional one.
    assert call["perturbations"] is None


def test_force_uncond_gives_the_negative_prediction() -> None:
    model = Recorder()
    neutral = MultiModalGuiderParams()
    video, audio = guided(neutral, neutral, force_uncond=True)(model, *states(), SIGMAS, 0)
    assert contexts(model.calls[0], "video") == [1, -1]
    torch.testing.assert_close(video.uncond, -video.denoised)
    torch.testing.assert_close(audio.uncond, -audio.denoised)


def test_skipped_steps_reuse_the_last_prediction() -> None:
    model, skipping = Recorder(), replace(FULL, skip_step=1)
    denoiser = guided(skipping, skipping)
    first = denoiser(model, *states(), SIGMAS, 0)
    assert denoiser(model, *states(), SIGMAS, 1) is first
    assert len(model.calls) == 1
    denoiser(model, *states(), SIGMAS, 2)
    assert len(model.calls) == 2


def test_a_skipped_modality_is_context_only() -> None:
    model = Recorder()
    only_modality = MultiModalGuiderParams(modality_scale=3)
    denoiser = guided(replace(FULL, skip_step=1), only_modality)
    first = denoiser(model, *states(), SIGMAS, 0)
    second = denoiser(model, *states(), SIGMAS, 1)
    call = model.calls[1]
    assert not call["video"].enabled
    assert call["audio"].enabled
    assert call["forks"] == []
    assert contexts(call, "audio") == [2, 2]
    assert second[0] is first[0]
    assert second[1] is not first[1]


def test_factory_chooses_by_sigma() -> None:
    model = Recorder()
    factory = MultiModalGuiderFactory({0.5: MultiModalGuiderParams(), inf: FULL}, negative_context=NEGATIVE_VIDEO)
    denoiser = GuidedDenoiser(POSITIVE_VIDEO, POSITIVE_AUDIO, video_guider=factory)
    denoiser(model, *states(), SIGMAS, 0)
    denoiser(model, *states(), SIGMAS, 1)
    denoiser(model, *states(), torch.tensor([0.67]), 0)
    assert [call["video"].latent.shape[0] for call in model.calls] == [3, 1, 3]


def test_frozen_modality_reports_sigma_zero() -> None:
    model = Recorder()
    video, audio = states()
    SimpleDenoiser(POSITIVE_VIDEO, POSITIVE_AUDIO)(model, video, replace(audio, frozen=True), SIGMAS, 0)
    call = model.calls[0]
    assert call["audio"].sigma.tolist() == [0.0]
    assert not call["audio"].timesteps.any()
    assert call["video"].sigma.tolist() == pytest.approx([0.9])


@pytest.mark.parametrize("max_batch_size", [None, 1, 2, 3])
def test_unchanging_inputs_are_the_same_objects_in_every_step(max_batch_size: int | None) -> None:
    model = Recorder()
    denoiser, (video, audio) = guided(max_batch_size=max_batch_size), states(batch=2)
    for index in range(2):
        moved = replace(video, latent=video.latent + index)
        denoiser(model, moved, audio, SIGMAS, index)
    half = len(model.calls) // 2
    for first, second in zip(model.calls[:half], model.calls[half:], strict=True):
        for stream in ("video", "audio"):
            assert first[stream].positions is second[stream].positions
            assert first[stream].context is second[stream].context
    other = replace(video, positions=video.positions + 1)
    denoiser(model, other, audio, SIGMAS, 0)
    assert torch.equal(model.calls[-1]["video"].positions[:1], other.positions[:1])


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (None, [(["cond0", "cond1", "uncond0", "uncond1", "mod0", "mod1"], ["ptb0", "ptb1"])]),
        (1, [([name], []) for name in ("cond0 cond1 uncond0 uncond1 ptb0 ptb1 mod0 mod1").split()]),
        (2, [(["cond0"], ["ptb0"]), (["cond1"], ["ptb1"]), (["uncond0", "uncond1"], []), (["mod0", "mod1"], [])]),
        (3, [(["cond0"], ["ptb0"]), (["cond1", "uncond0"], ["ptb1"]), (["uncond1", "mod0", "mod1"], [])]),
        (4, [(["cond0", "cond1"], ["ptb0", "ptb1"]), (["uncond0", "uncond1", "mod0", "mod1"], [])]),
    ],
)
def test_calls_of_a_limited_size(limit: int | None, expected: list) -> None:
    passes = [GuidancePass(name, None, None) for name in ("cond", "uncond")]
    passes += [GuidancePass("ptb", None, None, forks_from="cond"), GuidancePass("mod", None, None)]
    calls = plan_calls(passes, batch=2, max_batch_size=limit)
    names = [
        (
            [f"{row.pass_name}{row.sample}" for row in call.rows],
            [f"{row.pass_name}{row.sample}" for _, row in call.forks],
        )
        for call in calls
    ]
    assert names == expected
    for call in calls:
        assert all(call.rows[index] == ("cond", row.sample) for index, row in call.forks)


@pytest.mark.parametrize("version", ["2.0", "2.3", "2.5"])
@torch.inference_mode()
def test_a_batch_of_prompts_gives_each_what_it_gets_alone(version: str) -> None:
    model = X0Model(load_transformer(version))
    options = model.velocity_model.options
    generator = torch.Generator().manual_seed(0)

    def text(stream: object) -> Tensor:
        return torch.randn(2, 6, stream.caption_channels or stream.context_dim, generator=generator)

    contexts = {name: (text(options.video), text(options.audio)) for name in ("positive", "negative")}
    video, audio = (
        replace(state, latent=torch.randn(state.latent.shape, generator=generator)) for state in states(batch=2)
    )

    def predict(samples: slice, max_batch_size: int | None) -> tuple:
        positive, negative = ([one[samples] for one in contexts[name]] for name in ("positive", "negative"))
        denoiser = GuidedDenoiser(
            *positive,
            video_guider=MultiModalGuider(FULL, negative[0]),
            audio_guider=MultiModalGuider(replace(FULL, cfg_scale=7), negative[1]),
            max_batch_size=max_batch_size,
        )
        part = [
            replace(
                state,
                latent=state.latent[samples],
                denoise_mask=state.denoise_mask[samples],
                positions=state.positions[samples],
                clean_latent=state.clean_latent[samples],
                keyframes_mask=None if state.keyframes_mask is None else state.keyframes_mask[samples],
            )
            for state in (video, audio)
        ]
        return tuple(one.denoised for one in denoiser(model, *part, SIGMAS, 0))

    together = predict(slice(0, 2), None)
    for limit in (1, 3):
        for whole, split in zip(together, predict(slice(0, 2), limit), strict=True):
            torch.testing.assert_close(whole, split, rtol=1e-4, atol=1e-5)
    for sample in range(2):
        part = slice(sample, sample + 1)
        for whole, alone in zip(together, predict(part, None), strict=True):
            torch.testing.assert_close(whole[part], alone, rtol=1e-4, atol=1e-5)


def test_one_context_serves_a_batch() -> None:
    model = Recorder()
    guided()(model, *states(batch=3), SIGMAS, 0)
    assert contexts(model.calls[0], "video") == [1] * 3 + [-1] * 3 + [1] * 3
    SimpleDenoiser(POSITIVE_VIDEO, POSITIVE_AUDIO)(model, *states(batch=3), SIGMAS, 0)
    assert contexts(model.calls[1], "audio") == [2] * 3


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="video guider has a CFG scale other than 1 and no negative context"):
        GuidedDenoiser(POSITIVE_VIDEO, POSITIVE_AUDIO, video_guider=MultiModalGuider(FULL))
    with pytest.raises(ValueError, match=r"positive audio context is .* \(2, 4\), the negative one \(3, 4\)"):
        GuidedDenoiser(
            POSITIVE_VIDEO, POSITIVE_AUDIO, audio_guider=MultiModalGuider(FULL, negative_context=torch.zeros(1, 3, 4))
        )
    with pytest.raises(ValueError, match="no audio text context"):
        SimpleDenoiser(POSITIVE_VIDEO, None)(Recorder(), *states(), SIGMAS, 0)
    with pytest.raises(ValueError, match="batch of 2; this run needs 1 or 3"):
        GuidedDenoiser(POSITIVE_VIDEO.expand(2, -1, -1), POSITIVE_AUDIO)(Recorder(), *states(batch=3), SIGMAS, 0)
    with pytest.raises(ValueError, match="max_batch_size must be at least 1; got 0"):
        SimpleDenoiser(POSITIVE_VIDEO, POSITIVE_AUDIO, max_batch_size=0)(Recorder(), *states(), SIGMAS, 0)
