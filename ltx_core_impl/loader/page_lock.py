"""Host memory for the weights of one block: one piece, page-locked as it is, so that one fast copy moves them."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from .block_buffer import aligned_views, total_bytes

logger = logging.getLogger(__name__)

PAGE = 4096


class PageLock(Protocol):
    """Who grants page-locked memory, and keeps the account of it."""

    def pin(self, memory: Tensor) -> bool:
        """Lock the pages of a contiguous CPU tensor of bytes in RAM; False when they are not granted."""
        ...

    def unpin(self, memory: Tensor) -> None:
        """Undo a successful :meth:`pin` of the same tensor."""
        ...


class CudaPageLock:
    """Registers memory with CUDA. PyTorch's own pinned memory is rounded up to a power of two; this is not."""

    def pin(self, memory: Tensor) -> bool:
        """Register the memory, usable from every context."""
        return int(torch.cuda.cudart().cudaHostRegister(memory.data_ptr(), memory.nbytes, 1)) == 0

    def unpin(self, memory: Tensor) -> None:
        """Unregister it."""
        torch.cuda.cudart().cudaHostUnregister(memory.data_ptr())


def _forget_refusal() -> None:
    """CUDA reports a failed registration a second time, at the next launch: let that be a launch that is not needed."""
    if not torch.cuda.is_initialized():
        return
    try:
        torch.empty(1, dtype=torch.uint8, device="cuda").fill_(0)
    except RuntimeError as error:
        logger.debug("reported again after page-locking was refused: %s", error)


class HostSlab:
    """Page-locked room for some tensors, laid out as in a :class:`BlockBuffer`; unlocked when it is dropped.

    Attributes:
        memory: all of it, as bytes.
        tensors: views for the tensors, in order. They keep the memory alive, though no longer locked, without the slab.
    """

    def __init__(self, memory: Tensor, like: Sequence[Tensor], lock: PageLock) -> None:
        self.memory = memory
        self.tensors = aligned_views(memory, like)
        self._unlock = weakref.finalize(self, lock.unpin, memory)

    @classmethod
    def granted(cls, like: Sequence[Tensor], lock: PageLock) -> HostSlab | None:
        """Room for tensors ``like`` these, None when it is not granted; their values are not copied."""
        pages = -(-total_bytes(like) // PAGE)
        if not pages:
            return None
        with torch.inference_mode(False):  # filled inside and outside of it
            room = torch.empty((pages + 1) * PAGE, dtype=torch.uint8)
            # Whole pages of its own: a page that two locked ranges share is refused.
            begin = -room.data_ptr() % PAGE
            memory = room[begin : begin + pages * PAGE]
            locked = False
            try:
                locked = lock.pin(memory)
            except RuntimeError as error:
                logger.warning("weights cannot be page-locked, copies to the device will be slow: %s", error)
                return None
            finally:
                if not locked:
                    _forget_refusal()
            return cls(memory, like, lock) if locked else None
