"""Work beside a run: who asks never waits, only the latest is done, and failures stay there."""

from __future__ import annotations

import logging
import sys
import threading
from contextvars import ContextVar
from typing import Any

import pytest

LIMIT = 60


@pytest.fixture
def latest(nodes: dict[str, Any]) -> Any:
    return sys.modules["ltx2_pack.nodes.host.latest"].Latest("test work")


def test_the_latest_wins_and_nobody_waits(latest: Any) -> None:
    begun, go, done = threading.Event(), threading.Event(), []

    def slow() -> None:
        begun.set()
        assert go.wait(LIMIT)
        done.append("slow")

    latest(slow)
    assert begun.wait(LIMIT)
    for number in range(5):
        latest(lambda number=number: done.append(number))
    assert done == [], "the caller waited for the work"
    go.set()
    assert latest.wait(LIMIT)
    assert done == ["slow", 4]


def test_the_thread_ends_and_another_one_begins(latest: Any) -> None:
    brief, threads = type(latest)("test work", idle_seconds=0.01), []
    for _ in range(3):
        brief(lambda: threads.append(threading.current_thread()))
        assert brief.wait(LIMIT)
        threads[-1].join(LIMIT)
        assert not threads[-1].is_alive()
    assert len(set(threads)) == 3 and threading.main_thread() not in threads


def test_one_thread_serves_all_steps(latest: Any) -> None:
    threads = []
    for _ in range(20):
        latest(lambda: threads.append(threading.current_thread()))
        assert latest.wait(LIMIT)
    assert len(threads) == 20 and len(set(threads)) == 1


def test_a_failure_is_said_once_and_ends_nothing(latest: Any, caplog: pytest.LogCaptureFixture) -> None:
    done = []

    def fail() -> None:
        raise OSError("encoder error -2")

    with caplog.at_level(logging.WARNING):
        for work in (fail, fail, lambda: done.append(True)):
            latest(work)
            assert latest.wait(LIMIT)
    assert done == [True]
    [record] = caplog.records
    assert "test work failed" in record.message and "encoder error -2" in str(record.exc_info[1])


def test_work_knows_the_node_that_asked(latest: Any) -> None:
    """ComfyUI keeps the running node in a context variable, which a plain thread would not have."""
    node, seen = ContextVar("node", default="none"), []
    token = node.set("7")
    latest(lambda: seen.append(node.get()))
    node.reset(token)
    assert latest.wait(LIMIT)
    assert seen == ["7"]


def test_without_a_thread_the_piece_is_dropped(latest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none_left)
        latest(lambda: done.append("dropped"))
    latest(lambda: done.append("next"))
    assert latest.wait(LIMIT)
    assert done == ["next"]
