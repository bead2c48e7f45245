"""LoRAs of the text encoder, matched to Gemma by its canonical names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from ...loader.key_maps.lora_names import TextEncoderNames
from ...loader.lora_file import LoraPathStrengthAndSDOps, open_lora
from ...loader.lora_fusion import LoraFusion
from .files import GemmaFiles

_CPU = torch.device("cpu")


def match_loras(files: GemmaFiles, loras: Sequence[LoraPathStrengthAndSDOps]) -> LoraFusion | None:
    """LoRAs matched to a text encoder from headers alone; None without any of a strength other than 0.

    Raises:
        CheckpointError: an unreadable file.
        LoraError: no adapter, one of another model, or one with a tensor that cannot be applied.
    """
    opened = [(open_lora(lora.path, lora.sd_ops), lora.strength) for lora in loras if lora.strength != 0]
    if not opened:
        return None
    shapes = {
        name.removesuffix(".weight"): files.logical_shape(name)
        for name in files.tensors
        if name.startswith("language_model.") and name.endswith((".weight", ".bias"))
    }
    return LoraFusion(opened, shapes, TextEncoderNames)


class GemmaDeltas:
    """The changes of the text encoder's weights, read as they are asked for; a context manager.

    ``dtype`` of a change, its device, and what gives the weight without LoRAs are the loader's to say.
    """

    def __init__(self, fusion: LoraFusion | None, device: torch.device | str) -> None:
        self._fusion, self._device = fusion, torch.device(device)
        self._open: AbstractContextManager = nullcontext() if fusion is None else fusion

    def __enter__(self) -> GemmaDeltas:
        self._open.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._open.__exit__(*error)

    def changes(self, name: str) -> bool:
        """Whether any LoRA changes this tensor (``language_model....weight``)."""
        return self._fusion is not None and self._fusion.changes(name.removesuffix(".weight"))

    def __call__(self, name: str, dtype: torch.dtype, weight: Callable[[], Tensor]) -> Tensor | None:
        """The summed change of a tensor on the device, None when there is none; see :meth:`LoraFusion.delta`."""
        if self._fusion is None:
            return None
        return self._fusion.delta(name.removesuffix(".weight"), dtype, self._device, _CPU, weight)
