"""'LTX-2 Parallel Model': the sampler with worker processes does what it does alone, and survives their end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.conftest import assert_close
from tests.nodes.test_base import FPS, SEED, loaded, sampled

pytestmark = pytest.mark.timeout(300)
Run = Callable[..., tuple[Any, ...]]
__all__ = ["loaded"]


@pytest.fixture
def mm(pack: Any) -> Any:
    """ComfyUI's memory manager."""
    import comfy.model_management

    return comfy.model_management


@pytest.fixture(scope="module")
def parallel(loaded: Any, nodes: dict[str, Any]) -> Any:
    """A handle with two workers on the CPU, kept by this module as a graph keeps it."""
    return nodes["LTX2ParallelModel"].execute(loaded("2.3")[0], 2, "auto", False).args[0]


@pytest.fixture
def steps(pack: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int | None]]:
    """What the progress bar of the sampler shows."""
    shown: list[tuple[int, int | None]] = []
    progress = sys.modules[f"{pack.__name__}.nodes.host.progress"].Progress
    original = progress.__call__

    def call(self: Any, done: int, total: int | None = None, preview: Any = None) -> None:
        shown.append((done, total))
        original(self, done, total, preview)

    monkeypatch.setattr(progress, "__call__", call)
    return shown


def _workers(pack: Any, handle: Any) -> list[int]:
    patchers = sys.modules[f"{pack.__name__}.nodes.host.worker_group"]._patchers
    group = patchers[handle].group
    return [] if group is None else [process.pid for process in group._processes]


def _is_there(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def with_model(handle: Any, loaded: Any) -> Any:
    """The loader's outputs with another model."""
    return lambda version: (handle, *loaded(version)[1:])


def test_the_same_latents_and_the_same_progress(run: Run, loaded: Any, parallel: Any, pack: Any, steps: list) -> None:
    expected = sampled(run, loaded, "2.3")
    alone = [done for done in steps if done[1] in (3, None)]
    steps.clear()
    found = sampled(run, with_model(parallel, loaded), "2.3")
    for one, wanted in zip(found[:2], expected[:2], strict=True):
        assert_close(one["samples"], wanted["samples"])
    assert [done for done in steps if done[1] in (3, None)][-3:] == alone[-3:]
    assert len(_workers(pack, parallel)) == 2


def test_shots_give_the_same_latents(run: Run, loaded: Any, parallel: Any) -> None:
    [encoder] = run("LTX2TextEncoderLoader", text_encoder="gemma-3-tiny", text_projection=loaded("2.3")[4])
    prompt = "0-0.3s: a red circle\n0.3s-: a dog barks"
    [context] = run("LTX2TimedPrompt", text_encoder=encoder, prompt=prompt, frame_rate=FPS, border=0.2)
    assert len(context.shots.cuts) == 1
    expected = sampled(run, loaded, "2.3", context=context)
    plain = sampled(run, loaded, "2.3")
    for one, wanted, other in zip(
        sampled(run, with_model(parallel, loaded), "2.3", context=context)[:2], expected[:2], plain[:2], strict=True
    ):
        assert_close(one["samples"], wanted["samples"])
        assert not torch.allclose(wanted["samples"], other["samples"], atol=1e-3)


def test_a_cancel_ends_the_run_and_keeps_the_workers(
    run: Run, loaded: Any, parallel: Any, pack: Any, mm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled(run, with_model(parallel, loaded), "2.3")
    before = _workers(pack, parallel)
    group = sys.modules[f"{pack.__name__}.nodes.host.worker_group"]._patchers[parallel].group
    original = type(group)._send

    def send(self: Any, message: dict, *rest: Any) -> None:
        original(self, message, *rest)
        if message["kind"] == "pass":
            mm.interrupt_current_processing(True)

    monkeypatch.setattr(type(group), "_send", send)
    with pytest.raises(mm.InterruptProcessingException):
        sampled(run, with_model(parallel, loaded), "2.3")
    monkeypatch.undo()
    mm.interrupt_current_processing(False)
    assert _workers(pack, parallel) == before
    assert all(map(_is_there, before))
    found = sampled(run, with_model(parallel, loaded), "2.3")
    assert_close(found[0]["samples"], sampled(run, loaded, "2.3")[0]["samples"])


def test_a_dead_worker_ends_the_run_with_a_sentence_and_the_next_run_works(
    run: Run, loaded: Any, parallel: Any, pack: Any, mm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled(run, with_model(parallel, loaded), "2.3")
    before = _workers(pack, parallel)
    group = sys.modules[f"{pack.__name__}.nodes.host.worker_group"]._patchers[parallel].group
    original = type(group)._send

    def send(self: Any, message: dict, *rest: Any) -> None:
        original(self, message, *rest)
        if message["kind"] == "pass":
            self._processes[1].kill()

    monkeypatch.setattr(type(group), "_send", send)
    with pytest.raises(RuntimeError, match="Worker 2 of 2 on cpu died"):
        sampled(run, with_model(parallel, loaded), "2.3")
    monkeypatch.undo()
    assert not any(_is_there(number) for number in before)
    found = sampled(run, with_model(parallel, loaded), "2.3")
    assert_close(found[0]["samples"], sampled(run, loaded, "2.3")[0]["samples"])


def test_workers_stay_for_the_next_run_and_go_when_memory_is_wanted(
    run: Run, loaded: Any, parallel: Any, pack: Any, mm: Any
) -> None:
    sampled(run, with_model(parallel, loaded), "2.3")
    before = _workers(pack, parallel)
    sampled(run, with_model(parallel, loaded), "2.3", seed=SEED + 1)
    assert _workers(pack, parallel) == before
    mm.unload_all_models()
    assert _workers(pack, parallel) == []
    assert not any(_is_there(number) for number in before)


def test_sharded_weights_give_the_same(run: Run, loaded: Any, nodes: dict[str, Any], mm: Any) -> None:
    model = nodes["LTX2ParallelModel"].execute(loaded("2.3")[0], 2, "tokens", True).args[0]
    found = sampled(run, with_model(model, loaded), "2.3")
    assert_close(found[0]["samples"], sampled(run, loaded, "2.3")[0]["samples"])
    mm.unload_all_models()


def test_what_is_refused(nodes: dict[str, Any], loaded: Any, pack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    node = nodes["LTX2ParallelModel"]
    packed = nodes["LTX2CheckpointLoader"].execute("ltx-2.3-tiny.safetensors", "fp8_cast", "none", "none", 1.0).args[0]
    with pytest.raises(ValueError, match="shard_weights is on, but the model's weights stay packed"):
        node.execute(packed, 2, "auto", True)
    assert node.execute(packed, 2, "auto", False).args[0].parallel.ranks == 2
    assert node.execute(loaded("2.3")[0], 1, "auto", False).args[0] == loaded("2.3")[0]

    host = sys.modules[f"{pack.__name__}.nodes.host"]
    monkeypatch.setattr(host, "compute_device", lambda *_: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: True)
    assert node.validate_inputs(ranks=2, split="auto") is True
    with pytest.raises(ValueError, match=r"ranks is 3, but ComfyUI sees 2 card"):
        node.validate_inputs(ranks=3, split="auto")
    with pytest.raises(ValueError, match="split"):
        node.validate_inputs(ranks=2, split="heads")
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: False)
    with pytest.raises(ValueError, match="has no NCCL"):
        node.validate_inputs(ranks=2, split="auto")
