"""Perturbed and forked rows: same result as a row run alone, and no more work than promised."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace

import pytest
import torch

from ltx_core_impl.guidance import BatchedPerturbationConfig, Perturbation, PerturbationConfig, PerturbationType
from ltx_core_impl.model.transformer import LTXModel, Modality, X0Model, attend
from ltx_core_impl.model.transformer.forks import plan_rows
from tests.conftest import assert_close, golden
from tests.transformer_helpers import golden_modalities, load_transformer

A2V = PerturbationType.SKIP_A2V_CROSS_ATTN
V2A = PerturbationType.SKIP_V2A_CROSS_ATTN
VIDEO = PerturbationType.SKIP_VIDEO_SELF_ATTN
AUDIO = PerturbationType.SKIP_AUDIO_SELF_ATTN

NOTHING = PerturbationConfig.empty()
STG = PerturbationConfig([Perturbation(VIDEO, [2]), Perturbation(AUDIO, [1])])
ISOLATED = PerturbationConfig([Perturbation(A2V), Perturbation(V2A)])
LATE = PerturbationConfig([Perturbation(V2A, [3])])
NEVER = PerturbationConfig([Perturbation(VIDEO, [])])
VERSIONS = ["2.0", "2.3", "2.5"]


@pytest.fixture(autouse=True)
def _inference() -> None:
    with torch.inference_mode():
        yield


def row(modality: Modality, index: int) -> Modality:
    values = {field.name: getattr(modality, field.name) for field in fields(modality)}
    picked = {name: value[index : index + 1] for name, value in values.items() if isinstance(value, torch.Tensor)}
    return replace(modality, **picked)


def with_masks(video: Modality, audio: Modality, version: str) -> tuple[Modality, Modality]:
    masks = golden(version, "transformer-masks")
    context_mask = masks["context_mask"]
    return (
        replace(video, attention_mask=masks["attention_mask"], context_mask=context_mask),
        replace(audio, context_mask=context_mask),
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("masked", [False, True])
def test_a_fork_equals_its_row_run_alone(version: str, masked: bool) -> None:
    model = load_transformer(version)
    video, audio = golden_modalities(version)
    if masked:
        video, audio = with_masks(video, audio, version)
    base = [NOTHING, STG]
    forks = [(1, ISOLATED), (0, STG), (1, NOTHING), (0, LATE), (0, NEVER)]
    out = model(video, audio, BatchedPerturbationConfig(base), forks)
    assert out[0].shape[0] == out[1].shape[0] == 7
    for number, (source, config) in enumerate([*enumerate(base), *forks]):
        alone = model(row(video, source), row(audio, source), BatchedPerturbationConfig([config]))
        assert_close(out[0][number : number + 1], alone[0])
        assert_close(out[1][number : number + 1], alone[1])


@pytest.mark.parametrize("version", VERSIONS)
def test_forks_of_a_single_row(version: str) -> None:
    """With one row, everything but the residual streams is shared by the forks."""
    model = load_transformer(version)
    video, audio = (row(m, 0) for m in with_masks(*golden_modalities(version), version))
    out = model(video, audio, forks=[(0, STG), (0, ISOLATED)])
    for number, config in enumerate([NOTHING, STG, ISOLATED]):
        alone = model(video, audio, BatchedPerturbationConfig([config]))
        assert_close(out[0][number : number + 1], alone[0])
        assert_close(out[1][number : number + 1], alone[1])


@pytest.mark.parametrize("version", VERSIONS)
def test_forks_of_one_stream_and_of_denoised_latents(version: str) -> None:
    model = X0Model(load_transformer(version))
    video, audio = golden_modalities(version)
    out, _ = model(video, None, forks=[(1, STG)])
    alone, _ = model(row(video, 1), None, BatchedPerturbationConfig([STG]))
    assert_close(out[2:], alone)
    _, out = model(replace(video, enabled=False), audio, forks=[(0, ISOLATED)])
    _, alone = model(replace(row(video, 0), enabled=False), row(audio, 0), BatchedPerturbationConfig([ISOLATED]))
    assert_close(out[2:], alone)


def count_attention(model: LTXModel, run) -> Counter:
    """Rows that enter each kind of attention during ``run``, summed over the blocks."""
    kinds = {"attn1": "video", "audio_attn1": "audio", "audio_to_video_attn": "a2v", "video_to_audio_attn": "v2a"}
    rows: Counter = Counter()

    def counting(kind: str):
        def function(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            rows[kind] += q.shape[0]
            return attend(q, k, v)

        return function

    for name, module in model.named_modules():
        kind = kinds.get(name.rsplit(".", 1)[-1])
        if kind is not None:
            module.attention_function = counting(kind)
    run()
    return rows


def test_an_isolated_pass_computes_no_attention_between_streams() -> None:
    model = load_transformer("2.3")
    video, audio = golden_modalities("2.3")
    called = []
    for block in model.transformer_blocks:
        for module in (block.audio_to_video_attn, block.video_to_audio_attn):
            module.register_forward_pre_hook(lambda *_: called.append(1))
    rows = count_attention(model, lambda: model(video, audio, BatchedPerturbationConfig([ISOLATED, ISOLATED])))
    assert not called
    assert rows == {"video": 8, "audio": 8}


def test_skipped_rows_cost_nothing_in_a_mixed_batch() -> None:
    model = load_transformer("2.3")
    video, audio = golden_modalities("2.3")
    rows = count_attention(model, lambda: model(video, audio, BatchedPerturbationConfig([STG, ISOLATED])))
    assert rows == {"video": 7, "audio": 7, "a2v": 4, "v2a": 4}


def test_a_fork_only_costs_the_blocks_from_its_first_difference_on() -> None:
    model = load_transformer("2.3")
    video, audio = (row(m, 0) for m in golden_modalities("2.3"))
    rows = count_attention(model, lambda: model(video, audio, forks=[(0, STG), (0, ISOLATED), (0, LATE), (0, NEVER)]))
    # 4 blocks; base and isolated run in all, STG in blocks 1 to 3, LATE in block 3, NEVER in none
    assert rows == {"video": 4 + 4 + 2 + 1, "audio": 4 + 4 + 2 + 1, "a2v": 4 + 3 + 1, "v2a": 4 + 3}


def test_a_fork_that_only_touches_an_absent_stream_is_free() -> None:
    model = load_transformer("2.3")
    video, _ = (row(m, 0) for m in golden_modalities("2.3"))
    rows = count_attention(model, lambda: model(video, None, forks=[(0, PerturbationConfig([Perturbation(AUDIO)]))]))
    assert rows == {"video": 4}


def test_plan_puts_forks_in_the_order_asked_for() -> None:
    plan = plan_rows(None, [(1, LATE), (0, ISOLATED), (1, NEVER)], batch=2, num_blocks=4, types=set(PerturbationType))
    assert [block.added for block in plan.blocks] == [(0,), (), (), (1,)]
    assert plan.blocks[-1].sources == (0, 1, 0, 1)
    assert plan.output_order == (0, 1, 3, 2, 1)


def test_wrong_plans_are_refused() -> None:
    model = load_transformer("2.3")
    video, audio = golden_modalities("2.3")
    with pytest.raises(ValueError, match="3 perturbation configs for a batch of 2"):
        model(video, audio, BatchedPerturbationConfig.empty(3))
    with pytest.raises(ValueError, match="fork of row 2"):
        model(video, audio, forks=[(2, STG)])


def test_block_lists() -> None:
    assert not Perturbation(VIDEO, []).is_perturbed(VIDEO, 0)
    assert Perturbation(VIDEO, None).is_perturbed(VIDEO, 47)
    assert Perturbation(VIDEO, [3]).is_perturbed(VIDEO, 3) and not Perturbation(VIDEO, [3]).is_perturbed(VIDEO, 2)
    assert not Perturbation(VIDEO).is_perturbed(AUDIO, 0)
    assert not PerturbationConfig(None).is_perturbed(VIDEO, 0)


def test_batched_configs() -> None:
    batch = BatchedPerturbationConfig([STG, NOTHING])
    assert batch.any_in_batch(VIDEO, 2) and not batch.all_in_batch(VIDEO, 2) and not batch.any_in_batch(VIDEO, 1)
    assert batch.kept_rows(VIDEO, 2) == (1,) and batch.kept_rows(VIDEO, 1) == (0, 1)
    mask = batch.mask(VIDEO, 2, dtype=torch.bfloat16)
    assert mask.shape == (2, 1, 1) and mask.dtype == torch.bfloat16 and mask.flatten().tolist() == [0, 1]
    assert not BatchedPerturbationConfig.empty(2).any_in_batch(A2V, 0)
