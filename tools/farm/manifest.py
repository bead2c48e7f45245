"""What a run has made so far: ``manifest.jsonl``, a line of JSON for each attempt that ended.

Lines are only ever appended, each in one write that is forced to the disk, after its files are in place under their
final names. So a driver that is killed at any moment leaves a manifest in which every line is true; at worst its last
line is cut, which reading passes over and the next run removes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "manifest.jsonl"
DONE, FAILED, ASIDE = "done", "failed", "set aside"

Entry = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """A file that a job saved: the ending of its name, and its content."""

    suffix: str
    content: bytes


class Manifest:
    """The manifest of a folder of results. ``entries`` holds every line, in order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / NAME
        self.entries = list(read(self.path))

    def __enter__(self) -> Manifest:
        self.folder.mkdir(parents=True, exist_ok=True)
        content = self.path.read_bytes() if self.path.exists() else b""
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        if content and not content.endswith(b"\n"):
            os.ftruncate(self._file, content.rfind(b"\n") + 1)
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._file)

    def append(self, entry: Entry) -> None:
        """Adds a line and waits until it is on the disk."""
        line = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
        if os.write(self._file, line) != len(line):
            raise OSError(f"{self.path} could not be written: is the disk full?")
        os.fsync(self._file)
        self.entries.append(entry)

    def store(self, stem: str, results: Iterable[Result]) -> list[dict[str, Any]]:
        """Writes the files of a job, all or none under their names; returns what a manifest's line says of them."""
        written = []
        for number, result in enumerate(results, 1):
            name = f"{stem}{'' if number == 1 else f'-{number}'}{result.suffix}"
            part = self.folder / f"{name}.part"
            with part.open("wb") as file:
                file.write(result.content)
                file.flush()
                os.fsync(file.fileno())
            digest = hashlib.sha256(result.content).hexdigest()
            written.append({"file": name, "sha256": digest, "bytes": len(result.content)})
        for line in written:
            os.replace(self.folder / f"{line['file']}.part", self.folder / line["file"])
        return written

    def finished(self) -> set[str]:
        """The jobs whose files are all here, unchanged."""
        done = {entry["job"]: entry for entry in self.entries if entry["status"] == DONE}
        return {job for job, entry in done.items() if all(self._is_whole(line) for line in entry["files"])}

    def _is_whole(self, line: Mapping[str, Any]) -> bool:
        path = self.folder / line["file"]
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == line["sha256"]

    def set_aside(self) -> dict[str, str]:
        """The jobs that were given up, with their message."""
        last = {entry["job"]: entry for entry in self.entries}
        return {job: entry["message"] for job, entry in last.items() if entry["status"] == ASIDE}


def read(path: Path) -> Iterator[Entry]:
    """The whole lines of a manifest; nothing where there is none."""
    if not path.exists():
        return
    for line in path.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            yield json.loads(line)
