"""All hidden states of several prompts from transformers' Gemma, one layer after the other (spec 05 §3.2, §5).

Prompts are not padded. Each keeps the positions it has at the end of a left-padded sequence, which gives the
reference's numbers for every valid token while computing nothing for the padding. Several prompts go through a layer
one after the other, so each gets exactly what it gets alone and the layer's weights are fetched once.

transformers' models run one sequence through all layers and call them with other arguments in every version. So a
model is run once per prompt with recorders in the place of its layers, which shows the arguments (rotary tables,
masks); the layers are then called here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LayerCall:
    """What a layer is called with beside its input."""

    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


@dataclass(frozen=True)
class Batch:
    """The states ``(1, n_i, D)`` of several prompts, and how a layer is called for each."""

    states: list[Tensor]
    calls: list[LayerCall] = field(repr=False)


class _Recorder(nn.Module):
    """Stands for a layer: keeps the call and hands its input on, though nothing reads it.

    transformers 4 takes the first item of what a layer returns, transformers 5 all of it: an added axis in front of
    the batch suits both.
    """

    def __init__(self, layer: nn.Module):
        super().__init__()
        # The kind of attention, which some versions ask of the layer.
        self.attention_type = getattr(layer, "attention_type", None)
        self.state: Tensor | None = None
        self.call: LayerCall | None = None

    def forward(self, hidden: Tensor, *arguments: Any, **keywords: Any) -> Tensor:
        self.state, self.call = hidden, LayerCall(arguments, keywords)
        return hidden if hidden.dim() > 3 else hidden[None]


def accept_batches(layers: nn.ModuleList) -> None:
    """Let every layer be called with a :class:`Batch` too, once for all prompts: hooks then run once, as streaming
    and stopping need it."""
    for layer in layers:
        layer.forward = partial(_forward, layer.forward)


def _forward(forward: Any, hidden: Tensor | Batch, *arguments: Any, **keywords: Any) -> Any:
    if not isinstance(hidden, Batch):
        return forward(hidden, *arguments, **keywords)
    outputs = (
        forward(state, *call.arguments, **call.keywords)
        for state, call in zip(hidden.states, hidden.calls, strict=True)
    )
    # transformers 4 returns tuples that begin with the state.
    return [output[0] if isinstance(output, tuple) else output for output in outputs]


@torch.no_grad()
def all_hidden_states(model: nn.Module, prompts: Sequence[Tensor], first_positions: Sequence[int]) -> list[Tensor]:
    """All hidden states of several prompts.

    Args:
        model: a Gemma text model whose layers :func:`accept_batches`.
        prompts: token ids ``(n_i,)`` of each prompt, without padding.
        first_positions: the position of each prompt's first token (``T − n_i`` when padded on the left to ``T``).

    Returns:
        For each prompt ``(1, n_i, D, L)`` with ``L = layers + 1``: scaled embedding, the raw outputs of all layers
        but the last, and the normalised output of the last.
    """
    recorded = [_record(model, ids, first) for ids, first in zip(prompts, first_positions, strict=True)]
    states = [embedded for embedded, _ in recorded]
    calls = [of_prompt for _, of_prompt in recorded]
    stacks = [state.new_empty(*state.shape, len(model.layers) + 1) for state in states]
    for index, layer in enumerate(model.layers):
        for stack, state in zip(stacks, states, strict=True):
            stack[..., index] = state
        states = layer(Batch(states, [of_prompt[index] for of_prompt in calls]))
    for stack, state in zip(stacks, states, strict=True):
        stack[..., -1] = model.norm(state)
    return stacks


def _record(model: nn.Module, ids: Tensor, first: int) -> tuple[Tensor, list[LayerCall]]:
    """The scaled embedding ``(1, n, D)`` of a prompt, and what the model calls each layer with."""
    layers = model.layers
    recorders = nn.ModuleList(_Recorder(layer) for layer in layers)
    positions = torch.arange(first, first + len(ids), device=ids.device)[None]
    model.layers = recorders
    try:
        # The mask of ones says that this is one sequence: without it a mask is built where "causal" would do.
        model(input_ids=ids[None], position_ids=positions, attention_mask=torch.ones_like(ids)[None], use_cache=False)
    finally:
        model.layers = layers
    return recorders[0].state, [recorder.call for recorder in recorders]
