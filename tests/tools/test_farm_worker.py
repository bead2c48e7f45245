"""A worker's dealings with its server: what goes in, what is taken out, and how each end is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools.farm import worker as working
from tools.farm.worker import Worker, fingerprint
from tools.provision import REPO
from tools.server import PromptRejected, RunResult, ServerError

PROMPT: dict[str, Any] = {"1": {"class_type": "Save", "inputs": {}}}


class FakeServer:
    """Runs a prompt as ``answer`` says; its client is itself."""

    answer: Callable[[FakeServer], RunResult]

    def __init__(self, host: Any, *, folder: Path, cpu: bool) -> None:
        self.folder, self.cpu, self.freed, self.stopped = folder, cpu, 0, False
        self.client, self.pid = self, os.getpid()
        (folder / "input").mkdir()

    def start(self) -> None:
        self.path = os.environ.get("PYTHONPATH")

    def stop(self) -> None:
        self.stopped = True

    def free(self) -> None:
        self.freed += 1

    def log_tail(self, lines: int) -> str:
        return "last words"

    def run(self, prompt: Any, on_event: Any) -> RunResult:
        return FakeServer.answer(self)

    def saved(self, name: str = "clip.mp4", content: bytes = b"film") -> RunResult:
        (self.folder / name).write_bytes(content)
        return RunResult("1", "success", [self.folder / name])


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Worker:
    monkeypatch.setattr(working, "Server", FakeServer)
    monkeypatch.setattr(working, "provision", lambda: "a ComfyUI")
    monkeypatch.setattr(working.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("LTX2_HOST_DIR", str(tmp_path / "host"))
    monkeypatch.setenv("PYTHONPATH", f"/else{os.pathsep}{REPO}")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    FakeServer.answer = FakeServer.saved
    return Worker(False, 3, lambda source: source)


def test_the_server_gets_its_threads_and_no_folder_of_ours_to_import_from(worker: Worker) -> None:
    assert worker._server.path == "/else"
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert worker._server.cpu
    about = worker.about("a machine")
    assert (about.machine, about.pid, about.comfyui, about.pack) == (
        "a machine",
        os.getpid(),
        "a ComfyUI",
        fingerprint(),
    )


def test_a_result_is_taken_out_of_the_folder(worker: Worker) -> None:
    outcome = worker.run(PROMPT, {})
    assert [(result.suffix, result.content) for result in outcome.results] == [(".mp4", b"film")]
    assert not (worker._folder / "clip.mp4").exists() and not outcome.error and outcome.seconds >= 0


def test_files_are_fetched_once_and_anew_when_they_change(worker: Worker) -> None:
    fetched = []
    worker._fetch = lambda source: fetched.append(source) or source
    for digest, content in (("1", b"one"), ("1", b"one"), ("2", b"two")):
        worker.run(PROMPT, {"a.png": (digest, content)})
        assert (worker._folder / "input" / "a.png").read_bytes() == content
    assert fetched == [b"one", b"two"]
    assert [path.name for path in (worker._folder / "input").iterdir()] == ["a.png"]


def test_a_server_that_remembers_a_file_that_was_taken_makes_it_again(worker: Worker) -> None:
    answers = iter([lambda s: RunResult("1", "success", [s.folder / "gone.mp4"]), FakeServer.saved])
    FakeServer.answer = lambda server: next(answers)(server)
    assert worker.run(PROMPT, {}).results[0].content == b"film"
    assert worker._server.freed == 1


def refuse(server: FakeServer) -> RunResult:
    raise PromptRejected({"message": "no", "details": "length"}, {})


def vanish(server: FakeServer) -> RunResult:
    raise ServerError("closed")


@pytest.mark.parametrize(
    ("answer", "lost", "words"),
    [
        (refuse, False, "no length"),
        (vanish, True, "closed\nlast words"),
        (
            lambda server: RunResult("1", "error", error="LoadImage (node 3): broken"),
            False,
            "LoadImage (node 3): broken",
        ),
        (lambda server: RunResult("1", "interrupted"), False, "interrupted"),
        (lambda server: RunResult("1", "success"), False, "without a saved file"),
    ],
)
def test_each_end_is_told(worker: Worker, answer: Any, lost: bool, words: str) -> None:
    FakeServer.answer = answer
    outcome = worker.run(PROMPT, {})
    assert words in outcome.error and outcome.lost == lost and outcome.results == []
    worker._server.pid = None
    assert worker.run(PROMPT, {}).lost


def test_folders_of_workers_that_are_gone_are_removed(worker: Worker, tmp_path: Path) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("only where the system lists its processes in /proc")
    root = worker._folder.parent
    for name in (str(2**22 + 1), str(os.getppid()), "other"):
        (root / name).mkdir()
    working._folder_of_this_process()
    assert {path.name for path in root.iterdir()} == {str(os.getpid()), str(os.getppid()), "other"}
    worker.stop()
    assert worker._server.stopped and not worker._folder.exists()
