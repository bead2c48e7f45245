"""Where the weights of a module are: on the host, on a device, or on both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from .block_buffer import Slot, slots_of, total_bytes
from .page_lock import HostSlab, PageLock


class Weights:
    """Some parameters and buffers that move together; if a move fails, the module keeps what it had.

    Weights do not change, so leaving the device costs nothing for those that have kept their home on the host.

    Attributes:
        nbytes: what they need on a device.
        on_device: whether the module uses them there.
    """

    def __init__(self, slots: Sequence[Slot], device: torch.device, host: torch.device, on_device: bool) -> None:
        """``on_device`` tells where they are now."""
        self._slots, self._device, self._host = slots, device, host
        self.on_device = on_device
        self.nbytes = total_bytes(slot.tensor for slot in slots)
        self._home: list[Tensor] | None = None if on_device else self._used()
        self._slab: HostSlab | None = None

    @property
    def home(self) -> list[Tensor]:
        """The tensors on the host, in order.

        Raises:
            RuntimeError: they are on the device only.
        """
        if self._home is None:
            raise RuntimeError("these weights are on the device only; take them to the host first")
        return self._home

    @property
    def locked_memory(self) -> Tensor | None:
        """The page-locked bytes that the home is in, if it is."""
        return None if self._slab is None else self._slab.memory

    def put(self, tensors: Sequence[Tensor]) -> None:
        """Let the module use these tensors."""
        for slot, tensor in zip(self._slots, tensors, strict=True):
            slot.put(tensor)

    def to_device(self, keep_home: bool) -> None:
        """Bring them to the device. Without ``keep_home`` the host's memory is given back."""
        if not self.on_device:
            self.put(self._copies(self._device))
            self.on_device = True
        if not keep_home:
            self._home = self._slab = None

    def to_host(self, lock: PageLock | None) -> None:
        """Take them from the device; those without a home get one, page-locked if there is a lock that grants it."""
        if not self.on_device:
            return
        if self._home is None and not self._move_into_slab(lock):
            self._home = self._copies(self._host)
        self.put(self.home)
        self.on_device = False

    def lock_home(self, lock: PageLock | None) -> None:
        """Move the home, if there is one, into page-locked memory, unless it is there or none is granted."""
        if self._home is not None and self._slab is None and self._move_into_slab(lock) and not self.on_device:
            self.put(self.home)

    def unlock_home(self) -> int:
        """Give page-locked memory back to the system's paging; returns its bytes. The home stays."""
        freed = 0 if self._slab is None else self._slab.memory.nbytes
        self._slab = None
        return freed

    def _used(self) -> list[Tensor]:
        return [slot.tensor for slot in self._slots]

    def _move_into_slab(self, lock: PageLock | None) -> bool:
        source = self._home or self._used()
        slab = HostSlab.granted(source, lock) if lock is not None else None
        if slab is None:
            return False
        with torch.inference_mode(False):
            for view, value in zip(slab.tensors, source, strict=True):
                view.copy_(value.detach())
        self._slab, self._home = slab, self._of_module(slab.tensors)
        return True

    def _copies(self, device: torch.device) -> list[Tensor]:
        """The values on ``device``; what several slots share is copied once."""
        copies: dict[int, Tensor] = {}
        source = self._home or self._used()
        with torch.inference_mode(False):  # used inside and outside of it
            for value in source:
                if id(value) not in copies:
                    copies[id(value)] = value.detach().to(device)
        return self._of_module([copies[id(value)] for value in source])

    def _of_module(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Each as its slot keeps it, so that shared tensors stay one object."""
        made: dict[int, nn.Parameter] = {}
        for slot, tensor in zip(self._slots, tensors, strict=True):
            if slot.is_parameter and id(tensor) not in made:
                made[id(tensor)] = nn.Parameter(tensor, requires_grad=False)
        return [made[id(t)] if slot.is_parameter else t for slot, t in zip(self._slots, tensors, strict=True)]


class Placement(Protocol):
    """A model's weights on a device, as much of them as a budget allows: what a memory manager asks for."""

    @property
    def bytes_on_device(self) -> int: ...

    @property
    def least_bytes(self) -> int: ...

    def resize(self, budget: float, *, keep_homes: bool = True, between: Callable[[], None] | None = None) -> int: ...

    def detach(self) -> None: ...

    def release(self) -> None: ...

    def unlock(self, nbytes: float) -> int: ...


class WholeModel:
    """The placement of a model that has no blocks to stream: all of it is on the device, or nothing.

    Attributes:
        bytes_on_device: what it takes there now.
        least_bytes: what it takes there when it is loaded.
    """

    def __init__(self, model: nn.Module, device: torch.device, host: torch.device, *, on_device: bool) -> None:
        """``on_device`` tells where the model is now."""
        self._weights = Weights(slots_of(model), device, host, on_device)

    @property
    def bytes_on_device(self) -> int:
        return self._weights.nbytes if self._weights.on_device else 0

    @property
    def least_bytes(self) -> int:
        return self._weights.nbytes

    def resize(self, budget: float, *, keep_homes: bool = True, between: Callable[[], None] | None = None) -> int:
        """Bring all of it to the device, whatever the budget; returns by how many bytes the memory there has grown."""
        before = self.bytes_on_device
        self._weights.to_device(keep_homes)
        return self.bytes_on_device - before

    def detach(self) -> None:
        """Take all of it to the host."""
        self._weights.to_host(None)

    def release(self) -> None:
        """Nothing is held that does not go with the model."""

    def unlock(self, nbytes: float) -> int:
        """Nothing is page-locked."""
        return 0
