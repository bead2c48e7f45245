"""Memory for the weights of one visiting block, reused for block after block."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)

ALIGNMENT = 256
"""Every tensor begins at a multiple of this many bytes, as the device's own allocator would place it."""


class Slot(NamedTuple):
    """A parameter or buffer of a module: the dictionary that holds it, its name there, and its value at home."""

    store: dict[str, Tensor | None]
    name: str
    tensor: Tensor

    @property
    def key(self) -> tuple[int, str]:
        """Tells slots apart."""
        return id(self.store), self.name

    def put(self, tensor: Tensor) -> None:
        """Let the module use ``tensor``; in the place of a parameter it becomes one."""
        if isinstance(self.tensor, nn.Parameter) and not isinstance(tensor, nn.Parameter):
            tensor = nn.Parameter(tensor, requires_grad=False)
        self.store[self.name] = tensor

    def pinned(self) -> Slot:
        """The same slot with its home in page-locked memory, where the system grants it."""
        try:
            pinned = self.tensor.detach().pin_memory()
        except RuntimeError as error:
            logger.warning("weights cannot be page-locked, copies to the device will be slow: %s", error)
            return self
        self.put(pinned)
        return self._replace(tensor=self.store[self.name])


def slots_of(module: nn.Module) -> list[Slot]:
    """Every parameter and buffer of a module and those inside it."""
    stores = (store for child in module.modules() for store in (child._parameters, child._buffers))
    return [Slot(store, name, tensor) for store in stores for name, tensor in store.items() if tensor is not None]


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def block_bytes(module: nn.Module) -> int:
    """Bytes that a module's parameters and buffers need, each aligned."""
    return sum(_aligned(slot.tensor.nbytes) for slot in slots_of(module))


class BlockBuffer:
    """Room for one block on the device.

    Attributes:
        owner: the block whose weights are, or are being, copied into it.
        copied: on CUDA, when that copy is done.
        computed: on CUDA, when the block that used it before has computed.
    """

    def __init__(self, nbytes: int, device: torch.device) -> None:
        # Filled inside and outside of inference mode, so it must be an ordinary tensor.
        with torch.inference_mode(False):
            self._bytes = torch.empty(nbytes, dtype=torch.uint8, device=device)
        self.owner: int | None = None
        self.tensors: list[Tensor] = []
        self.copied: torch.cuda.Event | None = None
        # Until here other work on the device may still read the memory that this buffer was given.
        cuda = device.type == "cuda"
        self.computed = torch.cuda.current_stream(device).record_event() if cuda else None

    def fill(self, owner: int, tensors: Sequence[Tensor], stream: torch.cuda.Stream | None) -> None:
        """Begin to copy ``tensors`` in, on ``stream`` once the block that used the buffer before has computed."""
        self.owner, self.tensors = owner, self._views(tensors)
        if stream is None:
            self._copy(tensors)
            return
        stream.wait_event(self.computed)
        with torch.cuda.stream(stream):
            self._copy(tensors)
            self.copied = stream.record_event()

    def _copy(self, tensors: Sequence[Tensor]) -> None:
        for view, tensor in zip(self.tensors, tensors, strict=True):
            view.copy_(tensor.detach(), non_blocking=True)

    def _views(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        views, offset = [], 0
        for tensor in tensors:
            views.append(self._bytes[offset : offset + tensor.nbytes].view(tensor.dtype).view(tensor.shape))
            offset += _aligned(tensor.nbytes)
        return views
