"""A group of worker processes under ComfyUI's memory manager: ended when someone else needs the room."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import comfy.model_management as mm
import torch
from comfy.model_patcher import ModelPatcher
from torch import nn

from .memory import intern


class Group(Protocol):
    """Processes that hold a model."""

    @property
    def alive(self) -> bool:
        """Whether all of them are there."""

    def close(self) -> None:
        """Ends them."""


_patchers: weakref.WeakKeyDictionary[Any, GroupPatcher] = weakref.WeakKeyDictionary()


class GroupPatcher(ModelPatcher):
    """Stands for what the workers hold on ComfyUI's device; to unload it is to end them."""

    def __init__(self, start: Callable[[], Group], size: int, load_device: torch.device) -> None:
        super().__init__(nn.Module(), load_device=load_device, offload_device=mm.unet_offload_device(), size=size)
        self.start, self.group = start, None
        self._settle()

    def ensure(self) -> Group:
        """The group, started anew where it is gone."""
        if self.group is None or not self.group.alive:
            self.end()
            self.group = self.start()
            self._settle()
        return self.group

    def end(self) -> None:
        """No process and no memory of theirs is left."""
        group, self.group = self.group, None
        if group is not None:
            group.close()
        self._settle()

    def _settle(self) -> None:
        """Tell ComfyUI what is on the device now."""
        self.model.model_loaded_weight_memory = 0 if self.group is None else self.size
        self.model.model_lowvram = False
        self.model.device = self.offload_device if self.group is None else self.load_device

    def is_dynamic(self) -> bool:
        """ComfyUI's dynamic VRAM pages weights of its own layer classes."""
        return False

    def memory_required(self, input_shape: Any) -> int:
        """The room of a run is asked for when it begins."""
        return 0

    def partially_load(self, device_to: torch.device, extra_memory: float = 0, *_: Any, **__: Any) -> int:
        """Start the workers; returns by how many bytes that grew what they take here."""
        before = self.loaded_size()
        self.ensure()
        return self.loaded_size() - before

    def partially_unload(self, device_to: torch.device, memory_to_free: float = 0, *_: Any, **__: Any) -> int:
        """Nothing: they hold all or nothing."""
        return 0

    def partially_unload_ram(self, ram_to_unload: float, *_: Any, **__: Any) -> int:
        """Nothing: none of it is here."""
        return 0

    def detach(self, unpatch_all: bool = True) -> nn.Module:
        """End the workers; without ``unpatch_all``, which says that loading follows at once, keep them."""
        if unpatch_all:
            self.end()
        return self.model

    def __del__(self) -> None:
        if getattr(self, "group", None) is not None:
            self.group.close()


@contextmanager
def running(
    handle: Any, start: Callable[[], Group], devices: Sequence[str], size: int, working_memory: int
) -> Iterator[Group]:
    """The group of workers of a handle, started when nobody has yet or when it is gone.

    ``start`` starts it; ``size`` is what its weights take on each of ``devices``, ``working_memory`` what computing
    with them needs on top.
    """
    load_device = mm.get_torch_device()
    patcher = _patchers.get(intern(handle))
    if patcher is None:
        patcher = _patchers[intern(handle)] = GroupPatcher(start, size, load_device)
    if patcher.group is not None and not patcher.group.alive:
        patcher.end()
    if patcher.group is None:
        for device in map(torch.device, dict.fromkeys(devices)):
            if device != load_device:
                mm.free_memory(size + working_memory, device)
    mm.load_models_gpu([patcher], memory_required=working_memory)
    yield patcher.ensure()
