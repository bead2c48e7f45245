"""Runs a table of prompts on the ComfyUI servers of a Ray cluster.

    python3 -m tools.farm run jobs.csv [--address HOST:6379] [--workers N] [--out FOLDER] [--resume] [--max-tries N]
    python3 -m tools.farm status FOLDER
    python3 -m tools.farm start [--address HOST:6379]    # on each machine of a cluster; without address on the first

From any Python 3.10 or newer: Ray is put into a virtual environment of its own (.host/farm) the first time.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tools.farm import environment, state
from tools.farm.driver import Driver, FarmError
from tools.farm.jobs import BadJobs, read_jobs
from tools.farm.manifest import NAME, Manifest
from tools.farm.state import State, table
from tools.farm.workplaces import ClusterError
from tools.provision import REPO, ProvisionError, host_folder, is_provisioned, provision

BAD_JOBS, NOT_ALL_MADE = 2, 3


def main() -> int:
    arguments = _parser().parse_args()
    commands = {"run": _run, "status": _status, "start": _start}
    try:
        return commands[arguments.command](arguments)
    except BadJobs as error:
        print(f"{error}\nNothing was run.", file=sys.stderr)
        return BAD_JOBS
    except ProvisionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; --resume goes on", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.farm", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run a table of jobs")
    run.add_argument("jobs", type=Path, help="CSV or JSON lines; docs/farm.md says what may stand in it")
    run.add_argument(
        "--address", help="HOST:6379 of a running cluster, or auto; a cluster on this machine if not given"
    )
    run.add_argument("--workers", type=_positive, help="one per graphics card, or per machine, if not given")
    run.add_argument("--out", type=Path, help="folder for the results; jobs-clips for jobs.csv if not given")
    run.add_argument("--resume", action="store_true", help="go on with what the folder holds")
    run.add_argument("--again", action="store_true", help="with --resume: try again what was set aside")
    run.add_argument("--max-tries", type=_positive, default=3, help="of a job, whatever ends them (3)")
    run.add_argument("--check", action="store_true", help="only check the table, on one server")
    status = commands.add_parser("status", help="show how far a run is; in a terminal until it ends")
    status.add_argument("out", type=Path, help="the folder of its results")
    start = commands.add_parser("start", help="make this machine part of a cluster")
    start.add_argument("--address", help="HOST:6379 of the first machine; without it this machine is the first")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def _run(arguments: argparse.Namespace) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts us with & has it ignored
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped on the way out
    jobs = read_jobs(arguments.jobs)
    out = arguments.out or arguments.jobs.with_name(f"{arguments.jobs.stem}-clips")
    if Manifest(out).entries and not arguments.resume and not arguments.check:
        print(
            f"error: {out} holds an earlier run. --resume goes on with it; --out names another folder.", file=sys.stderr
        )
        return 1
    if not environment.has_ray():
        return _continue_with_ray()
    from filelock import FileLock, Timeout

    from tools.farm.cluster import Cluster

    print(f"{arguments.jobs.name}: {len(jobs)} jobs", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / ".lock", timeout=0), Manifest(out) as manifest, Cluster(arguments.address) as cluster:
            options = {"workers": arguments.workers, "max_tries": arguments.max_tries, "again": arguments.again}
            driver = Driver(cluster, manifest, show=_Show(), **options)
            summary = driver.run(jobs, _folders(arguments.jobs), arguments.jobs.name, check_only=arguments.check)
    except Timeout:
        print(f"error: another run writes into {out}.", file=sys.stderr)
        return 1
    except (ClusterError, FarmError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for note in summary.notes:
        print(f"note: {note}")
    if arguments.check:
        print("All jobs fit the nodes.")
        return 0
    print(f"{summary.done} made now, {summary.aside} set aside; files and {NAME} in {out}")
    for message in driver.state.messages:
        print(f"set aside: {message}", file=sys.stderr)
    return NOT_ALL_MADE if summary.aside else 0


def _folders(table_path: Path) -> list[Path]:
    """Where the files of jobs are looked for: beside the table, in ComfyUI's input folder, among the demo's."""
    folders = [table_path.absolute().parent]
    comfyui = os.environ.get("COMFYUI_PATH")
    if comfyui:
        folders.append(Path(comfyui) / "input")
    else:
        folders.append(
            REPO.parents[1] / "input" if REPO.parent.name == "custom_nodes" else host_folder() / "ComfyUI" / "input"
        )
    return [*folders, REPO / "models" / "demo" / "inputs"]


def _continue_with_ray() -> int:
    """Runs this command again in the environment that has Ray; returns its exit status."""
    python = environment.make()
    sys.stdout.flush()
    command = [str(python), "-m", "tools.farm", *sys.argv[1:]]
    os.execve(command[0], command, environment.environment(python))  # noqa: S606  no child: Ctrl-C reaches us once


def _start(arguments: argparse.Namespace) -> int:
    """Makes the ComfyUI of this machine, then starts Ray in the background."""
    python = environment.make()
    if not is_provisioned():
        provision()
    values = environment.environment(python) | {"RAY_AUTH_MODE": "token"}
    ray = str(python.parent / "ray")
    token = Path.home() / ".ray" / "auth_token"
    if not token.exists() and not os.environ.get("RAY_AUTH_TOKEN"):
        if arguments.address:
            print(
                f"error: copy {token} of the first machine to this one: machines know each other by it.",
                file=sys.stderr,
            )
            return 1
        subprocess.run([ray, "get-auth-token", "--generate"], env=values, check=True, stdout=subprocess.DEVNULL)
    command = [ray, "start", "--disable-usage-stats"]
    command += ["--address", arguments.address] if arguments.address else ["--head", "--include-dashboard", "false"]
    if subprocess.run(command, env=values).returncode:
        return 1
    print(f"\nThis machine is part of the cluster until: {ray} stop")
    if not arguments.address:
        print(f"The others need {token} of this one, and: python3 -m tools.farm start --address THIS:6379")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    show = _Show()
    while True:
        found = state.read(arguments.out)
        if found is None:
            print(f"error: {arguments.out} holds no run ({state.NAME}).", file=sys.stderr)
            return 1
        show(found, force=True)
        if found.ended or not sys.stdout.isatty():
            return 0
        time.sleep(1)


class _Show:
    """Draws the table over the last one; where the output is no terminal, its first line when a clip is made."""

    def __init__(self) -> None:
        self._lines = 0
        self._live = sys.stdout.isatty()
        self._seen: tuple[int, ...] = ()

    def __call__(self, found: State, force: bool = False) -> None:
        text = table(found)
        if self._live:
            print(f"\x1b[{self._lines}A\x1b[J" if self._lines else "", text, sep="", flush=True)
            self._lines = text.count("\n") + 1
            return
        seen = (found.before, found.done, found.aside, bool(found.ended))
        if seen != self._seen or force:
            self._seen = seen
            print(text if force else text.partition("\n")[0], flush=True)


if __name__ == "__main__":
    sys.exit(main())
