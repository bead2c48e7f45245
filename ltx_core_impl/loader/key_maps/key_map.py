"""A key map: how the names of one source layout become the names of one model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..sd_ops import KeyValueOperationResult


@dataclass(frozen=True)
class KeyMap:
    """Anchored renaming: unlike ``SDOps`` replacements a prefix is only replaced at the start, and once.

    Attributes:
        prefixes: ``(prefix in the file, prefix in the model)``; the longest that fits decides, none drops the key.
        dropped: prefixes of tensors that belong to another component; they win over ``prefixes``.
        rename: applied to the name after the prefix was replaced.
    """

    name: str
    prefixes: tuple[tuple[str, str], ...]
    dropped: tuple[str, ...] = ()
    rename: Callable[[str], str] | None = None

    def apply_to_key(self, key: str) -> str | None:
        """The model's name of a tensor, or None when it belongs to something else."""
        if self.dropped and key.startswith(self.dropped):
            return None
        fitting = [pair for pair in self.prefixes if key.startswith(pair[0])]
        if not fitting:
            return None
        prefix, replacement = max(fitting, key=lambda pair: len(pair[0]))
        name = key[len(prefix) :]
        return replacement + (self.rename(name) if self.rename else name)

    def apply_to_key_value(self, key: str, value: torch.Tensor) -> list[KeyValueOperationResult]:
        """A key map only renames: the tensor stays as it is."""
        return [KeyValueOperationResult(key, value)]
