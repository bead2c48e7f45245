"""Fetches the model files that a graph names, into ComfyUI's folders, without a browser.

    python3 tools/download.py GRAPH.json [GRAPH.json ...] [--models FOLDER] [--dry-run]

GRAPH.json: a graph of ``workflows/`` or one saved from the browser, or a prompt of ``workflows/api/``. What is there
already is left alone; what was interrupted goes on where it stopped. A file lies as ``NAME.part`` until its size and,
where one is known, its hash are right. Files behind a licence: accept it once in a browser, then set ``HF_TOKEN``.

Needs only Python; this is the one command, and the one place of the pack, that opens a connection to another machine.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.published_files import HUB, PUBLISHED_FILES
from tools.wanted_files import DownloadError, Wanted, wanted_files

CHUNK = 1 << 20
ATTEMPTS = 5
TIMEOUT = 60
RETRY_SECONDS = 2.0
SPARE_BYTES = 1 << 30
"""What stays free on the disk."""
# A file of a repository answers with a redirect to a store; these two headers of the first answer are about the file.
LINKED_SIZE, LINKED_HASH = "X-Linked-Size", "X-Linked-Etag"
SHA256 = re.compile(r"[0-9a-f]{64}")
GATES = {401, 403, 451}


@dataclass(frozen=True)
class Remote:
    """What the server says about a file."""

    size: int | None
    sha256: str | None


# --- One file ---------------------------------------------------------------------------------------------------------


class _FirstAnswer(urllib.request.HTTPRedirectHandler):
    """Keeps what the first answer of a chain of redirects says, and the token where it belongs."""

    def __init__(self) -> None:
        self.headers: Any = None

    def redirect_request(self, request: Any, stream: Any, code: int, message: str, headers: Any, url: str) -> Any:
        if request.type == "https" and urlsplit(url).scheme != "https":
            raise DownloadError(f"{request.full_url} leads to {url}, which is not https; nothing was fetched.")
        if self.headers is None:
            self.headers = headers
        redirected = super().redirect_request(request, stream, code, message, headers, url)
        if redirected is not None and urlsplit(url).netloc != urlsplit(request.full_url).netloc:
            redirected.remove_header("Authorization")  # the store must not learn the token
        return redirected


def open_url(file: Wanted, start: int = 0) -> tuple[BinaryIO, Remote, bool]:
    """The file from byte ``start`` on, what the server says about it, and whether it really begins there.

    Raises DownloadError where the server refuses, OSError where the connection fails.
    """
    first = _FirstAnswer()
    request = urllib.request.Request(file.url, headers={"User-Agent": "ltx2-nodes"})
    token = os.environ.get("HF_TOKEN")
    if token and file.url.startswith(f"{HUB}/"):
        request.add_header("Authorization", f"Bearer {token}")
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        answer = urllib.request.build_opener(first).open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # nothing lies behind `start`: what is there is complete, or of another file
            total = str(error.headers.get("Content-Range", "")).rpartition("/")[2]
            return error, _remote(first.headers, int(total) if total.isdigit() else start), True
        raise DownloadError(_refusal(file, error, bool(token))) from None
    continues = answer.status == 206 and str(answer.headers.get("Content-Range", "")).startswith(f"bytes {start}-")
    length = answer.headers.get("Content-Length")
    size = int(length) + (start if continues else 0) if length and length.isdigit() else None
    return answer, _remote(first.headers, size), continues


def _remote(headers: Any, size: int | None) -> Remote:
    if headers is None:
        return Remote(size, None)
    linked, tag = headers.get(LINKED_SIZE), str(headers.get(LINKED_HASH, "")).strip('"')
    return Remote(int(linked) if linked and linked.isdigit() else size, tag if SHA256.fullmatch(tag) else None)


def _refusal(file: Wanted, error: urllib.error.HTTPError, has_token: bool) -> str:
    page = file.url.partition("/resolve/")[0]
    if error.code in GATES:
        then = f"Then make a token at {HUB}/settings/tokens and set HF_TOKEN to it."
        if has_token:
            then = "The account of HF_TOKEN has not accepted it yet, or the token may not read gated repositories."
        return f"{file.name} lies behind a licence ({error.code}): sign in and accept it at {page}. {then}"
    if error.code == 404:
        return f"{file.name} is not at {file.url} (404). Look for it at {page} and put it into models/{file.directory}."
    return f"{file.name}: the server answered {error.code} {error.reason}. Run this again later."


def download(file: Wanted, folder: Path, say: Any = print) -> bool:
    """Fetches a file into ``folder``; False if it was there already.

    Raises DownloadError where that is not possible; what has come until then stays as ``NAME.part``.
    """
    target = folder / file.name
    if target.exists():
        return False
    part = target.with_name(f"{target.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, ATTEMPTS + 1):
        start = part.stat().st_size if part.exists() else 0
        try:
            stream, remote, continues = open_url(file, start)
            with stream:
                if start and not continues:
                    say(f"{file.name}: the server cannot go on in the middle; from the beginning")
                    start = 0
                _check_room(file, remote.size, start, folder)
                if remote.size is None or start < remote.size or not start:
                    _receive(file, stream, part, start, remote.size, say)
            _check_whole(file, part, remote)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise DownloadError(
                    f"{file.name}: the disk is full. Make room in {folder}; the rest comes next time."
                ) from None
            if attempt == ATTEMPTS:
                raise DownloadError(f"{file.name}: {error}. Run this again; it goes on where it stopped.") from None
            say(f"{file.name}: {error}; trying again ({attempt + 1} of {ATTEMPTS})")
            time.sleep(RETRY_SECONDS * attempt)
        else:
            os.replace(part, target)
            return True
    raise AssertionError  # the last attempt returns or raises


class _CutOff(OSError):
    """The connection ended before the file did."""


def _receive(file: Wanted, stream: BinaryIO, part: Path, start: int, size: int | None, say: Any) -> None:
    """Appends what comes to ``part``, from byte ``start`` on."""
    progress = _Progress(file.name, start, size, say)
    with part.open("r+b" if part.exists() else "wb") as out:
        out.truncate(start)
        out.seek(start)
        received = start
        while chunk := stream.read(CHUNK):
            out.write(chunk)
            received += len(chunk)
            progress(received)
    if size is not None and received < size:
        raise _CutOff(f"the connection ended after {received:,} of {size:,} bytes")


def _check_room(file: Wanted, size: int | None, start: int, folder: Path) -> None:
    if size is None:
        return
    free = shutil.disk_usage(folder).free
    needed = size - start + SPARE_BYTES
    if free < needed:
        raise DownloadError(
            f"{file.name} needs {_gigabytes(size - start)} more and {_gigabytes(SPARE_BYTES)} to spare, but {folder} "
            f"has {_gigabytes(free)} free. Make room, or choose another folder with --models."
        )


def _check_whole(file: Wanted, part: Path, remote: Remote) -> None:
    """Size and hash are what the server and the graph say; what is wrong is deleted, as more bytes would not help."""
    size = part.stat().st_size
    if remote.size is not None and size != remote.size:
        part.unlink()
        raise DownloadError(f"{file.name} has {size:,} bytes, not {remote.size:,}; deleted. Run this again.")
    expected, source = (file.sha256, "the graph") if file.sha256 else (remote.sha256, "the server")
    if expected is None:
        return
    found = sha256_of(part)
    if found != expected:
        part.unlink()
        raise DownloadError(
            f"{file.name} has the SHA-256 {found}, not {expected} as {source} says: it was damaged on the way or is "
            "another file. Deleted; run this again."
        )


def sha256_of(path: Path) -> str:
    """The hash of a file, as 64 hex digits."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class _Progress:
    """Says every few seconds how much has come, how fast, and how long the rest takes."""

    SECONDS = 5.0

    def __init__(self, name: str, start: int, size: int | None, say: Any) -> None:
        self._name, self._start, self._size, self._say = name, start, size, say
        self._began = self._said = time.monotonic()

    def __call__(self, received: int) -> None:
        now = time.monotonic()
        if now - self._said < self.SECONDS and received != self._size:
            return
        self._said = now
        rate = (received - self._start) / max(now - self._began, 1e-6)
        if self._size is None:
            self._say(f"{self._name}: {_gigabytes(received)}, {rate / 1e6:.1f} MB/s")
            return
        left = self._size - received
        self._say(
            f"{self._name}: {_gigabytes(received)} of {_gigabytes(self._size)} ({received / self._size:.0%}), "
            f"{rate / 1e6:.1f} MB/s, {_gigabytes(left)} left" + (f", {_duration(left / rate)}" if left and rate else "")
        )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"about {minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"about {max(minutes, 1)} min"


# --- The command ------------------------------------------------------------------------------------------------------


def models_folder(given: str | None) -> Path:
    """``--models``, else ``models`` of the ComfyUI that COMFYUI_PATH names or in whose custom_nodes this pack lies."""
    if given:
        folder = Path(given).expanduser()
    elif os.environ.get("COMFYUI_PATH"):
        folder = Path(os.environ["COMFYUI_PATH"]).expanduser() / "models"
    else:
        # Not resolved: the pack may be a link in custom_nodes.
        folder = Path(__file__).absolute().parents[3] / "models"
        if Path(__file__).absolute().parents[2].name != "custom_nodes":
            raise DownloadError(
                "This pack does not lie in a ComfyUI's custom_nodes: name the folder of models with --models, or set "
                "COMFYUI_PATH."
            )
    if not folder.is_dir():
        raise DownloadError(f"{folder} is no folder. Name ComfyUI's models folder with --models.")
    return folder


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("graphs", nargs="+", metavar="GRAPH.json")
    parser.add_argument("--models", help="ComfyUI's models folder; else that of the ComfyUI in which this pack lies")
    parser.add_argument(
        "--dry-run", action="store_true", help="only say which files are there and which would be fetched"
    )
    options = parser.parse_args(arguments)
    try:
        folder = models_folder(options.models)
        files, by_hand = _named_in([Path(path) for path in options.graphs])
        failures = [] if options.dry_run else _fetch_all(files, folder)
        if options.dry_run:
            for file in files:
                there = (folder / file.directory / file.name).exists()
                print(f"{'there' if there else 'missing'}: models/{file.directory}/{file.name}  {file.url}")
    except (DownloadError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again; it goes on where it stopped.", file=sys.stderr)
        return 130
    for name in by_hand:
        published = PUBLISHED_FILES[name]
        if not (folder / published.directory / name).exists():
            failures.append(
                f"{name}: its address is not known here. Look at {HUB}/Lightricks; folder {published.directory}."
            )
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _named_in(paths: list[Path]) -> tuple[list[Wanted], list[str]]:
    files: dict[str, Wanted] = {}
    by_hand: set[str] = set()
    for path in paths:
        found, without_address = wanted_files(json.loads(path.read_text("utf-8")))
        files |= {file.name: file for file in found}
        by_hand |= set(without_address)
    return list(files.values()), sorted(by_hand)


def _fetch_all(files: list[Wanted], folder: Path) -> list[str]:
    """Fetches one after the other; a file that fails does not hold up the rest."""
    failures = []
    for number, file in enumerate(files, 1):
        try:
            fetched = download(file, folder / file.directory, _say)
            _say(f"[{number}/{len(files)}] {file.name}: {'complete' if fetched else 'there already'}")
        except DownloadError as error:
            failures.append(str(error))
    return failures


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
