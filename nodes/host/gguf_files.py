"""GGUF files in ComfyUI's model folders: its own lists leave them out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import folder_paths


def with_gguf_files(names: Iterable[str], *folders: str) -> list[str]:
    """``names`` and the GGUF files below the same folders, sorted."""
    found = {name for folder in folders for name in _names_in(folder)}
    return sorted({*names, *found})


def _names_in(folder: str) -> Iterator[str]:
    if folder not in folder_paths.folder_names_and_paths:
        return
    for root in folder_paths.get_folder_paths(folder):
        seen: set[str] = set()
        for path, subfolders, files in os.walk(root, followlinks=True):  # passes over what it cannot open
            real = os.path.realpath(path)
            if real in seen:  # a link that leads back
                subfolders.clear()
                continue
            seen.add(real)
            for name in files:
                full = os.path.join(path, name)
                if name.lower().endswith(".gguf") and os.path.isfile(full):
                    yield os.path.relpath(full, root)
