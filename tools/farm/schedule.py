"""Which job a free worker gets, and what becomes of one that fails. Knows neither Ray nor ComfyUI.

- A worker keeps the models it has loaded as long as there are jobs for them; else it takes the models with the most
  jobs per worker on them.
- A job that failed or whose worker died goes to another machine where there is one, and waits for it.
- A job that failed (its server gave an error) on two machines, or twice where there is only one, is set aside; so is
  one that was tried ``max_tries`` times, whatever happened to its workers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from tools.farm.checking import Task

ERRORS_TO_POISON = 2


@dataclass
class Tried:
    """What has happened to a job so far."""

    tries: int = 0
    errors: int = 0
    machines: set[str] = field(default_factory=set)


class Queue:
    """The jobs that wait, in their order, and the history of those that were tried."""

    def __init__(self, tasks: Iterable[Task], max_tries: int) -> None:
        self._waiting = {task.id: task for task in tasks}
        self._order = {task_id: position for position, task_id in enumerate(self._waiting)}
        self._groups = Counter(task.models for task in self._waiting.values())
        self._tried: dict[str, Tried] = {}
        self._max_tries = max_tries

    def __len__(self) -> int:
        return len(self._waiting)

    def take(
        self,
        machine: str,
        loaded: frozenset[str] | None,
        machines: Collection[str],
        elsewhere: Iterable[frozenset[str] | None] = (),
    ) -> Task | None:
        """The next job for a worker, or None when none may go to it.

        Args:
            machine: where the worker is.
            loaded: the models of the job it ran last.
            machines: where workers are ready, this machine included.
            elsewhere: the models of the other workers' jobs.
        """
        fitting = [task for task in self._waiting.values() if self._may_go(task, machine, machines)]
        if not fitting:
            return None
        busy = Counter(elsewhere)

        def rank(task: Task) -> tuple[int, float, int]:
            shared = len(task.models & loaded) if loaded else 0
            crowd = self._groups[task.models] / (busy[task.models] + 1)
            return -shared if task.models != loaded else -len(task.models) - 1, -crowd, self._order[task.id]

        task = min(fitting, key=rank)
        del self._waiting[task.id]
        self._groups[task.models] -= 1
        return task

    def tries(self, task: Task) -> int:
        """How often the job was tried and did not end well."""
        return self._tried[task.id].tries if task.id in self._tried else 0

    def failed(self, task: Task, machine: str, machines: Collection[str]) -> bool:
        """Notes an error of a job on a machine; True if it waits for another try, False if it is set aside."""
        tried = self._note(task, machine)
        tried.errors += 1
        has_other = bool(set(machines) - tried.machines)
        is_poison = tried.errors >= ERRORS_TO_POISON and (len(tried.machines) >= ERRORS_TO_POISON or not has_other)
        return self._again(task, tried, is_poison)

    def died(self, task: Task, machine: str) -> bool:
        """Notes that the worker died under a job; True if it waits for another try, False if it is set aside."""
        return self._again(task, self._note(task, machine), False)

    def put_back(self, task: Task) -> None:
        """Returns a job that was never begun."""
        self._waiting[task.id] = task
        self._groups[task.models] += 1

    def _note(self, task: Task, machine: str) -> Tried:
        tried = self._tried.setdefault(task.id, Tried())
        tried.tries += 1
        tried.machines.add(machine)
        return tried

    def _again(self, task: Task, tried: Tried, is_poison: bool) -> bool:
        if is_poison or tried.tries >= self._max_tries:
            return False
        self.put_back(task)
        return True

    def _may_go(self, task: Task, machine: str, machines: Collection[str]) -> bool:
        tried = self._tried.get(task.id)
        return tried is None or machine not in tried.machines or not set(machines) - tried.machines
