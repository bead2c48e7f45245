"""Which worker gets which job, and what becomes of jobs that fail."""

from __future__ import annotations

import pytest

from tools.farm.checking import Task
from tools.farm.jobs import Job
from tools.farm.schedule import Queue
from tools.farm.workplaces import ClusterError, Share, shares

BASE, OTHER, THIRD = frozenset({"base", "text"}), frozenset({"other", "text"}), frozenset({"third", "sound"})


def task(name: str, models: frozenset[str] = BASE) -> Task:
    return Task(name, Job(2, "graph", name, {}, frozenset()), {}, models)


def names(
    queue: Queue, machine: str, loaded: frozenset[str] | None, count: int, elsewhere: list | None = None
) -> list[str]:
    taken = [queue.take(machine, loaded, {machine}, elsewhere or []) for _ in range(count)]
    return [one.id if one else "" for one in taken]


def test_jobs_come_in_the_order_of_the_table_to_whoever_is_free() -> None:
    queue = Queue([task("1"), task("2"), task("3")], 3)
    assert names(queue, "a", None, 2) == ["1", "2"]
    assert names(queue, "b", BASE, 2) == ["3", ""]


def test_a_worker_stays_with_the_models_it_has_loaded() -> None:
    queue = Queue([task("1"), task("2", OTHER), task("3", THIRD), task("4"), task("5", OTHER)], 3)
    assert names(queue, "a", OTHER, 2) == ["2", "5"]
    assert names(queue, "a", OTHER, 3) == ["1", "4", "3"], "then what shares a file with them"


def test_a_new_worker_takes_the_models_with_the_most_jobs_per_worker() -> None:
    jobs = [task("1"), task("2"), task("3"), task("4", OTHER), task("5", OTHER)]
    assert names(Queue(jobs, 3), "a", None, 1) == ["1"]
    assert names(Queue(jobs, 3), "a", None, 1, [BASE]) == ["4"], "3 jobs for two workers are fewer than 2 for one"
    assert names(Queue(jobs[:4], 3), "a", None, 1, [BASE, None]) == ["1"]


def test_switches_of_models_are_as_few_as_there_are_models() -> None:
    """Two workers, three models, jobs in alternation: every model is loaded once, two workers on none of them."""
    queue = Queue([task(f"{i}", (BASE, OTHER, THIRD)[i % 3]) for i in range(30)], 3)
    loaded: list[frozenset[str] | None] = [None, None]
    switches = 0
    for turn in range(30):
        worker = turn % 2
        taken = queue.take("a", loaded[worker], {"a"}, [loaded[1 - worker]])
        assert taken is not None
        switches += taken.models != loaded[worker]
        loaded[worker] = taken.models
    assert len(queue) == 0
    assert switches <= 4, "three models, the last of them on both workers"


def test_a_failed_job_waits_for_another_machine() -> None:
    queue = Queue([task("1")], 5)
    one = queue.take("a", None, {"a", "b"})
    assert one is not None and queue.failed(one, "a", {"a", "b"})
    assert queue.take("a", None, {"a", "b"}) is None
    assert queue.take("b", None, {"a", "b"}) == one
    assert not queue.failed(one, "b", {"a", "b"}), "failed on two machines: poisoned"
    assert len(queue) == 0 and queue.tries(one) == 2


def test_where_there_is_one_machine_a_job_is_poisoned_when_it_fails_twice() -> None:
    queue = Queue([task("1")], 5)
    one = queue.take("a", None, {"a"})
    assert one is not None and queue.failed(one, "a", {"a"})
    assert queue.take("a", None, {"a"}) == one
    assert not queue.failed(one, "a", {"a"})


def test_a_machine_that_went_away_is_not_waited_for() -> None:
    queue = Queue([task("1")], 5)
    one = queue.take("a", None, {"a", "b"})
    assert one is not None and queue.failed(one, "a", {"a", "b"})
    assert queue.take("a", None, {"a"}) == one


@pytest.mark.parametrize("tries", [1, 2, 4])
def test_a_job_whose_workers_die_is_tried_so_often(tries: int) -> None:
    queue = Queue([task("1")], tries)
    for number in range(1, tries + 1):
        one = queue.take("a", None, {"a"})
        assert one is not None
        assert queue.died(one, "a") == (number < tries)
    assert queue.take("a", None, {"a"}) is None


def test_a_death_is_no_error_of_the_job() -> None:
    queue = Queue([task("1")], 5)
    for end in ("died", "failed"):
        one = queue.take("a", None, {"a"})
        assert one is not None
        assert queue.died(one, "a") if end == "died" else queue.failed(one, "a", {"a"})


# --- shares ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machines", "workers", "expected"),
    [
        ([{"CPU": 2}], None, (1, Share(2, 0))),
        ([{"CPU": 2}], 2, (2, Share(1, 0))),
        ([{"CPU": 2}], 4, (4, Share(0.5, 0))),
        ([{"CPU": 16}, {"CPU": 16}], 3, (3, Share(8, 0))),
        ([{"CPU": 16}, {"CPU": 8}], None, (2, Share(8, 0))),
        ([{"CPU": 16, "GPU": 2}, {"CPU": 64}], None, (2, Share(8, 1))),
        ([{"CPU": 16, "GPU": 2}, {"CPU": 8, "GPU": 1}], 2, (2, Share(4, 1))),
    ],
)
def test_a_worker_per_card_or_per_machine(machines: list, workers: int | None, expected: tuple[int, Share]) -> None:
    assert shares(machines, workers) == expected
    assert expected[1].threads == max(1, int(expected[1].cpus))


def test_more_workers_than_cards_are_refused() -> None:
    with pytest.raises(ClusterError, match="the cluster has 1"):
        shares([{"CPU": 16, "GPU": 1}], 2)
    with pytest.raises(ClusterError, match="no machine"):
        shares([], None)
