"""GGUF files in ComfyUI's model folders: its own lists leave them out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import folder_paths

from .folders import files_below


def with_gguf_files(names: Iterable[str], *folders: str) -> list[str]:
    """``names`` and the GGUF files below the same folders, sorted."""
    found = {name for folder in folders for name in _names_in(folder)}
    return sorted({*names, *found})


def _names_in(folder: str) -> Iterator[str]:
    if folder not in folder_paths.folder_names_and_paths:
        return
    for root in folder_paths.get_folder_paths(folder):
        for name in files_below(root):
            if name.lower().endswith(".gguf") and os.path.isfile(os.path.join(root, name)):
                yield name
