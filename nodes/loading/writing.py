"""The Gemma that writes prompts, under ComfyUI's memory manager."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter

import torch
from torch import nn

from ...ltx_core_impl.text_encoders import gemma
from .. import host
from ..wires.handles import PromptWriterHandle
from .components import folder_bytes


@contextmanager
def prompt_writer(handle: PromptWriterHandle) -> Iterator[gemma.PromptWriter]:
    """A Gemma 4 that writes."""
    load_device = host.compute_device(handle.device)

    def build(home: torch.device, progress: host.Progress) -> nn.Module:
        return gemma.load_writer(
            handle.gemma.path, dtype=host.compute_dtype(load_device), device=home, progress=progress
        )

    with host.loaded(
        handle,
        "prompt writer",
        build,
        size=folder_bytes(handle.gemma.path),
        blocks=attrgetter("language_model.layers"),
        load_device=load_device,
        offload_device=host.offload_device(handle.device),
    ) as writer:
        yield writer
