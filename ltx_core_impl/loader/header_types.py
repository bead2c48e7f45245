"""What is known of a model file and its tensors before a tensor is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a file: dtype name, shape, and its bytes ``[begin, end)`` after the header.

    The name is safetensors' (``"BF16"``), or the block type of a GGUF file (``"Q4_K"``).
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def nbytes(self) -> int:
        return self.end - self.begin


@dataclass(frozen=True)
class Header:
    """All that a file says about itself; ``data_start`` is where in the file the tensors' offsets count from.

    ``format`` is ``"safetensors"`` or ``"gguf"``.
    """

    path: Path
    tensors: Mapping[str, TensorEntry]
    metadata: Mapping[str, str] = field(default_factory=dict)
    data_start: int = 0
    format: str = "safetensors"

    def shape(self, key: str) -> tuple[int, ...] | None:
        """Shape of a tensor, None when absent."""
        entry = self.tensors.get(key)
        return None if entry is None else entry.shape
