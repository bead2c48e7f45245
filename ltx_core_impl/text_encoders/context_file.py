"""Encoded prompts in files, so that a graph can run without its text encoder (spec 07 §3.9)."""

from __future__ import annotations

from os import PathLike
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

VIDEO, AUDIO = "video_context", "audio_context"
AUDIO_WIDTH = 2048
"""Of the published models; as wide as the silence that stands in for a missing ``audio_context``."""
_VERSION, _PROMPT = "model_version", "prompt"


class StoredContext(NamedTuple):
    """Contexts ``(B, T, D)`` of picture and sound, and what was noted with them; "" where nothing was."""

    video: Tensor
    audio: Tensor
    version: str = ""
    prompt: str = ""


def save_context(path: str | PathLike[str], context: StoredContext) -> None:
    """Write the tensors ``video_context`` and ``audio_context`` as safetensors, as precomputed files have them."""
    tensors = {VIDEO: context.video.contiguous().cpu(), AUDIO: context.audio.contiguous().cpu()}
    save_file(tensors, str(path), metadata={_VERSION: context.version, _PROMPT: context.prompt})


def load_context(path: str | PathLike[str]) -> StoredContext:
    """Read such a file; tensors as float32.

    A file of one prompt may leave out the batch; one without ``audio_context`` gets zeros (spec 08 §3.2).

    Raises:
        ValueError: not a safetensors file, or one without a context of the picture.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            names = set(file.keys())
            if VIDEO not in names:
                raise ValueError(
                    f"{path} holds no encoded prompt: {VIDEO} is missing. Choose a file that 'LTX-2 Save Context' "
                    "wrote, or the scene embedding of an HDR LoRA."
                )
            video = _with_batch(file.get_tensor(VIDEO))
            silent = torch.zeros(*video.shape[:2], AUDIO_WIDTH)
            audio = _with_batch(file.get_tensor(AUDIO)) if AUDIO in names else silent
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file ({error}). Save or copy it again.") from None
    for name, context in ((VIDEO, video), (AUDIO, audio)):
        if context.ndim != 3:
            raise ValueError(f"{name} in {path} has shape {tuple(context.shape)}; it must be (batch, tokens, width).")
    return StoredContext(video, audio, version=metadata.get(_VERSION, ""), prompt=metadata.get(_PROMPT, ""))


def _with_batch(context: Tensor) -> Tensor:
    context = context.to(torch.float32)
    return context[None] if context.ndim == 2 else context
