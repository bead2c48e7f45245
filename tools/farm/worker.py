"""A worker: one ComfyUI server on this machine, and the jobs it is given. Ray makes an actor of it (cluster.py)."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.farm import peak_memory
from tools.farm.manifest import Result
from tools.provision import REPO, host_folder, provision
from tools.server import Event, Prompt, PromptRejected, Server, ServerError

PACK = ("nodes", "ltx_core_impl", "tools/farm")
# Asking a server for its memory costs it a few milliseconds.
SECONDS_BETWEEN_SAMPLES = 1.0


@dataclass(frozen=True)
class About:
    """Who a worker is: the machine (Ray's id of it), its name, process, ComfyUI, and the pack's fingerprint."""

    machine: str
    host: str
    pid: int
    comfyui: str
    pack: str


@dataclass(frozen=True)
class Outcome:
    """How a job ended on a worker: ``results`` or an ``error``; ``lost``: the server is gone, the worker is of no use.

    ``seconds`` in the server; ``peak_memory`` of the server's process and ``peak_vram`` (sampled), bytes.
    """

    results: list[Result] = field(default_factory=list)
    error: str = ""
    lost: bool = False
    seconds: float = 0.0
    peak_memory: int | None = None
    peak_vram: int | None = None


class Worker:
    """Owns a server from its making to the end of this process.

    Args:
        gpu: use the graphics card that this process sees.
        threads: for the arithmetic on the CPU.
        fetch: gets the content of a file from what stands for it in a job.
    """

    def __init__(self, gpu: bool, threads: int, fetch: Callable[[Any], bytes]) -> None:
        self._gpu, self._fetch = gpu, fetch
        self._folder = _folder_of_this_process()
        self._present: dict[str, str] = {}
        os.environ["OMP_NUM_THREADS"] = str(threads)
        _leave_our_folder_out_of_the_path()
        with _one_at_a_time():
            host = provision()
        self._server = Server(host, folder=self._folder, cpu=not gpu)
        self._server.start()
        self._comfyui = str(host)

    def about(self, machine: str = "") -> About:
        """Answers when the server is ready."""
        return About(machine or socket.gethostname(), socket.gethostname(), os.getpid(), self._comfyui, fingerprint())

    def object_info(self) -> dict[str, Any]:
        """What the server says of every node."""
        return self._server.client.object_info()

    def run(self, prompt: Prompt, files: Mapping[str, tuple[str, Any]]) -> Outcome:
        """Runs a prompt. ``files``: name in the input folder -> (sha256, what ``fetch`` takes)."""
        pid = self._server.pid
        if pid is None:
            return Outcome(error="The server has ended.", lost=True)
        self._place(files)
        peak_memory.reset(pid)
        vram = _Sampler(self._server) if self._gpu else None
        started = time.monotonic()
        try:
            result = self._server.client.run(prompt, vram)
            if result.status == "success" and not all(path.is_file() for path in result.files):
                self._server.client.free()  # it remembers files that an earlier, equal job took away
                result = self._server.client.run(prompt, vram)
        except PromptRejected as refusal:
            return Outcome(error=str(refusal), seconds=time.monotonic() - started)
        except (ServerError, OSError, TimeoutError) as error:
            tail = self._server.log_tail(10)
            return Outcome(error=f"The server was lost: {error}\n{tail}", lost=True, seconds=time.monotonic() - started)
        seconds = time.monotonic() - started
        memory = {"peak_memory": peak_memory.peak(pid), "peak_vram": vram.most if vram else None}
        if result.status != "success":
            return Outcome(error=result.error or f"The run was {result.status}.", seconds=seconds, **memory)
        if not result.files:
            return Outcome(error="The graph ended without a saved file.", seconds=seconds, **memory)
        return Outcome(results=[_taken(path) for path in result.files], seconds=seconds, **memory)

    def stop(self) -> None:
        """Ends the server and removes its folder."""
        self._server.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _place(self, files: Mapping[str, tuple[str, Any]]) -> None:
        for name, (digest, source) in files.items():
            if self._present.get(name) == digest:
                continue
            path = self._folder / "input" / name
            part = path.with_name(f"{path.name}.part")
            part.write_bytes(self._fetch(source))
            part.replace(path)
            self._present[name] = digest


class _Sampler:
    """Asks the server for its use of the graphics card while it works; ``most`` is the highest answer, in bytes."""

    def __init__(self, server: Server) -> None:
        self._server, self._next = server, 0.0
        self.most: int | None = None

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + SECONDS_BETWEEN_SAMPLES
        devices = self._server.client.get("/system_stats").get("devices", [])
        used = sum(device.get("torch_vram_total", 0) for device in devices)
        self.most = max(self.most or 0, used)


def fingerprint() -> str:
    """The same on two machines exactly if they have the same source of this pack."""
    digest = hashlib.sha256()
    for folder in PACK:
        for path in sorted((REPO / folder).rglob("*.py")):
            digest.update(path.relative_to(REPO).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _taken(path: Path) -> Result:
    """A saved file, removed from the server's folder: over a night they would fill the disk."""
    content = path.read_bytes()
    path.unlink()
    return Result(path.suffix, content)


def _folder_of_this_process() -> Path:
    """An empty folder named after this process, beside those of other workers; what killed ones left is removed."""
    owner = os.getuid() if hasattr(os, "getuid") else 0
    root = Path(tempfile.gettempdir()) / f"ltx2-farm-{owner}"
    root.mkdir(mode=0o700, exist_ok=True)
    for left in root.iterdir():
        if left.name.isdigit() and not Path(f"/proc/{left.name}").exists() and Path("/proc").exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = root / str(os.getpid())
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _leave_our_folder_out_of_the_path() -> None:
    """A server that inherits it would find our ``nodes`` where it looks for ComfyUI's."""
    kept = [entry for entry in os.environ.pop("PYTHONPATH", "").split(os.pathsep) if entry and Path(entry) != REPO]
    if kept:
        os.environ["PYTHONPATH"] = os.pathsep.join(kept)


@contextmanager
def _one_at_a_time() -> Any:
    """Two workers of a machine must not make the same ComfyUI at once."""
    from filelock import FileLock

    host_folder().mkdir(parents=True, exist_ok=True)
    with FileLock(host_folder() / "provision.lock"):
        yield
