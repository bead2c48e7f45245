"""Running a model that is larger than the device: some blocks stay there, the others visit (spec 01 §10.4).

The weights of a visiting block are copied while the blocks before it compute, into one of two buffers that take turns.
The arithmetic is that of the resident model whatever the blocks hold: they may differ in layout and dtype.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from .block_buffer import BlockBuffer, block_bytes, slots_of
from .page_lock import CudaPageLock, PageLock
from .placement import Weights

logger = logging.getLogger(__name__)

BUFFERS = 2
"""Visiting blocks on the device at once: the one that computes and the one that is copied."""


class StreamPlan(NamedTuple):
    """How a budget is spent: how many blocks stay, in ``resident_order``, and the bytes on the device with buffers."""

    resident_blocks: int
    peak_bytes: int


def resident_order(count: int) -> list[int]:
    """Which of ``count`` blocks stays first, second, ...: however many stay, they are spread over the model.

    Copies then have the time of all blocks to run in, not only that of the visiting ones; and a budget that grows
    adds blocks without changing those that stay already.
    """
    bits = max(count - 1, 0).bit_length()
    return sorted(range(count), key=lambda index: int(f"{index:0{bits or 1}b}"[::-1], 2))


def plan_streaming(model: nn.Module, blocks: Iterable[nn.Module], budget: float) -> StreamPlan:
    """The most blocks that may stay on the device within ``budget`` bytes.

    Raises:
        ValueError: the budget does not even hold the rest of the model and its buffers; says how much is needed.
    """
    return _plan(_model_peaks(model, blocks), budget)


def smallest_budget(model: nn.Module, blocks: Iterable[nn.Module]) -> int:
    """The least bytes on the device that streaming can do with."""
    return min(_model_peaks(model, blocks))


def _plan(peaks: Sequence[int], budget: float) -> StreamPlan:
    fitting = [count for count, peak in enumerate(peaks) if peak <= budget]
    if not fitting:
        raise ValueError(
            f"streaming needs at least {min(peaks)} bytes on the device (two blocks, and all that is in no block), "
            f"the budget is {budget}; free memory, or use a quantised model"
        )
    return StreamPlan(fitting[-1], peaks[fitting[-1]])


def _model_peaks(model: nn.Module, blocks: Iterable[nn.Module]) -> list[int]:
    sizes = [block_bytes(block) for block in blocks]
    return _peaks(block_bytes(model) - sum(sizes), sizes)


def _peaks(rest: int, sizes: Sequence[int]) -> list[int]:
    """Bytes on the device when 0, 1, 2, ... blocks of these sizes stay there, besides the rest of the model."""
    ordered = [sizes[index] for index in resident_order(len(sizes))]
    return [rest + sum(ordered[:count]) + _buffer_bytes(ordered[count:]) for count in range(len(sizes) + 1)]


def _buffer_bytes(streamed: Sequence[int]) -> int:
    """Bytes of the buffers for streamed blocks of these sizes; a single one needs no second buffer."""
    return min(len(streamed), BUFFERS) * max(streamed, default=0)


class BlockStreamer:
    """Runs a model on a device with a limited budget for its weights.

    The model can be called with inputs on the device until :meth:`detach`, or the end of a ``with`` block, takes all
    its weights back to the host. Blocks must run in their order, one after the other; an exception in a block is safe.

    Attributes:
        plan: how the budget is spent.
        bytes_on_device: what the weights take there now, buffers included.
    """

    def __init__(
        self,
        model: nn.Module,
        blocks: Sequence[nn.Module],
        device: torch.device | str,
        budget: float | None,
        *,
        pin: bool = True,
        lock: PageLock | None = None,
        host: torch.device | str = "cpu",
        on_device: bool = False,
    ) -> None:
        """Attach to ``model``.

        Args:
            model: the whole model; what is not in ``blocks`` moves to the device.
            blocks: its blocks in the order in which they run, e.g. ``model.transformer_blocks``.
            budget: bytes of weights allowed on the device, buffers included; None leaves all where it is until
                :meth:`resize`.
            pin: page-lock the blocks that stay on the host, which makes copies to CUDA fast and asynchronous, but
                takes that much memory from all other programs.
            lock: who grants page-locked memory; CUDA itself by default.
            host: where blocks wait.
            on_device: the model is on the device now, not on the host.

        Raises:
            ValueError: no blocks, or a budget that is too small.
        """
        if not len(blocks):
            raise ValueError("there are no blocks to stream; give the model's list of blocks")
        self.device = torch.device(device)
        self._cuda = self.device.type == "cuda"
        self._lock = lock or (CudaPageLock() if pin and self._cuda else None)
        self._copies: torch.cuda.Stream | None = None
        self._modules = list(blocks)
        self._order = resident_order(len(self._modules))
        homes = [slots_of(block) for block in self._modules]
        in_blocks = {slot.key for home in homes for slot in home}
        rest = [slot for slot in slots_of(model) if slot.key not in in_blocks]
        place = (self.device, torch.device(host), on_device)
        self._rest, self._blocks = Weights(rest, *place), [Weights(home, *place) for home in homes]
        self._peaks = _peaks(self._rest.nbytes, [block.nbytes for block in self._blocks])
        self._buffers: list[BlockBuffer] = []
        self._turn = 0
        self._hooks: dict[int, list[RemovableHandle]] = {}
        self.plan = StreamPlan(len(self._blocks), self._peaks[-1]) if on_device else StreamPlan(0, 0)
        if budget is not None:
            self.resize(budget)

    def __enter__(self) -> BlockStreamer:
        return self

    def __exit__(self, *error: object) -> None:
        self.detach()

    @property
    def bytes_on_device(self) -> int:
        """Bytes that the weights take on the device now, buffers included."""
        placed = sum(weights.nbytes for weights in (self._rest, *self._blocks) if weights.on_device)
        return placed + sum(buffer.nbytes for buffer in self._buffers)

    @property
    def least_bytes(self) -> int:
        """The least bytes on the device that streaming can do with."""
        return min(self._peaks)

    def resize(self, budget: float, *, keep_homes: bool = True, between: Callable[[], None] | None = None) -> int:
        """Spend another budget: only the blocks that it makes the difference for move.

        Args:
            budget: bytes allowed on the device, buffers included.
            keep_homes: whether what comes to the device also stays on the host, so that it can leave without a copy.
            between: called before each move; may raise.

        Returns:
            by how many bytes the memory taken on the device has grown.

        Raises:
            ValueError: a budget that is too small; nothing has moved. Any other error, or one that ``between`` raises,
                leaves the whole model on the host.
        """
        before, plan = self.bytes_on_device, _plan(self._peaks, budget)
        try:
            self._spend(plan, keep_homes, between or (lambda: None))
        except BaseException:
            self.detach()
            raise
        return self.bytes_on_device - before

    def detach(self) -> None:
        """Remove the hooks, take every weight back to the host and free the buffers."""
        self._unhook(list(self._hooks))
        self._wait()
        self._buffers = []
        for weights in (*self._blocks, self._rest):
            weights.to_host(self._lock if weights is not self._rest else None)
        self.plan = StreamPlan(0, 0)

    def release(self) -> None:
        """Forget the model where it is: hooks, buffers and page locks go, no weight moves."""
        self._unhook(list(self._hooks))
        if self._buffers:
            self._wait()
        self._buffers, self._blocks, self._modules, self._order = [], [], [], []

    def unlock(self, nbytes: float) -> int:
        """Give at least ``nbytes`` of page-locked memory back to the system's paging if there is as much.

        Returns:
            the bytes that are no longer locked.
        """
        self._wait()
        freed = 0
        for block in self._blocks:
            freed += block.unlock_home() if freed < nbytes else 0
        return freed

    def _spend(self, plan: StreamPlan, keep_homes: bool, between: Callable[[], None]) -> None:
        resident = self._order[: plan.resident_blocks]
        visiting = sorted(self._order[plan.resident_blocks :])
        leaving = [index for index in visiting if self._blocks[index].on_device]
        entering = [index for index in resident if not self._blocks[index].on_device]
        room = (min(len(visiting), BUFFERS), max((self._blocks[index].nbytes for index in visiting), default=0))
        same_room = room == (len(self._buffers), self._buffers[0].nbytes if self._buffers else 0)
        if leaving or entering or not same_room:
            self._wait()
        if not same_room:
            self._buffers, self._turn = [], 0
        for index in leaving:
            between()
            self._blocks[index].to_host(self._lock)
        self._unhook(entering)
        if not self._rest.on_device:
            between()
            self._rest.to_device(keep_homes)
        for index in entering:
            between()
            self._blocks[index].to_device(keep_homes)
        for index in visiting:
            if index not in self._hooks:
                between()
                self._blocks[index].lock_home(self._lock)
                self._hook(index)
        if not same_room:
            self._buffers = [BlockBuffer(room[1], self.device) for _ in range(room[0])]
        self._next = dict(zip(visiting, [*visiting[1:], *visiting[:1]], strict=True))
        if visiting and self._cuda and self._copies is None:
            self._copies = torch.cuda.Stream(self.device)
        if plan != self.plan:
            logger.info("%d of %d blocks stay on %s", plan.resident_blocks, len(self._blocks), self.device)
        self.plan = plan

    def _hook(self, index: int) -> None:
        block = self._modules[index]
        enter = block.register_forward_pre_hook(lambda *_: self._enter(index))
        leave = block.register_forward_hook(lambda *_: self._leave(index), always_call=True)
        self._hooks[index] = [enter, leave]

    def _unhook(self, indices: Iterable[int]) -> None:
        for index in indices:
            for handle in self._hooks.pop(index, ()):
                handle.remove()

    def _wait(self) -> None:
        """Until the device has done what was asked of it."""
        if self._cuda:
            torch.cuda.synchronize(self.device)

    def _enter(self, index: int) -> None:
        """Give block ``index`` its weights, copied now unless they were fetched before."""
        buffer = self._fetch(index)
        if buffer.copied is not None:
            torch.cuda.current_stream(self.device).wait_event(buffer.copied)
        self._blocks[index].put(buffer.tensors)

    def _leave(self, index: int) -> None:
        """Take the weights of block ``index`` back, and fetch the next block's while it computes."""
        self._blocks[index].put(self._blocks[index].home)
        buffer = next((buffer for buffer in self._buffers if buffer.owner == index), None)
        if buffer is None:  # another hook refused the block before it had its weights
            return
        if self._cuda:
            buffer.computed = torch.cuda.current_stream(self.device).record_event()
        if self._next[index] != index:
            self._fetch(self._next[index])

    def _fetch(self, index: int) -> BlockBuffer:
        """The buffer with the weights of block ``index``; begins to copy them unless that has begun already."""
        for buffer in self._buffers:
            if buffer.owner == index:
                return buffer
        buffer = self._buffers[self._turn]
        self._turn = (self._turn + 1) % len(self._buffers)
        block = self._blocks[index]
        buffer.fill(index, block.home, block.locked_memory, self._copies)
        return buffer
