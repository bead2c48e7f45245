"""Dotted version numbers, of checkpoints and of packages."""

from __future__ import annotations


def parse_version(text: str | None) -> tuple[int, ...]:
    """The leading integer parts of a dotted version: ``"2.5.0-rc1"`` is ``(2, 5)``; nothing gives ``()``."""
    numbers: list[int] = []
    for part in (text or "").split("."):
        if not (part.isascii() and part.isdigit()):
            break
        numbers.append(int(part))
    return tuple(numbers)
