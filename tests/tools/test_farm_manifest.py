"""What is on the disk when a run is killed, and what the next one makes of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tools.farm import peak_memory
from tools.farm.manifest import ASIDE, DONE, FAILED, NAME, Manifest, Result, read
from tools.farm.state import NAME as STATE_NAME
from tools.farm.state import State, WorkerRow, duration, table
from tools.farm.state import read as read_state


def done(manifest: Manifest, job: str, content: bytes) -> None:
    files = manifest.store(job, [Result(".mp4", content)])
    manifest.append({"job": job, "status": DONE, "files": files})


def test_files_and_lines_survive(tmp_path: Path) -> None:
    with Manifest(tmp_path / "out") as manifest:
        [first, second] = manifest.store("clip", [Result(".mp4", b"film"), Result(".png", b"picture")])
        manifest.append({"job": "1", "status": DONE, "files": [first, second]})
        manifest.append({"job": "2", "status": FAILED, "message": "once"})
        manifest.append({"job": "3", "status": ASIDE, "message": "grün"})
    assert first == {"file": "clip.mp4", "sha256": hashlib.sha256(b"film").hexdigest(), "bytes": 4}
    assert second["file"] == "clip-2.png"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {NAME, "clip.mp4", "clip-2.png"}
    again = Manifest(tmp_path / "out")
    assert [entry["job"] for entry in again.entries] == ["1", "2", "3"]
    assert again.finished() == {"1"}
    assert again.set_aside() == {"3": "grün"}


def test_a_job_set_aside_and_made_later_is_made(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        manifest.append({"job": "1", "status": ASIDE, "message": "no"})
        done(manifest, "1", b"film")
        assert manifest.finished() == {"1"} and manifest.set_aside() == {}


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_result_that_is_gone_or_changed_is_to_be_made_anew(tmp_path: Path, damage: str) -> None:
    with Manifest(tmp_path) as manifest:
        done(manifest, "1", b"film")
        done(manifest, "2", b"other")
        if damage == "gone":
            (tmp_path / "1.mp4").unlink()
        else:
            (tmp_path / "1.mp4").write_bytes(b"fil")
        assert manifest.finished() == {"2"}


def test_killed_at_any_byte_of_a_line_the_manifest_holds_the_lines_before_it(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        done(manifest, "1", b"film")
        done(manifest, "2", "grün".encode())
    whole = (tmp_path / NAME).read_bytes()
    begin = whole.index(b"\n") + 1
    for cut in range(begin, len(whole)):
        (tmp_path / NAME).write_bytes(whole[:cut])
        assert [entry["job"] for entry in read(tmp_path / NAME)] == ["1"]
        with Manifest(tmp_path) as manifest:
            assert manifest.finished() == {"1"}
            done(manifest, "3", b"third")
        assert [json.loads(line)["job"] for line in (tmp_path / NAME).read_text().splitlines()] == ["1", "3"]


def test_a_result_is_never_there_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with Manifest(tmp_path) as manifest:
        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            manifest.store("clip", [Result(".mp4", b"film")])
    assert not (tmp_path / "clip.mp4").exists()


# --- state and memory ------------------------------------------------------------------------------------------------


def test_the_state_tells_what_is_left_and_how_long(tmp_path: Path) -> None:
    state = State(started=1000.0)
    state.begin(total=10, before=2, aside=1, left=["short"] * 4 + ["long"] * 3)
    state.workers = [WorkerRow(1, "here", 5, "long-seed3", 1050.0), WorkerRow(2, "there", 6, "idle", 0.0)]
    assert state.seconds_left() is None
    assert "left" not in table(state, 1060.0)
    state.finished("short", 2.0)
    assert state.seconds_left() == 6 * 2.0 / 2, "no long one yet: as the mean"
    state.finished("long", 100.0)
    assert state.seconds_left() == (3 * 2.0 + 2 * 100.0) / 2
    state.given_up("long", "line 7: no\nmore")
    text = table(state, 1060.0)
    assert text.splitlines()[0] == "4 of 10 made, 2 set aside, 1:00 min so far, about 53 s left"
    assert "long-seed3  10 s" in text and "set aside: line 7: no" in text and "more" not in text
    state.write(tmp_path)
    assert read_state(tmp_path) == state
    assert [path.name for path in tmp_path.iterdir()] == [STATE_NAME]
    assert read_state(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1:00 min"), (3599, "59:59 min"), (7810, "2:10 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_peak_memory_is_counted_anew_after_a_reset() -> None:
    """In a process of its own: the peak of 200 MB is over when it is asked the second time."""
    import subprocess
    import sys

    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux counts so")
    code = (
        "import os; from tools.farm.peak_memory import peak, reset\n"
        "block = bytearray(os.urandom(1)) * 200_000_000; high = peak(os.getpid()); del block\n"
        "reset(os.getpid()); print(high, peak(os.getpid()))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    high, low = map(int, answer.stdout.split())
    assert high > 200_000_000 > 100_000_000 > low
    assert peak_memory.peak(2**22 + 1) is None
    peak_memory.reset(2**22 + 1)


def test_a_folder_where_nothing_was_made_is_no_earlier_run(tmp_path: Path) -> None:
    """A check, or a table with bad lines, leaves an empty manifest behind."""
    with Manifest(tmp_path):
        pass
    assert (tmp_path / NAME).exists() and Manifest(tmp_path).entries == []
    assert Manifest(tmp_path / "none").entries == []
