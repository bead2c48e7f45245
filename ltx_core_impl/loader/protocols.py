"""What code that takes a builder, or something that takes LoRAs, may rely on (spec 01 §6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import nn

from ..operations import SDOps
from .folders import PathLike


class ModelBuilderProtocol(Protocol):
    """Builds one model, as :class:`SingleGPUModelBuilder` does."""

    def model_config(self) -> Mapping[str, Any]:
        """The config the model is built from."""
        ...

    def build(self, device: torch.device | None = None, dtype: torch.dtype | None = None) -> nn.Module:
        """The model with its weights."""
        ...


class LoRAAdaptableProtocol(Protocol):
    """Takes LoRAs one by one; each call gives a changed copy."""

    def lora(self, path: PathLike, strength: float = 1.0, sd_ops: SDOps | None = None) -> LoRAAdaptableProtocol:
        """A copy that fuses one more LoRA."""
        ...
