"""Remembering state dicts between builds (spec 01 §6.3)."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..operations import SDOps
from .folders import PathLike

if TYPE_CHECKING:
    from .state_dict import StateDict


def state_dict_id(paths: Sequence[PathLike], sd_ops: SDOps | None) -> str:
    """SHA-256 over the resolved paths and the *name* of the rules; neither device nor rules are part of it."""
    parts = [str(Path(path).resolve()) for path in paths] + ([sd_ops.name] if sd_ops else [])
    return hashlib.sha256("\0".join(parts).encode("utf-8")).hexdigest()


class Registry(Protocol):
    """A store of state dicts by files and rules."""

    def add(self, paths: Sequence[PathLike], sd_ops: SDOps | None, state_dict: StateDict) -> str: ...
    def get(self, paths: Sequence[PathLike], sd_ops: SDOps | None) -> StateDict | None: ...
    def pop(self, paths: Sequence[PathLike], sd_ops: SDOps | None) -> StateDict | None: ...
    def clear(self) -> None: ...


class DummyRegistry:
    """Stores nothing: every build reads its files."""

    def add(self, paths: Sequence[PathLike], sd_ops: SDOps | None, state_dict: StateDict) -> str:
        return state_dict_id(paths, sd_ops)

    def get(self, paths: Sequence[PathLike], sd_ops: SDOps | None) -> StateDict | None:
        return None

    def pop(self, paths: Sequence[PathLike], sd_ops: SDOps | None) -> StateDict | None:
        return None

    def clear(self) -> None:
        return None


class StateDictRegistry:
    """Keeps every state dict until it is popped; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state_dicts: dict[str, StateDict] = {}

    def add(self, paths: Sequence[PathLike], sd_ops: SDOps | None, state_dict: StateDict) -> str:
        """Store under the id of paths and rules; ``ValueError`` when the id is taken."""
        key = state_dict_id(paths, sd_ops)
        with self._lock:
            if key in self._state_dicts:
                raise ValueError(f"the state dict of {list(map(str, paths))} was already added, check with get first")
            self._state_dicts[key] = state_dict
        return key

    def get(self, paths: Sequence[PathLike], sd_ops: SDOps | None) -> StateDict | None:
        with self._lock:
            return self._state_dicts.get(state_dict_id(paths, sd_ops))

    def pop(self, paths: Sequence[PathLike], sd_ops: SDOps | None) -> StateDict | None:
        with self._lock:
            return self._state_dicts.pop(state_dict_id(paths, sd_ops), None)

    def clear(self) -> None:
        with self._lock:
            self._state_dicts.clear()
