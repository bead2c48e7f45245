"""Runs every check and test of the project, from a bare Python 3.10 or newer.

    python3 tools/run_tests.py            # everything
    python3 tools/run_tests.py --quick    # units and golden cases: no server, no browser
    python3 tools/run_tests.py tests/unit -k schedule    # any pytest arguments

Provisions a ComfyUI with what the tests need (see provision.py), then: ruff check, ruff format --check, pytest. The
tests run in several processes (pytest-xdist; `-n 0` for one), and each process has a ComfyUI server of its own.
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

from tools import front_ends, transformers_versions
from tools.farm import environment as farm_environment
from tools.provision import REPO, ProvisionError, provision

QUICK = ("tests/unit", "tests/golden_cases")
# A process holds up to 2 GB with its server; beyond this many, most of them would only start servers.
MAX_PROCESSES = 4
HOW_MANY = ("-n", "--numprocesses", "--pdb", "--trace", "no:xdist")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def main() -> int:
    try:
        host = provision(dev=True)
    except ProvisionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(host, flush=True)
    quick = "--quick" in sys.argv
    browser = None if quick else _browser()
    if browser is None and not quick:
        _shout("No Chromium here: the browser tests will be SKIPPED. Install Chromium, or set LTX2_CHROMIUM to one.")
    versions = None if quick else transformers_versions.install(host.python)
    if versions is None and not quick:
        _shout("Other versions of transformers could not be installed: their tests will be SKIPPED.")
    if not quick and not _has_farm():
        _shout("Ray could not be installed: the tests of a whole farm will be SKIPPED.")
    newest = None if quick else front_ends.install(host.python)
    if newest is None and not quick:
        _shout("The newest front-end could not be installed: the tests in it will be SKIPPED.")
    arguments, threads = plan(sys.argv[1:], _cores())
    environment = os.environ | threads
    environment |= {"LTX2_CHROMIUM": browser or "", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    environment["LTX2_TRANSFORMERS_VENVS"] = str(versions or "")
    environment["LTX2_FRONT_ENDS"] = str(newest or "")
    python = str(host.python)
    steps = {"ruff check": [python, "-m", "ruff", "check"], "ruff format": [python, "-m", "ruff", "format", "--check"]}
    steps["pytest"] = [python, "-m", "pytest", "-rs", "--durations=10", *arguments]
    failed = [name for name, command in steps.items() if not _step(name, command, environment)]
    if failed:
        print(f"\nFAILED: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _has_farm() -> bool:
    try:
        farm_environment.make()
    except ProvisionError as error:
        print(error, file=sys.stderr)
    return farm_environment.is_made()


def _step(name: str, command: Sequence[str], environment: dict[str, str]) -> bool:
    print(f"\n=== {name} ===", flush=True)
    started = time.monotonic()
    ok = subprocess.run(command, cwd=REPO, env=environment).returncode == 0
    print(f"=== {name}: {'ok' if ok else 'FAILED'} in {time.monotonic() - started:.0f} s ===", flush=True)
    return ok


def plan(arguments: Sequence[str], cores: int) -> tuple[list[str], dict[str, str]]:
    """What pytest is called with, and what its environment says about threads, from our own arguments."""
    planned = [argument for argument in arguments if argument != "--quick"]
    if len(planned) < len(arguments):
        planned = [*QUICK, *planned]
    processes = min(cores, MAX_PROCESSES)
    if processes < 2 or any(argument.startswith(HOW_MANY) for argument in planned):
        return planned, {}
    # Tiny tensors: threads of several processes on the same cores wait for one another.
    threads = os.environ.get("OMP_NUM_THREADS") or str(cores // processes)
    return ["-n", str(processes), "--dist", "worksteal", *planned], {"OMP_NUM_THREADS": threads}


def _cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
