"""Where models compute, in which dtype, and how much memory of it ComfyUI can grant."""

from __future__ import annotations

import comfy.model_management as mm
import torch

DEFAULT_DEVICE = "default"


def compute_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes in it, else float32 (float16 overflows in this model)."""
    return torch.bfloat16 if mm.should_use_bf16(device) else torch.float32


def output_device() -> torch.device:
    """Where results wait for the next node."""
    return mm.intermediate_device()


def compute_device(choice: str = DEFAULT_DEVICE) -> torch.device:
    """Where models run; ``choice`` is what a loader's device widget says."""
    return mm.get_torch_device() if choice == DEFAULT_DEVICE else torch.device(choice)


def offload_device(choice: str = DEFAULT_DEVICE) -> torch.device:
    """Where weights wait that are not in use: in the computer's memory, or where --highvram keeps them."""
    device = mm.unet_offload_device()
    return device if choice == DEFAULT_DEVICE or device.type == "cpu" else torch.device(choice)


def device_options() -> list[str]:
    """The devices that a loader offers, as those of core do: the default first."""
    device = mm.get_torch_device()
    cards = range(torch.cuda.device_count()) if device.type == "cuda" else ()
    return [DEFAULT_DEVICE, *(f"cuda:{index}" for index in cards), "cpu"]


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


def rows_at_once(bytes_per_row: int, choice: str = DEFAULT_DEVICE) -> int | None:
    """How many batch rows a forward pass may have so that it takes a quarter of the device at most; None: any."""
    device = compute_device(choice)
    if device.type == "cpu":
        return None
    return max(1, int(mm.get_total_memory(device) // 4 // max(bytes_per_row, 1)))
