"""What the registry ships is enough to run the pack, and small."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.nodes.graph_runner import GraphRunner
from tools.graphs.tiny import with_tiny_models
from tools.provision import REPO

LIMIT, WHOLE_LIMIT = 35e6, 40e6
"""Bytes: for thumbnails and the demo model together, and for everything that ships."""
NEEDED = ("README.md", "LICENSE", "SECURITY.md", "pyproject.toml", "tools/download.py", "tools/convert.py")
UNNEEDED = ("tests/", "tools/demo_model/", "tools/bench/", "tools/graphs/", "findings/", ".ci/")


def _git(*arguments: str) -> set[str]:
    answer = subprocess.run(["git", "-C", str(REPO), *arguments, "-z"], capture_output=True, text=True, check=True)
    return set(filter(None, answer.stdout.split("\0")))


@pytest.fixture(scope="module")
def shipped() -> list[Path]:
    """As the registry's packer chooses: what git tracks, without what .comfyignore names (in git's own patterns)."""
    if not (REPO / ".git").exists():
        pytest.skip("needs a git checkout: what ships is what git tracks")
    left_out = _git("ls-files", "--cached", "--ignored", "--exclude-from=.comfyignore")
    return sorted(REPO / name for name in _git("ls-files") - left_out if (REPO / name).exists())


def test_what_ships(shipped: list[Path]) -> None:
    names = {path.relative_to(REPO).as_posix() for path in shipped}
    assert names >= set(NEEDED)
    assert not [name for name in names if name.startswith(UNNEEDED)]
    assert {name for name in names if name.startswith("workflows/")} == _git("ls-files", "workflows")


def test_it_is_small(shipped: list[Path]) -> None:
    pictures = {".jpg", ".webp", ".png"}
    shown = [path for path in shipped if "demo" in path.parts or path.suffix in pictures]
    assert sum(path.stat().st_size for path in shown) < LIMIT
    assert sum(path.stat().st_size for path in shipped) < WHOLE_LIMIT


def test_it_runs_on_its_own(shipped: list[Path], nodes: dict[str, Any], tmp_path: Path) -> None:
    """Copied elsewhere, imported as ComfyUI does it, every node there, and a clip made."""
    pack = tmp_path / "shipped_pack"
    for path in shipped:
        target = pack / path.relative_to(REPO)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    spec = importlib.util.spec_from_file_location(
        "shipped_pack", pack / "__init__.py", submodule_search_locations=[str(pack)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["shipped_pack"] = module
    try:
        spec.loader.exec_module(module)
        extension = asyncio.run(module.comfy_entrypoint())
        own = {node.GET_SCHEMA().node_id: node for node in asyncio.run(extension.get_node_list())}
        assert own.keys() == nodes.keys()
        assert {path.stem for path in (pack / module.WEB_DIRECTORY / "docs").glob("*.md")} == own.keys()
        prompt = json.loads((pack / "workflows" / "api" / "text-to-video-distilled.json").read_text("utf-8"))
        result = GraphRunner(with_tiny_models(prompt, width=64, height=64, length=9, steps=2), own)
        [images] = result("LTX2VideoVAEDecode")
        assert images.shape == (9, 64, 64, 3) and torch.isfinite(images).all()
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "shipped_pack"]:
            del sys.modules[name]


@pytest.mark.parametrize("command", ["download.py", "convert.py", "provision.py"])
def test_its_commands_start(shipped: list[Path], command: str, tmp_path: Path) -> None:
    """With the modules that ship alone, and no package."""
    for path in shipped:
        if path.suffix == ".py" and path.is_relative_to(REPO / "tools"):
            target = tmp_path / path.relative_to(REPO)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    answer = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "tools" / command), "--help"], capture_output=True, text=True
    )
    assert answer.returncode == 0 and "usage:" in answer.stdout, answer.stderr
