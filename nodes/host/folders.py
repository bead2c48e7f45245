"""ComfyUI's model folders: what a combo offers, and the file behind a choice."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator

import folder_paths

from ..wires.checks import InputError, check_choice
from ..wires.handles import FileRef

logger = logging.getLogger(__name__)

NONE = "none"
FOLDER_HINT = "Put the file into ComfyUI's models/{folders} folder and press R in the browser to refresh the lists."


def file_options(*folders: str, optional: bool = False) -> list[str]:
    """Names of the model files in ComfyUI's folders, for a combo; "none" first where the file is optional."""
    names: set[str] = set()
    for folder in folders:
        names.update(_names_in(folder))
    return ([NONE] if optional else []) + sorted(names)


def _names_in(folder: str) -> list[str]:
    """What ComfyUI lists of a folder. Its listing gives up at an entry that cannot be looked at; ours leaves it out.

    Where links lead back, ComfyUI's repeats the folder up to forty times, and with two such links it never ends.
    """
    if folder not in folder_paths.folder_names_and_paths:
        return []
    roots, extensions = folder_paths.folder_names_and_paths[folder][:2]
    try:
        # Asked for by name: a ComfyUI without it must not cost the pack its import.
        cached = getattr(folder_paths, "cached_filename_list_", lambda _: None)
        if cached(folder) is None and any(map(_leads_back, roots)):
            return _walked(roots, extensions)
        return folder_paths.get_filename_list(folder)
    except OSError as error:
        logger.warning("models/%s has an entry that cannot be read (%s); it is left out.", folder, error)
    return _walked(roots, extensions)


def _walked(roots: Iterable[str], extensions: set[str]) -> list[str]:
    return sorted({name for root in roots for name in files_below(root) if _is_listed(name, extensions)})


def _leads_back(path: str, above: frozenset[str] = frozenset(), done: set[str] | None = None) -> bool:
    """Whether a link below a folder leads to a folder that it lies in; ``done``: real folders where none does."""
    done = set() if done is None else done
    real = os.path.realpath(path)
    if real in above:
        return True
    if real in done:
        return False
    done.add(real)
    try:
        with os.scandir(path) as entries:
            below = [entry.path for entry in entries if _is_folder(entry)]
    except OSError:
        return False
    return any(_leads_back(folder, above | {real}, done) for folder in below)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_listed(name: str, extensions: set[str]) -> bool:
    return not extensions or os.path.splitext(name)[1].lower() in extensions


def files_below(root: str) -> Iterator[str]:
    """Paths below ``root``, each real folder once, so that links that lead back end."""
    seen: set[str] = set()
    for path, folders, files in os.walk(root, followlinks=True):  # passes over what it cannot open
        real = os.path.realpath(path)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (os.path.relpath(os.path.join(path, name), root) for name in files)


def find_file(name: str, *folders: str, input_name: str) -> FileRef:
    """The file behind a combo value. Raises `InputError` naming the folders when there is none."""
    for folder in folders:
        path = folder_paths.get_full_path(folder, name) if folder in folder_paths.folder_names_and_paths else None
        if path is not None:
            return _described(path, name, input_name)
    hint = FOLDER_HINT.format(folders=" or models/".join(folders))
    raise InputError(f"{input_name} is '{name}', which is not there. {hint}")


def _described(path: str, name: str, input_name: str) -> FileRef:
    try:
        return FileRef.of(path)
    except OSError as error:
        raise InputError(
            f"{input_name} is '{name}', which cannot be read ({error.strerror}). Check the link and the permissions of "
            f"{path}, or choose another file."
        ) from error


def text_encoder_options() -> list[str]:
    """Gemma folders (those with a config.json) and single files of models/text_encoders."""
    names = _names_in("text_encoders")
    # A folder is asked about once, not once per file: a share may answer slowly.
    folders = {folder for folder in set(map(os.path.dirname, names)) if folder and _is_model_folder(folder)}
    return sorted({folder if (folder := os.path.dirname(name)) in folders else name for name in names})


def _is_model_folder(name: str) -> bool:
    return folder_paths.get_full_path("text_encoders", os.path.join(name, "config.json")) is not None


def find_text_encoder(name: str, input_name: str) -> FileRef:
    """The Gemma folder or file behind a combo value."""
    config = folder_paths.get_full_path("text_encoders", os.path.join(name, "config.json"))
    if config is not None:
        return _described(os.path.dirname(config), name, input_name)
    return find_file(name, "text_encoders", input_name=input_name)


def calibration_options() -> list[str]:
    """JSON files next to the checkpoints and diffusion models: amax calibrations for fp8_scaled_mm."""
    return [NONE, *sorted(_calibration_files())]


def find_calibration(name: str) -> FileRef | None:
    """The calibration file behind a combo value, None for "none"."""
    if name == NONE:
        return None
    files = _calibration_files()
    check_choice("calibration", name, sorted(files), "Put the JSON file beside the checkpoint.")
    return _described(files[name], name, "calibration")


def _calibration_files() -> dict[str, str]:
    """Path by name. Entries that are no files, or links that lead nowhere or to themselves, are left out."""
    files: dict[str, str] = {}
    for folder in ("checkpoints", "diffusion_models"):
        for root in folder_paths.get_folder_paths(folder):
            try:
                names = [name for name in os.listdir(root) if name.endswith(".json")] if os.path.isdir(root) else []
            except OSError as error:
                logger.warning("%s (models/%s) cannot be listed: %s", root, folder, error)
                continue
            paths = {name: os.path.join(root, name) for name in names}
            files.update({name: path for name, path in paths.items() if os.path.isfile(path)})
    return files
