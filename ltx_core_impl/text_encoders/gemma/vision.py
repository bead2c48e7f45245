"""Gemma 3's image path: SigLIP tower, pooling and projection to 256 soft tokens (spec 05 §12.5)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import VisionConfig
from .model import RMSNorm


class PatchEmbeddings(nn.Module):
    """Non-overlapping patches plus learned positions."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.patch_embedding = nn.Conv2d(
            config.num_channels, config.hidden_size, kernel_size=config.patch_size, stride=config.patch_size
        )
        patches = (config.image_size // config.patch_size) ** 2
        self.position_embedding = nn.Embedding(patches, config.hidden_size)

    def forward(self, pixels: Tensor) -> Tensor:
        """``(B, 3, S, S)`` to ``(B, patches, D)``."""
        return self.patch_embedding(pixels).flatten(2).transpose(1, 2) + self.position_embedding.weight


class VisionAttention(nn.Module):
    """Full multi-head self-attention."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.num_heads = config.num_heads
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.k_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.v_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """``(B, N, D)`` to ``(B, N, D)``."""
        query, key, value = (
            projection(hidden).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        return self.out_proj(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class VisionMLP(nn.Module):
    """Two linear layers around a tanh-approximated GELU."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(hidden), approximate="tanh"))


class VisionLayer(nn.Module):
    """Pre-norm transformer layer."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.eps)
        self.self_attn = VisionAttention(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.eps)
        self.mlp = VisionMLP(config)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = hidden + self.self_attn(self.layer_norm1(hidden))
        return hidden + self.mlp(self.layer_norm2(hidden))


class VisionEncoder(nn.Module):
    """The stack of layers."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.layers = nn.ModuleList(VisionLayer(config) for _ in range(config.num_layers))

    def forward(self, hidden: Tensor) -> Tensor:
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden


class VisionTower(nn.Module):
    """SigLIP without its pooling head."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.embeddings = PatchEmbeddings(config)
        self.encoder = VisionEncoder(config)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.eps)

    def forward(self, pixels: Tensor) -> Tensor:
        """``(B, 3, S, S)`` in [-1, 1] to ``(B, patches, D)``."""
        return self.post_layernorm(self.encoder(self.embeddings(pixels)))


class MultiModalProjector(nn.Module):
    """Average-pool patches to the soft tokens, normalise, project to the language model's width."""

    def __init__(self, config: VisionConfig, text_width: int):
        super().__init__()
        self.side = config.image_size // config.patch_size
        self.pooled_side = int(config.tokens_per_image**0.5)
        self.mm_input_projection_weight = nn.Parameter(torch.empty(config.hidden_size, text_width))
        self.mm_soft_emb_norm = RMSNorm(config.hidden_size, config.eps, offset=1.0)

    def forward(self, patches: Tensor) -> Tensor:
        """``(B, patches, D)`` to ``(B, soft tokens, text width)``."""
        grid = patches.transpose(1, 2).unflatten(-1, (self.side, self.side))
        pooled = F.avg_pool2d(grid, kernel_size=self.side // self.pooled_side).flatten(2).transpose(1, 2)
        return self.mm_soft_emb_norm(pooled) @ self.mm_input_projection_weight
