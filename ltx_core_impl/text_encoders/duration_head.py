"""LTX-2.5's duration head: how long a clip of a prompt should be (spec 05 §15.6, spec 06 §15, spec 07 §2).

The specification names the head and its tensors; the activation (tanh-approximated GELU) and the exponential of the
output are those that reproduce the reference's numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..loader.errors import ConfigError

_WIDTH = 256
_NUM_QUERIES = 1
_NUM_HEADS = 4


class AttentionPooler(nn.Module):
    """Learned queries that attend to all tokens: ``(B, T, D)`` to ``(B, Q · D)``."""

    def __init__(self, width: int, num_queries: int, num_heads: int):
        super().__init__()
        self.query_tokens = nn.Parameter(torch.zeros(num_queries, width))
        self.cross_attn = nn.MultiheadAttention(width, num_heads, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        queries = self.query_tokens.expand(tokens.shape[0], -1, -1)
        return self.cross_attn(queries, tokens, tokens, need_weights=False)[0].flatten(1)


class DurationHead(nn.Module):
    """Predicts seconds from the contexts of one or both streams.

    Args:
        video_width, audio_width: channels of the contexts (the connectors' outputs).
        num_heads: heads of the pooling attention.

    The sizes inside the head are the published ones until weights of other sizes are loaded.
    """

    def __init__(self, video_width: int, audio_width: int, num_heads: int = _NUM_HEADS):
        super().__init__()
        self.video_width = video_width
        self.audio_width = audio_width
        self.num_heads = num_heads
        self._build(width=_WIDTH, num_queries=_NUM_QUERIES, mlp_width=_WIDTH)

    def _build(self, width: int, num_queries: int, mlp_width: int) -> None:
        self.video_input_proj = nn.Linear(self.video_width, width)
        self.audio_input_proj = nn.Linear(self.audio_width, width)
        self.video_modality_emb = nn.Parameter(torch.zeros(width))
        self.audio_modality_emb = nn.Parameter(torch.zeros(width))
        self.attention_pooler = AttentionPooler(width, num_queries, self.num_heads)
        self.mlp_hidden = nn.Linear(num_queries * width, mlp_width)
        self.mlp_out = nn.Linear(mlp_width, 1)

    def forward(self, video: Tensor | None = None, audio: Tensor | None = None) -> Tensor:
        """Contexts ``(B, T, D_v)`` and ``(B, T, D_a)``, either may be missing, to seconds ``(B,)`` in float32.

        Raises:
            ValueError: neither context is given.
        """
        streams = (
            (video, self.video_input_proj, self.video_modality_emb),
            (audio, self.audio_input_proj, self.audio_modality_emb),
        )
        tokens = [project(x.to(emb.dtype)) + emb for x, project, emb in streams if x is not None]
        if not tokens:
            raise ValueError("The duration head needs the video context, the audio context, or both; got neither.")
        pooled = self.attention_pooler(torch.cat(tokens, dim=1))
        hidden = F.gelu(self.mlp_hidden(pooled), approximate="tanh")
        return self.mlp_out(hidden)[:, 0].float().exp()

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        queries, hidden = state_dict.get(f"{prefix}attention_pooler.query_tokens"), self.mlp_hidden
        mlp = state_dict.get(f"{prefix}mlp_hidden.weight")
        if queries is not None and mlp is not None and queries.dim() == mlp.dim() == 2:
            stored = (queries.shape[1], queries.shape[0], mlp.shape[0])
            own = self.attention_pooler.query_tokens
            if stored != (own.shape[1], own.shape[0], hidden.out_features):
                with torch.device(own.device):
                    self._build(*stored)
                self.requires_grad_(own.requires_grad)
        super()._load_from_state_dict(state_dict, prefix, *args)


class DurationHeadConfigurator:
    """Builds the duration head beside the transformer it was trained with."""

    component: ClassVar[str] = "duration_head"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> DurationHead:
        """Context widths from the ``transformer`` section, heads from an optional ``duration_head`` section.

        Raises:
            ConfigError: the widths are missing.
        """
        transformer = config.get("transformer", {})
        heads = next((value for key, value in config.get("duration_head", {}).items() if "heads" in key), _NUM_HEADS)
        return DurationHead(
            video_width=_width(transformer, "connector"),
            audio_width=_width(transformer, "audio_connector"),
            num_heads=heads,
        )


def _width(transformer: Mapping[str, Any], stream: str) -> int:
    keys = (f"{stream}_num_attention_heads", f"{stream}_attention_head_dim")
    missing = [key for key in keys if key not in transformer]
    if missing:
        raise ConfigError(f"The config of the duration head lacks {' and '.join(missing)}; use the published file.")
    return transformer[keys[0]] * transformer[keys[1]]
