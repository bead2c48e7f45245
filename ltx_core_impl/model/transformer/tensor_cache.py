"""Results that only depend on one tensor, kept while that tensor is the same."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeVar

import torch

Result = TypeVar("Result")


class _Entry(NamedTuple):
    source: torch.Tensor
    stamp: int | torch.Tensor
    result: Any


class TensorCache:
    """A few results, each valid for one source tensor object in one state.

    The source is compared by identity and by its version counter, and is referenced, so that its id cannot be reused.
    Tensors made in inference mode have no counter: a copy of their values is kept and compared instead. The least
    recently used entry is dropped beyond ``capacity``, unless the results, tensors or tuples of them, are small: all
    together may take ``spare_bytes``.
    """

    def __init__(self, capacity: int, spare_bytes: int = 0) -> None:
        self.capacity = capacity
        self.spare_bytes = spare_bytes
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()

    def get(self, source: torch.Tensor, key: Hashable, compute: Callable[[], Result]) -> Result:
        """The result kept for ``source`` and ``key``, or that of ``compute``."""
        key = (id(source), key, torch.is_inference_mode_enabled())  # autograd refuses tensors of inference mode
        entry = self._entries.get(key)
        if entry is None or not _unchanged(entry):
            self._entries.pop(key, None)
            self._shrink(self.capacity - 1)  # before the new one is made: both may be large
            entry = _Entry(source, source.clone() if source.is_inference() else source._version, compute())
            self._entries[key] = entry
        self._entries.move_to_end(key)
        self._shrink(self.capacity)
        return entry.result

    def _shrink(self, count: int) -> None:
        while len(self._entries) > count and self._bytes() >= self.spare_bytes:
            self._entries.popitem(last=False)

    def _bytes(self) -> int:
        return sum(_size(entry.result) for entry in self._entries.values()) if self.spare_bytes else 0

    def clear(self) -> None:
        """Drops everything."""
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


def _unchanged(entry: _Entry) -> bool:
    if isinstance(entry.stamp, torch.Tensor):
        return torch.equal(entry.stamp, entry.source)
    return entry.stamp == entry.source._version


def _size(result: Any) -> int:
    if isinstance(result, torch.Tensor):
        return result.nbytes
    return sum(map(_size, result)) if isinstance(result, tuple) else 0
