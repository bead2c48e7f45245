"""Memory for the weights of one visiting block, reused for block after block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

ALIGNMENT = 256
"""Every tensor begins at a multiple of this many bytes, as the device's own allocator would place it."""


class Slot(NamedTuple):
    """A parameter or buffer of a module: the dictionary that holds it, its name there, and which of the two it is."""

    store: dict[str, Tensor | None]
    name: str
    is_parameter: bool

    @property
    def key(self) -> tuple[int, str]:
        """Tells slots apart."""
        return id(self.store), self.name

    @property
    def tensor(self) -> Tensor:
        """What the module uses now."""
        return self.store[self.name]

    def put(self, tensor: Tensor) -> None:
        """Let the module use ``tensor``; in the place of a parameter it becomes one."""
        if self.is_parameter and not isinstance(tensor, nn.Parameter):
            tensor = nn.Parameter(tensor, requires_grad=False)
        self.store[self.name] = tensor


def slots_of(module: nn.Module) -> list[Slot]:
    """Every parameter and buffer of a module and those inside it."""
    stores = (store for child in module.modules() for store in (child._parameters, child._buffers))
    return [
        Slot(store, name, isinstance(tensor, nn.Parameter))
        for store in stores
        for name, tensor in store.items()
        if tensor is not None
    ]


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def total_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes that tensors need, each aligned."""
    return sum(_aligned(tensor.nbytes) for tensor in tensors)


def block_bytes(module: nn.Module) -> int:
    """Bytes that a module's parameters and buffers need, each aligned."""
    return total_bytes(slot.tensor for slot in slots_of(module))


def aligned_views(memory: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Views of ``memory`` (bytes) with the shapes and dtypes of ``like``, one after the other, each aligned."""
    views, offset = [], 0
    for tensor in like:
        views.append(memory[offset : offset + tensor.nbytes].view(tensor.dtype).view(tensor.shape))
        offset += _aligned(tensor.nbytes)
    return views


class BlockBuffer:
    """Room for one block on the device.

    Attributes:
        nbytes: its size.
        owner: the block whose weights are, or are being, copied into it.
        copied: on CUDA, when that copy is done.
        computed: on CUDA, when the block that used it before has computed.
    """

    def __init__(self, nbytes: int, device: torch.device) -> None:
        # Filled inside and outside of inference mode, so it must be an ordinary tensor.
        with torch.inference_mode(False):
            self._bytes = torch.empty(nbytes, dtype=torch.uint8, device=device)
        self.nbytes = nbytes
        self.owner: int | None = None
        self.tensors: list[Tensor] = []
        self.copied: torch.cuda.Event | None = None
        # Until here other work on the device may still read the memory that this buffer was given.
        cuda = device.type == "cuda"
        self.computed = torch.cuda.current_stream(device).record_event() if cuda else None

    def fill(
        self, owner: int, tensors: Sequence[Tensor], memory: Tensor | None, stream: torch.cuda.Stream | None
    ) -> None:
        """Begin to copy ``tensors`` in, on ``stream`` once the block that used the buffer before has computed.

        Args:
            memory: the host memory (bytes) in which they lie as they will in the buffer; one copy moves them all then.
        """
        self.owner, self.tensors = owner, aligned_views(self._bytes, tensors)
        if stream is None:
            self._copy(tensors, memory)
            return
        stream.wait_event(self.computed)
        with torch.cuda.stream(stream):
            self._copy(tensors, memory)
            self.copied = stream.record_event()

    def _copy(self, tensors: Sequence[Tensor], memory: Tensor | None) -> None:
        if memory is not None:
            count = total_bytes(tensors)
            self._bytes[:count].copy_(memory[:count], non_blocking=True)
            return
        for view, tensor in zip(self.tensors, tensors, strict=True):
            view.copy_(tensor.detach(), non_blocking=True)
