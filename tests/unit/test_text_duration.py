"""Frame counts, sizes and errors of the duration head (spec 06, spec 07 §13.20)."""

from __future__ import annotations

import pytest
import torch

from ltx_core_impl.loader.errors import ConfigError
from ltx_core_impl.text_encoders.duration_head import DurationHead, DurationHeadConfigurator, frame_count

CONFIG = {
    "transformer": {
        "connector_num_attention_heads": 2,
        "connector_attention_head_dim": 6,
        "audio_connector_num_attention_heads": 2,
        "audio_connector_attention_head_dim": 3,
    }
}


@pytest.mark.parametrize(
    ("seconds", "frames"), [(0.2, 25), (2.5, 57), (5.0, 113), (5.04, 121), (7.3, 169), (19.9, 473), (25.0, 473)]
)
def test_frames_of_the_spec(seconds: float, frames: int) -> None:
    assert frame_count(seconds, fps=24) == frames


def test_frames_stay_on_the_grid_and_below_the_maximum() -> None:
    assert frame_count(1.0, fps=24, min_seconds=1.0, max_seconds=1.0) == 17
    assert frame_count(0.1, fps=8, min_seconds=0.1, max_seconds=0.5) == 1
    assert frame_count(2.0, fps=25, time_scale=4) == 49


@pytest.mark.parametrize("settings", [{"fps": 0}, {"min_seconds": 3, "max_seconds": 2}, {"min_seconds": 0}])
def test_limits_are_checked(settings: dict) -> None:
    with pytest.raises(ValueError, match="0 < min_seconds <= max_seconds and fps > 0"):
        frame_count(1.0, **({"fps": 24} | settings))


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
