"""Guiders: the spec's numbers, batches, and sigma-dependent strengths."""

from __future__ import annotations

from math import inf

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ltx_core_impl.components.guiders import (
    CFGGuider,
    CFGStarRescalingGuider,
    LegacyStatefulAPGGuider,
    LtxAPGGuider,
    STGGuider,
    projection_coefficient,
)
from ltx_core_impl.components.multimodal_guider import (
    MultiModalGuider,
    MultiModalGuiderFactory,
    MultiModalGuiderParams,
    calculate_per_sample,
)

C, U, P, M = (
    torch.tensor(values).view(1, 2, 2)
    for values in ([1, -2, 0.5, 3], [0.5, -1, 1.5, 2], [0.9, -1.8, 0.7, 2.5], [1.1, -2.2, 0.4, 2.9])
)


def check(actual: torch.Tensor, *expected: float) -> None:
    torch.testing.assert_close(actual.flatten(), torch.tensor(expected, dtype=torch.float32), rtol=2e-6, atol=1e-6)


def test_deltas() -> None:
    check(CFGGuider(3.0).delta(C, U), 1, -2, -2, 2)
    check(projection_coefficient(C, U), 1.23333335)
    check(CFGStarRescalingGuider(3.0).delta(C, U), 0.766666651, -1.5333333, -2.70000005, 1.0666666)
    check(STGGuider(1.0).delta(C, P), 0.100000024, -0.200000048, -0.199999988, 0.5)


def test_apg() -> None:
    check(LtxAPGGuider(3.0).delta(C, U), 1, -2, -2, 2)
    check(LtxAPGGuider(3.0, eta=0.5).delta(C, U), 0.649122834, -1.29824567, -2.17543864, 0.947368383)
    limited = LtxAPGGuider(3.0, eta=0.5, norm_threshold=1.0).delta(C, U)
    check(limited, 0.36006856, -0.720137119, -1.2067163, 0.525505483)


@pytest.mark.parametrize("shape", [(1, 5, 6), (1, 3, 5, 2), (1, 4, 3, 2, 5)])
def test_apg_limits_video_latents_channel_by_channel(shape: tuple[int, ...]) -> None:
    """The norm is over the last three dimensions, the projection over everything (spec 06 §8)."""
    torch.manual_seed(0)
    cond, uncond = torch.randn(shape), torch.randn(shape)
    guidance = cond - uncond
    norm = guidance.pow(2).sum(dim=(-1, -2, -3), keepdim=True).sqrt()
    guidance = guidance * torch.minimum(torch.ones(()), 1.5 / norm)
    parallel = (guidance * cond).sum() / (cond.pow(2).sum() + 1e-8) * cond
    expected = 0.25 * parallel + guidance - parallel
    torch.testing.assert_close(LtxAPGGuider(3.0, eta=0.25, norm_threshold=1.5).delta(cond, uncond), 2 * expected)
    legacy = LegacyStatefulAPGGuider(3.0, eta=0.25, norm_threshold=1.5)
    torch.testing.assert_close(legacy.delta(cond, uncond), 3 * expected)


def test_legacy_apg_keeps_an_average() -> None:
    guider = LegacyStatefulAPGGuider(3.0, eta=0.5, norm_threshold=1.0, momentum=0.9)
    check(guider.delta(C, U), 0.540102839, -1.08020568, -1.81007445, 0.788258195)
    check(guider.delta(1.1 * C, U), 0.538870215, -1.07774043, -1.65028989, 0.84872067)
    check(guider.running_average, 1.05, -2.1, -1.85, 2.2)


def test_enabled_at_non_neutral_scales_only() -> None:
    assert [CFGGuider(s).enabled() for s in (1.0, 3.0)] == [False, True]
    assert [CFGStarRescalingGuider(s).enabled() for s in (1.0, 3.0)] == [False, True]
    assert [STGGuider(s).enabled() for s in (0.0, 1.0)] == [False, True]
    assert [LtxAPGGuider(s).enabled() for s in (1.0, 3.0)] == [False, True]
    assert [LegacyStatefulAPGGuider(s, eta=1.0).enabled() for s in (0.0, 1.0)] == [False, True]


@pytest.mark.parametrize(
    ("cfg", "stg", "rescale", "modality", "expected"),
    [
        (3, 1, 0.0, 3, (1.89999986, -3.79999971, -1.5, 5.69999981)),
        (3, 1, 0.7, 3, (1.23034835, -2.4606967, -0.971327782, 3.69104528)),
        (7, 1, 0.7, 3, (1.85696876, -3.71393752, -2.61880231, 4.61861467)),
        (3, 0, 0.45, 3, (1.42581248, -2.85162497, -1.02975345, 4.11901379)),
        (7, 0, 1.0, 3, (0.995338678, -1.99067736, -1.38823557, 2.40976739)),
    ],
)
def test_multimodal(cfg: float, stg: float, rescale: float, modality: float, expected: tuple) -> None:
    params = MultiModalGuiderParams(cfg_scale=cfg, stg_scale=stg, rescale_scale=rescale, modality_scale=modality)
    check(MultiModalGuider(params).calculate(C, U, P, M), *expected)


def test_multimodal_computes_bf16_predictions_in_float32() -> None:
    c, u, p, i = (
        torch.tensor(values).view(1, 2, 2).bfloat16()
        for values in (
            [3.078125, -0.5859375, -4.34375, 1.140625],
            [-2.171875, -2.796875, 0.80859375, 1.6796875],
            [-1.4375, -0.80859375, -1.1953125, 0.36328125],
            [-1.7109375, 2.203125, -2.140625, 0.2451171875],
        )
    )
    params = MultiModalGuiderParams(cfg_scale=3, stg_scale=1, rescale_scale=0.7, modality_scale=3)
    result = MultiModalGuider(params).calculate(c, u, p, i)
    assert result.dtype == torch.bfloat16
    assert result.flatten().tolist() == [11.3125, -0.62109375, -9.0625, 1.0703125]


def test_published_example_of_the_pipelines() -> None:
    c, u, p, m = (
        torch.tensor(values).view(1, 2, 2)
        for values in ([1, 2, -1, 0.5], [0.5, 1, -0.5, 0], [0.9, 1.5, -0.8, 0.4], [1.1, 1.8, -1.2, 0.6])
    )
    video = MultiModalGuiderParams(cfg_scale=3, stg_scale=1, rescale_scale=0.7, modality_scale=3)
    check(MultiModalGuider(video).calculate(c, u, p, m), 1.17598271, 3.03279781, -1.11408901, 0.86651367)
    hq = MultiModalGuiderParams(cfg_scale=3, rescale_scale=0.45, modality_scale=3)
    check(MultiModalGuider(hq).calculate(c, u, p, m), 1.40166807, 3.42630005, -1.24592721, 1.01231587)


@given(seed=st.integers(0, 1000), batch=st.integers(1, 4))
def test_every_sample_of_a_batch_gets_what_it_gets_alone(seed: int, batch: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    c, u, p, i = torch.randn(4, batch, 3, 5, generator=generator)
    params = MultiModalGuiderParams(cfg_scale=3, stg_scale=1, rescale_scale=0.7, modality_scale=3)
    guiders = [
        CFGStarRescalingGuider(3.0).delta,
        LtxAPGGuider(3.0, eta=0.5, norm_threshold=1.0).delta,
        lambda c, u: LegacyStatefulAPGGuider(3.0, eta=0.5, norm_threshold=1.0, momentum=0.5).delta(c, u),
    ]
    together = [delta(c, u) for delta in guiders]
    together.append(calculate_per_sample(MultiModalGuider(params), c, u, p, i))
    for sample in range(batch):
        part = slice(sample, sample + 1)
        alone = [delta(c[part], u[part]) for delta in guiders]
        alone.append(MultiModalGuider(params).calculate(c[part], u[part], p[part], i[part]))
        for one, many in zip(alone, together, strict=True):
            torch.testing.assert_close(one, many[part])


def test_inputs_are_not_changed() -> None:
    before = C.clone()
    MultiModalGuider(MultiModalGuiderParams(cfg_scale=3, rescale_scale=0.7)).calculate(C, U)
    assert torch.equal(C, before)


def test_needs_and_skips() -> None:
    neutral = MultiModalGuider()
    assert not (neutral.needs_uncond or neutral.needs_perturbed or neutral.needs_isolated)
    assert not any(neutral.should_skip_step(step) for step in range(5))
    busy = MultiModalGuider(MultiModalGuiderParams(cfg_scale=2, stg_scale=1, modality_scale=3, skip_step=2))
    assert busy.needs_uncond and busy.needs_perturbed and busy.needs_isolated
    assert [step for step in range(7) if busy.should_skip_step(step)] == [1, 2, 4, 5]


def test_factory_takes_the_smallest_bound_not_below_sigma() -> None:
    params = {bound: MultiModalGuiderParams(cfg_scale=scale) for bound, scale in {0.3: 2, 0.9: 4, 0.7: 3}.items()}
    factory = MultiModalGuiderFactory(params, negative_context=U)
    chosen = {s: factory.at_sigma(s).params.cfg_scale for s in (1.0, 0.95, 0.9, 0.89, 0.7, 0.5, 0.3, 0.1, 0.0)}
    assert chosen == {1.0: 4, 0.95: 4, 0.9: 4, 0.89: 4, 0.7: 3, 0.5: 3, 0.3: 2, 0.1: 2, 0.0: 2}
    assert factory.at_sigma(0.5).negative_context is U
    assert factory.needs_uncond
    assert not MultiModalGuiderFactory({inf: MultiModalGuiderParams()}).needs_uncond


def test_wrong_values_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        MultiModalGuiderFactory({})
    with pytest.raises(ValueError, match="skip_step"):
        MultiModalGuiderParams(skip_step=-1)


def test_the_multi_modal_guider_offers_every_way_to_use_the_negative_prompt() -> None:
    rules = {
        "cfg": CFGGuider(3.0),
        "cfg_star": CFGStarRescalingGuider(3.0),
        "apg": LtxAPGGuider(3.0, eta=0.5, norm_threshold=1.0),
    }
    for name, guider in rules.items():
        params = MultiModalGuiderParams(cfg_scale=3.0, cfg_rule=name, apg_eta=0.5, apg_norm_threshold=1.0)
        assert torch.equal(MultiModalGuider(params).calculate(C, uncond=U), C + guider.delta(C, U))
    with pytest.raises(ValueError, match="cfg_rule is 'plain'"):
        MultiModalGuiderParams(cfg_rule="plain")
