"""ComfyUI's model folders: what a combo offers, and the file behind a choice."""

from __future__ import annotations

import os

import folder_paths

from ..wires.checks import InputError, check_choice
from ..wires.handles import FileRef

NONE = "none"
FOLDER_HINT = "Put the file into ComfyUI's models/{folders} folder and press R in the browser to refresh the lists."


def file_options(*folders: str, optional: bool = False) -> list[str]:
    """Names of the model files in ComfyUI's folders, for a combo; "none" first where the file is optional."""
    names: set[str] = set()
    for folder in folders:
        if folder in folder_paths.folder_names_and_paths:
            names.update(folder_paths.get_filename_list(folder))
    return ([NONE] if optional else []) + sorted(names)


def find_file(name: str, *folders: str, input_name: str) -> FileRef:
    """The file behind a combo value. Raises `InputError` naming the folders when there is none."""
    for folder in folders:
        path = folder_paths.get_full_path(folder, name) if folder in folder_paths.folder_names_and_paths else None
        if path is not None:
            return FileRef.of(path)
    hint = FOLDER_HINT.format(folders=" or models/".join(folders))
    raise InputError(f"{input_name} is '{name}', which is not there. {hint}")


def text_encoder_options() -> list[str]:
    """Gemma folders (those with a config.json) and single files of models/text_encoders."""
    options: set[str] = set()
    for name in folder_paths.get_filename_list("text_encoders"):
        folder = os.path.dirname(name)
        options.add(folder if folder and _is_model_folder(folder) else name)
    return sorted(options)


def _is_model_folder(name: str) -> bool:
    return folder_paths.get_full_path("text_encoders", os.path.join(name, "config.json")) is not None


def find_text_encoder(name: str, input_name: str) -> FileRef:
    """The Gemma folder or file behind a combo value."""
    config = folder_paths.get_full_path("text_encoders", os.path.join(name, "config.json"))
    if config is not None:
        return FileRef.of(os.path.dirname(config))
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
    return FileRef.of(files[name])


def _calibration_files() -> dict[str, str]:
    files: dict[str, str] = {}
    for folder in ("checkpoints", "diffusion_models"):
        for root in folder_paths.get_folder_paths(folder):
            if os.path.isdir(root):
                files.update({e.name: e.path for e in os.scandir(root) if e.is_file() and e.name.endswith(".json")})
    return files
