"""Changes on the way from a file to a model: of tensors and their names, and of the model (spec 01 §6.1, §6.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch


@dataclass(frozen=True, slots=True)
class ContentMatching:
    """Accepts names that start with ``prefix`` and end with ``suffix``."""

    prefix: str = ""
    suffix: str = ""

    def matches(self, key: str) -> bool:
        return key.startswith(self.prefix) and key.endswith(self.suffix)


@dataclass(frozen=True, slots=True)
class ContentReplacement:
    """Replaces every occurrence of ``content``, anywhere in the name."""

    content: str
    replacement: str


@dataclass(frozen=True, slots=True)
class KeyValueOperationResult:
    """One tensor that an operation puts in the place of another."""

    new_key: str
    new_value: torch.Tensor

    def __iter__(self):
        return iter((self.new_key, self.new_value))


KeyValueOperation = Callable[[str, torch.Tensor], list[KeyValueOperationResult]]
"""Takes a (renamed) name and its tensor, returns zero or more replacements.

It is also called with ``meta`` tensors, when only names, shapes and dtypes are planned.
"""


@dataclass(frozen=True, slots=True)
class SDKeyValueOperation:
    """An operation and the names it is for."""

    key_matcher: ContentMatching
    operation: KeyValueOperation


@dataclass(frozen=True, slots=True)
class SDOps:
    """An ordered, immutable set of rules; every ``with_…`` method returns a new one."""

    name: str
    mapping: tuple[ContentMatching | ContentReplacement | SDKeyValueOperation, ...] = ()
    allowed_keys: frozenset[str] | None = None

    def with_matching(self, prefix: str = "", suffix: str = "") -> SDOps:
        """Also take names with this prefix and suffix."""
        return replace(self, mapping=(*self.mapping, ContentMatching(prefix, suffix)))

    def with_replacement(self, content: str, replacement: str) -> SDOps:
        """Replace ``content`` by ``replacement`` in every taken name."""
        return replace(self, mapping=(*self.mapping, ContentReplacement(content, replacement)))

    def with_kv_operation(self, operation: KeyValueOperation, key_prefix: str = "", key_suffix: str = "") -> SDOps:
        """Run ``operation`` on tensors whose renamed name has this prefix and suffix."""
        rule = SDKeyValueOperation(ContentMatching(key_prefix, key_suffix), operation)
        return replace(self, mapping=(*self.mapping, rule))

    def with_additional_allowed_keys(self, keys: Iterable[str]) -> SDOps:
        """Take only these (renamed) names, besides those allowed before."""
        return replace(self, allowed_keys=(self.allowed_keys or frozenset()) | frozenset(keys))

    @property
    def selects(self) -> bool:
        """Whether they say which names are taken; rules without a matcher, such as a policy's, only convert."""
        return any(isinstance(rule, ContentMatching) for rule in self.mapping)

    def chained_with(self, other: SDOps) -> SDOps:
        """These rules followed by the rules of ``other``."""
        return SDOps(name=f"sd_ops_chain_{self.name}+{other.name}", mapping=(*self.mapping, *other.mapping))

    def apply_to_key(self, key: str) -> str | None:
        """The new name of a tensor, or None when no matcher takes it."""
        if not any(isinstance(rule, ContentMatching) and rule.matches(key) for rule in self.mapping):
            return None
        for rule in self.mapping:
            if isinstance(rule, ContentReplacement):
                key = key.replace(rule.content, rule.replacement)
        if self.allowed_keys is not None and key not in self.allowed_keys:
            return None
        return key

    def apply_to_key_value(self, key: str, value: torch.Tensor) -> list[KeyValueOperationResult]:
        """What the first operation that accepts the renamed ``key`` makes of it; unchanged when none does."""
        for rule in self.mapping:
            if isinstance(rule, SDKeyValueOperation) and rule.key_matcher.matches(key):
                return [KeyValueOperationResult(*pair) for pair in rule.operation(key, value)]
        return [KeyValueOperationResult(key, value)]


class ModuleOps(NamedTuple):
    """A named change: ``mutator`` returns the changed module where ``matcher`` accepts the model."""

    name: str
    matcher: Callable[[torch.nn.Module], bool]
    mutator: Callable[[torch.nn.Module], torch.nn.Module]
