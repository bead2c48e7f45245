"""A key map: how the names of one source layout become the names of one model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from ...operations import KeyValueOperationResult, SDOps


@dataclass(frozen=True)
class KeyMap:
    """Anchored renaming: unlike ``SDOps`` replacements a prefix is only replaced at the start, and once.

    Attributes:
        prefixes: ``(prefix in the file, prefix in the model)``; the longest that fits decides, none drops the key.
        dropped: prefixes of tensors that belong to another component; they win over ``prefixes``.
        rename: applied to the name after the prefix was replaced.
        operations: rules whose key-value operations change the tensors.
    """

    name: str
    prefixes: tuple[tuple[str, str], ...]
    dropped: tuple[str, ...] = ()
    rename: Callable[[str], str] | None = None
    operations: SDOps | None = None

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
        """What the operations make of a renamed tensor; without any it stays as it is."""
        if self.operations is not None:
            return self.operations.apply_to_key_value(key, value)
        return [KeyValueOperationResult(key, value)]

    def with_operations(self, rules: SDOps) -> KeyMap:
        """This renaming with the key-value operations of ``rules``."""
        return replace(self, name=f"{self.name}+{rules.name}", operations=rules)
