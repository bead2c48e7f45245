"""Work beside a run that may lag behind it: only the latest piece is done, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import copy_context

logger = logging.getLogger(__name__)


class Latest:
    """Does what it is given without making the caller wait; a piece that has not begun when the next comes is dropped.

    The thread ends when nothing is left to do, so nobody has to end it. Work sees the context variables of its caller
    (the running node is one of them). What it raises is logged, the first time, and goes no further.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._next: Callable[[], None] | None = None
        self._thread: threading.Thread | None = None
        self._failed = False

    def __call__(self, work: Callable[[], None]) -> None:
        """Have ``work`` done soon, unless other work comes before it has begun."""
        context = copy_context()
        with self._lock:
            self._next = lambda: context.run(work)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # no thread to be had: the next piece asks again
                    self._next = None
                    return
                self._thread = thread

    def wait(self, seconds: float) -> bool:
        """Wait until nothing is left to do; whether that was so within ``seconds``."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return self._thread is None

    def _run(self) -> None:
        while True:
            with self._lock:
                work, self._next = self._next, None
                if work is None:
                    self._thread = None
                    return
            try:
                work()
            except Exception:
                if not self._failed:
                    logger.warning("%s failed; the run goes on without it.", self._name, exc_info=True)
                self._failed = True
