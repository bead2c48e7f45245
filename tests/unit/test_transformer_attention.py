"""Attention module and its back-ends (spec 02 §8)."""

from __future__ import annotations

import math

import pytest
import torch

from ltx_core_impl.model.transformer import feed_forward
from ltx_core_impl.model.transformer.attention import Attention, set_attention_function
from ltx_core_impl.model.transformer.attention_functions import (
    AttentionBackendUnavailable,
    attend,
    attention_function,
    available_attention_backends,
)
from ltx_core_impl.model.transformer.feed_forward import FeedForward
from ltx_core_impl.model.transformer.masks import self_attention_bias
from ltx_core_impl.model.transformer.rope import precompute_rope


def naive(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | float = 0.0) -> torch.Tensor:
    return (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + mask).softmax(-1) @ v


def build(**options) -> Attention:
    torch.manual_seed(0)
    return Attention(12, heads=3, head_dim=4, **options)


def table(tokens: int):
    positions = torch.arange(tokens, dtype=torch.float32).view(1, 1, -1)
    return precompute_rope(positions, width=12, heads=3, max_pos=(20,))


def test_attend_matches_the_definition() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 3, 5, 4), torch.randn(1, 3, 7, 4), torch.randn(1, 3, 7, 4)
    torch.testing.assert_close(attend(q, k, v), naive(q, k, v))
    mask = torch.randn(5, 7)
    torch.testing.assert_close(attend(q, k, v, mask), naive(q, k, v, mask))
    mask = torch.randn(2, 5, 7)
    torch.testing.assert_close(attend(q, k, v, mask), naive(q, k, v, mask[:, None]))


def test_module_matches_its_definition() -> None:
    layer = build(gated=True)
    x = torch.randn(2, 5, 12)

    def norm(t: torch.Tensor) -> torch.Tensor:
        return t / (t.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()

    def heads(t: torch.Tensor) -> torch.Tensor:
        return t.view(2, 5, 3, 4).transpose(1, 2)

    out = naive(heads(norm(layer.to_q(x))), heads(norm(layer.to_k(x))), heads(layer.to_v(x)))
    out = out.transpose(1, 2) * (2 * layer.to_gate_logits(x).sigmoid())[..., None]
    torch.testing.assert_close(layer(x), layer.to_out[0](out.reshape(2, 5, 12)))


def test_skipped_rows_pass_their_values_through_gate_and_projection() -> None:
    layer = build(gated=True)
    x = torch.randn(3, 5, 12)
    rope = table(5)
    full = layer(x, rope=rope)
    gates = (2 * layer.to_gate_logits(x).sigmoid())[..., None]
    passed = layer.to_out[0]((layer.to_v(x).unflatten(-1, (3, 4)) * gates).flatten(2))
    torch.testing.assert_close(layer(x, rope=rope, kept_rows=()), passed)
    for kept in [(0,), (1, 2), (0, 2)]:
        mixed = layer(x, rope=rope, kept_rows=kept)
        for row in range(3):
            torch.testing.assert_close(mixed[row], full[row] if row in kept else passed[row])


def test_skipped_rows_are_not_computed() -> None:
    layer = build()
    seen: list[int] = []

    def counting(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        seen.append(q.shape[0])
        return attend(q, k, v)

    set_attention_function(layer, counting)
    x = torch.randn(3, 5, 12)
    layer(x)
    layer(x, kept_rows=(0, 2))
    layer(x, kept_rows=())
    assert seen == [3, 2]


def test_masked_calls_never_reach_an_injected_function() -> None:
    layer = build()

    def refuse(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        raise AssertionError("called with a mask")

    set_attention_function(layer, refuse)
    assert layer(torch.randn(1, 5, 12), mask=torch.zeros(1, 1, 5, 5)).shape == (1, 5, 12)


def test_kept_keys_and_values_replace_the_context() -> None:
    layer = build(context_dim=6)
    x, context, rope = torch.randn(2, 5, 12), torch.randn(1, 7, 6), table(7)
    expected = layer(x, context.expand(2, -1, -1), context_rope=rope)
    torch.testing.assert_close(layer(x, keys_values=layer.keys_values(context, rope)), expected)


def test_uninstalled_backends_say_what_is_missing() -> None:
    missing = {"xformers", "flash_attention_3", "sage"} - set(available_attention_backends())
    for name in missing:
        with pytest.raises(AttentionBackendUnavailable, match=r"needs `\w+.*Install"):
            attention_function(name)
    assert {"default", "pytorch"} <= set(available_attention_backends())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weak_attention_strengths_keep_their_weight(dtype: torch.dtype) -> None:
    """A strength counts down to the smallest normal number of the model's dtype; below it is that number."""
    limits = torch.finfo(dtype)
    strengths = torch.tensor([1e-4, 2.0**-12, 1e-20, limits.tiny, limits.tiny / 4, 0.0, -0.5, 3.0], dtype=torch.float64)
    bias = self_attention_bias(strengths.expand(1, 8, 8), dtype)
    assert bias.shape == (1, 1, 8, 8)
    assert bias.dtype == dtype
    expected = strengths.clamp_min(limits.tiny).log().to(dtype)
    expected[5:7] = limits.min
    assert torch.equal(bias[0, 0, 3], expected)


def test_unknown_backend_lists_the_known() -> None:
    with pytest.raises(ValueError, match="flash_attention_3"):
        attention_function("magic")


def test_optional_backends_keep_float32_on_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A float32 tensor must not be sent to a half precision kernel."""
    import sys
    import types

    def refuse(*_args, **_kwargs):
        raise AssertionError("half precision kernel called")

    monkeypatch.setitem(sys.modules, "sageattention", types.SimpleNamespace(sageattn=refuse))
    q = torch.randn(1, 2, 3, 4)
    torch.testing.assert_close(attention_function("sage")(q, q, q), naive(q, q, q))


def test_long_sequences_go_through_the_feed_forward_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = FeedForward(6)
    x = torch.randn(2, 11, 6)
    expected = layer(x)
    sizes: list[int] = []
    layer.net[0].register_forward_pre_hook(lambda _module, args: sizes.append(args[0].shape[1]))
    monkeypatch.setattr(feed_forward, "_TOKENS_AT_ONCE", 8)
    torch.testing.assert_close(layer(x), expected)
    assert sizes == [4, 4, 3]
