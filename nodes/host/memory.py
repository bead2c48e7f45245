"""Our modules under ComfyUI's memory manager: weights belong to handles, resident or streamed."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import comfy.model_management as mm
import torch
from comfy.model_patcher import ModelPatcher
from torch import nn

from ...ltx_core_impl.loader.streaming import BlockStreamer, smallest_budget
from .progress import Progress, interruptible

H = TypeVar("H")

_interned: weakref.WeakKeyDictionary[Any, weakref.ref[Any]] = weakref.WeakKeyDictionary()
_patchers: weakref.WeakKeyDictionary[Any, dict[str, ComponentPatcher]] = weakref.WeakKeyDictionary()


def intern(handle: H) -> H:
    """The one living handle that equals ``handle``: weights belong to it and die with the last node that holds it."""
    living = _interned.get(handle, lambda: None)()
    if living is None:
        living = handle
        _interned[handle] = weakref.ref(handle)
    return living


class ComponentPatcher(ModelPatcher):
    """One of our modules under ComfyUI's memory manager: resident as a whole, or streamed block by block.

    Plain PyTorch modules cannot be offloaded layer by layer the way ComfyUI's own layer classes are, so loading and
    unloading are replaced; patches and hooks of the base class are not used.
    """

    def __init__(
        self,
        model: nn.Module,
        blocks: nn.ModuleList | None,
        load_device: torch.device,
        offload_device: torch.device,
        at: torch.device,
    ) -> None:
        super().__init__(model, load_device=load_device, offload_device=offload_device)
        self._blocks = blocks
        self._streamer: BlockStreamer | None = None
        self._settle(at)

    def _settle(self, device: torch.device) -> None:
        self.model.device = device
        self.model.model_loaded_weight_memory = self.model_size() if device == self.load_device else 0

    def _stop_streaming(self) -> None:
        if self._streamer is not None:
            self._streamer.detach()
            self._streamer = None

    def partially_load(self, device_to: torch.device, extra_memory: float = 0, **_: Any) -> int:
        """Bring as much as ``extra_memory`` more bytes allow to the device; returns the bytes that moved."""
        before = self.loaded_size()
        if before >= self.model_size():
            return 0
        budget = before + extra_memory
        self._stop_streaming()
        if budget < self.model_size() and self._blocks is not None:
            least = smallest_budget(self.model, self._blocks)
            self._streamer = BlockStreamer(self.model, self._blocks, device_to, budget=max(int(budget), least))
            self.model.device = device_to
            self.model.model_loaded_weight_memory = self._streamer.plan.peak_bytes
        else:
            self.model.to(device_to)
            self._settle(device_to)
        return self.loaded_size() - before

    def partially_unload(self, device_to: torch.device, memory_to_free: float = 0, **_: Any) -> int:
        """Give back at least ``memory_to_free`` bytes if streaming can; returns the bytes freed."""
        before = self.loaded_size()
        if self._blocks is None:
            return 0
        self._stop_streaming()
        self.model.to(device_to)
        self._settle(device_to)
        if before > memory_to_free:
            self.partially_load(self.load_device, before - memory_to_free)
        return before - self.loaded_size()

    def detach(self, unpatch_all: bool = True) -> nn.Module:
        """Leave the device."""
        self._stop_streaming()
        if self.load_device != self.offload_device:
            self.model.to(self.offload_device)
            self._settle(self.offload_device)
        return self.model

    def __del__(self) -> None:
        # The base class moves a dying model to the CPU; ours simply goes.
        self._stop_streaming()


@contextmanager
def loaded(
    handle: Any,
    part: str,
    build: Callable[[torch.device, Progress], nn.Module],
    size: int,
    working_memory: int = 0,
    blocks: Callable[[nn.Module], nn.ModuleList] | None = None,
    load_device: torch.device | None = None,
    offload_device: torch.device | None = None,
) -> Iterator[nn.Module]:
    """The module that ``part`` of a handle stands for, on its device, for the length of a ``with`` block.

    ``build(device, progress)`` reads the weights when nobody has yet; ``size`` is their size in bytes;
    ``working_memory`` is what computing with them needs on top. A module whose ``blocks`` are named is streamed when it
    is larger than the memory that ComfyUI grants.
    """
    load_device = load_device or mm.get_torch_device()
    offload_device = offload_device or mm.unet_offload_device()
    patchers = _patchers.setdefault(intern(handle), {})
    patcher = patchers.get(part)
    if patcher is None:
        home = _first_home(size, working_memory, load_device, offload_device)
        module = build(home, Progress(1)).requires_grad_(False).eval()
        patcher = ComponentPatcher(
            module, blocks and blocks(module), load_device=load_device, offload_device=offload_device, at=home
        )
        patchers[part] = patcher
    mm.load_models_gpu([patcher], memory_required=working_memory)
    with interruptible(patcher.model) as module:
        yield module


def _first_home(size: int, working_memory: int, load: torch.device, offload: torch.device) -> torch.device:
    """Weights are read straight to the compute device when they fit beside the work, else to the offload device."""
    if load == offload:
        return load
    needed = int(size * 1.1) + max(working_memory, int(mm.minimum_inference_memory()))
    mm.free_memory(needed, load)
    return load if mm.get_free_memory(load) > needed else offload
