"""The front-ends that the graphs and the pack's own script are tested in beside the host's: the newest one tried.

    python3 tools/front_ends.py      # then: LTX2_FRONT_ENDS=.host/front-ends for pytest

Each lies in a folder of its own, named after its version; ComfyUI serves it with ``--front-end-root``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.provision import REPO, ProvisionError, provision

NEWEST = "1.58.1"
FOLDER = REPO / ".host" / "front-ends"


def static_files(version: str, folder: Path = FOLDER) -> Path:
    """What ``--front-end-root`` takes for a version that is there."""
    return folder / version / "comfyui_frontend_package" / "static"


def install(python: Path) -> Path | None:
    """The folder of all of them, made with the host's ``python`` where they are not there yet; ``None``: it failed."""
    target = FOLDER / NEWEST
    if not (static_files(NEWEST) / "index.html").is_file():
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--upgrade"]
        if subprocess.run([*command, "--target", target, f"comfyui-frontend-package=={NEWEST}"]).returncode:
            return None
    return FOLDER


def main() -> int:
    try:
        host = provision(dev=True)
    except ProvisionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    folder = install(host.python)
    print(folder or "error: pip could not install it", file=sys.stdout if folder else sys.stderr)
    return 0 if folder else 1


if __name__ == "__main__":
    sys.exit(main())
