"""The Python of a host: virtual environments in ``.host/``, and the packages that go into them.

Only the standard library is used here; `provision.py` says which ComfyUI they are for.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
CONSTRAINTS = REPO / "constraints"

HOST_PINS = ("torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0", "requests")
DEV_REQUIREMENTS = (
    "pytest",
    "pytest-timeout",
    "pytest-xdist",
    "hypothesis",
    "ruff",
    "playwright",
    "gguf",
    "comfy-kitchen",
    "OpenEXR",
)
IMPORTS_OF_A_HOST = ("torch", "aiohttp", "av", "safetensors", "transformers", "einops", "yaml")


class ProvisionError(Exception):
    """The host cannot be made; the message says what to do."""


def host_folder() -> Path:
    """Where our own host lives: ``LTX2_HOST_DIR``, else ``.host/`` in the repository."""
    return Path(os.environ.get("LTX2_HOST_DIR") or REPO / ".host").absolute()


def can_import(python: Path, modules: Sequence[str]) -> bool:
    """Are the modules installed there? (Found, not executed: importing torch takes seconds.)"""
    code = f"import sys; from importlib.util import find_spec as f; sys.exit(not all(map(f, {list(modules)!r})))"
    return subprocess.run([python, "-c", code], capture_output=True).returncode == 0


def own_venv() -> Path:
    """The Python of the host's virtual environment."""
    folder = host_folder() / "venv"
    if not _is_venv(folder):
        state_file().unlink(missing_ok=True)
    return make_venv(folder)


def _is_venv(folder: Path) -> bool:
    python = venv_python(folder)
    return python.exists() and can_import(python, ("pip",))


def make_venv(folder: Path) -> Path:
    """The Python of a virtual environment, made if it is missing or its base Python is gone."""
    python = venv_python(folder)
    if _is_venv(folder):
        return python
    say(f"making a virtual environment in {folder} with Python {sys.version.split()[0]}")
    shutil.rmtree(folder, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", folder], capture_output=True, text=True)
    if made.returncode:  # Debian's python3 comes without ensurepip
        uv = shutil.which("uv")
        if uv is None:
            raise ProvisionError(
                f"python -m venv failed:\n{made.stdout}{made.stderr}\n"
                "On Debian or Ubuntu: apt install python3-venv. Elsewhere: install uv, or a Python with ensurepip."
            )
        run([uv, "venv", "--quiet", "--seed", "--python", sys.executable, folder], "uv could not make it either")
    return python


def venv_python(folder: Path) -> Path:
    """The interpreter of a virtual environment."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def venv_with(requirements: Path) -> Path:
    """Our virtual environment with a ComfyUI's requirements in it."""
    python = own_venv()
    pins = CONSTRAINTS / "host.txt"
    text = requirements.read_text() + pins.read_text()
    if _is_installed("host", text):
        return python
    constraints = host_folder() / "constraints.txt"
    wanted = {line.partition("==")[0] for line in requirements.read_text().splitlines() if "==" in line}
    kept = [line for line in pins.read_text().splitlines() if line.partition("==")[0] not in wanted]
    constraints.write_text("\n".join(kept) + "\n")
    say("installing ComfyUI's requirements (torch included: a few GB the first time, several minutes)")
    install_packages(python, ["-r", requirements, *HOST_PINS, "-c", constraints])
    _note_installed("host", text)
    return python


def install_dev(python: Path) -> None:
    """What the tests need. Raises `ProvisionError` for a Python that this tool did not make and that lacks it."""
    if python != venv_python(host_folder() / "venv"):
        missing = [name for name in DEV_REQUIREMENTS if not can_import(python, (_module_of(name),))]
        if missing:
            raise ProvisionError(
                f"The tests need {', '.join(missing)}, and this tool installs nothing into a Python it did not make. "
                f"Either: {python} -m pip install {' '.join(missing)}\n"
                "or unset COMFYUI_PATH to test in a ComfyUI made here."
            )
        return
    text = " ".join(DEV_REQUIREMENTS) + (CONSTRAINTS / "dev.txt").read_text()
    if not _is_installed("dev", text):
        say("installing what the tests need")
        files = [CONSTRAINTS / "host.txt", CONSTRAINTS / "dev.txt"]
        install_packages(python, [*DEV_REQUIREMENTS, *(part for file in files for part in ("-c", file))])
        _note_installed("dev", text)


def _module_of(requirement: str) -> str:
    return "xdist" if requirement == "pytest-xdist" else requirement.replace("-", "_")


def install_packages(python: Path, arguments: Sequence[str | Path]) -> None:
    """With uv where it is to be had (minutes faster), else with pip, whose settings uv does not read."""
    quiet = () if sys.stdout.isatty() else ("--quiet",)
    uv = _uv(python)
    if uv is not None:
        command = [*uv, "pip", "install", *quiet, "--python", python, *arguments]
        if subprocess.run(command).returncode == 0:
            return
        say("uv could not install them; trying pip, which may have settings that uv does not read")
    run([python, "-m", "pip", "install", *quiet, *arguments], "packages could not be installed")


def _uv(python: Path) -> list[str | Path] | None:
    found = shutil.which("uv")
    if found:
        return [found]
    if not can_import(python, ("uv",)):
        subprocess.run([python, "-m", "pip", "install", "--quiet", "uv"], capture_output=True)
    return [python, "-m", "uv"] if can_import(python, ("uv",)) else None


def run(command: Sequence[str | Path], failure: str) -> None:
    """Runs a package command; its own words go to the terminal."""
    if subprocess.run(command).returncode:
        raise ProvisionError(
            f"{failure} (see above). If it says that nothing was found or reached: this step needs the network or a "
            "package mirror that pip is set up for. Run the same command again afterwards: it goes on where it stopped."
        )


def state_file() -> Path:
    """Where is noted which packages were installed; there once ours is made."""
    return host_folder() / "installed.json"


def _is_installed(group: str, text: str) -> bool:
    state = json.loads(state_file().read_text()) if state_file().exists() else {}
    return state.get(group) == hashlib.sha256(text.encode()).hexdigest()


def _note_installed(group: str, text: str) -> None:
    state = json.loads(state_file().read_text()) if state_file().exists() else {}
    state[group] = hashlib.sha256(text.encode()).hexdigest()
    state_file().write_text(json.dumps(state, indent=1))


def say(text: str) -> None:
    """What the tool does, for the terminal."""
    print(f"[host] {text}", flush=True)
