"""The driver against workers that fail as told: what is tried again, what is set aside, what is kept."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tools.farm import driver as driving
from tools.farm.checking import Task
from tools.farm.driver import Driver, FarmError, Summary
from tools.farm.jobs import BadJobs, Job
from tools.farm.manifest import Manifest, Result
from tools.farm.state import State
from tools.farm.worker import About, Outcome, fingerprint
from tools.farm.workplaces import ActorLost

INFOS = {"Save": {"input": {"required": {"seed": ["INT", {"max": 99}]}}, "output": [], "output_node": True}}

Behaviour = Callable[[Task, str, int], Any]
"""(job, machine, how many jobs this worker had before) -> an Outcome, or "dead"."""


def good(task: Task, machine: str, before: int) -> Outcome:
    return Outcome([Result(".bin", f"seed {task.job.seed}".encode())], seconds=1.0, peak_memory=5)


@dataclass(eq=False)
class Pending:
    """An answer, or the reason why there is none; answers come in the order in which they were asked for."""

    value: Any
    number: int = field(default_factory=itertools.count().__next__)


@dataclass
class FakeCluster:
    """Machines by name, and what happens to a job; ``given`` is who got what, ``ended`` the actors that were ended."""

    names: list[str]
    behaviour: Behaviour = good
    pack: str = ""
    given: list[tuple[str, int]] = field(default_factory=list)
    ended: list[Any] = field(default_factory=list)
    spawned: int = 0

    def machines(self) -> list[Mapping[str, float]]:
        return [{"CPU": 1} for _ in self.names]

    def spawn(self, share: Any) -> Any:
        machine = self.names[self.spawned % len(self.names)]
        self.spawned += 1
        about = About(machine, f"host-{machine}", 4242, "ComfyUI", self.pack or fingerprint())
        answers = {"about": about, "object_info": INFOS, "stop": None}
        if machine == "broken":
            answers["about"] = ActorLost("no ComfyUI here")
        remote = {name: SimpleNamespace(remote=lambda value=value: Pending(value)) for name, value in answers.items()}
        return SimpleNamespace(machine=machine, jobs=0, alive=True, **remote)

    def run(self, actor: Any, task: Task, digests: Any) -> Pending:
        assert actor.alive
        self.given.append((actor.machine, task.job.seed))
        outcome = self.behaviour(task, actor.machine, actor.jobs)
        actor.jobs += 1
        return Pending(ActorLost("killed") if outcome == "dead" else outcome)

    def wait(self, pending: list[Pending], seconds: float) -> list[Pending]:
        return [min(pending, key=lambda one: one.number)]

    def wait_all(self, pending: list[Pending], seconds: float) -> None:
        pass

    def answer(self, pending: Pending) -> Any:
        if isinstance(pending.value, ActorLost):
            raise pending.value
        return pending.value

    def end(self, actor: Any) -> None:
        actor.alive = False
        self.ended.append(actor)


def jobs(*seeds: int) -> list[Job]:
    prompts = ({"1": {"class_type": "Save", "inputs": {"seed": seed}}} for seed in seeds)
    return [Job(line, "graph", "graph", prompt, frozenset()) for line, prompt in enumerate(prompts, 2)]


def run(folder: Path, cluster: FakeCluster, todo: list[Job], **options: Any) -> tuple[Summary, list[dict[str, Any]]]:
    check_only = options.pop("check_only", False)
    with Manifest(folder) as manifest:
        before = len(manifest.entries)
        driver = Driver(cluster, manifest, **{"workers": None, "max_tries": 3, "show": lambda state: None} | options)
        summary = driver.run(todo, [folder], "jobs.csv", check_only=check_only)
        return summary, manifest.entries[before:]


def made(folder: Path) -> dict[int, int]:
    """Seed -> how many files of it are there; every file holds what it should."""
    count: dict[int, int] = {}
    for path in folder.glob("*.bin"):
        seed = int(path.name.partition("seed")[2].partition("-")[0])
        assert path.read_text() == f"seed {seed}"
        count[seed] = count.get(seed, 0) + 1
    return count


@pytest.mark.parametrize("machines", [["a"], ["a", "b"], ["a", "a", "b"]])
def test_every_job_is_made_once(tmp_path: Path, machines: list[str]) -> None:
    cluster = FakeCluster(machines)
    shown: list[State] = []
    summary, entries = run(tmp_path, cluster, jobs(*range(10)), show=shown.append)
    assert (summary.done, summary.aside) == (10, 0)
    assert made(tmp_path) == {seed: 1 for seed in range(10)}
    assert len(cluster.given) == 10 and {machine for machine, _ in cluster.given} == set(machines)
    assert all(entry["status"] == "done" and entry["try"] == 1 for entry in entries)
    keys = {"job", "line", "seed", "host", "worker", "seconds", "peak_memory", "files", "ended"}
    assert keys <= entries[0].keys() and entries[0]["host"] == "host-a"
    assert len(cluster.ended) == len(machines), "every actor is ended"
    assert shown[-1].done == 10 and shown[-1].ended


def test_a_job_whose_worker_dies_is_made_by_another_and_the_worker_replaced(tmp_path: Path) -> None:
    died = iter([True])
    cluster = FakeCluster(
        ["a", "b"], lambda t, m, n: "dead" if t.job.seed == 3 and next(died, False) else good(t, m, n)
    )
    summary, entries = run(tmp_path, cluster, jobs(*range(8)))
    assert summary.done == 8 and made(tmp_path) == {seed: 1 for seed in range(8)}
    [failed] = [entry for entry in entries if entry["status"] == "failed"]
    assert failed["seed"] == 3 and "killed" in failed["message"]
    hosts = [machine for machine, seed in cluster.given if seed == 3]
    assert len(hosts) == len(set(hosts)) == 2, "elsewhere"
    assert cluster.spawned == 3
    assert [entry["try"] for entry in entries if entry["seed"] == 3] == [1, 2]


def test_a_server_that_is_lost_takes_its_worker_with_it(tmp_path: Path) -> None:
    lost = iter([True])
    cluster = FakeCluster(
        ["a"], lambda t, m, n: Outcome(error="gone", lost=True) if next(lost, False) else good(t, m, n)
    )
    summary, _ = run(tmp_path, cluster, jobs(1, 2))
    assert summary.done == 2 and cluster.spawned == 2 and not cluster.ended[0].alive


def test_a_poisoned_job_fails_on_two_machines_and_no_others_do(tmp_path: Path) -> None:
    cluster = FakeCluster(
        ["a", "b", "c"], lambda t, m, n: Outcome(error=f"bad\nseed on {m}") if t.job.seed == 2 else good(t, m, n)
    )
    summary, entries = run(tmp_path, cluster, jobs(*range(6)), max_tries=5)
    assert (summary.done, summary.aside) == (5, 1)
    bad = [entry for entry in entries if entry["seed"] == 2]
    assert [entry["status"] for entry in bad] == ["failed", "set aside"]
    assert len({entry["host"] for entry in bad}) == 2 and "bad\nseed" in bad[1]["message"]
    assert cluster.spawned == 3, "its workers live on"


def test_a_job_that_kills_its_workers_is_set_aside_before_it_has_killed_all(tmp_path: Path) -> None:
    cluster = FakeCluster(["a", "b"], lambda t, m, n: "dead" if t.job.seed == 0 else good(t, m, n))
    summary, entries = run(tmp_path, cluster, jobs(*range(6)))
    assert (summary.done, summary.aside) == (5, 1)
    assert len([entry for entry in entries if entry["seed"] == 0]) == 3
    assert cluster.spawned == 5


def test_a_run_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    count = itertools.count()

    def stops(task: Task, machine: str, before: int) -> Outcome:
        if next(count) == 4:
            raise KeyboardInterrupt
        return Outcome(error="bad") if task.job.seed == 0 else good(task, machine, before)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, FakeCluster(["a"], stops), jobs(*range(8)), max_tries=1)
    before = made(tmp_path)
    assert 1 <= len(before) <= 3
    state = json.loads((tmp_path / "state.json").read_text())
    assert state["ended"], "the state does not pretend that it goes on"
    cluster = FakeCluster(["a", "b"])
    summary, _ = run(tmp_path, cluster, jobs(*range(8)), max_tries=1)
    assert summary.aside == 1 and made(tmp_path) == {seed: 1 for seed in range(1, 8)}
    assert {seed for _, seed in cluster.given} == set(range(1, 8)) - before.keys(), "set aside stays set aside"
    cluster = FakeCluster(["a"])
    summary, _ = run(tmp_path, cluster, jobs(*range(8)), again=True)
    assert cluster.given == [("a", 0)] and (summary.done, summary.aside) == (1, 0)


def test_nothing_runs_when_a_line_is_bad(tmp_path: Path) -> None:
    cluster = FakeCluster(["a", "b"])
    with pytest.raises(BadJobs, match=r"jobs.csv, line 3: node 1 .Save.: seed is 100"):
        run(tmp_path, cluster, jobs(1, 100))
    assert cluster.given == [] and len(cluster.ended) == 2


def test_a_check_needs_one_worker_and_runs_nothing(tmp_path: Path) -> None:
    cluster = FakeCluster(["a", "b"])
    summary, entries = run(tmp_path, cluster, jobs(1, 2, 1), check_only=True)
    assert summary.notes == ["line 4 asks for the same as line 2: made once"]
    assert cluster.given == [] and cluster.spawned == 1 and not entries


def test_a_machine_that_cannot_work_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "SECONDS_BETWEEN_LOOKS", 0.0)
    cluster = FakeCluster(["a", "broken", "broken", "broken"])
    summary, _ = run(tmp_path, cluster, jobs(*range(5)), workers=2)
    assert summary.done == 5 and {machine for machine, _ in cluster.given} == {"a"}
    assert cluster.spawned <= 4


def test_when_no_worker_is_left_the_run_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "SECONDS_BETWEEN_LOOKS", 0.0)
    cluster = FakeCluster(["broken"])
    with pytest.raises(FarmError, match=r"(?s)--resume.*worker 1: no ComfyUI here"):
        run(tmp_path, cluster, jobs(1))
    assert cluster.spawned == 3
    other = FakeCluster(["a"], pack="another")
    with pytest.raises(FarmError, match="another version of this pack"):
        run(tmp_path, other, jobs(1))
    assert other.given == []
