"""Starts and stops a ComfyUI server on this machine, and talks to it.

    with Server(host) as server:
        result = server.client.run(prompt, on_event=print)

The client's plain requests use only the standard library; following a run needs aiohttp, which every ComfyUI has.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.provision import PACK_NAME, REPO, Host, host_folder

LOCALHOST = "127.0.0.1"
NODE_PREFIX = "LTX2"
STARTUP_SECONDS = 300
STOP_SECONDS = 10
# A run that prints nothing for this long is stuck: the tiny models need seconds, and large ones report every block.
SILENCE_SECONDS = 600

PR_SET_PDEATHSIG = 1

Prompt = dict[str, dict[str, Any]]
Event = dict[str, Any]


class ServerError(Exception):
    """The server did not start, died, or did not take our nodes."""


class PromptRejected(Exception):
    """The server refused a prompt when it was queued. ``node_errors`` maps node ids to what is wrong there."""

    def __init__(self, error: dict[str, Any], node_errors: dict[str, Any]) -> None:
        self.error, self.node_errors = error, node_errors
        lines = [f"{error.get('message', error)} {error.get('details', '')}".strip()]
        for node_id, node in node_errors.items():
            for problem in node["errors"]:
                lines.append(f"node {node_id} ({node['class_type']}): {problem['message']}: {problem['details']}")
        super().__init__("\n".join(lines))


@dataclass(frozen=True)
class RunResult:
    """How a prompt ended: ``status`` is "success", "error" or "interrupted"; ``files`` are the paths it wrote."""

    prompt_id: str
    status: str
    files: list[Path] = field(default_factory=list)
    error: str = ""
    node_id: str = ""


class Client:
    """The HTTP and websocket API of a running ComfyUI."""

    def __init__(self, url: str, output: Path) -> None:
        self.url = url
        self.output = output
        self.client_id = uuid.uuid4().hex
        # A proxy that the environment names is for other machines, not for this one.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path: str) -> Any:
        """The JSON answer to a GET request."""
        with self._opener.open(self.url + path, timeout=60) as response:
            return json.load(response)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON answer to a POST request, None where there is none."""
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), headers={"Content-Type": "application/json"}
        )
        with self._opener.open(request, timeout=60) as response:
            text = response.read()
        return json.loads(text) if text else None

    def object_info(self) -> dict[str, Any]:
        """What ComfyUI tells the front-end about every node: sockets, widgets, tooltips."""
        return self.get("/object_info")

    def queue(self, prompt: Prompt) -> str:
        """Queues a prompt and returns its id. Raises PromptRejected with the server's reasons."""
        try:
            return self.post("/prompt", {"prompt": prompt, "client_id": self.client_id})["prompt_id"]
        except urllib.error.HTTPError as error:
            if error.code != 400:
                raise
            answer = json.load(error)
            raise PromptRejected(answer["error"], answer.get("node_errors") or {}) from None

    def interrupt(self) -> None:
        """Stops the prompt that runs now."""
        self.post("/interrupt", {})

    def free(self) -> None:
        """Asks the server to unload its models and to forget cached results."""
        self.post("/free", {"unload_models": True, "free_memory": True})

    def history(self, prompt_id: str) -> dict[str, Any]:
        """What the server remembers of a finished prompt; empty while it is not finished."""
        return self.get(f"/history/{prompt_id}").get(prompt_id, {})

    def view(self, entry: dict[str, str]) -> bytes:
        """The content of an output file, as the browser gets it."""
        with self._opener.open(f"{self.url}/view?{urllib.parse.urlencode(entry)}", timeout=60) as response:
            return response.read()

    def run(self, prompt: Prompt, on_event: Callable[[Event], None] | None = None) -> RunResult:
        """Queues a prompt and follows it to its end; ``on_event`` gets every message of the server on the way."""
        return asyncio.run(self._run(prompt, on_event or (lambda event: None)))

    async def _run(self, prompt: Prompt, on_event: Callable[[Event], None]) -> RunResult:
        import aiohttp

        url = f"{self.url.replace('http', 'ws', 1)}/ws?clientId={self.client_id}"
        async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as socket_:
            prompt_id = self.queue(prompt)
            while True:
                message = await socket_.receive(timeout=SILENCE_SECONDS)
                if message.type == aiohttp.WSMsgType.BINARY:  # a preview picture
                    on_event({"type": "preview", "data": message.data})
                    continue
                if message.type != aiohttp.WSMsgType.TEXT:
                    raise ServerError("The server closed the connection in the middle of a run.")
                event = json.loads(message.data)
                if event["data"].get("prompt_id", prompt_id) != prompt_id:
                    continue
                on_event(event)
                result = self._result(prompt_id, event)
                if result is not None:
                    return result

    def _result(self, prompt_id: str, event: Event) -> RunResult | None:
        data = event["data"]
        match event["type"]:
            case "execution_interrupted":
                return RunResult(prompt_id, "interrupted", node_id=data["node_id"])
            case "execution_error":
                error = f"{data['node_type']} (node {data['node_id']}): {data['exception_message'].strip()}"
                return RunResult(prompt_id, "error", error=error, node_id=data["node_id"])
            case "executing" if data["node"] is None:  # the history is written before this one, after "success"
                return RunResult(prompt_id, "success", files=self._files(prompt_id))
        return None

    def _files(self, prompt_id: str) -> list[Path]:
        outputs = self.history(prompt_id).get("outputs", {}).values()
        entries = [e for output in outputs for group in output.values() for e in group if isinstance(e, dict)]
        saved = [e for e in entries if e.get("type") == "output" and "filename" in e]
        return [self.output / e["subfolder"] / e["filename"] for e in saved]


class Server:
    """A ComfyUI server process. With ``folder``, its inputs, outputs, settings and temporary files live there."""

    def __init__(
        self,
        host: Host,
        *,
        folder: Path | None = None,
        port: int | None = None,
        cpu: bool = True,
        options: Sequence[str] = (),
    ) -> None:
        self.host = host
        self.port = port or _free_port()
        self.url = f"http://{LOCALHOST}:{self.port}"
        self.output = folder / "output" if folder else host.comfyui / "output"
        self.client = Client(self.url, self.output)
        self._command = [str(host.python), "main.py", "--listen", LOCALHOST, "--port", str(self.port)]
        self._command += ["--disable-auto-launch", "--disable-api-nodes", *(["--cpu"] if cpu else []), *options]
        if folder:
            for name in ("input", "output", "temp", "user"):
                (folder / name).mkdir(parents=True, exist_ok=True)
                self._command += [f"--{name}-directory", str(folder / name)]
            self._command += ["--database-url", f"sqlite:///{folder / 'user' / 'comfyui.db'}"]
        self._log = (folder or host_folder()) / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self, timeout: float = STARTUP_SECONDS) -> None:
        """Starts the server and waits until it answers and our nodes are in it. Raises ServerError otherwise."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.host.comfyui,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **_process_options(),
            )
        try:
            self._wait(timeout)
            self._check_nodes()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends the server process; harmless when it has ended."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.CTRL_BREAK_EVENT if os.name == "nt" else signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The server's process while it runs."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def log(self) -> str:
        """Everything that the server has printed."""
        return self._log.read_text(errors="replace")

    def log_tail(self, lines: int = 30) -> str:
        """The last lines that the server has printed."""
        return "\n".join(self.log.splitlines()[-lines:])

    def _wait(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if not self.running:
                raise ServerError(f"The ComfyUI server ended while starting. Its last lines:\n{self.log_tail()}")
            try:
                self.client.get("/system_stats")
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.2)
        raise ServerError(f"The ComfyUI server did not answer within {timeout:.0f} s. Last lines:\n{self.log_tail()}")

    def _check_nodes(self) -> None:
        """A pack, or a part of it, that fails to import leaves only a line in the log; here it is an error."""
        complaints = [line for line in self.log.splitlines() if _is_complaint(line)]
        if complaints or not any(name.startswith(NODE_PREFIX) for name in self.client.object_info()):
            reasons = "\n".join(complaints) or f"nothing about this pack. Its last lines:\n{self.log_tail()}"
            raise ServerError(f"ComfyUI runs, but without all nodes of this pack. Its log says:\n{reasons}")


def _process_options() -> dict[str, Any]:
    """A process group of its own, so that Ctrl-C in the terminal reaches us alone and we stop the server in order.

    On Linux the server also ends when we are killed and cannot stop it.
    """
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    if sys.platform != "linux":
        return {"start_new_session": True}
    prctl = ctypes.CDLL(None).prctl
    return {"start_new_session": True, "preexec_fn": lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM)}


def _is_complaint(line: str) -> bool:
    about_us = REPO.name in line or PACK_NAME in line or "LTX-2" in line
    return about_us and any(words in line for words in ("Cannot import", "Error while calling", "are unavailable"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOCALHOST, 0))
        return probe.getsockname()[1]
