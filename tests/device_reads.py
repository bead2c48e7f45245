"""Finding out on a CPU where a program would wait for a GPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
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


_CREATORS = frozenset("arange empty eye full linspace ones rand randn zeros".split())
"""Functions that make a tensor on the device they are given, without a copy."""


class DeviceReads(TorchDispatchMode):
    """Pretends that some tensors are on a device, and counts the operations that would make the host wait for it.

    ``device`` tensors and everything computed from them count as being on the device, and so does what is made with a
    ``device=`` argument; the host is meant where the code says ``"cpu"``. Copies in either direction wait: those that
    are asked for (``.cpu()``, ``.tolist()``, ``.to(device)`` of what is on the host, ``torch.tensor(..., device=)``)
    and an index on the host.
    """

    def __init__(self, device: Iterable[Tensor]) -> None:
        super().__init__()
        self.reads: Counter[str] = Counter()
        self._device = WeakIdKeyDictionary()
        for tensor in device:
            self._device[tensor] = True
        self._copies = _Copies(self)

    def __enter__(self) -> DeviceReads:
        super().__enter__()
        self._copies.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._copies.__exit__(*error)
        super().__exit__(*error)

    def on_device(self, tensor: Tensor) -> bool:
        """Whether a tensor counts as being on the device."""
        return tensor in self._device

    def put_on_device(self, tensor: Tensor) -> Tensor:
        """The tensor, which counts as being on the device from now on. One that aliases what is on the host gets an
        object of its own."""
        tensor = tensor if self.on_device(tensor) else tensor.view_as(tensor)
        self._device[tensor] = True
        return tensor

    def put_on_host(self, tensor: Tensor) -> Tensor:
        """The tensor as an object of its own that counts as being on the host."""
        tensor = tensor.view_as(tensor)
        self._device.pop(tensor, None)
        return tensor

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


class _Copies(TorchFunctionMode):
    """Sees what a CPU never dispatches: copies that are none here."""

    def __init__(self, reads: DeviceReads) -> None:
        super().__init__()
        self._reads = reads

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if first is not None and name in ("cpu", "tolist", "numpy", "to"):
            return self._copied(name, first, function(*args, **kwargs), (*args[1:], *kwargs.values()))
        result = function(*args, **kwargs)
        device = kwargs.get("device")
        if device is None or device == "cpu":
            return result
        if name in ("tensor", "as_tensor", "new_tensor"):
            self._reads.reads[f"{name} to the device"] += 1
            return self._reads.put_on_device(result)
        return self._reads.put_on_device(result) if name in _CREATORS else result

    def _copied(self, name: str, source: Tensor, result: Any, arguments: tuple) -> Any:
        known = self._reads.on_device(source)
        to_host = name != "to" or any(isinstance(one, str) and one == "cpu" for one in arguments)
        moves = to_host or any(
            isinstance(one, torch.device) or (isinstance(one, Tensor) and self._reads.on_device(one))
            for one in arguments
        )
        if not moves or known is not to_host:
            return result
        self._reads.reads["copy to the host" if to_host else "copy to the device"] += 1
        if not to_host:
            return self._reads.put_on_device(result)
        return self._reads.put_on_host(result) if isinstance(result, Tensor) else result
