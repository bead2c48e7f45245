"""One of our modules under ComfyUI's memory manager: it stays where it is until someone needs the room."""

from __future__ import annotations

from typing import Any

import comfy.model_management as mm
import torch
from comfy.model_patcher import ModelPatcher
from torch import nn

from ...ltx_core_impl import loader
from .progress import check_interrupt


class HostPageLock:
    """Page-locked memory out of the amount that ComfyUI allows itself (``--disable-pinned-memory``: none)."""

    def pin(self, memory: torch.Tensor) -> bool:
        """Lock it in RAM if ComfyUI grants that."""
        return bool(mm.pin_memory(nn.Parameter(memory, requires_grad=False)))

    def unpin(self, memory: torch.Tensor) -> None:
        """Give it back to ComfyUI's account."""
        mm.unpin_memory(nn.Parameter(memory, requires_grad=False))


def page_lock() -> loader.PageLock | None:
    """ComfyUI's own account of page-locked memory, None where it keeps none."""
    return HostPageLock() if hasattr(mm, "pin_memory") and hasattr(mm, "unpin_memory") else None


class ComponentPatcher(ModelPatcher):
    """One of our modules under ComfyUI's memory manager: resident as a whole, or streamed block by block.

    Plain PyTorch modules cannot be offloaded layer by layer the way ComfyUI's own layer classes are, so loading and
    unloading are replaced; patches and hooks of the base class are not used. Sizes that it reports are those of the
    memory taken on the device, buffers of visiting blocks included.
    """

    def __init__(
        self,
        model: nn.Module,
        blocks: nn.ModuleList | None,
        load_device: torch.device,
        offload_device: torch.device,
        at: torch.device,
        lock: loader.PageLock | None = None,
    ) -> None:
        """``at`` is where the weights are now; ``lock`` is asked for page-locked memory in ComfyUI's place."""
        super().__init__(model, load_device=load_device, offload_device=offload_device)
        self.working_memory = 0
        on_device = at == load_device
        self._place: loader.Placement | None = None  # where both devices are one, nothing ever moves
        if load_device == offload_device:
            pass
        elif blocks is not None and len(blocks):
            lock = lock or page_lock()
            self._place = loader.BlockStreamer(
                model, blocks, load_device, None, lock=lock, host=offload_device, on_device=on_device
            )
        else:
            self._place = loader.WholeModel(model, load_device, offload_device, on_device=on_device)
        self._settle()

    def _settle(self) -> None:
        """Tell ComfyUI what is on the device now."""
        size = self.model_size()
        taken = size if self._place is None else min(self._place.bytes_on_device, size)
        self.model.model_loaded_weight_memory = taken
        self.model.model_lowvram = 0 < taken < size
        self.model.device = self.load_device if taken else self.offload_device

    def is_dynamic(self) -> bool:
        """ComfyUI's dynamic VRAM pages weights of its own layer classes; ours are moved here."""
        return False

    def memory_required(self, input_shape: Any) -> int:
        """Bytes of room that the run which loaded it last asked for, whatever the shape."""
        return self.working_memory

    def partially_load(self, device_to: torch.device, extra_memory: float = 0, *_: Any, **__: Any) -> int:
        """Let the weights take ``extra_memory`` bytes more (or less) on the device than now.

        Returns:
            by how many bytes the memory they take has grown.
        """
        before = self.loaded_size()
        if self._place is None or (before >= self.model_size() and extra_memory >= 0):
            return 0
        budget = max(before + extra_memory, self._place.least_bytes)
        if before + extra_memory >= self.model_size():
            budget = float("inf")
        try:
            self._fit(budget)
        finally:
            self._settle()
        return self.loaded_size() - before

    def _fit(self, budget: float) -> None:
        """Resize; with less where the device turns out to have less than ComfyUI thought."""
        # A home on the host makes leaving the card free. It is given up where it is in the way, or the same memory.
        shared = mm.vram_state == mm.VRAMState.SHARED
        keep = not shared and mm.get_free_memory(self.offload_device) > self.model_size()
        least = self._place.least_bytes
        while True:
            try:
                self._place.resize(budget, keep_homes=keep, between=check_interrupt)
                return
            except torch.cuda.OutOfMemoryError:
                if budget <= least:
                    raise
            # Out here nothing is held by the error any more.
            budget = max(least, min(budget, self.model_size()) // 2)
            mm.soft_empty_cache()

    def partially_unload(self, device_to: torch.device, memory_to_free: float = 0, *_: Any, **__: Any) -> int:
        """Give back at least ``memory_to_free`` bytes if streaming can, else nothing; returns the bytes freed."""
        before = self.loaded_size()
        left = before - memory_to_free
        if self._place is None or memory_to_free <= 0 or left < self._place.least_bytes:
            return 0
        self._place.resize(left)
        self._settle()
        return before - self.loaded_size()

    def partially_unload_ram(self, ram_to_unload: float, *_: Any, **__: Any) -> int:
        """Give page-locked memory back; returns its bytes. Weights that visit are copied more slowly then."""
        return 0 if self._place is None else self._place.unlock(ram_to_unload)

    def detach(self, unpatch_all: bool = True) -> nn.Module:
        """Leave the device; without ``unpatch_all``, which says that loading follows at once, stay."""
        if unpatch_all and self._place is not None:
            self._place.detach()
            self._settle()
        return self.model

    def __del__(self) -> None:
        # The base class moves a dying model to the CPU; ours simply goes.
        place = getattr(self, "_place", None)
        if place is not None:
            place.release()
