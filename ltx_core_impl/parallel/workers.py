"""A group of worker processes that holds a transformer for a program; the program runs the sampling loop itself.

The processes are started by Python's ``multiprocessing``, each with one end of a pipe of its own; see `messages.py` for
what travels. The tokens of a pass are small beside the work on them, so the loop, its noise, previews and progress stay
in the program, and only the model's passes go to the workers.
"""

from __future__ import annotations

import multiprocessing
import runpy
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from ..guidance.perturbations import BatchedPerturbationConfig
from ..loader.recipe import TransformerRecipe
from ..model.transformer import Modality
from ..model.transformer.forks import Fork
from . import worker_main
from .messages import PassWriter, receive, send
from .worker import WorkerSetup

_POLL = 0.05  # seconds between two looks for a cancel
_GRACE = 30.0  # seconds in which a cancelled pass must have reached its next block
_starting = threading.Lock()


class WorkerError(RuntimeError):
    """A worker failed or died. The group is gone; a new one works again."""


class WorkerGroup:
    """Worker processes with a transformer.

    Args:
        recipe: the transformer; every worker reads its files.
        devices: where each worker computes.
        dtype: "bfloat16" or "float32".
        split: what is shared out: "auto", "passes" or "tokens".
        shard: keep a part of the weights on each device.
        check: called all the time while waiting; it may raise to stop.
        progress: told tensors read and tensors in all.

    Raises:
        WorkerError: a worker could not start or load; none is left then.
    """

    def __init__(
        self,
        recipe: TransformerRecipe,
        devices: Sequence[str],
        dtype: str,
        *,
        split: str = "auto",
        shard: bool = False,
        check: Callable[[], None] = lambda: None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.devices, self.shard, self.check = tuple(devices), shard, check
        self._writer = PassWriter()
        self._folder = tempfile.mkdtemp(prefix="ltx2-workers-")
        self._processes: list[Any] = []
        self._connections: list[Any] = []
        self._awaited: set[int] = set()  # ranks that still have to answer
        meeting = f"file://{Path(self._folder).as_posix()}/meeting"
        try:
            for rank, device in enumerate(devices):
                setup = WorkerSetup(recipe, dtype, device, rank, len(devices), meeting, split, shard)
                self._start(setup.text())
            self._awaited = set(range(len(devices)))
            self._answers(progress)
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether all workers are there."""
        return bool(self._processes) and all(process.is_alive() for process in self._processes)

    def run(
        self,
        video: Modality | None,
        audio: Modality | None,
        perturbations: BatchedPerturbationConfig | None = None,
        forks: Sequence[Fork] = (),
    ) -> tuple[Tensor | None, Tensor | None]:
        """Denoised latents of a pass; arguments and shapes of :meth:`LTXModel.forward`.

        Raises:
            WorkerError: a worker failed or died; the group is closed.
        """
        if not self._connections:
            raise WorkerError("The workers were ended. Run again: new ones are started.")
        self._send(*self._writer.write(video, audio, perturbations, forks))
        self._awaited = set(range(len(self.devices)))
        try:
            found = self._answers()
        except WorkerError:
            raise
        except BaseException:
            self._cancel()
            raise
        return tuple(
            found[name].to(modality.latent.device) if modality is not None else None
            for name, modality in (("video", video), ("audio", audio))
        )

    @contextmanager
    def run_begins(self) -> Iterator[None]:
        """For the length of a run, workers keep its texts, positions and masks."""
        self._send({"kind": "begin"})
        try:
            yield
        finally:
            self._writer.clear()
            if self.alive:
                self._send({"kind": "end"})

    def close(self) -> None:
        """Ends the workers, whatever they do; their memory is free afterwards."""
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.kill()
            process.join()
            process.close()
        self._processes, self._connections, self._awaited = [], [], set()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, setup: str) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=runpy.run_path,
            args=(str(Path(worker_main.__file__).resolve()),),
            kwargs={"init_globals": {"connection": theirs, "setup": setup}, "run_name": worker_main.RUN_NAME},
            daemon=True,
        )
        with _without_main():
            process.start()
        theirs.close()
        self._processes.append(process)
        self._connections.append(ours)

    def _send(self, message: dict[str, Any], tensors: dict[str, Tensor] | None = None) -> None:
        for rank, connection in enumerate(self._connections):
            try:
                send(connection, message, tensors)
            except OSError:
                self._fail(rank)

    def _answers(self, progress: Callable[[int, int], None] | None = None) -> dict[str, Tensor]:
        """Waits for every worker; the tensors that came."""
        found: dict[str, Tensor] = {}
        while self._awaited:
            self.check()
            ready = wait([self._connections[rank] for rank in self._awaited], timeout=_POLL)
            for rank in [rank for rank in self._awaited if self._connections[rank] in ready]:
                try:
                    message, tensors = receive(self._connections[rank])
                except (EOFError, OSError):
                    self._fail(rank)
                if message["kind"] == "error":
                    self._fail(rank, message)
                if message["kind"] == "progress":
                    if progress is not None:
                        progress(message["done"], message["total"])
                    continue
                found |= tensors
                self._awaited.discard(rank)
        return found

    def _cancel(self) -> None:
        """Stops the pass that runs, at its next block; the group stays. Ends the workers where that does not help."""
        if self.shard:  # stopped in the middle, sharded weights are left half gathered
            self.close()
            return
        check, self.check = self.check, _deadline(_GRACE)
        try:
            send(self._connections[0], {"kind": "cancel"})
            self._answers()
        except (WorkerError, OSError, TimeoutError):
            self.close()
        finally:
            self.check = check

    def _fail(self, rank: int, message: dict[str, Any] | None = None) -> None:
        """Ends the group and raises what one worker's end means."""
        process, device = self._processes[rank], self.devices[rank]
        who = f"Worker {rank + 1} of {len(self.devices)} on {device}"
        if message is None:
            process.join(5)
            code = process.exitcode
            self.close()
            raise WorkerError(
                f"{who} died (exit code {code}) and ended this run; the others were ended too, their memory is free. "
                "Often memory was short: shard the weights, or make the clip smaller. The next run starts new workers."
            )
        self.close()
        if message["type"] == "OutOfMemoryError":
            raise WorkerError(
                f"{who} ran out of memory: {message['text']} The workers were ended, their memory is free. Shard the "
                "weights, use a smaller precision, more cards, or a smaller clip."
            )
        raise WorkerError(f"{who} failed: {message['text']} ({message['type']}). The next run starts new workers.")


def _deadline(seconds: float) -> Callable[[], None]:
    end = time.monotonic() + seconds

    def check() -> None:
        if time.monotonic() > end:
            raise TimeoutError

    return check


@contextmanager
def _without_main() -> Iterator[None]:
    """A moment in which this program has no main file, so that a new process does not run it again."""
    with _starting:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main
