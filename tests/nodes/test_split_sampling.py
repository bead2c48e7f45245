"""A run in parts: core's 'SplitSigmas' and 'DisableNoise', other guides or another model in each part."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.nodes.test_guides import IC_LORA, Setup, picture, refused

STEPS, CUT = 4, 2


@pytest.fixture(scope="module")
def tiny(nodes: dict[str, Any]) -> Setup:
    with torch.inference_mode():
        return Setup(nodes)


def noise_off() -> Any:
    from comfy_extras.nodes_custom_sampler import DisableNoise

    return DisableNoise.execute().args[0]


def parts(tiny: Setup, first: dict[str, Any], second: dict[str, Any]) -> tuple[Any, ...]:
    """Both parts of a run, each with inputs of its own; the second goes on from the noisy latents of the first."""
    [sigmas] = tiny.run("LTX2Scheduler", steps=STEPS)
    video, audio = tiny.sample(sigmas=sigmas[: CUT + 1], **first)[:2]
    latents = {"video_latent": video, "audio_latent": audio}
    return tiny.sample(**({"sigmas": sigmas[CUT:], "noise": noise_off(), **latents} | second))


def test_a_list_of_ones_own(tiny: Setup) -> None:
    [sigmas] = tiny.run("LTX2DistilledSigmas", typed=" 0.85, 0.7250, 0.4219, 0.0 ")
    assert torch.equal(sigmas, torch.tensor([0.85, 0.725, 0.4219, 0.0]))  # spec 07 §13.2
    assert len(tiny.run("LTX2DistilledSigmas", typed=" ")[0]) == 9
    node = tiny.nodes["LTX2DistilledSigmas"]
    for typed, words in (("0.5, 0.9", "must descend"), ("2, 0", "between 0 and 1"), ("one", "typed is 'one'")):
        refused([words], lambda typed=typed: tiny.run("LTX2DistilledSigmas", typed=typed))
        refused([words], lambda typed=typed: node.validate_inputs("stage 2 (3 steps)", typed))
    assert node.validate_inputs(None, None) is True


@pytest.mark.parametrize("solver", ["euler", "euler_cfg_pp"])
def test_two_parts_are_the_whole(tiny: Setup, solver: str) -> None:
    guides = tiny.guide(picture(1), strength=0.6)
    guides = tiny.guide(picture(2), frame_index=-1, guides=guides)
    options = {"guides": guides, "solver": solver}
    whole = tiny.sample(steps=STEPS, **options)[:2]
    for made, wanted in zip(parts(tiny, options, options)[:2], whole, strict=True):
        torch.testing.assert_close(made["samples"], wanted["samples"], rtol=1e-4, atol=1e-4)


def test_what_is_kept_stays_through_both_parts(tiny: Setup) -> None:
    source = torch.randn(1, 128, 3, 2, 2, generator=torch.Generator().manual_seed(3))
    mask = torch.zeros(1, 1, 3, 2, 2)
    mask[:, :, 1:] = 1
    kept = {**tiny.video, "samples": source, "noise_mask": mask}
    [sigmas] = tiny.run("LTX2Scheduler", steps=STEPS)
    whole = tiny.sample(sigmas=sigmas, video_latent=kept)[0]["samples"]
    video, audio, _ = tiny.sample(sigmas=sigmas[: CUT + 1], video_latent=kept)
    again = {**video, "noise_mask": mask}
    made = tiny.sample(sigmas=sigmas[CUT:], noise=noise_off(), video_latent=again, audio_latent=audio)[0]["samples"]
    assert torch.equal(made[:, :, :1], source[:, :, :1])
    torch.testing.assert_close(made, whole, rtol=1e-4, atol=1e-4)
    soft = {**video, "noise_mask": mask * 0.5}
    refused(["video_latent", "mask", "noise is switched off"], lambda: parts(tiny, {}, {"video_latent": soft}))


def test_a_reference_may_act_in_the_first_steps_only(tiny: Setup) -> None:
    model = tiny.lora(IC_LORA)
    with_reference = {"model": model, "guides": tiny.reference(picture(1, count=17), model=model)}
    always, never = tiny.sample(steps=STEPS, **with_reference), tiny.sample(steps=STEPS)
    at_first = parts(tiny, with_reference, {})
    for other in (always, never):
        assert (at_first[0]["samples"] - other[0]["samples"]).abs().mean() > 1e-3


def test_there_must_be_something_to_go_on_from(tiny: Setup) -> None:
    refused(["noise is switched off", "video_latent is empty"], lambda: tiny.sample(noise=noise_off()))
    slots = tiny.run("LTX2ContextWindows", window_length=9, overlap=8)[0]
    [sigmas] = tiny.run("LTX2Scheduler", steps=STEPS)
    refused(["windows", "0"], lambda: tiny.sample(sigmas=sigmas[: CUT + 1], windows=slots))
