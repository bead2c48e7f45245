"""How far a run is: what the driver writes beside the manifest and `status` reads, and the table that both show."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

NAME = "state.json"
MESSAGE_WIDTH = 160


@dataclass
class WorkerRow:
    """A worker: what it does, and since when (seconds of the clock; 0: of no interest)."""

    number: int
    host: str
    pid: int
    doing: str
    since: float


@dataclass
class State:
    """Counts, workers and times of a run. ``seconds`` maps graphs to [clips made, their seconds] of this run."""

    started: float
    total: int = 0
    before: int = 0
    """Made by earlier runs."""
    done: int = 0
    """Made by this run."""
    aside: int = 0
    first_job: float = 0.0
    """When the first job was given to a worker, seconds of the clock."""
    ended: float = 0.0
    left: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    workers: list[WorkerRow] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def begin(self, total: int, before: int, aside: int, left: list[str]) -> None:
        """The numbers of jobs in all, made before and set aside before, and the graphs of those to do."""
        self.total, self.before, self.aside = total, before, aside
        self.left = {graph: left.count(graph) for graph in dict.fromkeys(left)}

    def finished(self, graph: str, seconds: float) -> None:
        """A clip is made."""
        self.done += 1
        self.left[graph] -= 1
        count, total = self.seconds.get(graph, [0, 0.0])
        self.seconds[graph] = [count + 1, total + seconds]

    def given_up(self, graph: str, message: str) -> None:
        """A job is set aside."""
        self.aside += 1
        self.left[graph] -= 1
        self.messages.append(message)

    def seconds_left(self) -> float | None:
        """What is left, at the pace of this run's clips; a graph without one counts as the mean. None: too early."""
        made = sum(count for count, _ in self.seconds.values())
        working = sum(1 for row in self.workers if row.host)
        if not made or not working:
            return None
        mean = sum(total for _, total in self.seconds.values()) / made
        work = 0.0
        for graph, left in self.left.items():
            count, total = self.seconds.get(graph, (0, 0.0))
            work += left * (total / count if count else mean)
        return work / min(working, max(sum(self.left.values()), 1))

    def write(self, folder: Path) -> None:
        """Replaces the state in a folder of results."""
        part = folder / f"{NAME}.part"
        part.write_text(json.dumps(asdict(self)), "utf-8")
        os.replace(part, folder / NAME)


def read(folder: Path) -> State | None:
    """The state that a folder holds; None where none is."""
    path = folder / NAME
    if not path.is_file():
        return None
    values = json.loads(path.read_text("utf-8"))
    return State(**values | {"workers": [WorkerRow(**row) for row in values["workers"]]})


def table(state: State, now: float | None = None) -> str:
    """The state as text, a line for each worker."""
    now = (state.ended or time.time()) if now is None else now
    made = state.before + state.done
    left = state.seconds_left()
    head = f"{made} of {state.total} made"
    head += f", {state.aside} set aside" if state.aside else ""
    head += f", {duration(now - state.started)} so far"
    if state.ended:
        head += ", ended"
    elif left is not None:
        head += f", about {duration(left)} left"
    lines = [head]
    for row in state.workers:
        since = f"  {duration(now - row.since)}" if row.since else ""
        lines.append(f"  {row.number:>3}  {row.host or '-':<20}  {row.doing.splitlines()[0][:MESSAGE_WIDTH]}{since}")
    lines += [f"  set aside: {message.splitlines()[0][:MESSAGE_WIDTH]}" for message in state.messages]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Seconds as people say them: ``12 s``, ``3:05 min``, ``2:10 h``."""
    whole = round(max(seconds, 0.0))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02} h"
