"""The only room that talks to ComfyUI: its folders, memory manager, progress bars, interrupts and previews.

It may import `wires` (what a handle is, how a refusal is said) and `ltx_core_impl`, and no other room.
"""

from .devices import (
    DEFAULT_DEVICE,
    attention_backend,
    compute_device,
    compute_dtype,
    device_options,
    grantable_memory,
    offload_device,
    output_device,
    rows_at_once,
)
from .folders import (
    FOLDER_HINT,
    NONE,
    calibration_options,
    file_options,
    find_calibration,
    find_file,
    find_text_encoder,
    text_encoder_options,
)
from .gguf_files import with_gguf_files
from .memory import intern, loaded
from .patcher import ComponentPatcher
from .progress import Progress, check_interrupt, interruptible, silent_progress

__all__ = [
    "DEFAULT_DEVICE",
    "FOLDER_HINT",
    "NONE",
    "ComponentPatcher",
    "Progress",
    "attention_backend",
    "calibration_options",
    "check_interrupt",
    "compute_device",
    "compute_dtype",
    "device_options",
    "file_options",
    "find_calibration",
    "find_file",
    "find_text_encoder",
    "grantable_memory",
    "intern",
    "interruptible",
    "loaded",
    "offload_device",
    "output_device",
    "rows_at_once",
    "silent_progress",
    "text_encoder_options",
    "with_gguf_files",
]
