"""Layers of the diffusion decoder, on channels-last ``(B, T, H, W, C)`` tensors (spec 03 §13.2)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..time_embedding import SINUSOID_CHANNELS
from .neighborhood import neighborhood_attention
from .params import Size, Upsampling
from .rope import rotate_

NORM_EPS = 1e-6
MLP_RATIO = 4
MLP_MULTIPLE = 16
MODULATION_ROWS = 7
# The MLP is four times as wide as its input; tokens pass through it in tiles of this many.
MLP_TOKENS = 16384

Modulation = tuple[Tensor, Tensor]
"""(scale, shift), each ``(B, 1, 1, 1, C)``."""


def modulate(x: Tensor, modulation: Modulation | None) -> Tensor:
    """``x·(1 + scale) + shift``; overwrites ``x``."""
    if modulation is None:
        return x
    scale, shift = modulation
    return x.mul_(1 + scale).add_(shift)


class SwiGLU(nn.Module):
    """Gated MLP without biases."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = math.ceil(MLP_RATIO * channels / MLP_MULTIPLE) * MLP_MULTIPLE
        self.w_up = nn.Linear(channels, hidden, bias=False)
        self.w_gate = nn.Linear(channels, hidden, bias=False)
        self.w_down = nn.Linear(hidden, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.w_down(F.silu(self.w_gate(x), inplace=True).mul_(self.w_up(x)))


class NeighborhoodAttention(nn.Module):
    """Multi-head attention within a window, with normalised queries and keys and rotary positions."""

    def __init__(self, channels: int, head_dim: int, kernel: Size):
        super().__init__()
        self.kernel = kernel
        self.head_dim = head_dim
        self.qkv = nn.Linear(channels, 3 * channels)
        self.q_norm = nn.RMSNorm(head_dim, eps=NORM_EPS)
        self.k_norm = nn.RMSNorm(head_dim, eps=NORM_EPS)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, T, H, W, C)`` -> same shape; every axis at least as long as the kernel."""
        q, k, v = (part.unflatten(-1, (-1, self.head_dim)) for part in self.qkv(x).chunk(3, dim=-1))
        q, k = rotate_(self.q_norm(q)), rotate_(self.k_norm(k))
        return self.proj(neighborhood_attention(q, k, v, self.kernel, scale=self.head_dim**-0.5).flatten(-2))


class TransformerBlock(nn.Module):
    """Attention and MLP with residuals; modulated and given a context in the denoiser."""

    def __init__(self, channels: int, head_dim: int, kernel: Size):
        super().__init__()
        self.norm1 = nn.RMSNorm(channels, eps=NORM_EPS)
        self.attn = NeighborhoodAttention(channels, head_dim, kernel)
        self.norm2 = nn.RMSNorm(channels, eps=NORM_EPS)
        self.mlp = SwiGLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, T, H, W, C)`` -> same shape. Overwrites ``x``."""
        return self._mix(x, attention_modulation=None, mlp_modulation=None)

    def _mix(self, x: Tensor, attention_modulation: Modulation | None, mlp_modulation: Modulation | None) -> Tensor:
        x.add_(self.attn(modulate(self.norm1(x), attention_modulation)))
        for sample, tokens in enumerate(x.view(x.shape[0], -1, x.shape[-1])):
            modulation = None
            if mlp_modulation is not None:
                scale, shift = (part[sample].flatten(0, 2) for part in mlp_modulation)
                modulation = scale, shift
            for tile in tokens.split(MLP_TOKENS):
                tile.add_(self.mlp(modulate(self.norm2(tile), modulation)))
        return x


class DenoiserBlock(TransformerBlock):
    """A block of the fifth stage: adds the projected context first and is modulated by the timestep."""

    def __init__(self, channels: int, context_channels: int, head_dim: int, kernel: Size):
        super().__init__(channels, head_dim, kernel)
        # Rows: scale, shift, gate of the attention; scale, shift, gate of the MLP; gate of the context. The gates
        # are folded into the projections.
        self.scale_shift_table = nn.Parameter(torch.zeros(MODULATION_ROWS, channels))
        self.context_proj = nn.Linear(context_channels, channels)

    def forward(self, x: Tensor, context: Tensor, modulation: Tensor) -> Tensor:
        """``x`` ``(B, T, H, W, C)``, ``context`` alike, shared ``modulation`` ``(B, 7, C)``. Overwrites ``x``."""
        x.add_(self.context_proj(context))
        rows = (modulation + self.scale_shift_table)[:, :, None, None, None].unbind(dim=1)
        return self._mix(x, attention_modulation=(rows[0], rows[1]), mlp_modulation=(rows[3], rows[4]))


class TimestepMLP(nn.Module):
    """Sinusoid of the timestep -> ``(B, D)``; its layers are ``mlp.0`` and ``mlp.2``."""

    def __init__(self, dim: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(SINUSOID_CHANNELS, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x)


class SharedModulation(nn.Module):
    """Timestep embedding ``(B, D)`` -> ``(B, 7, C)`` for all blocks of the denoiser."""

    def __init__(self, dim: int, channels: int):
        super().__init__()
        self.proj = nn.Linear(dim, MODULATION_ROWS * channels)

    def forward(self, embedding: Tensor) -> Tensor:
        return self.proj(F.silu(embedding)).unflatten(1, (MODULATION_ROWS, -1))


class Upsample(nn.Module):
    """Linear layer and pixel shuffle, channels last."""

    def __init__(self, channels: int, upsampling: Upsampling):
        super().__init__()
        self.stride = upsampling.stride
        self.proj = nn.Linear(channels, math.prod(self.stride) * channels // upsampling.reduction)

    def forward(self, x: Tensor, drop_leading: bool) -> Tensor:
        """``(B, T, H, W, C)`` -> ``(B, T·p1, H·p2, W·p3, C/reduction)``.

        ``drop_leading`` removes the first frame after upsampling time: at the start of a video it stands for none.
        """
        p1, p2, p3 = self.stride
        pattern = "b t h w (c p1 p2 p3) -> b (t p1) (h p2) (w p3) c"
        x = rearrange(self.proj(x), pattern, p1=p1, p2=p2, p3=p3)
        return x[:, 1:] if drop_leading and p1 > 1 else x
