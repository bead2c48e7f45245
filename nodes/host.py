"""The only module that talks to ComfyUI's folders, memory manager, progress bars, interrupts and previews."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import comfy.model_management as mm
import comfy.utils
import folder_paths
import torch
from comfy.model_patcher import ModelPatcher
from PIL import Image
from torch import nn

from ..ltx_core_impl.loader.streaming import BlockStreamer, smallest_budget
from .checks import InputError, check_choice
from .handles import FileRef

logger = logging.getLogger(__name__)
H = TypeVar("H")

NONE = "none"
FOLDER_HINT = "Put the file into ComfyUI's models/{folders} folder and press R in the browser to refresh the lists."


# Folders


def file_options(*folders: str, optional: bool = False) -> list[str]:
    """Names of the model files in ComfyUI's folders, for a combo; "none" first where the file is optional."""
    names: set[str] = set()
    for folder in folders:
        if folder in folder_paths.folder_names_and_paths:
            names.update(folder_paths.get_filename_list(folder))
    return ([NONE] if optional else []) + sorted(names)


def find_file(name: str, *folders: str, input_name: str) -> FileRef:
    """The file behind a combo value. Raises `InputError` naming the folders when there is none."""
    for folder in folders:
        path = folder_paths.get_full_path(folder, name) if folder in folder_paths.folder_names_and_paths else None
        if path is not None:
            return FileRef.of(path)
    hint = FOLDER_HINT.format(folders=" or models/".join(folders))
    raise InputError(f"{input_name} is '{name}', which is not there. {hint}")


def text_encoder_options() -> list[str]:
    """Gemma folders (those with a config.json) and single files of models/text_encoders."""
    options: set[str] = set()
    for name in folder_paths.get_filename_list("text_encoders"):
        folder = os.path.dirname(name)
        options.add(folder if folder and _is_model_folder(folder) else name)
    return sorted(options)


def _is_model_folder(name: str) -> bool:
    return folder_paths.get_full_path("text_encoders", os.path.join(name, "config.json")) is not None


def find_text_encoder(name: str, input_name: str) -> FileRef:
    """The Gemma folder or file behind a combo value."""
    config = folder_paths.get_full_path("text_encoders", os.path.join(name, "config.json"))
    if config is not None:
        return FileRef.of(os.path.dirname(config))
    return find_file(name, "text_encoders", input_name=input_name)


def calibration_options() -> list[str]:
    """JSON files next to the checkpoints and diffusion models: amax calibrations for fp8_scaled_mm."""
    return [NONE, *sorted(_calibration_files())]


def find_calibration(name: str) -> FileRef | None:
    """The calibration file behind a combo value, None for "none"."""
    if name == NONE:
        return None
    files = _calibration_files()
    check_choice("calibration", name, sorted(files), "Put the JSON file beside the checkpoint.")
    return FileRef.of(files[name])


def _calibration_files() -> dict[str, str]:
    files: dict[str, str] = {}
    for folder in ("checkpoints", "diffusion_models"):
        for root in folder_paths.get_folder_paths(folder):
            if os.path.isdir(root):
                files.update({e.name: e.path for e in os.scandir(root) if e.is_file() and e.name.endswith(".json")})
    return files


# Devices


def compute_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes in it, else float32 (float16 overflows in this model)."""
    return torch.bfloat16 if mm.should_use_bf16(device) else torch.float32


def output_device() -> torch.device:
    """Where results wait for the next node."""
    return mm.intermediate_device()


def compute_device() -> torch.device:
    """Where models run."""
    return mm.get_torch_device()


def attention_backend() -> str | None:
    """The attention that the user chose on ComfyUI's command line, by our name for it; None: the default."""
    if mm.sage_attention_enabled():
        return "sage"
    if mm.flash_attention_enabled():
        return "flash_attention_3"
    return None


def grantable_memory() -> int:
    """Bytes of the compute device that ComfyUI can give to one job: what is free, and what other models would leave."""
    device = mm.get_torch_device()
    free = int(mm.get_free_memory(device))
    if device.type == "cpu":
        return free
    leaving = sum(model.model_loaded_memory() for model in mm.current_loaded_models if model.device == device)
    return max(0, free + leaving - int(mm.extra_reserved_memory()))


def rows_at_once(bytes_per_row: int) -> int | None:
    """How many batch rows a forward pass may have so that it takes a quarter of the device at most; None: any."""
    device = mm.get_torch_device()
    if device.type == "cpu":
        return None
    return max(1, int(mm.get_total_memory(device) // 4 // max(bytes_per_row, 1)))


# Progress and interrupts


def check_interrupt() -> None:
    """Raise ComfyUI's cancel exception when the user pressed cancel."""
    mm.throw_exception_if_processing_interrupted()


class Progress:
    """A progress bar of the running node; every update is also a chance to cancel."""

    def __init__(self, total: int) -> None:
        self._bar = comfy.utils.ProgressBar(max(total, 1))

    def __call__(self, done: int, total: int | None = None, preview: Image.Image | None = None) -> None:
        """Show ``done`` of ``total``, with a picture if there is one."""
        check_interrupt()
        image = None if preview is None else ("JPEG", preview, 512)
        self._bar.update_absolute(done, total, image)


@contextmanager
def interruptible(module: nn.Module) -> Iterator[nn.Module]:
    """Check for cancel before every entry of every layer list of ``module`` (a transformer block, a VAE stage)."""
    layers = {layer for child in module.modules() if isinstance(child, nn.ModuleList) for layer in child}
    hooks = [layer.register_forward_pre_hook(lambda *_: check_interrupt()) for layer in layers]
    try:
        yield module
    finally:
        for hook in hooks:
            hook.remove()


# Memory


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
