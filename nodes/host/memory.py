"""Our modules under ComfyUI's memory manager: weights belong to handles, resident or streamed."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import comfy.model_management as mm
import torch
from torch import nn

from .patcher import ComponentPatcher
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


_CALLED = {"gemma": "text encoder", "embeddings_processor": "text connectors"}

_in_use: list[ComponentPatcher] = []
"""Models inside a ``with`` block of :func:`loaded`, which another one's loading must not take away."""


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
        module, home = _built(build, home, offload_device, part)
        patcher = ComponentPatcher(
            module, blocks and blocks(module), load_device=load_device, offload_device=offload_device, at=home
        )
        patchers[part] = patcher
    patcher.working_memory = working_memory
    room = max(model.working_memory for model in (patcher, *_in_use))
    if _in_use:  # these leave room for the new one if they can, and are not taken away for it
        room += patcher.model_size() - patcher.loaded_size()
    mm.load_models_gpu([patcher, *_in_use], memory_required=room)
    _in_use.append(patcher)
    try:
        with interruptible(patcher.model) as module:
            yield module
    finally:
        _in_use.remove(patcher)


def _built(
    build: Callable[[torch.device, Progress], nn.Module], home: torch.device, offload: torch.device, part: str
) -> tuple[nn.Module, torch.device]:
    """The module and where it is: on the offload device where the card has less room than ComfyUI thought."""
    try:
        module = build(home, _reading(part))
    except torch.cuda.OutOfMemoryError:
        if home == offload:
            raise
        module = None  # built again below: here the error would still hold what was read so far
    if module is None:
        mm.soft_empty_cache()
        module, home = build(offload, _reading(part)), offload
    return module.requires_grad_(False).eval(), home


def _reading(part: str) -> Progress:
    """The bar while weights are read: the first half of the node's, whose work comes after it."""
    name = part.split()[0]
    return Progress(1, f"Reading the {_CALLED.get(name, name.replace('_', ' '))}", unit="tensor", share=0.5)


def _first_home(size: int, working_memory: int, load: torch.device, offload: torch.device) -> torch.device:
    """Weights are read straight to the compute device when they fit beside the work, else to the offload device."""
    if load == offload:
        return load
    needed = int(size * 1.1) + max(working_memory, int(mm.minimum_inference_memory()))
    mm.free_memory(needed, load, keep_loaded=[loaded for loaded in mm.current_loaded_models if loaded.model in _in_use])
    return load if mm.get_free_memory(load) > needed else offload
