"""Several ranks on this machine, for tests: one spare process imports PyTorch, the ranks are forked off it."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

SECONDS = 240


def run_ranks(function: Callable[..., Any], size: int, folder: Path, *args: Any) -> list[Any]:
    """What ``function(ranks, *args)`` gives on each of ``size`` ranks; fails with the first rank's error."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "tests.parallel_cases"])
    meeting = f"file://{folder}/meeting-of-{size}-{function.__name__}"
    pipes = [context.Pipe(duplex=False) for _ in range(size)]
    processes = [
        context.Process(target=_rank, args=(function, meeting, rank, size, pipe[1], args), daemon=True)
        for rank, pipe in enumerate(pipes)
    ]
    for process, (_, sender) in zip(processes, pipes, strict=True):
        process.start()
        sender.close()
    try:
        results = []
        for receiver, _ in pipes:
            assert receiver.poll(SECONDS), "a rank hangs"
            results.append(receiver.recv())
    finally:
        for process in processes:
            process.join(5)
            process.kill()
    errors = [result for result in results if isinstance(result, _Error)]
    assert not errors, errors[0].text
    return results


class _Error:
    def __init__(self, text: str) -> None:
        self.text = text


def _rank(
    function: Callable[..., Any], meeting: str, rank: int, size: int, sender: Connection, args: tuple[Any, ...]
) -> None:
    from ltx_core_impl.parallel.ranks import joined_ranks

    torch.set_num_threads(1)
    try:
        with joined_ranks("cpu", init_method=meeting, rank=rank, size=size) as ranks:
            result = function(ranks, *args)
    except BaseException:
        result = _Error(traceback.format_exc())
    sender.send(result)
