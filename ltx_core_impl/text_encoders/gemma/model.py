"""The Gemma 3 and Gemma 4 language models, text only, with all hidden states (spec 05 §3.2 and §15.4).

Prompts are not padded. Each keeps the positions it has at the end of a left-padded sequence, which gives the
reference's numbers for every valid token while computing nothing for the padding. Several prompts go through a layer
one after the other, so each gets exactly what it gets alone and the layer's weights are fetched once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import FULL, GemmaConfig, LayerKind


@dataclass
class KeyValueCache:
    """Keys and values of one layer, ``(B, heads, T, head_dim)``, written in place as tokens are generated."""

    key: Tensor
    value: Tensor
    length: int = 0

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store new rows and return everything stored so far."""
        end = self.length + key.shape[2]
        self.key[:, :, self.length : end] = key
        self.value[:, :, self.length : end] = value
        self.length = end
        return self.key[:, :, :end], self.value[:, :, :end]


@dataclass(frozen=True)
class AttentionInputs:
    """Rotary tables ``(T, head_dim)`` of a layer kind, and which keys a query sees (``None``: causal)."""

    cos: Tensor
    sin: Tensor
    mask: Tensor | None
    cache: KeyValueCache | None = None


class RMSNorm(nn.Module):
    """Root-mean-square norm in float32; Gemma 3 stores the weight as an offset from 1, Gemma 4 as it is."""

    def __init__(self, size: int, eps: float, offset: float):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size))
        self.eps = eps
        self.offset = offset

    def forward(self, hidden: Tensor) -> Tensor:
        return (_rms(hidden, self.eps) * (self.weight.float() + self.offset)).to(hidden.dtype)


def _rms(hidden: Tensor, eps: float) -> Tensor:
    wide = hidden.float()
    return wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)


def rotary_frequencies(kind: LayerKind) -> Tensor:
    """Angular frequencies ``(head_dim / 2,)`` in float32; those beyond the rotating part are zero."""
    half = kind.head_dim // 2
    exponents = torch.arange(half, dtype=torch.float32, device="cpu") * 2 / kind.head_dim
    frequencies = 1.0 / kind.rope_theta**exponents / kind.rope_factor
    frequencies[int(half * kind.rotary_fraction) :] = 0
    return frequencies


def rotary_tables(positions: Tensor, kind: LayerKind, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """cos and sin ``(T, head_dim)`` for integer ``positions`` ``(T,)``, computed in float32."""
    angles = positions.float()[:, None] * rotary_frequencies(kind).to(positions.device)[None]
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(hidden: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding with halves as pairs: ``v·cos + (−v₂, v₁)·sin``."""
    first, second = hidden.chunk(2, dim=-1)
    return hidden * cos + torch.cat((-second, first), dim=-1) * sin


class Attention(nn.Module):
    """Causal grouped-query attention with normalised queries and keys."""

    def __init__(self, config: GemmaConfig, kind: LayerKind):
        super().__init__()
        self.kind = kind
        self.scale = config.attention_scale
        self.eps = config.eps
        self.normalize_values = config.is_gemma4
        offset = 0.0 if config.is_gemma4 else 1.0
        width, keys = config.num_heads * kind.head_dim, kind.key_value_heads * kind.head_dim
        self.q_proj = nn.Linear(config.hidden_size, width, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, keys, bias=False)
        self.v_proj = None if kind.value_is_key else nn.Linear(config.hidden_size, keys, bias=False)
        self.o_proj = nn.Linear(width, config.hidden_size, bias=False)
        self.q_norm = RMSNorm(kind.head_dim, config.eps, offset)
        self.k_norm = RMSNorm(kind.head_dim, config.eps, offset)

    def forward(self, hidden: Tensor, inputs: AttentionInputs) -> Tensor:
        """``(B, T, D)`` to ``(B, T, D)``."""
        query, key = self._heads(self.q_proj(hidden)), self._heads(self.k_proj(hidden))
        value = key if self.v_proj is None else self._heads(self.v_proj(hidden))
        if self.normalize_values:
            value = _rms(value, self.eps).to(hidden.dtype)
        query = rotate(self.q_norm(query), inputs.cos, inputs.sin)
        key = rotate(self.k_norm(key), inputs.cos, inputs.sin)
        if inputs.cache is not None:
            key, value = inputs.cache.append(key=key, value=value)
        groups = query.shape[1] // key.shape[1]
        attended = F.scaled_dot_product_attention(
            query,
            key.repeat_interleave(groups, dim=1),
            value.repeat_interleave(groups, dim=1),
            attn_mask=inputs.mask,
            is_causal=inputs.mask is None and query.shape[2] > 1,
            scale=self.scale,
        )
        return self.o_proj(attended.transpose(1, 2).flatten(2))

    def _heads(self, projected: Tensor) -> Tensor:
        return projected.unflatten(-1, (-1, self.kind.head_dim)).transpose(1, 2)


class FeedForward(nn.Module):
    """Gated feed-forward with tanh-approximated GELU."""

    def __init__(self, config: GemmaConfig):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.down_proj(F.gelu(self.gate_proj(hidden), approximate="tanh") * self.up_proj(hidden))


class DecoderLayer(nn.Module):
    """One transformer layer, applied to every prompt of the batch in turn."""

    def __init__(self, config: GemmaConfig, layer_type: str):
        super().__init__()
        offset = 0.0 if config.is_gemma4 else 1.0
        self.layer_type = layer_type
        self.self_attn = Attention(config, config.kinds[layer_type])
        self.mlp = FeedForward(config)
        for name in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
            self.add_module(f"{name}_layernorm", RMSNorm(config.hidden_size, config.eps, offset))
        if config.is_gemma4:
            self.register_buffer("layer_scalar", torch.ones(1))

    def forward(self, prompts: list[Tensor], inputs: Sequence[AttentionInputs]) -> list[Tensor]:
        """``prompts``: ``(1, n_i, D)`` each; ``inputs``: what the attention of each prompt needs."""
        return [self._one(hidden, one) for hidden, one in zip(prompts, inputs, strict=True)]

    def _one(self, hidden: Tensor, inputs: AttentionInputs) -> Tensor:
        attended = self.self_attn(self.input_layernorm(hidden), inputs)
        hidden = hidden + self.post_attention_layernorm(attended)
        hidden = hidden + self.post_feedforward_layernorm(self.mlp(self.pre_feedforward_layernorm(hidden)))
        return hidden * self.layer_scalar if self.self_attn.normalize_values else hidden


class GemmaModel(nn.Module):
    """Embedding, decoder layers and final norm; the tied output head needs no storage of its own."""

    def __init__(self, config: GemmaConfig):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config, layer_type) for layer_type in config.layer_types)
        self.norm = RMSNorm(config.hidden_size, config.eps, 0.0 if config.is_gemma4 else 1.0)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the computation (weights may be stored in fewer bits)."""
        return self.norm.weight.dtype

    def embed(self, ids: Tensor) -> Tensor:
        """Scaled embeddings ``(*ids.shape, D)``; the scale is rounded to the compute dtype, as in the reference."""
        scale = torch.tensor(self.config.hidden_size**0.5, dtype=self.dtype, device=ids.device)
        return F.embedding(ids, self.embed_tokens.weight).to(self.dtype) * scale

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of the tied output head for normalised states ``(..., D)``."""
        return F.linear(hidden, self.embed_tokens.weight.to(hidden.dtype))

    def forward(self, prompts: Sequence[Tensor], first_positions: Sequence[int]) -> list[Tensor]:
        """All hidden states of several prompts.

        Args:
            prompts: token ids ``(n_i,)`` of each prompt, without padding.
            first_positions: the position of each prompt's first token (``T − n_i`` when padded on the left to ``T``).

        Returns:
            For each prompt ``(1, n_i, D, L)`` with ``L = layers + 1``: scaled embedding, the raw outputs of all
            layers but the last, and the normalised output of the last.
        """
        states = [self.embed(ids)[None] for ids in prompts]
        inputs = [self._inputs(ids, first) for ids, first in zip(prompts, first_positions, strict=True)]
        stacks = [state.new_empty(*state.shape, self.config.num_hidden_states) for state in states]
        for index, layer in enumerate(self.layers):
            for stack, state in zip(stacks, states, strict=True):
                stack[..., index] = state
            states = layer(states, [one[layer.layer_type] for one in inputs])
        for stack, state in zip(stacks, states, strict=True):
            stack[..., -1] = self.norm(state)
        return stacks

    def _inputs(self, ids: Tensor, first: int) -> dict[str, AttentionInputs]:
        positions = torch.arange(first, first + len(ids), device=ids.device)
        inputs = {}
        for name, kind in self.config.kinds.items():
            cos, sin = rotary_tables(positions, kind, self.dtype)
            mask = None if name == FULL else window_mask(positions, positions, kind.window)
            inputs[name] = AttentionInputs(cos=cos, sin=sin, mask=mask)
        return inputs


def window_mask(queries: Tensor, keys: Tensor, window: int | None) -> Tensor | None:
    """``(Q, K)``: true where ``0 ≤ query − key < window``; ``None`` when the window hides nothing causal."""
    if window is None or len(keys) <= window:
        return None
    distance = queries[:, None] - keys[None]
    return (distance >= 0) & (distance < window)
