"""The versions of transformers that the text encoder is tested with beside the host's: both ends and one between.

    python3 tools/transformers_versions.py      # then: LTX2_TRANSFORMERS_VENVS=.host/transformers for pytest

Each lies in a folder of its own, with what it needs, and is put in front of the host's packages by PYTHONPATH; torch
and all else are the host's.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.provision import REPO, ProvisionError, provision

# First for Gemma 3, first for Gemma 4, newest tried.
VERSIONS = ("4.50.0", "5.8.0", "5.24.0")
FOLDER = REPO / ".host" / "transformers"


def install(python: Path) -> Path | None:
    """The folder of all versions, made with the host's ``python`` where they are not there yet; ``None``: it failed."""
    for version in VERSIONS:
        folder = FOLDER / version
        if (folder / "complete").is_file():
            continue
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]
        # The numpy that torch of the host was built for stays the host's.
        command += ["--target", folder, f"transformers=={version}", f"numpy=={_version_of('numpy', python)}"]
        if subprocess.run(command).returncode:
            return None
        (folder / "complete").touch()
    return FOLDER


def _version_of(package: str, python: Path) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def main() -> int:
    try:
        host = provision(dev=True)
    except ProvisionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    folder = install(host.python)
    print(folder or "error: pip could not install them", file=sys.stdout if folder else sys.stderr)
    return 0 if folder else 1


if __name__ == "__main__":
    sys.exit(main())
