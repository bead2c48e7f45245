"""What a farm costs: the time of a job outside its server, and how two workers share the time of one.

    python3 -m tools.bench.farm [--jobs 40] [--trivial 200] [--seed 1]

On Linux, with at least two cores that nothing else uses. Trivial jobs (a picture of one colour, saved) on one worker:
(wall time - the jobs' own seconds) / jobs. Then the same demo clips on one worker, it and all of Ray held to one core,
and on two workers, held to two: wall time of the two x 2 / the jobs' own seconds on one. Wall times are from the first
job given to the last line of the manifest; what comes before (Ray, the servers) is printed beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tools.farm import environment, state
from tools.farm.manifest import DONE, NAME, read

CLIP = {"graph": "demo-save-video", "length": 9}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=40, help="demo clips (40)")
    parser.add_argument("--trivial", type=int, default=200, help="trivial jobs (200)")
    parser.add_argument("--seed", type=int, default=1, help="of the first clip")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    print(f"load before: {os.getloadavg()[0]:.2f} on {len(cores)} cores", flush=True)
    with tempfile.TemporaryDirectory(prefix="ltx2-bench-farm-") as name:
        folder = Path(name)
        if arguments.trivial:
            (folder / "colour.json").write_text(json.dumps(_colour_graph()))
            rows = [{"graph": "colour.json", "color": number} for number in range(arguments.trivial)]
            run = _run(folder, "trivial", rows, 1, set(cores))
            cost = (run["wall"] - run["seconds"]) / run["jobs"] * 1000
            print(f"{run['jobs']} trivial jobs: {_words(run)}; {cost:.1f} ms of a job outside its server", flush=True)
        if arguments.jobs:
            rows = [CLIP | {"seed": arguments.seed + number} for number in range(arguments.jobs)]
            one = _run(folder, "one", rows, 1, set(cores[:1]))
            print(f"{one['jobs']} clips, one worker on one core: {_words(one)}", flush=True)
            two = _run(folder, "two", rows, 2, set(cores[:2]))
            print(f"{two['jobs']} clips, two workers on two cores: {_words(two)}", flush=True)
            print(f"wall time of two x 2 / own seconds on one: {two['wall'] * 2 / one['seconds']:.3f}")
    print(f"load after: {os.getloadavg()[0]:.2f}")
    return 0


def _run(folder: Path, name: str, rows: list[dict[str, Any]], workers: int, cores: set[int]) -> dict[str, float]:
    """Runs a table on cores of its own; returns seconds: before the first job, wall time, the jobs' own."""
    table, out = folder / f"{name}.jsonl", folder / name
    table.write_text("\n".join(map(json.dumps, rows)))
    python = environment.make()
    command = [str(python), "-m", "tools.farm", "run", str(table), "--out", str(out), "--workers", str(workers)]
    began = time.time()
    subprocess.run(
        command,
        env=environment.environment(python),
        check=True,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    entries = [entry for entry in read(out / NAME) if entry["status"] == DONE]
    found = state.read(out)
    if len(entries) != len(rows) or found is None:
        sys.exit(f"error: {len(entries)} of {len(rows)} jobs were made; {out} says why")
    first = found.first_job
    seconds = sum(entry["seconds"] for entry in entries)
    return {"jobs": len(rows), "before": first - began, "wall": entries[-1]["ended"] - first, "seconds": seconds}


def _words(run: dict[str, float]) -> str:
    return f"{run['wall']:.1f} s wall, {run['seconds']:.1f} s of the jobs' own, {run['before']:.1f} s before the first"


def _colour_graph() -> dict[str, Any]:
    picture = {"width": 16, "height": 16, "batch_size": 1, "color": 0}
    return {
        "1": {"class_type": "EmptyImage", "inputs": picture},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "colour"}},
    }


if __name__ == "__main__":
    sys.exit(main())
