"""A group of worker processes: the results of one process, and what happens when something ends it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from ltx_core_impl.loader.recipe import TransformerRecipe
from ltx_core_impl.model.transformer import Modality, X0Model
from ltx_core_impl.parallel.messages import PassReader, PassWriter
from ltx_core_impl.parallel.workers import WorkerError, WorkerGroup
from tests.conftest import relative_error
from tests.parallel_cases import SHOTS, forward_cases, run_cases
from tests.transformer_helpers import load_transformer, transformer_path

pytestmark = pytest.mark.timeout(300)
RECIPE = TransformerRecipe(str(transformer_path("2.3")))


class Stopped(Exception):
    """As a user's cancel."""


@pytest.fixture(scope="module")
def group() -> Iterator[WorkerGroup]:
    seen: list[tuple[int, int]] = []
    group = WorkerGroup(RECIPE, ["cpu", "cpu"], "float32", progress=lambda *done: seen.append(done))
    assert seen
    assert seen[-1][0] == seen[-1][1], "loading is shown to its end"
    yield group
    group.close()


@torch.inference_mode()
def test_a_run_gives_what_one_process_gives(group: WorkerGroup) -> None:
    alone = X0Model(load_transformer("2.3"))
    with group.run_begins():
        found = run_cases("2.3", (True, True), group.run)
    for one, expected in zip(found, run_cases("2.3", (True, True), alone), strict=True):
        assert relative_error(one, expected) < 1e-5
    with group.run_begins():
        found = run_cases("2.3", (True, True), group.run, SHOTS)
    for one, expected in zip(found, run_cases("2.3", (True, True), alone, SHOTS), strict=True):
        assert relative_error(one, expected) < 1e-5


def test_a_cancel_stops_the_pass_and_keeps_the_workers(group: WorkerGroup) -> None:
    _, call = next(iter(forward_cases("2.3")))
    processes = [process.pid for process in group._processes]

    def stop() -> None:
        raise Stopped

    group.check = stop
    with pytest.raises(Stopped):
        group.run(*call)
    group.check = lambda: None
    assert group.alive
    assert [process.pid for process in group._processes] == processes
    expected = X0Model(load_transformer("2.3"))(*call)
    for one, wanted in zip(group.run(*call), expected, strict=True):
        assert relative_error(one, wanted) < 1e-5


def test_a_worker_that_dies_ends_the_group_with_a_sentence_and_a_new_one_works(group: WorkerGroup) -> None:
    _, call = next(iter(forward_cases("2.3")))
    processes = [process.pid for process in group._processes]
    group._processes[1].kill()
    with pytest.raises(WorkerError, match=r"Worker 2 of 2 on cpu died \(exit code -9\).*The next run starts new"):
        group.run(*call)
    assert not group.alive
    for number in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)
    with pytest.raises(WorkerError, match="were ended"):
        group.run(*call)


def test_a_worker_that_cannot_load_says_why(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"Worker 1 of 1 on cpu failed: .*missing\.safetensors"):
        WorkerGroup(TransformerRecipe(str(tmp_path / "missing.safetensors")), ["cpu"], "float32")


@pytest.mark.parametrize("version", ["2.3", "2.5"])
def test_passes_arrive_as_they_were(version: str) -> None:
    writer, reader = PassWriter(), PassReader(torch.device("cpu"))
    for name, call in forward_cases(version):
        for again in (False, True):
            message, tensors = writer.write(*call, *[None, ()][len(call) - 2 :])
            found = reader.read(message, tensors)
            for stream, sent in zip(("video", "audio"), call, strict=False):
                assert _same(found[stream], sent), name
            forks = call[3] if len(call) > 3 else ()
            assert [row for row, _ in found["forks"]] == [row for row, _ in forks]
            for (_, config), (_, expected) in zip(found["forks"], forks, strict=True):
                assert list(config.perturbations) == list(expected.perturbations)
            if again:
                assert len(tensors) <= 6, "only what is new in every pass"


def _same(found: Modality | None, sent: Modality | None) -> bool:
    if found is None or sent is None:
        return found is sent
    pairs = [(getattr(found, field.name), getattr(sent, field.name)) for field in fields(Modality)]
    if sent.text_reading is not None:
        for own, runs in zip(found.text_reading.rows, sent.text_reading.rows, strict=True):
            pairs += [(run.weights, told.weights) for run, told in zip(own, runs, strict=True)]
            assert [(run.stop, run.texts) for run in own] == [(run.stop, run.texts) for run in runs]
    return all(torch.equal(a, b) for a, b in pairs if isinstance(b, torch.Tensor))


def test_nothing_of_it_is_imported_for_one_card() -> None:
    import subprocess
    import sys

    code = (
        "import sys, ltx_core_impl as l; l.SingleGPUModelBuilder, l.X0Model, l.denoise_stage, l.VideoDecoder; "
        "assert not [name for name in sys.modules if 'ltx_core_impl.parallel' in name or 'fsdp' in name]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
