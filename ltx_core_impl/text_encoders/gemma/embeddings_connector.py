"""The 1-D transformer between text features and the diffusion transformer (spec 05 §8, §9)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...model.transformer.attention import Attention
from ...model.transformer.feed_forward import FeedForward
from ...model.transformer.rope import RopeTable, RopeType, precompute_rope

NUM_REGISTERS = 128
_EPS = 1e-6
_VISIBLE = -9000.0


def convert_to_additive_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Binary ``(B, T)`` to additive ``(B, 1, 1, T)``: 0 for tokens, the most negative number for padding."""
    return (mask.long() - 1).to(dtype)[:, None, None, :] * torch.finfo(dtype).max


def convert_to_binary_mask(additive: Tensor) -> Tensor:
    """The connector's additive output mask ``(B, 1, 1, T)`` as ``(B, T)`` int64."""
    return (additive < _EPS).long().flatten(1)


def replace_padding(features: Tensor, additive_mask: Tensor, registers: Tensor) -> Tensor:
    """Move the tokens to the front, in order, and put learned registers where padding was.

    Args:
        features: ``(B, T, C)``, padded on either side.
        additive_mask: ``(B, 1, 1, T)``.
        registers: ``(R, C)``; position ``t`` takes register ``t mod R``.

    Raises:
        ValueError: ``T`` is no multiple of ``R``.
    """
    length, count = features.shape[1], registers.shape[0]
    if length % count:
        raise ValueError(
            f"The text sequence has {length} positions; it must be a multiple of the {count} registers of the "
            f"connector, such as {max(1, round(length / count)) * count}."
        )
    valid = additive_mask.flatten(1) >= _VISIBLE
    order = valid.logical_not().long().argsort(dim=1, stable=True)
    front = features.gather(1, order[..., None].expand_as(features))
    is_token = torch.arange(length, device=features.device) < valid.sum(dim=1, keepdim=True)
    tiled = registers.to(features.dtype).repeat(length // count, 1)
    return torch.where(is_token[..., None], front, tiled)


class ConnectorBlock(nn.Module):
    """Pre-norm self-attention and feed-forward; the norms carry no weights."""

    def __init__(self, width: int, *, heads: int, head_dim: int, gated: bool, rope_type: RopeType, ff_bias: bool):
        super().__init__()
        self.attn1 = Attention(width, heads=heads, head_dim=head_dim, norm_eps=_EPS, gated=gated, rope_type=rope_type)
        self.ff = FeedForward(width, bias=ff_bias)

    def forward(self, hidden: Tensor, rope: RopeTable) -> Tensor:
        """``(B, T, C)`` to ``(B, T, C)``."""
        hidden = hidden + self.attn1(_norm(hidden), rope=rope)
        return hidden + self.ff(_norm(hidden))


class Embeddings1DConnector(nn.Module):
    """Bidirectional transformer over text features and registers.

    Args:
        heads, head_dim: attention heads; the width is their product.
        num_layers: blocks.
        max_pos: the position that rotary embeddings map to 1.
        gated: gate the attention heads.
        rope_type: channel pairing of the rotation.
        float64_grid: compute the rotary frequency grid in float64.
        ff_bias: biases in the feed-forward layers.
    """

    def __init__(
        self,
        *,
        heads: int,
        head_dim: int,
        num_layers: int,
        max_pos: Sequence[float],
        gated: bool = False,
        rope_type: RopeType = RopeType.SPLIT,
        float64_grid: bool = True,
        ff_bias: bool = True,
        num_registers: int = NUM_REGISTERS,
    ):
        super().__init__()
        width = heads * head_dim
        self.heads = heads
        self.max_pos = tuple(max_pos)
        self.float64_grid = float64_grid
        self.transformer_1d_blocks = nn.ModuleList(
            ConnectorBlock(width, heads=heads, head_dim=head_dim, gated=gated, rope_type=rope_type, ff_bias=ff_bias)
            for _ in range(num_layers)
        )
        self.learnable_registers = nn.Parameter(torch.empty(num_registers, width).uniform_(-1, 1))

    def forward(self, features: Tensor, additive_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``(B, T, C)`` and additive mask ``(B, 1, 1, T)`` to context ``(B, T, C)`` and a mask of zeros.

        Raises:
            ValueError: ``T`` is no multiple of the number of registers.
        """
        hidden = replace_padding(features, additive_mask, self.learnable_registers)
        rope = precompute_rope(
            torch.arange(hidden.shape[1], dtype=torch.float32, device=hidden.device)[None, None],
            width=hidden.shape[2],
            heads=self.heads,
            max_pos=self.max_pos,
            float64_grid=self.float64_grid,
            dtype=hidden.dtype,
        )
        for block in self.transformer_1d_blocks:
            hidden = block(hidden, rope=rope)
        return _norm(hidden), torch.zeros_like(additive_mask)


def _norm(hidden: Tensor) -> Tensor:
    return F.rms_norm(hidden, hidden.shape[-1:], eps=_EPS)
