"""Weights over ranks: each keeps a part of every block and has the whole of one only while it runs (FSDP2)."""

from __future__ import annotations

import torch
from torch.distributed.device_mesh import DeviceMesh

from ..model.transformer import LTXModel
from .ranks import Ranks

_SHARDED = (torch.float32, torch.bfloat16, torch.float16)


def shard_weights(model: LTXModel, ranks: Ranks) -> None:
    """Keeps ``1 / ranks.size`` of the model's weights on each rank's device, for inference.

    The model may still lie in the computer's memory: each block then goes to the device in parts, so that a card never
    holds more than its part and the block that is being cut. All ranks call it, in turns or at once, each
    with the same weights.

    Raises:
        RuntimeError: a PyTorch without ``fully_shard`` (before 2.6).
        ValueError: weights that are kept packed.
    """
    try:
        from torch.distributed.fsdp import fully_shard
    except ImportError as error:
        raise RuntimeError(
            f"Sharded weights need PyTorch 2.6 or newer; this is {torch.__version__}. Turn sharding off, or update."
        ) from error
    packed = sorted({str(tensor.dtype) for tensor in model.state_dict().values() if tensor.dtype not in _SHARDED})
    if packed:
        raise ValueError(
            f"Weights kept as {', '.join(packed)} cannot be sharded. Load them as bf16, or turn sharding off: packed "
            "weights take half the room or less."
        )
    mesh = DeviceMesh.from_group(ranks.everyone.group, ranks.device.type)
    for block in model.transformer_blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
