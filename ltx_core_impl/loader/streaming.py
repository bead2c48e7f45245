"""Running a model that is larger than the device: some blocks stay there, the others visit (spec 01 §10.4).

The weights of a visiting block are copied while the block before it computes, into one of two buffers that take turns.
The arithmetic is that of the resident model whatever the blocks hold: they may differ in layout and dtype.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from .block_buffer import BlockBuffer, block_bytes, slots_of

logger = logging.getLogger(__name__)

BUFFERS = 2
"""Visiting blocks on the device at once: the one that computes and the one that is copied."""


class StreamPlan(NamedTuple):
    """How a budget is spent: how many of the first blocks stay, and the bytes on the device, buffers included."""

    resident_blocks: int
    peak_bytes: int


def plan_streaming(model: nn.Module, blocks: Iterable[nn.Module], budget: int) -> StreamPlan:
    """The most of the first blocks that may stay on the device within ``budget`` bytes.

    Raises:
        ValueError: the budget does not even hold the rest of the model and its buffers; says how much is needed.
    """
    peaks = _peaks(model, blocks)
    fitting = [count for count, peak in enumerate(peaks) if peak <= budget]
    if not fitting:
        raise ValueError(
            f"streaming needs at least {min(peaks)} bytes on the device (two blocks, and all that is in no block), "
            f"the budget is {budget}; free memory, or use a quantised model"
        )
    return StreamPlan(fitting[-1], peaks[fitting[-1]])


def smallest_budget(model: nn.Module, blocks: Iterable[nn.Module]) -> int:
    """The least bytes on the device that streaming can do with."""
    return min(_peaks(model, blocks))


def _peaks(model: nn.Module, blocks: Iterable[nn.Module]) -> list[int]:
    """Bytes on the device when the first 0, 1, 2, ... blocks stay there."""
    sizes = [block_bytes(block) for block in blocks]
    rest = block_bytes(model) - sum(sizes)
    return [rest + sum(sizes[:count]) + _buffer_bytes(sizes[count:]) for count in range(len(sizes) + 1)]


def _buffer_bytes(streamed: Sequence[int]) -> int:
    """Bytes of the buffers for streamed blocks of these sizes; a single one needs no second buffer."""
    return min(len(streamed), BUFFERS) * max(streamed, default=0)


class BlockStreamer:
    """Runs a model that is on the CPU on a device with a limited budget for its weights.

    The model can be called with inputs on the device until :meth:`detach`, or the end of a ``with`` block, takes all
    its weights back to the CPU. Blocks must run in their order, one after the other; an exception in a block is safe.
    """

    def __init__(
        self, model: nn.Module, blocks: nn.ModuleList, device: torch.device | str, budget: int, *, pin: bool = True
    ) -> None:
        """Attach to ``model``.

        Args:
            model: the whole model; what is not in ``blocks`` moves to the device.
            blocks: its blocks in the order in which they run, e.g. ``model.transformer_blocks``.
            budget: bytes of weights allowed on the device, buffers included.
            pin: page-lock the weights that stay on the CPU, which makes copies to CUDA fast and asynchronous, but
                takes that much memory from all other programs.

        Raises:
            ValueError: no blocks, or a budget that is too small.
        """
        if not len(blocks):
            raise ValueError("there are no blocks to stream; give the model's list of blocks")
        self.plan = plan_streaming(model, blocks, budget)
        self.device = torch.device(device)
        streamed = list(blocks)[self.plan.resident_blocks :]
        self._homes = [slots_of(block) for block in streamed]
        visiting = {slot.key for home in self._homes for slot in home}
        self._others = [slot for slot in slots_of(model) if slot.key not in visiting]
        for slot in self._others:
            slot.put(slot.tensor.to(self.device))
        self._cuda = self.device.type == "cuda"
        if pin and self._cuda:
            self._homes = [[slot.pinned() for slot in home] for home in self._homes]
        self._copies = torch.cuda.Stream(self.device) if self._cuda else None
        size = max((block_bytes(block) for block in streamed), default=0)
        self._buffers = [BlockBuffer(size, self.device) for _ in range(min(len(streamed), BUFFERS))]
        self._turn = 0
        self._handles: list[RemovableHandle] = []
        for index, block in enumerate(streamed):
            self._handles.append(block.register_forward_pre_hook(lambda *_, index=index: self._enter(index)))
            leave = lambda *_, index=index: self._leave(index)  # noqa: E731
            self._handles.append(block.register_forward_hook(leave, always_call=True))
        logger.info("%d of %d blocks stay on %s", self.plan.resident_blocks, len(blocks), device)

    def __enter__(self) -> BlockStreamer:
        return self

    def __exit__(self, *error: object) -> None:
        self.detach()

    def detach(self) -> None:
        """Remove the hooks, take every weight back to the CPU and free the buffers."""
        for handle in self._handles:
            handle.remove()
        if self._cuda:
            torch.cuda.synchronize(self.device)
        for slot in (*self._others, *(slot for home in self._homes for slot in home)):
            slot.put(slot.tensor)
        self._handles, self._buffers, self._others = [], [], []

    def _enter(self, index: int) -> None:
        """Give block ``index`` its weights, copied now unless they were fetched before."""
        buffer = self._fetch(index)
        if buffer.copied is not None:
            torch.cuda.current_stream(self.device).wait_event(buffer.copied)
        for slot, tensor in zip(self._homes[index], buffer.tensors, strict=True):
            slot.put(tensor)

    def _leave(self, index: int) -> None:
        """Take the weights of block ``index`` back, and fetch the next block's while it computes."""
        for slot in self._homes[index]:
            slot.put(slot.tensor)
        buffer = next((buffer for buffer in self._buffers if buffer.owner == index), None)
        if buffer is None:  # another hook refused the block before it had its weights
            return
        if self._cuda:
            buffer.computed = torch.cuda.current_stream(self.device).record_event()
        if len(self._homes) > 1:
            self._fetch((index + 1) % len(self._homes))

    def _fetch(self, index: int) -> BlockBuffer:
        """The buffer with the weights of block ``index``; begins to copy them unless that has begun already."""
        for buffer in self._buffers:
            if buffer.owner == index:
                return buffer
        buffer = self._buffers[self._turn]
        self._turn = (self._turn + 1) % len(self._buffers)
        buffer.fill(index, [slot.tensor for slot in self._homes[index]], self._copies)
        return buffer
