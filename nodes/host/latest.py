"""Work beside a run that may lag behind it: only the latest piece is done, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import copy_context

logger = logging.getLogger(__name__)

# Between two steps the thread stays: to start one makes the caller wait for it.
_IDLE_SECONDS = 10.0


class Latest:
    """Does what it is given without making the caller wait; a piece that has not begun when the next comes is dropped.

    The thread ends when nothing came for a while, so nobody has to end it. Work sees the context variables of its
    caller (the running node is one of them). What it raises is logged, the first time, and goes no further.
    """

    def __init__(self, name: str, idle_seconds: float = _IDLE_SECONDS) -> None:
        self._name, self._idle_seconds = name, idle_seconds
        self._changed = threading.Condition()
        self._next: Callable[[], None] | None = None
        self._thread: threading.Thread | None = None
        self._busy = self._failed = False

    def __call__(self, work: Callable[[], None]) -> None:
        """Have ``work`` done soon, unless other work comes before it has begun."""
        context = copy_context()
        with self._changed:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # no thread to be had: the next piece asks again
                    return
                self._thread = thread
            self._next = lambda: context.run(work)
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Wait until nothing is left to do; whether that was so within ``seconds``."""
        with self._changed:
            return self._changed.wait_for(lambda: self._next is None and not self._busy, seconds)

    def _run(self) -> None:
        while (work := self._taken()) is not None:
            try:
                work()
            except Exception:
                if not self._failed:
                    logger.warning("%s failed; the run goes on without it.", self._name, exc_info=True)
                self._failed = True

    def _taken(self) -> Callable[[], None] | None:
        """The next piece, once there is one; ``None`` when the thread is to end."""
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._next is not None, self._idle_seconds)
            work, self._next = self._next, None
            self._busy = work is not None
            if work is None:
                self._thread = None
            return work
