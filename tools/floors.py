"""Draws docs/images/floors.svg: the rooms of the project, one floor for each step that imports go down.

    python3 tools/floors.py

Read from the source: rooms are packages, their lines the first line of each ``__init__``, floors the longest way down.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
PICTURE = REPO / "docs" / "images" / "floors.svg"
WIDTH, MARGIN, GAP = 1180, 20, 12
LINE, TITLE = 15, 18
COLOURS = {"nodes": "#dbeafe", "ltx_core_impl": "#dcfce7"}
HOUSES = {
    "nodes": "nodes/: talks to ComfyUI, holds no maths",
    "ltx_core_impl": "ltx_core_impl/: the maths, knows no nodes",
}


def rooms() -> dict[str, list[Path]]:
    """Every room of both houses and its modules; ``ltx_core_impl/model`` has a room for each model."""
    found: dict[str, list[Path]] = {}
    for house in HOUSES:
        for path in sorted((REPO / house).rglob("*.py")):
            room = _room(path.relative_to(REPO).with_suffix("").parts)
            if room is not None:
                found.setdefault(room, []).append(path)
    return found


def _room(parts: tuple[str, ...]) -> str | None:
    depth = 3 if parts[:2] == ("ltx_core_impl", "model") else 2
    is_room = len(parts) >= depth and (REPO.joinpath(*parts[:depth])).is_dir()
    return "/".join(parts[:depth]) if is_room else None


@cache
def imports(room: str) -> frozenset[str]:
    """The other rooms that a room imports, its lazy imports inside functions left out."""
    used = set()
    for path in rooms()[room]:
        for parts in _imported(path):
            other = _room(parts)
            if other is not None and other != room:
                used.add(other)
    return frozenset(used)


def _imported(path: Path) -> Iterator[tuple[str, ...]]:
    package = path.relative_to(REPO).parent.parts
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1] + tuple((node.module or "").split("."))
            base = tuple(part for part in base if part)
            yield from ((*base, alias.name) for alias in node.names)


@cache
def level(room: str, above: tuple[str, ...] = ()) -> int:
    """How many floors lie below a room; rooms that import one another share a floor."""
    below = imports(room) - set(above)
    return max((level(other, (*above, room)) + 1 for other in below), default=0)


def first_line(room: str) -> str:
    """What a room says of itself."""
    docstring = ast.get_docstring(ast.parse((REPO / room / "__init__.py").read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def picture() -> str:
    """The SVG."""
    parts, y = [], MARGIN
    for house, title in HOUSES.items():
        floors: dict[int, list[str]] = {}
        for room in rooms():
            if room.startswith(house):
                floors.setdefault(level(room), []).append(room)
        parts.append(_text(MARGIN, y + TITLE, title, size=16, weight="bold"))
        y += TITLE + GAP
        for floor in sorted(floors, reverse=True):
            drawn, height = _floor(floors[floor], y, COLOURS[house])
            parts += drawn
            y += height + GAP
        y += GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" font-family="sans-serif">'
    ground = f'<rect width="{WIDTH}" height="{y}" fill="white"/>'
    return "\n".join([head, ground, *parts, "</svg>"]) + "\n"


def _floor(names: list[str], y: int, colour: str) -> tuple[list[str], int]:
    width = (WIDTH - 2 * MARGIN - GAP * (len(names) - 1)) / len(names)
    texts = [_wrapped(first_line(name), int(width / 7)) for name in names]
    height = 30 + LINE * max(map(len, texts))
    parts = []
    for index, (name, lines) in enumerate(zip(names, texts, strict=True)):
        x = MARGIN + index * (width + GAP)
        box = (
            f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{height}" rx="6" fill="{colour}" stroke="#64748b"/>'
        )
        parts += [box, _text(x + 8, y + TITLE, name.partition("/")[2], size=14, weight="bold")]
        parts += [_text(x + 8, y + TITLE + LINE * (n + 1), line, size=12) for n, line in enumerate(lines)]
    return parts, height


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= width and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _text(x: float, y: float, text: str, size: int, weight: str = "normal") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" font-weight="{weight}">{escape(text)}</text>'


def main() -> int:
    PICTURE.write_text(picture(), encoding="utf-8")
    print(f"wrote {PICTURE.relative_to(REPO)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
