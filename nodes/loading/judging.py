"""Files are judged when the graph is queued: by their headers, once for each state of a file.

What a loader node names is opened here as far as it can be without reading a weight, so that a damaged file is refused
before anything is sampled, and not by the node that uses it first.
"""

from __future__ import annotations

import os
from functools import lru_cache

from ...ltx_core_impl import loader
from ...ltx_core_impl.text_encoders import gemma
from ..wires.handles import FileRef, ModelHandle
from . import components

_REMEMBERED = 64


@lru_cache(maxsize=_REMEMBERED)
def judge_parts(file: FileRef) -> None:
    """Every component of a file besides the transformer: config, names, shapes and scales.

    Of the text projection only the config, since its tensors may lie in several files; the text encoder's loader
    judges them together.

    Raises:
        ValueError: names the file, and the key or the tensor.
    """
    checkpoint = loader.open_checkpoint(file.path)
    for part, configurator in components.CONFIGURATORS.items():
        if part in checkpoint.components:
            loader.SingleGPUModelBuilder(configurator(), file.path).validate()
    if "embeddings_processor" in checkpoint.components:
        loader.config_for(checkpoint, "embeddings_processor")


@lru_cache(maxsize=_REMEMBERED)
def judge_model(handle: ModelHandle) -> str:
    """The transformer with its LoRAs; returns what should be said of them, as ``components.check_model``."""
    return components.check_model(handle)


@lru_cache(maxsize=_REMEMBERED)
def judge_lora(file: FileRef) -> None:
    """A LoRA by itself; whether it fits the model shows where the two meet."""
    loader.open_lora(file.path)


def judge_gemma(file: FileRef) -> None:
    """A text encoder: weights, config and tokenizer."""
    _judge_gemma(file, _state_of(file.path))


def judge_writer(file: FileRef) -> None:
    """A Gemma 4 that writes: config, chat template, tokenizer, names and shapes."""
    _judge_writer(file, _state_of(file.path))


@lru_cache(maxsize=_REMEMBERED)
def _judge_writer(file: FileRef, state: tuple[FileRef, ...]) -> None:
    gemma.judge_writer(file.path)


@lru_cache(maxsize=_REMEMBERED)
def _judge_gemma(file: FileRef, state: tuple[FileRef, ...]) -> None:
    gemma.judge_text_encoder(file.path)


def _state_of(path: str) -> tuple[FileRef, ...]:
    """The files that a text encoder is made of: those of a folder, or what lies beside a single file."""
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    deep = os.walk(folder) if folder == path else [(folder, [], os.listdir(folder))]
    paths = sorted(os.path.join(root, name) for root, _, names in deep for name in names)
    return tuple(FileRef.of(name) for name in paths if os.path.isfile(name))
