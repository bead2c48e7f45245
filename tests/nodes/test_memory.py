"""Bytes that move between host and card, through ComfyUI's own ``load_models_gpu``: none where none must.

To PyTorch ``cpu`` and ``cpu:0`` are different devices, so that the second can stand for a card here. How much room it
has is simulated; the models, the copies between them and the memory manager are real.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

CPU = torch.device("cpu")
CARD = torch.device("cpu:0")
ONE = 64 * 64 * 4
"""Bytes of one block."""


class Stack(nn.Module):
    """A linear, and some blocks of the same size."""

    def __init__(self, count: int = 8) -> None:
        super().__init__()
        self.first = nn.Linear(64, 64, bias=False)
        self.blocks = nn.ModuleList(nn.Linear(64, 64, bias=False) for _ in range(count))
        self.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = torch.tanh(block(x)) + x
        return x


class Moves(TorchDispatchMode):
    """Counts the bytes of all copies."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = op(*args, **(kwargs or {}))
        name = op.overloadpacket.__name__
        # In inference mode ``to`` arrives as it was called, and may have found nothing to do.
        if name in ("_to_copy", "copy_", "clone") or (name == "to" and out is not args[0]):
            self.bytes += out.nbytes
        return out


@contextmanager
def moves(expected: int) -> Iterator[None]:
    """Exactly so many bytes are copied."""
    with Moves() as counted:
        yield
    assert counted.bytes == expected


class Lock:
    """Grants page-locked memory up to a limit, and remembers what is locked."""

    def __init__(self, limit: float = 1e9) -> None:
        self.limit, self.locked, self.asked = limit, {}, 0

    def pin(self, memory: torch.Tensor) -> bool:
        assert memory.data_ptr() % 4096 == 0 and memory.nbytes % 4096 == 0
        self.asked += 1
        if sum(self.locked.values()) + memory.nbytes > self.limit:
            return False
        self.locked[memory.data_ptr()] = memory.nbytes
        return True

    def unpin(self, memory: torch.Tensor) -> None:
        assert self.locked.pop(memory.data_ptr()) == memory.nbytes


class Card:
    """A card of some size that ComfyUI's memory manager loads patchers to."""

    def __init__(self, host: ModuleType, mm: ModuleType) -> None:
        self.total, self.ram = 0, 1e9
        self._host, self._mm, self._alive = host, mm, weakref.WeakSet()

    def free(self, device: Any = None, torch_free_too: bool = False) -> Any:
        if device == CPU:
            return self.ram
        free = self.total - sum(patcher.loaded_size() for patcher in self._alive)
        return (free, 0) if torch_free_too else free

    def patcher(self, model: nn.Module, blocks: Any = None, at: torch.device = CPU, lock: Any = None) -> Any:
        made = self._host.ComponentPatcher(model, blocks, CARD, CPU, at, lock)
        self._alive.add(made)
        return made

    def load(self, *patchers: Any, room: int = 0) -> None:
        self._mm.load_models_gpu(list(patchers), memory_required=room)


@pytest.fixture
def mm(nodes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    import comfy.model_management as mm

    monkeypatch.setattr(mm, "current_loaded_models", [])
    return mm


@pytest.fixture
def card(mm: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Card:
    card = Card(sys.modules["ltx2_pack.nodes.host"], mm)
    monkeypatch.setattr(mm, "vram_state", mm.VRAMState.NORMAL_VRAM)
    monkeypatch.setattr(mm, "is_device_cpu", lambda device: device == CPU)
    monkeypatch.setattr(mm, "get_free_memory", card.free)
    monkeypatch.setattr(mm, "minimum_inference_memory", lambda: 0)
    monkeypatch.setattr(mm, "extra_reserved_memory", lambda: 0)
    monkeypatch.setattr(mm, "MIN_WEIGHT_MEMORY_RATIO", 0.0)
    monkeypatch.setattr(mm, "lowvram_available", True)
    return card


def run(model: nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.linspace(-1, 1, 64)[None])


def test_a_resident_model_moves_once(card: Card) -> None:
    card.total = 100 * ONE
    model = Stack()
    expected, patcher = run(model), card.patcher(model, model.blocks)
    with moves(9 * ONE):
        card.load(patcher)
    assert patcher.loaded_size() == patcher.model_size() == 9 * ONE
    assert patcher.current_loaded_device() == CARD
    for _ in range(3):
        with moves(0):
            card.load(patcher)
            assert torch.equal(run(model), expected)


def test_a_model_that_was_read_to_the_card_never_moves(card: Card) -> None:
    card.total = 100 * ONE
    patcher = card.patcher(nn.Linear(64, 64, bias=False), at=CARD)
    with moves(0):
        card.load(patcher)
        card.load(patcher)
    assert patcher.loaded_size() == ONE


def test_a_streamed_model_keeps_its_place_between_runs(card: Card) -> None:
    card.total = 7 * ONE
    model, lock = Stack(), Lock()
    expected, patcher = run(model), card.patcher(model, model.blocks, lock=lock)
    # First and four blocks go to the card, two buffers fill it; four blocks move into page-locked memory, once.
    with moves((5 + 4) * ONE):
        card.load(patcher)
    assert patcher.loaded_size() == 7 * ONE
    assert len(lock.locked) == lock.asked == 4
    with moves((4 + 1) * ONE):  # the visits, and the first block for the next run
        assert torch.equal(run(model), expected)
    for _ in range(3):
        with moves(4 * ONE):  # the visits alone
            assert torch.equal(run(model), expected)
        with moves(0):
            card.load(patcher)
    assert len(lock.locked) == lock.asked == 4


def test_another_budget_moves_only_the_difference(card: Card) -> None:
    card.total = 7 * ONE
    model, lock = Stack(), Lock()
    expected, patcher = run(model), card.patcher(model, model.blocks, lock=lock)
    card.load(patcher)
    card.total = 9 * ONE - 1  # room for one more block
    with moves(ONE):
        card.load(patcher)
    assert patcher.loaded_size() == 8 * ONE
    assert torch.equal(run(model), expected)
    card.total = 5 * ONE  # it goes again, and two others; those two have no locked memory yet
    with moves(2 * ONE):
        card.load(patcher)
    assert patcher.loaded_size() == 5 * ONE
    assert torch.equal(run(model), expected)
    card.total = 100 * ONE  # everything
    with moves(6 * ONE):
        card.load(patcher)
    assert patcher.loaded_size() == 9 * ONE
    assert torch.equal(run(model), expected)


def test_another_model_takes_the_room_it_needs(card: Card, mm: ModuleType) -> None:
    card.total = 20 * ONE
    large, small = Stack(12), nn.Linear(64, 128, bias=False)
    expected, patcher = run(large), card.patcher(large, large.blocks)
    other = card.patcher(small)
    card.load(patcher)
    assert patcher.loaded_size() == 13 * ONE
    with moves(2 * ONE):  # the small one comes; blocks leave without a copy, since their homes were kept
        card.load(other, room=6 * ONE)
    assert card.free() >= 6 * ONE
    # 8.2 blocks were wanted and 7 free: two leave in whole blocks, besides the two for the buffers.
    assert patcher.loaded_size() == 11 * ONE
    assert torch.equal(run(large), expected)
    assert {loaded.model for loaded in mm.current_loaded_models} == {patcher, other}
    with moves(0):
        mm.free_memory(card.free() + 8 * ONE, CARD, keep_loaded=[])
    assert torch.equal(run(large), expected)


def test_a_model_that_has_no_home_leaves_with_one_copy(card: Card, mm: ModuleType) -> None:
    card.total = 20 * ONE
    model, lock = Stack(), Lock()
    expected, patcher = run(model), card.patcher(model, model.blocks, at=CARD, lock=lock)
    card.load(patcher)
    with moves(3 * ONE):
        assert patcher.partially_unload(CPU, ONE) == ONE  # three blocks leave, two come back as buffers
    assert len(lock.locked) == 3
    assert torch.equal(run(model), expected)
    with moves(5 * ONE):  # and the rest, which cannot be seen here: a tensor on cpu:0 says that it is on cpu
        mm.free_memory(1e30, CARD)
    assert patcher.loaded_size() == 0 and patcher.current_loaded_device() == CPU
    assert mm.current_loaded_models == []
    assert torch.equal(run(model), expected)
    with moves(9 * ONE):
        card.load(patcher)
    with moves(0):
        mm.free_memory(1e30, CARD)
    assert torch.equal(run(model), expected)


def test_what_cannot_be_freed_in_part_is_not_touched(card: Card) -> None:
    card.total = 20 * ONE
    model = Stack()
    blockless, patcher = card.patcher(nn.Linear(64, 64)), card.patcher(model, model.blocks)
    card.load(patcher, blockless)
    with moves(0):
        assert blockless.partially_unload(CPU, 1) == 0
        assert patcher.partially_unload(CPU, 7 * ONE) == 0  # three must stay: the rest, and two buffers
        assert patcher.partially_unload(CPU, 6 * ONE) == 6 * ONE
    assert patcher.loaded_size() == 3 * ONE


def test_little_ram_is_given_back_when_the_weights_are_on_the_card(card: Card) -> None:
    card.total = 20 * ONE
    model = Stack()
    home = weakref.ref(model.blocks[0].weight)
    expected, patcher = run(model), card.patcher(model, model.blocks, lock=Lock())
    card.ram = ONE
    card.load(patcher)
    gc.collect()
    assert home() is None
    with moves(8 * ONE):  # and the rest, as above
        patcher.detach()
    assert torch.equal(run(model), expected)


def test_cancel_while_loading_leaves_a_model_that_the_next_run_can_load(card: Card, mm: ModuleType) -> None:
    card.total = 7 * ONE
    model, lock = Stack(), Lock()
    expected, patcher = run(model), card.patcher(model, model.blocks, lock=lock)
    pin, cancel_at = lock.pin, 2

    def cancel(memory: torch.Tensor) -> bool:
        if len(lock.locked) == cancel_at:
            mm.interrupt_current_processing(True)
        return pin(memory)

    lock.pin = cancel
    with pytest.raises(mm.InterruptProcessingException):
        card.load(patcher)
    assert patcher.loaded_size() == 0 and patcher.current_loaded_device() == CPU
    assert torch.equal(run(model), expected)
    lock.pin = pin
    mm.interrupt_current_processing(False)
    card.load(patcher)
    assert patcher.loaded_size() == 7 * ONE
    assert torch.equal(run(model), expected)


def test_cancel_in_a_forward_leaves_a_model_that_runs_without_loading(card: Card) -> None:
    card.total = 7 * ONE
    model = Stack()
    expected, patcher = run(model), card.patcher(model, model.blocks)
    card.load(patcher)
    for block in model.blocks:
        hook = block.register_forward_pre_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(model)
        hook.remove()
        with moves(0):
            card.load(patcher)
        assert torch.equal(run(model), expected)


def test_less_is_taken_when_the_card_has_less_than_was_thought(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    card.total = 100 * ONE
    model = Stack()
    expected, patcher = run(model), card.patcher(model, model.blocks)
    streamer = type(patcher._place)
    spend = streamer._spend

    def full(self: Any, plan: Any, *rest: Any) -> None:
        spend(self, plan, *rest)
        if plan.peak_bytes > 5 * ONE:
            raise torch.cuda.OutOfMemoryError("full")

    monkeypatch.setattr(streamer, "_spend", full)
    card.load(patcher)
    assert 0 < patcher.loaded_size() <= 5 * ONE
    assert torch.equal(run(model), expected)


def test_page_locked_memory_is_within_what_is_granted_and_comes_back(card: Card) -> None:
    card.total = 5 * ONE
    model, lock = Stack(), Lock(limit=4 * ONE)
    expected, patcher = run(model), card.patcher(model, model.blocks, lock=lock)
    card.load(patcher)  # six blocks visit, four of them from locked memory
    assert sum(lock.locked.values()) == 4 * ONE
    assert torch.equal(run(model), expected)
    assert patcher.partially_unload_ram(ONE + 1) == 2 * ONE
    assert len(lock.locked) == 2
    assert torch.equal(run(model), expected)
    patcher.detach()
    assert len(lock.locked) == 2 and torch.equal(run(model), expected)
    kept = model.blocks[1].weight
    patcher = None
    gc.collect()
    assert not lock.locked
    assert kept.isfinite().all()


def test_a_dying_patcher_frees_everything_without_moving_it(card: Card) -> None:
    card.total = 5 * ONE
    model, lock = Stack(), Lock()
    weights = [weakref.ref(parameter) for parameter in model.parameters()]
    patcher = card.patcher(model, model.blocks, lock=lock)
    card.load(patcher)
    run(model)
    with moves(0):
        del model, patcher
    assert not lock.locked
    assert not any(weight() is not None for weight in weights)


def test_a_model_in_use_is_not_taken_away_by_the_next_one(card: Card, mm: ModuleType) -> None:
    host = sys.modules["ltx2_pack.nodes.host"]
    handles = sys.modules["ltx2_pack.nodes.wires.handles"]
    ref = handles.FileRef(path="file", size=1, mtime_ns=1)
    one, two = (
        host.intern(handles.ComponentHandle(component=name, file=ref, version="2.3", config="{}"))
        for name in ("vocoder", "upsampler")
    )
    card.total = 5 * ONE
    place = {"size": ONE, "load_device": CARD, "offload_device": CPU}
    with host.loaded(one, "part", lambda home, progress: Stack(2), **place):
        with host.loaded(two, "part", lambda home, progress: Stack(2), **place):
            inside = [loaded.model.loaded_size() for loaded in mm.current_loaded_models]
        assert inside == [3 * ONE, 3 * ONE]


def test_a_streamed_model_in_use_makes_room_for_the_next_one(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    host = sys.modules["ltx2_pack.nodes.host"]
    handles = sys.modules["ltx2_pack.nodes.wires.handles"]
    ref = handles.FileRef(path="file", size=1, mtime_ns=1)
    one, two = (
        host.intern(handles.ComponentHandle(component=name, file=ref, version="2.3", config="{}"))
        for name in ("vocoder", "upsampler")
    )
    patcher = sys.modules["ltx2_pack.nodes.host.patcher"].ComponentPatcher
    settle = patcher._settle
    monkeypatch.setattr(patcher, "_settle", lambda self: (card._alive.add(self), settle(self))[1])
    card.total = 12 * ONE
    place = {"load_device": CARD, "offload_device": CPU}
    large, small = Stack(8), Stack(2)
    expected = run(large)
    with host.loaded(
        one, "part", lambda home, _: large, size=9 * ONE, working_memory=ONE, blocks=lambda m: m.blocks, **place
    ):
        assert card.free() == 3 * ONE
        with host.loaded(two, "part", lambda home, _: small, size=3 * ONE, working_memory=2 * ONE, **place):
            assert card.free() >= 2 * ONE
            assert torch.equal(run(large), expected)
    assert torch.equal(run(large), expected)


def test_a_card_that_is_full_while_reading_gets_the_model_from_the_host(card: Card) -> None:
    host = sys.modules["ltx2_pack.nodes.host"]
    handles = sys.modules["ltx2_pack.nodes.wires.handles"]
    ref = handles.FileRef(path="file", size=1, mtime_ns=1)
    handle = host.intern(handles.ComponentHandle(component="vocoder", file=ref, version="2.3", config="{}"))
    card.total, homes = 20 * ONE, []

    def build(home: torch.device, progress: Any) -> nn.Module:
        homes.append(home)
        if home == CARD:
            raise torch.cuda.OutOfMemoryError("full")
        return Stack()

    with host.loaded(handle, "part", build, size=9 * ONE, load_device=CARD, offload_device=CPU) as model:
        assert isinstance(model, Stack)
    assert homes == [CARD, CPU]


def test_what_comfyui_asks_of_a_patcher_is_answered(card: Card) -> None:
    card.total = 7 * ONE
    model = Stack()
    patcher = card.patcher(model, model.blocks)
    assert patcher.is_dynamic() is False
    assert patcher.memory_required([1, 128, 4, 4]) == 0
    assert patcher.lowvram_patch_counter() == 0
    assert patcher.model_patches_models() == []
    assert patcher.get_ram_usage() == patcher.model_size() == 9 * ONE
    card.load(patcher)
    assert patcher.partially_load(CARD, 0, force_patch_weights=True) == 0
    assert patcher.partially_load(CARD, 0, True) == 0
    assert patcher.partially_load(CARD, -ONE, force_patch_weights=True) == -ONE
    assert patcher.partially_unload(CPU, ONE, True) == ONE
    assert patcher.is_clone(patcher)


class Registered:
    """CUDA's functions that lock memory."""

    def __init__(self) -> None:
        self.ranges: dict[int, int] = {}

    def cudaHostRegister(self, address: int, nbytes: int, flags: int) -> int:
        self.ranges[address] = nbytes
        return 0

    def cudaHostUnregister(self, address: int) -> int:
        return 0 if self.ranges.pop(address) else 1


def test_page_locked_memory_is_on_comfyui_s_account(
    card: Card, mm: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = Registered()
    monkeypatch.setattr(torch.cuda, "cudart", lambda: cuda)
    monkeypatch.setattr(mm, "MAX_PINNED_MEMORY", 3 * ONE + 1)
    card.total = 5 * ONE
    model = Stack()
    expected, patcher = run(model), card.patcher(model, model.blocks)
    card.load(patcher)  # six blocks visit
    assert sum(cuda.ranges.values()) == mm.TOTAL_PINNED_MEMORY == 3 * ONE
    assert torch.equal(run(model), expected)
    del patcher
    assert not cuda.ranges and mm.TOTAL_PINNED_MEMORY == 0
