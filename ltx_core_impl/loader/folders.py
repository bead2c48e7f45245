"""From what a user names (a file, several shards, a folder) to a list of safetensors files."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from .errors import CheckpointError, CheckpointNotFoundError

PathLike = str | os.PathLike[str]

MAX_INDEX_BYTES = 50_000_000


def resolve_files(path: PathLike | Sequence[PathLike]) -> tuple[Path, ...]:
    """The safetensors files behind a path, in loading order.

    A file stands for itself. A folder gives the shards its ``*.safetensors.index.json`` lists, otherwise every
    ``*.safetensors`` below the folder that holds the first ``model*.safetensors`` (spec 01 §2.6), otherwise every
    ``*.safetensors`` in it. A sequence is resolved item by item.

    Raises:
        CheckpointNotFoundError: nothing there, an empty folder, or a listed shard is missing.
    """
    if not isinstance(path, (str, os.PathLike)):
        if not path:
            raise CheckpointNotFoundError("no model file was named; at least one path is needed")
        return tuple(file for item in path for file in resolve_files(item))
    path = Path(path)
    if not path.is_dir():
        return (path,)
    indexes = sorted(path.glob("*.safetensors.index.json"))
    if indexes:
        return _indexed_shards(indexes[0])
    weights = sorted(path.rglob("model*.safetensors"))
    files = sorted(weights[0].parent.rglob("*.safetensors")) if weights else sorted(path.glob("*.safetensors"))
    if not files:
        raise CheckpointNotFoundError(f"no model*.safetensors below the folder {path}; name the folder of the model")
    return tuple(files)


def _indexed_shards(index: Path) -> tuple[Path, ...]:
    """The shards an index file lists; names that leave its folder are refused."""
    if index.stat().st_size > MAX_INDEX_BYTES:
        raise CheckpointError(f"{index} has {index.stat().st_size} bytes, too many for an index file")
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        names = sorted({str(name) for name in names})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{index} is not a shard index (JSON with 'weight_map'): {error!r}") from error
    for name in names:
        if Path(name).name != name or "\\" in name:
            raise CheckpointError(f"{index} lists {name!r}; plain names of files beside it are needed")
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise CheckpointNotFoundError(
            f"{index.parent} lacks {len(missing)} of {len(names)} shards, first {missing[0]}; download the whole folder"
        )
    return tuple(index.parent / name for name in names)
