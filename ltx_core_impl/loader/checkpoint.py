"""One model on disk, known by its headers: files, names, shapes, metadata. No tensor is read here."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..quantization.other_kinds import INSTEAD, other_kind_of_config, other_kind_of_tensors
from .config import MAX_CONFIG_BYTES, parse_config, parse_json_metadata
from .errors import CheckpointError, UnsupportedFormatError
from .folders import PathLike, resolve_files
from .header import Header, TensorEntry, read_header
from .key_maps.layouts import components_of
from .version import ModelVersion, possible_versions, version_from_metadata, version_from_name, version_from_shapes


@dataclass(frozen=True)
class Checkpoint:
    """The checked headers of one or more files that together hold a model; a later file overrides an earlier one."""

    headers: tuple[Header, ...]

    @property
    def path(self) -> Path:
        """The first file, which names the checkpoint in messages and holds its config."""
        return self.headers[0].path

    @cached_property
    def entries(self) -> Mapping[str, tuple[Header, TensorEntry]]:
        """Every tensor with the file it is in."""
        return {key: (header, entry) for header in self.headers for key, entry in header.tensors.items()}

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape by name."""
        return {key: entry.shape for key, (_, entry) in self.entries.items()}

    @cached_property
    def config(self) -> dict[str, Any]:
        """The config of the first file that has one, ``{}`` when none has."""
        return next((config for config in map(parse_config, self.headers) if config), {})

    @cached_property
    def components(self) -> tuple[str, ...]:
        """The components found, complete or not (spec 01 §5.1)."""
        return components_of(self.shapes)

    @cached_property
    def version(self) -> ModelVersion | None:
        """From the ``model_version`` metadata, else from the shapes; None where nothing tells (an upsampler).

        Raises:
            VersionError: no metadata, and the tensors fit no version or contradict each other.
        """
        for header in self.headers:
            version = version_from_metadata(header.metadata.get("model_version"))
            if version is not None:
                return version
        return version_from_shapes(self.shapes)

    @cached_property
    def possible_versions(self) -> frozenset[ModelVersion]:
        """The versions that this file may belong to; nothing when nothing tells.

        The metadata decide, else the tensors; where these leave several, or say nothing (an upsampler), a published
        file name does.

        Raises:
            VersionError: as ``version``.
        """
        for header in self.headers:
            version = version_from_metadata(header.metadata.get("model_version"))
            if version is not None:
                return frozenset({version})
        allowed, named = possible_versions(self.shapes), version_from_name(self.path.name)
        return frozenset({named}) if named is not None and (not allowed or named in allowed) else allowed

    @property
    def is_distilled(self) -> bool:
        """Whether the file *name* says so; neither names nor shapes of tensors can tell (spec 01 §5.2)."""
        return "distilled" in self.path.name.lower()

    def json_metadata(self, key: str) -> dict[str, Any]:
        """The JSON object under a metadata key of the first file that has it, ``{}`` when none has."""
        return next((value for value in (parse_json_metadata(header, key) for header in self.headers) if value), {})


def open_checkpoint(path: PathLike | Sequence[PathLike]) -> Checkpoint:
    """Read the headers of a file, several shards or a folder.

    Raises:
        CheckpointError: any file is missing or unreadable; the message names it.
        UnsupportedFormatError: a quantisation that is not read here, by its name.
    """
    headers = tuple(read_header(file) for file in resolve_files(path))
    if not any(header.tensors for header in headers):
        raise CheckpointError(f"{headers[0].path} holds no tensors; check that this is the right file")
    checkpoint = Checkpoint(headers)
    kind = other_kind_of_tensors(checkpoint.shapes) or other_kind_of_config(_side_config(path))
    if kind is not None:
        raise UnsupportedFormatError(f"{headers[0].path} is quantised with {kind}, which is not read here: {INSTEAD}")
    return checkpoint


def _side_config(path: PathLike | Sequence[PathLike]) -> Mapping[str, object]:
    """The ``config.json`` of a folder, ``{}`` without a readable one: not needed, but it may say what the files are."""
    if not isinstance(path, (str, os.PathLike)):
        return {}
    try:
        file = Path(path) / "config.json"
        content = json.loads(file.read_text(encoding="utf-8")) if file.stat().st_size <= MAX_CONFIG_BYTES else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
