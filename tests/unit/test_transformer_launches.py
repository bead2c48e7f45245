"""How many operations a block dispatches: each is a launch on a GPU, and a gap between two of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ltx_core_impl.model.transformer.modality import TokenGroups
from tests.transformer_helpers import golden_modalities, load_transformer

_VIEWS = frozenset(
    "_unsafe_view alias detach expand permute select slice split squeeze t transpose unbind unsqueeze view".split()
)
_NORM = ("pow", "mean", "add_", "rsqrt", "mul")  # what a norm without weight is made of on a CPU; one kernel on a GPU
_NORMS = {"2.0": (8, 12), "2.3": (8, 12), "2.5": (8, 12)}
"""Norms per block: of the streams (without weight), of queries and keys (with one)."""


class Launches(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = function.overloadpacket.__name__
        if name not in _VIEWS:
            self.counts[name] += 1
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(("version", "ceiling"), [("2.0", 112), ("2.3", 147), ("2.5", 151)])
@torch.no_grad()
def test_launches_of_a_block(version: str, ceiling: int) -> None:
    """Before modulation was combined per table it was 132, 177 and 181."""
    model, modalities = load_transformer(version), golden_modalities(version)
    model(*modalities)
    block, launches = model.transformer_blocks[1], Launches()
    forward = block.forward

    def counted(*args: object, **kwargs: object) -> object:
        with launches:
            return forward(*args, **kwargs)

    block.forward = counted
    model(*modalities)
    plain, weighted = _NORMS[version]
    assert launches.counts["rsqrt"] == plain + weighted
    # A norm is 5 operations here, 6 with a weight, and 1 where it matters.
    total = launches.counts.total() - 4 * plain - 5 * weighted
    assert total <= ceiling, launches.counts


@pytest.mark.parametrize(("version", "ceiling"), [("2.0", 81), ("2.3", 95), ("2.5", 95)])
@torch.no_grad()
def test_launches_of_a_later_pass_outside_the_blocks(version: str, ceiling: int) -> None:
    """They were 105, 127 and 127, and 4 more over the square of the tokens, while each pass made the frequencies of
    the timesteps and the additive mask anew."""
    model, (video, audio) = load_transformer(version), golden_modalities(version)
    tokens = video.latent.shape[1]
    video, audio = (replace(one, timestep_groups=TokenGroups.of(one.timesteps.flatten(1))) for one in (video, audio))
    video = replace(video, attention_mask=torch.full((1, tokens, tokens), 0.5))
    for block in model.transformer_blocks:
        block.forward = lambda video_x, audio_x, **_: (video_x, audio_x)
    model(video, audio)
    with Launches() as launches:
        model(video, audio)
    assert launches.counts["clamp_min"] == launches.counts["log_"] == launches.counts["exp"] == 0
    assert launches.counts.total() <= ceiling, launches.counts
