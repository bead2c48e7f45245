"""What is kept between passes, and when it is not trusted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ltx_core_impl.guidance import Perturbation, PerturbationConfig, PerturbationType
from ltx_core_impl.model.transformer import Modality, stream
from ltx_core_impl.model.transformer.tensor_cache import TensorCache
from tests.transformer_helpers import golden_modalities, load_transformer


@pytest.mark.parametrize("inference", [False, True])
def test_an_entry_lives_as_long_as_its_tensor_is_unchanged(inference: bool) -> None:
    cache, made = TensorCache(2), []

    def compute() -> int:
        made.append(1)
        return len(made)

    with torch.inference_mode(inference):
        source = torch.zeros(3)
        assert [cache.get(source, "a", compute) for _ in range(2)] == [1, 1]
        source[0] = 1
        assert cache.get(source, "a", compute) == 2
        assert cache.get(source.clone(), "a", compute) == 3, "another tensor of equal values"
        assert cache.get(source, "b", compute) == 4
        assert len(cache) == 2
        cache.clear()
        assert cache.get(source, "a", compute) == 5


def test_results_of_inference_mode_do_not_reach_autograd() -> None:
    cache, source = TensorCache(4), torch.ones(2)
    with torch.inference_mode():
        cache.get(source, "double", lambda: source * 2)
    weight = torch.ones(2, requires_grad=True)
    (cache.get(source, "double", lambda: source * 2) * weight).sum().backward()
    assert weight.grad.tolist() == [2, 2]


def test_rotation_tables_are_computed_once_per_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = stream.precompute_rope
    monkeypatch.setattr(stream, "precompute_rope", lambda *a, **k: calls.append(1) or original(*a, **k))
    model = load_transformer("2.3")
    video, audio = golden_modalities("2.3")
    with torch.inference_mode():
        first = model(video, audio)
        again = model(replace(video, sigma=video.sigma.clone()), audio)
        assert len(calls) == 4
        assert torch.equal(first[0], again[0])
        moved = model(replace(video, positions=video.positions + 1), audio)
        assert len(calls) == 6
        assert not torch.allclose(first[0], moved[0], atol=1e-3)
        model.clear_caches()
        model(video, audio)
        assert len(calls) == 10


def count_text_projections(model) -> list[int]:
    calls: list[int] = []
    for block in model.transformer_blocks:
        for attention in (block.attn2, block.audio_attn2):
            attention.to_k.register_forward_pre_hook(lambda *_: calls.append(1))
    return calls


def at_sigma(modality: Modality, factor: float) -> Modality:
    return replace(modality, sigma=modality.sigma * factor, timesteps=modality.timesteps * factor)


@torch.inference_mode()
def test_text_is_projected_once_per_run_where_it_does_not_depend_on_sigma() -> None:
    model = load_transformer("2.0")
    video, audio = golden_modalities("2.0")
    steps = [(at_sigma(video, factor), at_sigma(audio, factor)) for factor in (1.0, 0.5, 0.25)]
    fork = [(1, PerturbationConfig([Perturbation(PerturbationType.SKIP_VIDEO_SELF_ATTN, [2])]))]
    expected = [model(*step, forks=fork) for step in steps]
    calls = count_text_projections(model)
    with model.keep_text():
        out = [model(*step, forks=fork) for step in steps]
    blocks, streams = 4, 2
    assert len(calls) == blocks * streams
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-6)
    model(*steps[0])
    assert len(calls) == 2 * blocks * streams, "nothing is kept after the run"


@torch.inference_mode()
def test_another_text_is_projected_anew() -> None:
    model = load_transformer("2.0")
    video, audio = golden_modalities("2.0")
    other = replace(video, context=video.context + 1)
    expected = model(other, audio)
    with model.keep_text():
        model(video, audio)
        out = model(other, audio)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-6)


@torch.inference_mode()
def test_text_that_depends_on_sigma_is_never_kept() -> None:
    model = load_transformer("2.3")
    video, audio = golden_modalities("2.3")
    expected = model(at_sigma(video, 0.5), audio)
    with model.keep_text():
        model(video, audio)
        out = model(at_sigma(video, 0.5), audio)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-6)


def test_small_results_are_kept_beyond_the_capacity() -> None:
    cache, sources = TensorCache(2, spare_bytes=100), [torch.ones(1) for _ in range(9)]
    for _ in range(2):
        for source in sources[:5]:
            cache.get(source, "pair", lambda: (torch.ones(3), torch.ones(2)))  # 20 bytes
    assert len(cache) == 4  # 80 bytes; the fifth would reach 100
    cache.get(sources[5], "large", lambda: torch.ones(99))
    assert len(cache) == 2


def test_what_is_dropped_is_dropped_before_the_next_is_made() -> None:
    cache, first, second = TensorCache(1), torch.ones(1), torch.ones(1)
    cache.get(first, "", lambda: torch.ones(2))
    cache.get(second, "", lambda: torch.full((2,), float(len(cache))))
    assert cache.get(second, "", lambda: torch.full((2,), 9.0)).tolist() == [0.0, 0.0]
