"""The transformer in worker processes: which devices, and what ComfyUI shows meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from ...ltx_core_impl import loader
from .. import host
from ..wires.checks import InputError
from ..wires.handles import ModelHandle

if TYPE_CHECKING:
    from ...ltx_core_impl.parallel.remote import RemoteTransformer
    from ...ltx_core_impl.parallel.workers import WorkerGroup


def check_ranks(count: int) -> None:
    """Raises `InputError` when this machine has not the cards for so many workers, or PyTorch not the means."""
    device = host.compute_device()
    if device.type == "cpu":
        return
    if device.type != "cuda":
        raise InputError(
            f"Several ranks run on NVIDIA and AMD cards and on CPUs; this ComfyUI computes on {device.type}."
        )
    if count > torch.cuda.device_count():
        raise InputError(
            f"ranks is {count}, but ComfyUI sees {torch.cuda.device_count()} card(s) on this machine. Set ranks to at "
            "most that, or take 'LTX-2 Parallel Model' out."
        )
    if not torch.distributed.is_available() or not torch.distributed.is_nccl_available():
        raise InputError(
            "This PyTorch has no NCCL, by which cards exchange data (PyTorch for Windows never has). Use Linux or WSL, "
            "or take 'LTX-2 Parallel Model' out."
        )


def rank_devices(count: int) -> list[str]:
    """Where each worker computes."""
    kind = host.compute_device().type
    return ["cpu"] * count if kind == "cpu" else [f"{kind}:{index}" for index in range(count)]


@contextmanager
def several_ranks(
    handle: ModelHandle,
    recipe: loader.TransformerRecipe,
    dtype: torch.dtype,
    size: int,
    working_memory: int,
    has_keyframe_embedding: bool,
) -> Iterator[RemoteTransformer]:
    """The transformer of a handle with ``parallel``; ``size`` is that of its weights in bytes."""
    # Not at the top: nobody who has one card should pay for the import.
    from ...ltx_core_impl.parallel.remote import RemoteTransformer
    from ...ltx_core_impl.parallel.workers import WorkerGroup

    parallel = handle.parallel
    devices = rank_devices(parallel.ranks)

    def start() -> WorkerGroup:
        return WorkerGroup(
            recipe,
            devices,
            str(dtype).removeprefix("torch."),
            split=parallel.split,
            shard=parallel.shard,
            check=host.check_interrupt,
            progress=host.Progress(1, "Reading in the workers", unit="tensor", share=0.5),
        )

    held = size // parallel.ranks if parallel.shard else size
    with host.running(handle, start, devices, held, working_memory) as group:
        yield RemoteTransformer(group, has_keyframe_embedding)
