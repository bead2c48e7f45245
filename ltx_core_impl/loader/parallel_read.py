"""Reading tensors with several threads, and on CUDA through page-locked memory on a stream of its own.

One thread reads pageable memory at 1 to 2 GB/s, and a copy of it to a GPU waits for everything before it. Here each
tensor is read in pieces, by as many threads as there are; for CUDA into a small ring of page-locked pieces, from where
they are copied while the next ones are read and the tensors before are converted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from queue import SimpleQueue
from typing import NamedTuple

import torch
from torch import Tensor

from .dtypes import torch_dtype
from .header import Header
from .tensor_file import read_into

THREADS = 4
PIECE = 8 << 20
"""Bytes that a thread reads at once. A power of two, to which PyTorch rounds page-locked memory anyway."""
RING = 8
"""Pieces of page-locked memory."""
AHEAD = 256 << 20
"""Bytes of tensors that are read to a GPU before they are asked for; to the CPU none, to keep the peak low."""
SMALL = 1 << 20
"""Tensors of fewer bytes are read at once: giving them to a thread takes longer."""

TensorKey = tuple[Header, str]
"""A tensor of a file, by its name there."""


def _piece(page_locked: bool) -> Tensor:
    with torch.inference_mode(False):
        try:
            return torch.empty(PIECE, dtype=torch.uint8, pin_memory=page_locked)
        except RuntimeError:  # no page-locked memory left: copies wait for one another then, as they would without it
            return torch.empty(PIECE, dtype=torch.uint8)


class _Pending(NamedTuple):
    """A tensor that is being read, and the reads that fill it; each gives what to wait for on CUDA, else None."""

    tensor: Tensor
    pieces: list[Future[torch.cuda.Event | None]]


class ParallelReader:
    """Reads tensors into memory of their own on one device; a context manager. Leaving it abandons what is under way.

    On a GPU, tensors that are asked for in the order that was foretold are read ahead.
    """

    def __init__(
        self, device: torch.device | str, order: Iterable[TensorKey] = (), *, staged: bool | None = None
    ) -> None:
        """Prepare to read.

        Args:
            order: what will be asked for, in this order; other tensors may be asked for in between.
            staged: read into a ring of pieces first and copy from there; by default where the device is CUDA.
        """
        self._device = torch.device(device)
        self._cuda = self._device.type == "cuda"
        self._staged = self._cuda if staged is None else staged
        self._order = deque((header, key) for header, key in order if header.tensors[key].nbytes >= SMALL)
        self._pending: dict[tuple[int, str], _Pending] = {}
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="ltx2-read")
        self._closing = threading.Event()
        self._stream = torch.cuda.Stream(self._device) if self._cuda else None
        self._ring: SimpleQueue[tuple[Tensor, torch.cuda.Event | None]] = SimpleQueue()
        self._rooms = 0

    def __enter__(self) -> ParallelReader:
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._stream is not None:
            self._stream.synchronize()  # the ring goes now, and with it tensors that nobody has waited for
        self._pending.clear()

    def read(self, header: Header, key: str) -> Tensor:
        """One tensor on the device, filled for all work that the current stream is given from now on.

        Raises:
            HeaderError: the file is cut off.
        """
        entry = header.tensors[key]
        if entry.nbytes < SMALL:
            value = torch.empty(entry.shape, dtype=torch_dtype(entry.dtype))
            read_into(value.view(-1).view(torch.uint8), header, key)
            return value.to(self._device)
        pending = self._pending.pop((id(header), key), None) or self._begin(header, key)
        self._read_ahead(header, key)
        return self._finished(pending).to(self._device)

    def _finished(self, pending: _Pending) -> Tensor:
        for piece in pending.pieces:
            copied = piece.result()
            if copied is not None:
                torch.cuda.current_stream(self._device).wait_event(copied)
        return pending.tensor

    def _read_ahead(self, header: Header, key: str) -> None:
        """Begin to read what comes after this tensor, as much as may be under way."""
        near = islice(self._order, 2 * RING)
        passed = next((i for i, (of, name) in enumerate(near, start=1) if of is header and name == key), 0)
        for _ in range(passed):
            skipped = self._order.popleft()
            unwanted = self._pending.pop((id(skipped[0]), skipped[1]), None)
            if unwanted is not None:
                self._finished(unwanted)  # its memory goes back to the device, which must not be written to any more
        under_way = sum(pending.tensor.nbytes for pending in self._pending.values())
        for following, name in self._order if self._staged else ():
            if (id(following), name) not in self._pending:
                under_way += following.tensors[name].nbytes
                if under_way > AHEAD:
                    break
                self._pending[id(following), name] = self._begin(following, name)

    def _begin(self, header: Header, key: str) -> _Pending:
        entry = header.tensors[key]
        home = self._device if self._staged else torch.device("cpu")
        with torch.inference_mode(False):  # threads are not in it, and may not write to what was made in it
            tensor = torch.empty(entry.shape, dtype=torch_dtype(entry.dtype), device=home)
            target = tensor.view(-1).view(torch.uint8)
        # Work given to the device before may still use the memory that this tensor was given.
        free = torch.cuda.current_stream(self._device).record_event() if self._cuda else None
        pieces = []
        for first in range(0, entry.nbytes, PIECE):
            if self._staged and self._rooms < RING:
                self._rooms += 1
                self._ring.put((_piece(self._cuda), None))
            part = target[first : first + PIECE]
            pieces.append(self._pool.submit(self._read_piece, part, header, key, first, free))
        return _Pending(tensor, pieces)

    def _read_piece(
        self, part: Tensor, header: Header, key: str, first: int, free: torch.cuda.Event | None
    ) -> torch.cuda.Event | None:
        if self._closing.is_set():
            return None
        if not self._staged:
            read_into(part, header, key, first)
            return None
        room, used = self._ring.get()
        copied = None
        try:
            if used is not None:
                used.synchronize()
            piece = room[: part.nbytes]
            read_into(piece, header, key, first)
            copied = self._copy(part, piece, free)
        finally:
            self._ring.put((room, copied))
        return copied

    def _copy(self, part: Tensor, piece: Tensor, free: torch.cuda.Event | None) -> torch.cuda.Event | None:
        if self._stream is None:
            part.copy_(piece)
            return None
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(free)
            part.copy_(piece, non_blocking=True)
            return self._stream.record_event()
