"""The download command against a server of the test's own on this machine."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import shutil
import socket
import threading
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tools import download as command
from tools.download import DownloadError, Wanted, download
from tools.provision import REPO
from tools.published_files import PUBLISHED_FILES
from tools.wanted_files import FOLDER_NAMES, wanted_files

CONTENT = bytes(range(256)) * 12_000  # 3 MB: three chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Hub:
    """What the server does, and what it was asked."""

    url: str = ""
    cut_after: int | None = None
    """Bytes after which the next answer breaks off, once."""
    ranges: bool = True
    status: int = 200
    linked: dict[str, str] = field(default_factory=dict)
    lets_in: str | None = None
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    """Path, Range and Authorization of every request."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A repository under /repo/resolve/main/, which leads to a store on another host name, as the real one does."""
    state = Hub()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted, token = self.headers.get("Range"), self.headers.get("Authorization")
            state.asked.append((self.path, wanted, token))
            if state.status != 200 or (state.lets_in and self.path.startswith("/repo") and token != state.lets_in):
                self.send_error(state.status if state.status != 200 else 401)
                return
            if self.path.startswith("/repo"):
                self.send_response(302)
                for name, value in state.linked.items():
                    self.send_header(name, value)
                self.send_header("Location", state.url.replace("127.0.0.1", "localhost") + "/store")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self._send(int(wanted[6:-1]) if wanted and state.ranges else None)

        def _send(self, start: int | None) -> None:
            body = CONTENT[start or 0 :]
            if start is not None and not body:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200 if start is None else 206)
            if start is not None:
                self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            cut, state.cut_after = state.cut_after, None
            self.wfile.write(body[:cut])
            if cut is not None:
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setattr(command, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(command, "HUB", state.url)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    yield state
    server.shutdown()
    server.server_close()


def wanted(hub: Hub, **values: Any) -> Wanted:
    return Wanted("model.safetensors", f"{hub.url}/repo/resolve/main/model.safetensors", "checkpoints", **values)


def test_a_file_arrives_whole_under_its_name(hub: Hub, tmp_path: Path) -> None:
    said: list[str] = []
    assert download(wanted(hub), tmp_path / "checkpoints", said.append)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["model.safetensors"]
    assert (tmp_path / "checkpoints" / "model.safetensors").read_bytes() == CONTENT
    assert any("3.1 MB of 3.1 MB (100%)" in line for line in said)


def test_what_is_there_is_left_alone(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("mine")
    assert not download(wanted(hub), tmp_path)
    assert (tmp_path / "model.safetensors").read_text() == "mine"
    assert hub.asked == []


def test_a_cut_connection_goes_on_where_it_stopped(hub: Hub, tmp_path: Path) -> None:
    hub.cut_after = 1_500_000
    said: list[str] = []
    assert download(wanted(hub, sha256=SHA256), tmp_path, said.append)
    assert (tmp_path / "model.safetensors").read_bytes() == CONTENT
    assert hub.asked[-1][:2] == ("/store", "bytes=1500000-")
    assert any("trying again (2 of 5)" in line for line in said)


def test_a_stopped_command_goes_on_next_time(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.part").write_bytes(CONTENT[:2_000_000])
    download(wanted(hub, sha256=SHA256), tmp_path)
    assert hub.asked[0][1] == "bytes=2000000-"
    assert (tmp_path / "model.safetensors").read_bytes() == CONTENT


def test_a_part_that_was_whole_already_is_checked_and_named(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.part").write_bytes(CONTENT)
    download(wanted(hub, sha256=SHA256), tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == CONTENT


def test_a_server_without_ranges_starts_anew(hub: Hub, tmp_path: Path) -> None:
    hub.ranges = False
    (tmp_path / "model.safetensors.part").write_bytes(b"x" * 2_000_000)
    said: list[str] = []
    download(wanted(hub, sha256=SHA256), tmp_path, said.append)
    assert (tmp_path / "model.safetensors").read_bytes() == CONTENT
    assert any("from the beginning" in line for line in said)


@pytest.mark.parametrize("source", ["the graph", "the server"])
def test_a_wrong_hash_is_deleted(hub: Hub, tmp_path: Path, source: str) -> None:
    if source == "the server":
        hub.linked = {"X-Linked-Etag": f'"{"0" * 64}"'}
    file = wanted(hub, sha256="0" * 64 if source == "the graph" else None)
    with pytest.raises(DownloadError, match=f"SHA-256 {SHA256}, not 0000.*{source} says.*Deleted; run this again"):
        download(file, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_servers_own_hash_and_size_are_believed(hub: Hub, tmp_path: Path) -> None:
    hub.linked = {"X-Linked-Etag": f'"{SHA256}"', "X-Linked-Size": str(len(CONTENT))}
    assert download(wanted(hub), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    hub.linked["X-Linked-Size"] = str(len(CONTENT) - 1)
    with pytest.raises(DownloadError, match=r"3,072,000 bytes, not 3,071,999; deleted"):
        download(wanted(hub), tmp_path)


def test_a_part_of_another_file_is_found_out(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.part").write_bytes(b"x" * (len(CONTENT) + 5))
    with pytest.raises(DownloadError, match=r"3,072,005 bytes, not 3,072,000"):
        download(wanted(hub), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_file_says_what_to_do(hub: Hub, tmp_path: Path, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.status = status
    with pytest.raises(
        DownloadError, match=f"licence \\({status}\\): sign in and accept it at {hub.url}/repo.*HF_TOKEN"
    ):
        download(wanted(hub), tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    with pytest.raises(DownloadError, match="account of HF_TOKEN has not accepted it"):
        download(wanted(hub), tmp_path)


def test_the_token_goes_to_the_hub_alone(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    hub.lets_in = "Bearer hf_mine"
    assert download(wanted(hub), tmp_path)
    assert [(path.split("/")[1], token) for path, _, token in hub.asked] == [
        ("repo", "Bearer hf_mine"),
        ("store", None),
    ]
    monkeypatch.setattr(command, "HUB", "https://somewhere.else")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(DownloadError, match="licence"):
        download(wanted(hub), tmp_path)
    assert hub.asked[-1][2] is None


def test_a_file_that_is_not_there(hub: Hub, tmp_path: Path) -> None:
    hub.status = 404
    with pytest.raises(DownloadError, match=r"is not at .*\(404\)\. Look for it at .*models/checkpoints"):
        download(wanted(hub), tmp_path)


def test_a_full_disk_is_said_before_anything_comes(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 9, command.SPARE_BYTES + len(CONTENT) - 1))
    with pytest.raises(DownloadError, match=r"needs 3.1 MB more and 1.1 GB to spare.*Make room"):
        download(wanted(hub), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_gone_is_given_up_with_what_has_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "RETRY_SECONDS", 0.0)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/model.safetensors"
    (tmp_path / "model.safetensors.part").write_bytes(b"half")
    with pytest.raises(DownloadError, match="Run this again; it goes on where it stopped"):
        download(Wanted("model.safetensors", url, "checkpoints"), tmp_path, lambda text: None)
    assert (tmp_path / "model.safetensors.part").read_bytes() == b"half"


# --- What a graph names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((REPO / "workflows").glob("*.json")), ids=lambda path: path.stem)
def test_a_graph_and_its_prompt_name_the_same_files(path: Path) -> None:
    graph, prompt = (json.loads(each.read_text("utf-8")) for each in (path, path.parent / "api" / path.name))
    assert sorted(map(str, wanted_files(graph)[0])) == sorted(map(str, wanted_files(prompt)[0]))
    assert wanted_files(graph)[1] == wanted_files(prompt)[1]
    assert bool(wanted_files(graph)[0]) != path.stem.startswith("demo-")


def graph_with(name: str = "a.safetensors", **entry: Any) -> dict[str, Any]:
    model = {"name": name, "url": "https://example.org/a.safetensors", "directory": "loras"} | entry
    return {"nodes": [{"widgets_values": [name, 1.0], "properties": {"models": [model]}}]}


def test_an_entry_counts_where_it_is_chosen() -> None:
    graph = graph_with(hash="AB" * 32, hash_type="SHA256")
    assert wanted_files(graph)[0] == [Wanted("a.safetensors", "https://example.org/a.safetensors", "loras", "ab" * 32)]
    graph["nodes"][0]["widgets_values"] = ["another.safetensors"]
    assert wanted_files(graph) == ([], [])
    nested = {"nodes": [], "definitions": {"subgraphs": [graph_with()]}}
    assert [file.name for file in wanted_files(nested)[0]] == ["a.safetensors"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "../a.safetensors"}, "no plain file name"),
        ({"name": "/etc/a.safetensors"}, "no plain file name"),
        ({"name": "C:\\a.safetensors"}, "no plain file name"),
        ({"name": "..\\a.safetensors"}, "no plain file name"),
        ({"name": "a.py"}, "no plain file name"),
        ({"directory": "custom_nodes"}, "none of the model folders"),
        ({"directory": "../loras"}, "none of the model folders"),
        ({"url": "http://example.org/a.safetensors"}, "not https"),
        ({"url": "file:///etc/passwd"}, "not https"),
        ({"url": 3}, "no name, url and directory"),
    ],
)
def test_a_hostile_entry_fetches_nothing(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(DownloadError, match=message):
        wanted_files(graph_with(**entry))


@pytest.mark.parametrize("graph", [[], "text", 3, None])
def test_what_is_no_graph(graph: Any) -> None:
    with pytest.raises(DownloadError, match="This is no graph"):
        wanted_files(graph)


def test_every_folder_of_the_table_is_one_that_files_may_go_to() -> None:
    assert {file.directory for file in PUBLISHED_FILES.values()} <= FOLDER_NAMES


# --- The command ------------------------------------------------------------------------------------------------------


def test_the_command(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    files = [wanted(hub), Wanted("b.safetensors", f"{hub.url}/repo/resolve/main/b.safetensors", "loras")]
    monkeypatch.setattr(command, "wanted_files", lambda graph: (files, ["ltx-2.3-22b-ic-lora-hdr-0.9.safetensors"]))
    graph = tmp_path / "graph.json"
    graph.write_text("{}")
    assert command.main([str(graph), "--models", str(tmp_path), "--dry-run"]) == 1
    assert "missing: models/loras/b.safetensors" in capsys.readouterr().out
    assert hub.asked == []
    assert command.main([str(graph), "--models", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "[2/2] b.safetensors: complete" in captured.out
    assert "ltx-2.3-22b-ic-lora-hdr-0.9.safetensors: its address is not known" in captured.err
    assert (tmp_path / "loras" / "b.safetensors").read_bytes() == CONTENT
    (tmp_path / "loras" / "ltx-2.3-22b-ic-lora-hdr-0.9.safetensors").touch()
    assert command.main([str(graph), "--models", str(tmp_path)]) == 0


def test_a_file_that_fails_does_not_hold_up_the_rest(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    bad = wanted(hub, sha256="0" * 64)
    good = Wanted("b.safetensors", f"{hub.url}/repo/resolve/main/b.safetensors", "loras")
    assert len(command._fetch_all([bad, good], tmp_path)) == 1
    assert (tmp_path / "loras" / "b.safetensors").exists()


def test_where_models_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    with pytest.raises(DownloadError, match="is no folder"):
        command.models_folder(None)
    (tmp_path / "models").mkdir()
    assert command.models_folder(None) == tmp_path / "models"
    assert command.models_folder(str(tmp_path)) == tmp_path
    monkeypatch.delenv("COMFYUI_PATH")
    monkeypatch.setattr(command, "__file__", str(tmp_path / "custom_nodes" / "pack" / "tools" / "download.py"))
    assert command.models_folder(None) == tmp_path / "models"
    monkeypatch.setattr(command, "__file__", str(tmp_path / "elsewhere" / "pack" / "tools" / "download.py"))
    with pytest.raises(DownloadError, match="--models"):
        command.models_folder(None)


def test_nothing_else_of_the_pack_opens_a_connection() -> None:
    """Of the modules that the registry ships; those that it leaves out serve the work on the pack."""
    left_out = [line for line in (REPO / ".comfyignore").read_text().splitlines() if line.startswith("tools/")]
    opens = re.compile(
        r"^\s*(import|from) (urllib\.request|http|requests|aiohttp|socket|httpx|huggingface_hub)\b", re.M
    )
    found = {
        path.relative_to(REPO).as_posix()
        for folder in ("nodes", "ltx_core_impl", "tools")
        for path in (REPO / folder).rglob("*.py")
        if opens.search(path.read_text("utf-8"))
    }
    assert {path for path in found if not path.startswith(tuple(left_out))} == {"tools/download.py"}
