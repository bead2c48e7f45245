"""Sizes and errors of the duration head."""

from __future__ import annotations

import pytest
import torch

from ltx_core_impl.loader.errors import ConfigError
from ltx_core_impl.text_encoders.duration_head import DurationHead, DurationHeadConfigurator

CONFIG = {
    "transformer": {
        "connector_num_attention_heads": 2,
        "connector_attention_head_dim": 6,
        "audio_connector_num_attention_heads": 2,
        "audio_connector_attention_head_dim": 3,
    }
}


def test_sizes_are_those_of_the_weights() -> None:
    with torch.device("meta"):
        head = DurationHeadConfigurator.from_config(CONFIG | {"duration_head": {"num_heads": 2}})
        other = DurationHead(video_width=12, audio_width=6, num_heads=2)
        other._build(width=16, num_queries=3, mlp_width=20)
    weights = {name: torch.randn(value.shape) for name, value in other.state_dict().items()}
    head.load_state_dict(weights, assign=True)
    assert head.attention_pooler.query_tokens.shape == (3, 16) and head.mlp_hidden.weight.shape == (20, 48)
    assert head(torch.randn(2, 5, 12), torch.randn(2, 7, 6)).shape == (2,)


def test_published_sizes() -> None:
    with torch.device("meta"):
        state = DurationHeadConfigurator.from_config(CONFIG).state_dict()
    assert len(state) == 15
    assert state["attention_pooler.query_tokens"].shape == (1, 256)
    assert state["attention_pooler.cross_attn.in_proj_weight"].shape == (768, 256)


def test_a_context_is_needed() -> None:
    with pytest.raises(ValueError, match="got neither"):
        DurationHeadConfigurator.from_config(CONFIG)()


def test_widths_are_needed() -> None:
    with pytest.raises(ConfigError, match="lacks connector_num_attention_heads and connector_attention_head_dim"):
        DurationHeadConfigurator.from_config({})
