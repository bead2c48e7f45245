"""Imports point down only: which room may import which, read from the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]

# Each room of nodes/ and the rooms that it may import, as its own __init__ says.
ROOMS = {
    "wires": set(),
    "host": {"wires"},
    "loading": {"wires", "host"},
    "latents": {"wires", "host", "loading"},
    "vae": {"wires", "host", "loading", "latents"},
    "text": {"wires", "host", "loading"},
    "guides": {"wires", "host", "loading", "latents", "vae"},
    "guidance": {"wires"},
    "sampling": {"wires", "host", "loading", "latents", "vae", "guides", "guidance"},
    "files": {"wires", "host", "loading", "latents", "vae"},
}
COMFY = {"comfy", "comfy_api", "comfy_execution", "folder_paths", "nodes", "server", "execution", "latent_preview"}


def _imports(path: Path) -> Iterator[tuple[str, ...]]:
    """The absolute path of every module that a file imports, as parts below the repository."""
    package = path.relative_to(REPO).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            yield from ((*base, alias.name) for alias in node.names)


def _files(folder: str) -> list[Path]:
    return sorted((REPO / folder).rglob("*.py"))


def test_every_room_is_in_the_plan() -> None:
    rooms = {path.parent.name for path in _files("nodes")} - {"nodes"}
    assert rooms == set(ROOMS)
    assert [path.name for path in (REPO / "nodes").glob("*.py")] == ["__init__.py"]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_below(room: str) -> None:
    for path in _files(f"nodes/{room}"):
        used = {parts[1] for parts in _imports(path) if parts[0] == "nodes" and len(parts) > 1}
        assert used <= ROOMS[room] | {room}, f"{path.relative_to(REPO)} imports {sorted(used - ROOMS[room] - {room})}"


def test_the_package_knows_neither_nodes_nor_comfyui() -> None:
    for path in _files("ltx_core_impl"):
        tops = {parts[0] for parts in _imports(path)}
        assert not tops & (COMFY | {"nodes", "tools", "tests"}), path.relative_to(REPO)


def test_the_rooms_of_the_package_do_not_import_in_circles() -> None:
    above: dict[str, set[str]] = {}
    for path in _files("ltx_core_impl"):
        room = path.relative_to(REPO).parts[1]
        used = {parts[1] for parts in _imports(path) if parts[0] == "ltx_core_impl" and len(parts) > 1}
        above.setdefault(room, set()).update(used - {room})
    order = list(TopologicalSorter(above).static_order())  # raises CycleError, which names the circle
    assert order.index("quantization") < order.index("loader")


def test_only_the_host_room_talks_to_the_memory_manager_and_folders() -> None:
    for path in _files("nodes"):
        if path.parent.name == "host":
            continue
        used = {parts[0] for parts in _imports(path)} & (COMFY - {"comfy_api", "nodes"})
        assert not used, f"{path.relative_to(REPO)} imports {sorted(used)}; that belongs into nodes/host"


def test_no_module_is_longer_than_400_lines() -> None:
    long = {
        str(path.relative_to(REPO)): lines
        for folder in ("nodes", "ltx_core_impl")
        for path in _files(folder)
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long


def test_the_picture_of_the_floors_is_what_the_code_gives() -> None:
    from tools import floors

    assert floors.PICTURE.read_text(encoding="utf-8") == floors.picture(), "run python3 tools/floors.py"


def test_the_architecture_page_names_what_exists() -> None:
    text = (REPO / "docs" / "architecture.md").read_text(encoding="utf-8")
    paths = [
        path.relative_to(REPO).as_posix()
        for folder in ("nodes", "ltx_core_impl", "tools", "tests")
        for path in _files(folder)
    ]
    named = set(re.findall(r"`([\w/-]+\.py)`", text))
    assert len(named) > 30
    assert not {name for name in named if not any(f"/{path}".endswith(f"/{name}") for path in paths)}
