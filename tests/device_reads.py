"""Finding out on a CPU where a program would wait for a GPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

_READS = frozenset(
    {
        "_local_scalar_dense",
        "equal",
        "is_nonzero",
        "item",
        "masked_select",
        "nonzero",
        "_unique2",
        "unique_dim",
        "unique_consecutive",
        "repeat_interleave",
    }
)
"""Operations whose result, or its size, the host has to know."""


class DeviceReads(TorchDispatchMode):
    """Pretends that some tensors are on a device, and counts the operations that would make the host wait for it.

    ``device`` tensors and everything computed from them count as being on the device. An operation that mixes them
    with an index on the host stands for a copy to the device, which waits too. ``.cpu()`` and ``.tolist()`` of a whole
    tensor cannot be seen: on a CPU they reach no dispatcher.
    """

    def __init__(self, device: Iterable[Tensor]) -> None:
        super().__init__()
        self.reads: Counter[str] = Counter()
        self._device = WeakIdKeyDictionary()
        for tensor in device:
            self._device[tensor] = True

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        tensors = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, Tensor)]
        on_device = [tensor in self._device for tensor in tensors]
        name = function.overloadpacket.__name__
        if any(on_device):
            if name in _READS:
                self.reads[name] += 1
            for tensor, known in zip(tensors, on_device, strict=True):
                if name == "index" and not known and tensor.ndim:
                    self.reads["index from the host"] += 1
                if name in ("index", "index_put_", "index_put") and tensor.dtype == torch.bool and known:
                    self.reads["boolean index"] += 1
        result = function(*args, **(kwargs or {}))
        if any(on_device):
            for leaf in tree_leaves(result):
                if isinstance(leaf, Tensor):
                    self._device[leaf] = True
        return result
