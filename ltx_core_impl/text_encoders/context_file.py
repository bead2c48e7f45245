"""Encoded prompts in files, so that a graph can run without its text encoder (spec 07 §3.9)."""

from __future__ import annotations

from os import PathLike
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

VIDEO, AUDIO = "video_context", "audio_context"
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

    Raises:
        ValueError: not a safetensors file, or one without the two contexts.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            missing = {VIDEO, AUDIO} - set(file.keys())
            if missing:
                raise ValueError(
                    f"{path} holds no encoded prompt: {', '.join(sorted(missing))} is missing. Choose a file that "
                    "'LTX-2 Save Context' wrote."
                )
            video, audio = (file.get_tensor(name).to(torch.float32) for name in (VIDEO, AUDIO))
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file ({error}). Save or copy it again.") from None
    for name, context in ((VIDEO, video), (AUDIO, audio)):
        if context.ndim != 3:
            raise ValueError(f"{name} in {path} has shape {tuple(context.shape)}; it must be (batch, tokens, width).")
    return StoredContext(video, audio, version=metadata.get(_VERSION, ""), prompt=metadata.get(_PROMPT, ""))
