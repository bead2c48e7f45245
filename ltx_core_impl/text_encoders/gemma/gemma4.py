"""Gemma 4's language model for hosts whose transformers is older than 5.8 and has none (spec 05 §15.4).

Built and called as transformers' text models are, as far as encoding needs it: modules of the same names, and a
forward over one sequence that gives every layer its rotary tables and mask.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import GemmaConfig, LayerKind

Tables = tuple[Tensor, Tensor]


class RMSNorm(nn.Module):
    """Root-mean-square norm in float32."""

    def __init__(self, size: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size))
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        return (_rms(hidden, self.eps) * self.weight.float()).to(hidden.dtype)


def _rms(hidden: Tensor, eps: float) -> Tensor:
    wide = hidden.float()
    return wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)


def rotary_tables(positions: Tensor, kind: LayerKind, dtype: torch.dtype) -> Tables:
    """cos and sin ``(T, head_dim)`` for integer ``positions`` ``(T,)``, computed in float32.

    Frequencies beyond the rotating part are zero.
    """
    half = kind.head_dim // 2
    exponents = torch.arange(half, dtype=torch.float32, device=positions.device) * 2 / kind.head_dim
    frequencies = 1.0 / kind.rope_theta**exponents / kind.rope_factor
    frequencies[int(half * kind.rotary_fraction) :] = 0
    angles = positions.float()[:, None] * frequencies[None]
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(hidden: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding with halves as pairs: ``v·cos + (−v₂, v₁)·sin``."""
    first, second = hidden.chunk(2, dim=-1)
    return hidden * cos + torch.cat((-second, first), dim=-1) * sin


class Attention(nn.Module):
    """Causal grouped-query attention with normalised queries, keys and values."""

    def __init__(self, config: GemmaConfig, kind: LayerKind):
        super().__init__()
        self.kind = kind
        self.eps = config.eps
        width, keys = config.num_heads * kind.head_dim, kind.key_value_heads * kind.head_dim
        self.q_proj = nn.Linear(config.hidden_size, width, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, keys, bias=False)
        self.v_proj = None if kind.value_is_key else nn.Linear(config.hidden_size, keys, bias=False)
        self.o_proj = nn.Linear(width, config.hidden_size, bias=False)
        self.q_norm = RMSNorm(kind.head_dim, config.eps)
        self.k_norm = RMSNorm(kind.head_dim, config.eps)

    def forward(self, hidden: Tensor, tables: Tables, mask: Tensor | None) -> Tensor:
        """``(B, T, D)`` to ``(B, T, D)``; ``mask`` ``(T, T)`` is true where a query sees a key (``None``: causal)."""
        query, key = self._heads(self.q_proj(hidden)), self._heads(self.k_proj(hidden))
        value = key if self.v_proj is None else self._heads(self.v_proj(hidden))
        groups = query.shape[1] // key.shape[1]
        attended = F.scaled_dot_product_attention(
            rotate(self.q_norm(query), *tables),
            rotate(self.k_norm(key), *tables).repeat_interleave(groups, dim=1),
            _rms(value, self.eps).to(hidden.dtype).repeat_interleave(groups, dim=1),
            attn_mask=mask,
            is_causal=mask is None,
            scale=1.0,
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
    """One transformer layer."""

    def __init__(self, config: GemmaConfig, layer_type: str):
        super().__init__()
        self.self_attn = Attention(config, config.kinds[layer_type])
        self.mlp = FeedForward(config)
        for name in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
            self.add_module(f"{name}_layernorm", RMSNorm(config.hidden_size, config.eps))
        self.register_buffer("layer_scalar", torch.ones(1))

    def forward(self, hidden: Tensor, tables: Tables, mask: Tensor | None) -> Tensor:
        """``(B, T, D)`` to ``(B, T, D)``; the rest as for :class:`Attention`."""
        attended = self.self_attn(self.input_layernorm(hidden), tables, mask)
        hidden = hidden + self.post_attention_layernorm(attended)
        hidden = hidden + self.post_feedforward_layernorm(self.mlp(self.pre_feedforward_layernorm(hidden)))
        return hidden * self.layer_scalar


class Gemma4TextModel(nn.Module):
    """Embedding, decoder layers and final norm."""

    def __init__(self, config: GemmaConfig):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config, layer_type) for layer_type in config.layer_types)
        self.norm = RMSNorm(config.hidden_size, config.eps)

    def forward(
        self, input_ids: Tensor, position_ids: Tensor, attention_mask: Tensor | None = None, use_cache: bool = False
    ) -> Tensor:
        """The normalised last states ``(1, T, D)`` of ids and positions ``(1, T)``.

        Raises:
            ValueError: padding in ``attention_mask`` ``(1, T)``, or a cache; encoding has neither.
        """
        if use_cache or (attention_mask is not None and not attention_mask.all()):
            raise ValueError("Gemma 4 encodes one whole prompt here: without padding and without a cache.")
        hidden = self.embed_tokens(input_ids)
        # The scale is rounded to the compute dtype, as in the reference.
        hidden = hidden * torch.tensor(self.config.hidden_size**0.5, dtype=hidden.dtype, device=hidden.device)
        positions = position_ids[0]
        kinds = self.config.kinds.items()
        tables = {name: rotary_tables(positions, kind, hidden.dtype) for name, kind in kinds}
        masks = {name: window_mask(positions, kind.window) for name, kind in kinds}
        for layer, name in zip(self.layers, self.config.layer_types, strict=True):
            hidden = layer(hidden, tables[name], masks[name])
        return self.norm(hidden)


def window_mask(positions: Tensor, window: int | None) -> Tensor | None:
    """``(T, T)``: true where ``0 ≤ query − key < window``; ``None`` when the window hides nothing causal."""
    if window is None or len(positions) <= window:
        return None
    distance = positions[:, None] - positions[None]
    return (distance >= 0) & (distance < window)
