"""The most memory that a process has used since it was asked last, as Linux counts it."""

from __future__ import annotations

from pathlib import Path

RESET_PEAK = "5"  # proc(5), clear_refs: sets the peak resident size back to the present one


def reset(pid: int) -> None:
    """Begins to count anew; nothing where the system does not offer it."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text(RESET_PEAK)
    except OSError:
        pass


def peak(pid: int) -> int | None:
    """The peak resident size in bytes; None where the system does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) * 1024 if lines else None
