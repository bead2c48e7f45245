"""A transformer for several ranks, from files."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.distributed as dist

from ..loader import SingleGPUModelBuilder
from ..model.transformer import X0Model
from .ranks import Ranks
from .sharding import shard_weights
from .transformer import ParallelTransformer


def load_transformer(
    builder: SingleGPUModelBuilder,
    ranks: Ranks,
    dtype: torch.dtype,
    *,
    split: str = "auto",
    shard: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ParallelTransformer:
    """The model that all ranks call together; each reads the files itself.

    Args:
        builder: the recipe, LoRAs and quantisation included.
        ranks: who takes part.
        dtype: that it computes in.
        split: what is shared out, see :class:`ParallelTransformer`.
        shard: keep a part of the weights on each rank. The ranks then read one after the other, each through the
            computer's memory, which holds one copy at a time.
        progress: told tensors done and tensors in all.

    Raises:
        ValueError: as ``builder.build`` and :func:`shard_weights`.
    """
    device = ranks.device
    if not shard:
        model = builder.build(device, dtype, progress=progress)
        return ParallelTransformer(X0Model(model.requires_grad_(False).eval()), ranks, split)
    model = None
    for turn in range(ranks.size):
        if turn == ranks.rank:
            model = builder.build(torch.device("cpu"), dtype, progress=progress, work_device=device)
            shard_weights(model.requires_grad_(False).eval(), ranks)
        dist.barrier(group=ranks.control)
    return ParallelTransformer(X0Model(model), ranks, split)
