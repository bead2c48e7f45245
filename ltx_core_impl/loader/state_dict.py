"""Whole state dicts in memory, and the loaders that make them (spec 01 §6.2)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from ..operations import SDOps
from .config import parse_config
from .folders import PathLike, resolve_files
from .header import read_header
from .registry import Registry
from .tensor_file import TensorFile


@dataclass(frozen=True)
class StateDict:
    """Tensors by name, with where they are, how many bytes they take and which dtypes they have."""

    sd: dict[str, torch.Tensor]
    device: torch.device
    size: int
    dtype: set[torch.dtype]

    @classmethod
    def of(cls, tensors: dict[str, torch.Tensor], device: torch.device | str) -> StateDict:
        """Tensors with their bytes and dtypes counted."""
        size = sum(tensor.nbytes for tensor in tensors.values())
        return cls(tensors, torch.device(device), size, {tensor.dtype for tensor in tensors.values()})

    def footprint(self) -> tuple[int, torch.device]:
        """``(bytes, device)``."""
        return self.size, self.device


class StateDictLoader(Protocol):
    """Reads state dicts, and the config beside them."""

    def load(
        self, path: PathLike | Sequence[PathLike], sd_ops: SDOps | None, device: torch.device | None = None
    ) -> StateDict: ...

    def metadata(self, path: PathLike) -> dict[str, Any]: ...


class SafetensorsStateDictLoader:
    """Reads safetensors files tensor by tensor, straight to the device."""

    def load(
        self, path: PathLike | Sequence[PathLike], sd_ops: SDOps | None, device: torch.device | None = None
    ) -> StateDict:
        """All tensors that ``sd_ops`` takes (all, without it); a later file overrides an earlier one."""
        device = torch.device(device or "cpu")
        tensors: dict[str, torch.Tensor] = {}
        for file in resolve_files(path):
            with TensorFile(read_header(file)) as source:
                for key in source.header.tensors:
                    name = sd_ops.apply_to_key(key) if sd_ops else key
                    if name is None:
                        continue
                    value = source.read(key, device)
                    tensors.update(sd_ops.apply_to_key_value(name, value) if sd_ops else [(name, value)])
        return StateDict.of(tensors, device)

    def metadata(self, path: PathLike) -> dict[str, Any]:
        """This loader knows tensors only."""
        raise NotImplementedError("SafetensorsStateDictLoader reads no config; use SafetensorsModelStateDictLoader")


class SafetensorsModelStateDictLoader(SafetensorsStateDictLoader):
    """The same, for files that carry a model's ``config``."""

    def metadata(self, path: PathLike) -> dict[str, Any]:
        """The parsed ``config`` of a file, ``{}`` when it has none."""
        return parse_config(read_header(path))


def _paths(path: PathLike | Sequence[PathLike]) -> tuple[Path, ...]:
    return (Path(path),) if isinstance(path, (str, os.PathLike)) else tuple(Path(item) for item in path)


def read_model_config(path: PathLike | Sequence[PathLike], loader: StateDictLoader) -> dict[str, Any]:
    """The config of the first file."""
    return loader.metadata(_paths(path)[0])


def load_state_dict(
    paths: PathLike | Sequence[PathLike],
    loader: StateDictLoader,
    registry: Registry,
    device: torch.device | None,
    sd_ops: SDOps | None = None,
) -> StateDict:
    """The state dict from the registry, loaded and registered first when it is not there."""
    paths = _paths(paths)
    cached = registry.get(paths, sd_ops)
    if cached is not None:
        return cached
    loaded = loader.load(paths, sd_ops, device)
    registry.add(paths, sd_ops, loaded)
    return loaded
