"""The run of a table: gives jobs to workers, keeps what comes back, replaces workers that die.

The moment a worker is free it gets its next job; only then is the last one's result written, so that no worker waits
for a disk. Nothing is written before it is whole, and the manifest's line comes last (manifest.py).
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.farm.checking import Task, check_jobs
from tools.farm.jobs import Job
from tools.farm.manifest import ASIDE, DONE, FAILED, Manifest
from tools.farm.schedule import Queue
from tools.farm.state import State, WorkerRow
from tools.farm.worker import About, Outcome, fingerprint
from tools.farm.workplaces import ActorLost, Share, shares

if TYPE_CHECKING:
    from tools.farm.cluster import Cluster, Pending

# A worker that dies so often without having made a clip is not tried again: its machine lacks something.
FRUITLESS_DEATHS = 3
SECONDS_BETWEEN_LOOKS = 1.0


class FarmError(Exception):
    """The run cannot go on; the message says what to do. What is in the manifest stays."""


@dataclass
class Slot:
    """The place of one worker: its actor now, and what it is doing."""

    number: int
    actor: Any = None
    about: About | None = None
    pending: Pending | None = None
    task: Task | None = None
    since: float = 0.0
    loaded: frozenset[str] | None = None
    deaths: int = 0
    """Since its last clip."""
    ended: str = ""
    """Why there will be no other actor here."""


@dataclass
class Summary:
    """How a run ended."""

    done: int = 0
    aside: int = 0
    notes: Sequence[str] = ()


class Driver:
    """One run. ``show`` is called with the state about once a second, and at the end."""

    def __init__(
        self,
        cluster: Cluster,
        manifest: Manifest,
        *,
        workers: int | None,
        max_tries: int,
        show: Callable[[State], None],
        again: bool = False,
    ) -> None:
        self._cluster, self._manifest, self._show = cluster, manifest, show
        self._max_tries, self._again = max_tries, again
        self._slots: list[Slot] = []
        self._workers = workers
        self._share: Share | None = None
        self._digests: dict[Path, str] = {}
        self._queue = Queue((), max_tries)
        self.state = State(started=time.time())
        self._shown = 0.0

    def run(self, jobs: Sequence[Job], folders: Sequence[Path], source: str, *, check_only: bool = False) -> Summary:
        """Runs all jobs to their end. Raises BadJobs before anything runs, FarmError where no worker is left."""
        count, self._share = shares(self._cluster.machines(), self._workers)
        self._slots = [Slot(number) for number in range(1, 2 if check_only else count + 1)]
        for slot in self._slots:
            self._spawn(slot)
        try:
            tasks, notes = check_jobs(jobs, self._schemas(), folders, source)
            if check_only:
                return Summary(notes=notes)
            self._plan(tasks)
            self._loop()
            return Summary(self.state.done, self.state.aside, notes)
        finally:
            self._end()

    def _schemas(self) -> dict[str, Any]:
        """``/object_info`` of the first worker that is ready."""
        while True:
            self._look()
            for slot in self._slots:
                if slot.about is not None:
                    return self._answer_now(slot, slot.actor.object_info.remote())

    def _answer_now(self, slot: Slot, pending: Pending) -> Any:
        try:
            return self._cluster.answer(pending)
        except ActorLost as lost:
            raise FarmError(f"Worker {slot.number} was lost before the first job: {lost}") from None

    def _plan(self, tasks: Iterable[Task]) -> None:
        """What of the tasks is still to do."""
        tasks = list(tasks)
        finished = self._manifest.finished()
        aside = {} if self._again else self._manifest.set_aside()
        left = [task for task in tasks if task.id not in finished and task.id not in aside]
        self._digests = {path: hashlib.sha256(path.read_bytes()).hexdigest() for t in left for path in t.files.values()}
        self._queue = Queue(left, self._max_tries)
        mine = {task.id for task in tasks}
        self.state.begin(len(tasks), len(finished & mine), len(aside.keys() & mine), [t.job.graph for t in left])

    def _loop(self) -> None:
        while True:
            self._give()
            busy = any(slot.task for slot in self._slots)
            if not len(self._queue) and not busy:
                return
            self._look()

    def _give(self) -> None:
        """A job for every worker that is ready and idle."""
        machines = {slot.about.machine for slot in self._slots if slot.about}
        for slot in self._slots:
            if slot.about is None or slot.task is not None:
                continue
            elsewhere = [other.loaded for other in self._slots if other is not slot and other.about]
            task = self._queue.take(slot.about.machine, slot.loaded, machines, elsewhere)
            if task is not None:
                slot.task, slot.since, slot.loaded = task, time.time(), task.models
                self.state.first_job = self.state.first_job or slot.since
                slot.pending = self._cluster.run(slot.actor, task, self._digests)

    def _look(self) -> None:
        """Waits for answers, about a second at most, and does what follows from them."""
        waiting = {slot.pending: slot for slot in self._slots if slot.pending is not None}
        if not waiting:
            if all(slot.ended for slot in self._slots):
                reasons = "\n".join(f"worker {slot.number}: {slot.ended}" for slot in self._slots)
                raise FarmError(f"No worker is left. Go on with --resume when this is mended:\n{reasons}")
            time.sleep(SECONDS_BETWEEN_LOOKS)
        else:
            for pending in self._cluster.wait(list(waiting), SECONDS_BETWEEN_LOOKS):
                self._take(waiting[pending], pending)
        if time.monotonic() - self._shown >= SECONDS_BETWEEN_LOOKS:
            self._report()

    def _take(self, slot: Slot, pending: Pending) -> None:
        slot.pending = None
        try:
            answer = self._cluster.answer(pending)
        except ActorLost as lost:
            self._lost(slot, str(lost))
            return
        if isinstance(answer, About):
            self._ready(slot, answer)
            return
        if answer.lost:
            self._lost(slot, answer.error)
            return
        task, about, slot.task = slot.task, slot.about, None
        assert task is not None and about is not None  # noqa: S101
        if answer.error:
            self._failed(slot, task, about, answer)
            return
        slot.deaths = 0
        self._give()
        files = self._manifest.store(task.stem, answer.results)
        self._note(DONE, task, slot, about, answer, files=files)
        self.state.finished(task.job.graph, answer.seconds)

    def _ready(self, slot: Slot, about: About) -> None:
        if about.pack != fingerprint():
            slot.ended = f"{about.host} has another version of this pack; the results would not be the same."
            self._cluster.end(slot.actor)
            return
        slot.about = about

    def _failed(self, slot: Slot, task: Task, about: About, outcome: Outcome) -> None:
        machines = {other.about.machine for other in self._slots if other.about}
        again = self._queue.failed(task, about.machine, machines)
        self._note(FAILED if again else ASIDE, task, slot, about, outcome, message=outcome.error)
        if not again:
            self.state.given_up(task.job.graph, f"line {task.job.line} ({task.stem}): {outcome.error}")

    def _lost(self, slot: Slot, reason: str) -> None:
        """The worker is gone: its job waits for another, and so does its place."""
        task, about = slot.task, slot.about
        slot.task = slot.about = slot.pending = slot.loaded = None
        slot.deaths += 1
        if task is not None and about is not None:
            again = self._queue.died(task, about.machine)
            message = f"The worker died: {reason}"
            self._note(FAILED if again else ASIDE, task, slot, about, Outcome(), message=message)
            if not again:
                self.state.given_up(task.job.graph, f"line {task.job.line} ({task.stem}): {message}")
        self._cluster.end(slot.actor)
        if slot.deaths >= FRUITLESS_DEATHS:
            slot.ended = reason
        else:
            self._spawn(slot)

    def _spawn(self, slot: Slot) -> None:
        assert self._share is not None  # noqa: S101
        slot.actor = self._cluster.spawn(self._share)
        slot.pending = slot.actor.about.remote()
        slot.since = time.time()

    def _note(self, status: str, task: Task, slot: Slot, about: About, outcome: Outcome, **more: Any) -> None:
        entry = {"job": task.id, "status": status, "line": task.job.line, "graph": task.job.graph}
        entry |= {"seed": task.job.seed, "host": about.host, "worker": slot.number, "try": self._queue.tries(task)}
        entry["try"] += status == DONE
        entry |= {"seconds": round(outcome.seconds, 4), "peak_memory": outcome.peak_memory}
        if outcome.peak_vram is not None:
            entry["peak_vram"] = outcome.peak_vram
        self._manifest.append(entry | {"ended": round(time.time(), 3)} | more)

    def _report(self) -> None:
        self._shown = time.monotonic()
        self.state.workers = [_row(slot) for slot in self._slots]
        self.state.write(self._manifest.folder)
        self._show(self.state)

    def _end(self) -> None:
        """Ends the workers: those that are idle in order, the others at once."""
        idle = [slot.actor.stop.remote() for slot in self._slots if slot.about and slot.task is None and not slot.ended]
        if idle and sys.exc_info()[0] is not KeyboardInterrupt:
            self._cluster.wait_all(idle, 15.0)
        for slot in self._slots:
            if slot.actor is not None:
                self._cluster.end(slot.actor)
            slot.task = None
            slot.ended = slot.ended or "ended"
        self.state.ended = time.time()
        self._report()


def _row(slot: Slot) -> WorkerRow:
    host, pid = (slot.about.host, slot.about.pid) if slot.about else ("", 0)
    if slot.task:
        return WorkerRow(slot.number, host, pid, slot.task.stem, slot.since)
    doing = slot.ended or ("idle" if slot.about else "starting")
    return WorkerRow(slot.number, host, pid, doing, 0.0 if slot.ended or slot.about else slot.since)
