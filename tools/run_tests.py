"""Runs every check and test of the project, from a bare Python 3.10 or newer.

    python3 tools/run_tests.py [pytest arguments, e.g. tests/unit -k schedule]

Provisions a ComfyUI with what the tests need (see provision.py), then: ruff check, ruff format --check, pytest.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.provision import REPO, ProvisionError, provision

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def main() -> int:
    try:
        host = provision(dev=True)
    except ProvisionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(host, flush=True)
    browser = _browser()
    if browser is None:
        _shout("No Chromium here: the browser tests will be SKIPPED. Install Chromium, or set LTX2_CHROMIUM to one.")
    environment = os.environ | {
        "LTX2_CHROMIUM": browser or "",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    python = str(host.python)
    arguments = sys.argv[1:]
    steps = {"ruff check": [python, "-m", "ruff", "check"], "ruff format": [python, "-m", "ruff", "format", "--check"]}
    steps["pytest"] = [python, "-m", "pytest", "-rs", "--durations=10", *arguments]
    failed = [name for name, command in steps.items() if not _step(name, command, environment)]
    if failed:
        print(f"\nFAILED: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _step(name: str, command: Sequence[str], environment: dict[str, str]) -> bool:
    print(f"\n=== {name} ===", flush=True)
    started = time.monotonic()
    ok = subprocess.run(command, cwd=REPO, env=environment).returncode == 0
    print(f"=== {name}: {'ok' if ok else 'FAILED'} in {time.monotonic() - started:.0f} s ===", flush=True)
    return ok


def _browser() -> str | None:
    """The path of a Chromium: the named one, one that is installed, or Debian's, installed where that is possible."""
    named = os.environ.get("LTX2_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found or not (shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0):
        return found
    print("installing Chromium for the browser tests", flush=True)
    quiet = {"stdout": subprocess.DEVNULL, "env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}}
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]):
        subprocess.run(command, **quiet)
    return shutil.which("chromium")


def _shout(text: str) -> None:
    line = "!" * (len(text) + 8)
    print(f"\n{line}\n!!! {text} !!!\n{line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
