"""ComfyUI's input and output folders: files that users give, and files that they get. The rest of `host` for media."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import folder_paths
from comfy.cli_args import args
from comfy_api.latest import InputImpl, io, ui

from ..wires.checks import InputError
from ..wires.handles import FileRef

logger = logging.getLogger(__name__)

PREFIX_TOOLTIP = (
    "Name of the file inside ComfyUI's output folder, without number and extension; may hold folders and "
    "%date:yyyy-MM-dd%, %width%, %height%."
)
_PART = ".part"


class OutputFile(NamedTuple):
    """A file or folder that is being written: under ``path`` now, under ``final`` once it is whole."""

    path: Path
    final: Path


def check_prefix(prefix: str) -> None:
    """A file name prefix must stay inside the output folder and name a file.

    Judged by its text, as core does: a link inside the folder is the user's own business.
    """
    root = os.path.abspath(folder_paths.get_output_directory())
    path = os.path.abspath(os.path.join(root, prefix))
    if not _is_inside(path, root) or path == root or prefix.endswith(("/", os.sep)):
        raise InputError(
            f"filename_prefix is '{prefix}'; it must name a file inside ComfyUI's output folder, for example "
            "video/LTX-2."
        )


def _is_inside(path: str, root: str) -> bool:
    try:
        return os.path.commonpath((root, path)) == root
    except ValueError:  # Windows: another drive
        return False


@contextmanager
def new_output(prefix: str, extension: str, width: int = 0, height: int = 0) -> Iterator[OutputFile]:
    """The next free file for a prefix; it gets its name when the block ends without an error.

    Raises `InputError` for a prefix that leads out of the output folder.
    """
    folder, name, counter = _next_name(prefix, width, height)
    final = folder / f"{name}_{counter:05}_.{extension}"
    file = OutputFile(path=final.with_name(final.name + _PART), final=final)
    try:
        yield file
        os.replace(file.path, final)
    finally:
        file.path.unlink(missing_ok=True)


@contextmanager
def new_folder(prefix: str, width: int = 0, height: int = 0) -> Iterator[OutputFile]:
    """The next free folder for a prefix, made; it gets its name when the block ends, and is removed by an error.

    Raises `InputError` for a prefix that leads out of the output folder.
    """
    parent, name, counter = _next_name(prefix, width, height)
    final = parent / f"{name}_{counter:05}_"
    folder = OutputFile(path=final.with_name(final.name + _PART), final=final)
    if folder.path.is_dir():  # of a server that was killed
        shutil.rmtree(folder.path)
    folder.path.mkdir()
    try:
        yield folder
        os.replace(folder.path, final)
    finally:
        shutil.rmtree(folder.path, ignore_errors=True)


def _next_name(prefix: str, width: int, height: int) -> tuple[Path, str, int]:
    """Folder, name and number of the next file. Core's counter would leave out the numbers of unfinished files."""
    check_prefix(prefix)
    folder, name, _, _, _ = folder_paths.get_save_image_path(prefix, folder_paths.get_output_directory(), width, height)
    numbered = re.compile(re.escape(os.path.normcase(name)) + r"_(\d+)")
    present = [(entry, numbered.match(os.path.normcase(entry))) for entry in os.listdir(folder)]
    numbers = {entry: int(match[1]) for entry, match in present if match}
    finished = [number for entry, number in numbers.items() if not entry.endswith(_PART)]
    counter = max(finished, default=0) + 1
    # The next number is written over; what a killed server left under others is the user's to look at.
    left = sorted(entry for entry, number in numbers.items() if entry.endswith(_PART) and number != counter)
    if left:
        logger.warning(
            "%s holds %d unfinished files of runs that were killed, for example %s. Delete them, unless another "
            "ComfyUI is writing them now.",
            folder,
            len(left),
            left[0],
        )
    return Path(folder), name, counter


def saved_result(path: Path) -> ui.SavedResult:
    """How the browser finds a file of the output folder."""
    subfolder = os.path.relpath(path.parent, folder_paths.get_output_directory())
    return ui.SavedResult(path.name, "" if subfolder == "." else subfolder, io.FolderType.output)


def graph_metadata(hidden: Any) -> dict[str, str]:
    """Prompt and workflow as texts, under the keys by which ComfyUI restores a graph from a dropped file."""
    if args.disable_metadata or hidden is None:  # None outside of a graph
        return {}
    texts = {key: json.dumps(value) for key, value in (hidden.extra_pnginfo or {}).items()}
    return texts if hidden.prompt is None else {**texts, "prompt": json.dumps(hidden.prompt)}


def video_of(path: Path) -> Any:
    """A VIDEO that reads a file."""
    return InputImpl.VideoFromFile(str(path))


def input_videos() -> list[str]:
    """Videos in ComfyUI's input folder, for a combo."""
    folder = folder_paths.get_input_directory()
    names = os.listdir(folder) if os.path.isdir(folder) else []
    videos = folder_paths.filter_files_content_types(names, ["video"])
    return sorted(name for name in videos if os.path.isfile(os.path.join(folder, name)))


def input_hdr_pictures(deep: int = 2) -> list[str]:
    """EXR files, folders with EXR files in them, and videos of the input folder, for a combo."""
    root = Path(folder_paths.get_input_directory())
    found = set(input_videos())

    def look(folder: Path, below: int) -> None:
        try:
            entries = list(os.scandir(folder))
        except OSError:  # what cannot be listed holds nothing that could be loaded
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.name.lower().endswith(".exr"):
                place = Path(entry.path) if folder == root else folder
                found.add(place.relative_to(root).as_posix())
            elif below and entry.is_dir():
                look(Path(entry.path), below - 1)

    look(root, deep)
    return sorted(found)


def find_input(name: str, input_name: str) -> FileRef:
    """A file of the input folder (or, with ``[output]`` behind its name, of the output folder).

    A link in these folders may lead anywhere, as in core: who can make one there needs no node to read a file.
    """
    # The path is normalised before it is opened, so that ".." behind a link means what it says.
    path = os.path.abspath(folder_paths.get_annotated_filepath(name)) if name else ""
    roots = (folder_paths.get_input_directory(), folder_paths.get_output_directory(), folder_paths.get_temp_directory())
    if name and not any(_is_inside(path, os.path.abspath(root)) for root in roots):
        raise InputError(f"{input_name} is '{name}', which lies outside ComfyUI's folders. Upload it instead.")
    if not name or not os.path.exists(path):
        raise InputError(
            f"{input_name} is '{name}', which is not in ComfyUI's input folder. Upload it with the button on the node."
        )
    return FileRef.of(path)


def output_files(folder: str, extension: str) -> list[str]:
    """Files below the output folder, marked ``[output]``, for a combo."""
    root = Path(folder_paths.get_output_directory())
    found = (root / folder).rglob(f"*.{extension}") if (root / folder).is_dir() else []
    return sorted(f"{path.relative_to(root).as_posix()} [output]" for path in found)
