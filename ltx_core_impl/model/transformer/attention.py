"""Multi-head attention with joint q/k normalisation, rotary positions and per-head gates (spec 02 §8)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ...kernels.own import gate_heads, norm_rotate
from ...kernels.shared_input import SharedInput
from .attention_functions import AttentionFunction, attend, attention_function
from .rope import RopeTable, RopeType, apply_rotary_emb
from .rows import put_rows, take_rows
from .text_reading import TextReading, attend_texts


class Attention(nn.Module):
    """Attention from ``(B, Tq, query_dim)`` to ``(B, Tk, context_dim)``, written back to ``query_dim``.

    Args:
        query_dim: width of the query stream and of the result.
        context_dim: width of the stream that gives keys and values; ``None`` means ``query_dim``.
        heads: number of heads.
        head_dim: channels per head; the inner width is ``heads * head_dim``.
        norm_eps: epsilon of the RMS norms of queries and keys, which run over all heads together.
        gated: scale each head by ``2 * sigmoid(to_gate_logits(x))``.
        rope_type: channel pairing of the rotation.

    ``attention_function`` may be replaced by any ``(q, k, v) -> out`` on ``(B, H, T, d)`` tensors, and ``attend`` by
    whatever takes the arguments of :func:`attend`: where tokens lie on several ranks it exchanges them first.
    """

    attention_function: AttentionFunction

    def __init__(
        self,
        query_dim: int,
        *,
        heads: int,
        head_dim: int,
        context_dim: int | None = None,
        norm_eps: float = 1e-6,
        gated: bool = False,
        rope_type: RopeType = RopeType.SPLIT,
    ) -> None:
        super().__init__()
        context_dim = query_dim if context_dim is None else context_dim
        inner_dim = heads * head_dim
        self.heads = heads
        self.rope_type = rope_type
        self.attention_function = attention_function("default")
        self.attend = attend
        self.q_norm = nn.RMSNorm(inner_dim, eps=norm_eps)
        self.k_norm = nn.RMSNorm(inner_dim, eps=norm_eps)
        self.to_q = nn.Linear(query_dim, inner_dim)
        self.to_k = nn.Linear(context_dim, inner_dim)
        self.to_v = nn.Linear(context_dim, inner_dim)
        self.to_gate_logits = nn.Linear(query_dim, heads) if gated else None
        self.to_out = nn.Sequential(nn.Linear(inner_dim, query_dim))

    def keys_values(self, context: torch.Tensor, rope: RopeTable | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys (normalised and rotated) and values of ``context``, each ``(B, H, Tk, d)``."""
        shared = SharedInput(context)
        return self._keys(shared, rope), self._split(shared.through(self.to_v))

    def forward(
        self,
        x: torch.Tensor,
        context: torch.Tensor | None = None,
        *,
        mask: torch.Tensor | None = None,
        rope: RopeTable | None = None,
        context_rope: RopeTable | None = None,
        keys_values: tuple[torch.Tensor, torch.Tensor] | None = None,
        kept_rows: Sequence[int] | None = None,
        reading: TextReading | None = None,
    ) -> torch.Tensor:
        """Attends from ``x``.

        Args:
            x: ``(B, Tq, query_dim)``, already normalised and modulated.
            context: ``(B or 1, Tk, context_dim)``; ``None`` for self-attention.
            mask: additive mask, see :func:`attend`.
            rope: rotation of the queries, and of the keys of a self-attention.
            context_rope: rotation of the keys of a cross-attention.
            keys_values: result of :meth:`keys_values`, when the caller kept it; ``context`` is then not read.
            kept_rows: for self-attention, the batch rows that attend. In the others each token's own value stands in
                for the attention result, and neither their queries, keys nor scores are computed. ``None``: all rows.
            reading: for a cross-attention, the rows of the context that each token attends to; ``None``: its own row.

        Returns:
            ``(B, Tq, query_dim)``.
        """
        shared = SharedInput(x)
        if keys_values is None and context is None:
            out = self._self_attention(shared, mask, rope, kept_rows)
        else:
            k, v = self.keys_values(context, context_rope) if keys_values is None else keys_values
            q = self._queries(shared, rope)
            if reading is None:
                out = self.attend(q, k, v, mask, self.attention_function)
            else:
                out = attend_texts(q, k, v, reading, self.attention_function)
        out = out.transpose(1, 2)
        if self.to_gate_logits is not None:
            logits = shared.through(self.to_gate_logits)
            gated = gate_heads(out, logits)
            out = out * (2 * torch.sigmoid(logits)).unsqueeze(-1) if gated is None else gated
        return self.to_out(out.flatten(2))

    def _self_attention(
        self, shared: SharedInput, mask: torch.Tensor | None, rope: RopeTable | None, kept_rows: Sequence[int] | None
    ) -> torch.Tensor:
        v = self._split(shared.through(self.to_v))
        if kept_rows is not None and len(kept_rows) == 0:
            return v
        if kept_rows is not None:
            shared = SharedInput(take_rows(shared.x, kept_rows))
            mask = None if mask is None else take_rows(mask, kept_rows)
            rope = None if rope is None else rope.take(kept_rows)
        q, k = self._queries(shared, rope), self._keys(shared, rope)
        return put_rows(v, kept_rows, self.attend(q, k, take_rows(v, kept_rows), mask, self.attention_function))

    def _queries(self, shared: SharedInput, rope: RopeTable | None) -> torch.Tensor:
        return self._norm_rotate(shared.through(self.to_q), self.q_norm, rope)

    def _keys(self, shared: SharedInput, rope: RopeTable | None) -> torch.Tensor:
        return self._norm_rotate(shared.through(self.to_k), self.k_norm, rope)

    def _norm_rotate(self, x: torch.Tensor, norm: nn.RMSNorm, rope: RopeTable | None) -> torch.Tensor:
        """``(B, T, H * d)`` to ``(B, H, T, d)``."""
        split = self.rope_type is RopeType.SPLIT
        fused = norm_rotate(x, norm.weight, norm.eps, self.heads, rope, split)
        if fused is not None:
            return self._split(fused)
        x = self._split(norm(x))
        return x if rope is None else apply_rotary_emb(x, rope, self.rope_type)

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        """``(B, T, H * d)`` to ``(B, H, T, d)``, a view."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def set_attention_function(module: nn.Module, function: str | AttentionFunction) -> None:
    """Makes every :class:`Attention` inside ``module`` use a back-end, by name or as a callable.

    Raises:
        ValueError: no back-end has that name.
        AttentionBackendUnavailable: the back-end is not installed.
    """
    resolved = attention_function(function) if isinstance(function, str) else function
    for child in module.modules():
        if isinstance(child, Attention):
            child.attention_function = resolved
