"""Ray in a virtual environment of its own, so that no package of a ComfyUI's Python changes for its sake."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from tools.host_python import CONSTRAINTS, host_folder, install_packages, make_venv

FARM_REQUIREMENTS = ("ray", "aiohttp")
FILES = (CONSTRAINTS / "host.txt", CONSTRAINTS / "farm.txt")


def folder() -> Path:
    """Where it lies."""
    return host_folder() / "farm"


def _wanted() -> str:
    text = " ".join(FARM_REQUIREMENTS) + "".join(file.read_text() for file in FILES)
    return hashlib.sha256(text.encode()).hexdigest()


def is_made() -> bool:
    """Is it there, with the versions that are pinned now?"""
    marker = folder() / "installed"
    return marker.is_file() and marker.read_text() == _wanted()


def make() -> Path:
    """Its Python, with Ray in it; installed where it is missing. Raises ProvisionError where that fails."""
    python = make_venv(folder())
    if not is_made():
        print("[farm] installing Ray", flush=True)
        install_packages(python, [*FARM_REQUIREMENTS, *(part for file in FILES for part in ("-c", file))])
        (folder() / "installed").write_text(_wanted())
    return python


def has_ray() -> bool:
    """Can this Python import what a farm needs?"""
    from importlib.util import find_spec

    return all(find_spec(name) is not None for name in FARM_REQUIREMENTS)


def environment(python: Path) -> dict[str, str]:
    """The environment for a command of ``python`` that imports ``tools``.

    A ComfyUI whose packages are in the Python that runs now stays found (see provision.py).
    """
    values = dict(os.environ)
    values.setdefault("COMFYUI_PYTHON", sys.executable)
    values["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(Path(__file__).resolve().parents[2]), values.get("PYTHONPATH")])
    )
    values["PATH"] = os.pathsep.join([str(python.parent), values.get("PATH", "")])
    return values
