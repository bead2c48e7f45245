"""One of the worker processes that :class:`WorkerGroup` holds: a rank that runs passes as they are told to it."""

from __future__ import annotations

import json
import os
import signal
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.distributed as dist

from ..loader.recipe import TransformerRecipe
from .loading import load_transformer
from .messages import PassReader, receive, send
from .ranks import Ranks, joined_ranks
from .transformer import ParallelTransformer

_DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker is told at its start.

    Attributes:
        recipe: of the transformer.
        dtype: "bfloat16" or "float32".
        device: where this rank computes.
        rank, size: its place.
        meeting: where the ranks find one another, an ``init_method`` of ``torch.distributed``.
        split, shard: as in :func:`load_transformer`.
    """

    recipe: TransformerRecipe
    dtype: str
    device: str
    rank: int
    size: int
    meeting: str
    split: str
    shard: bool

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def of_text(cls, text: str) -> WorkerSetup:
        """From JSON."""
        values = json.loads(text)
        recipe = values.pop("recipe")
        loras = tuple((path, strength) for path, strength in recipe.pop("loras"))
        return cls(recipe=TransformerRecipe(**recipe, loras=loras), **values)


class _Cancelled(Exception):
    """The pass is not wanted any more."""


def serve(connection: Connection, setup: str) -> None:
    """Runs passes until the program that holds the other end of the pipe is gone, or something fails."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the program's: it ends its workers
    told = WorkerSetup.of_text(setup)
    device = torch.device(told.device)
    if device.type == "cpu":
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // told.size))
    try:
        with joined_ranks(device, init_method=told.meeting, rank=told.rank, size=told.size) as ranks, torch.no_grad():
            _Worker(connection, told, ranks).run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:
        _tell(connection, {"kind": "error", "type": type(error).__name__, "text": str(error)})


def _tell(connection: Connection, message: dict[str, Any]) -> None:
    try:
        send(connection, message)
    except OSError:
        return  # nobody listens any more


class _Worker:
    def __init__(self, connection: Connection, told: WorkerSetup, ranks: Ranks) -> None:
        self.connection, self.told, self.ranks = connection, told, ranks
        self.reader = PassReader(ranks.device)
        self.text = ExitStack()

    def run(self) -> None:
        model = self._load()
        while True:
            message, tensors = receive(self.connection)
            kind = message["kind"]
            if kind == "begin":
                self.text.enter_context(model.velocity_model.keep_text())
            elif kind == "end":
                self.text.close()
                self.reader.clear()
                model.clear_caches()
            elif kind == "pass":
                self._pass(model, message, tensors)
            # A cancel that comes when the pass is over already has nothing left to stop.

    def _load(self) -> ParallelTransformer:
        told, first = self.told, self.ranks.rank == 0

        def progress(done: int, total: int) -> None:
            if first:
                send(self.connection, {"kind": "progress", "done": done, "total": total})

        model = load_transformer(
            told.recipe.builder(),
            self.ranks,
            _DTYPES[told.dtype],
            split=told.split,
            shard=told.shard,
            progress=progress,
        )
        if told.recipe.attention is not None:
            model.velocity_model.set_attention(told.recipe.attention)
        for block in model.velocity_model.transformer_blocks:
            block.register_forward_pre_hook(lambda *_: self._check())
        send(self.connection, {"kind": "ready"})
        return model

    def _check(self) -> None:
        """Before each block: all ranks stop at the same one, so that none waits for another."""
        stop = torch.zeros(1, dtype=torch.uint8)
        if self.ranks.rank == 0 and self.connection.poll():
            receive(self.connection)  # during a pass nothing comes but a cancel
            stop.fill_(1)
        dist.broadcast(stop, 0, group=self.ranks.control)
        if stop.item():
            raise _Cancelled

    def _pass(self, model: ParallelTransformer, message: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        try:
            results = model(**self.reader.read(message, tensors))
        except _Cancelled:
            send(self.connection, {"kind": "cancelled"})
            return
        found = {name: one for name, one in zip(("video", "audio"), results, strict=True) if one is not None}
        if self.ranks.rank == 0:
            send(self.connection, {"kind": "result"}, found)
        else:
            send(self.connection, {"kind": "done"})
