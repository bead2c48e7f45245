"""ComfyUI's start costs what the schemas need: models, samplers and writers are imported when a run uses them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
COMFY = Path(os.environ.get("COMFYUI_PATH", REPO / ".host" / "ComfyUI"))
MOST_MODULES = 160

# As ComfyUI opens a pack: a package under another name, its entry point, its nodes, their schemas.
START = """
import asyncio, importlib.util, json, sys
sys.argv = ["main.py", "--cpu"]
repo, comfy = {repo!r}, {comfy!r}
sys.path.insert(0, comfy)
import comfy.options
comfy.options.enable_args_parsing()
spec = importlib.util.spec_from_file_location("the_pack", repo + "/__init__.py", submodule_search_locations=[repo])
pack = importlib.util.module_from_spec(spec)
sys.modules["the_pack"] = pack
spec.loader.exec_module(pack)

async def start():
    extension = await pack.comfy_entrypoint()
    return [node.GET_SCHEMA().node_id for node in await extension.get_node_list()]

nodes = asyncio.run(start())
ours = {{name: hasattr(module, "__path__") for name, module in sys.modules.items() if name.startswith("the_pack.")}}
print(json.dumps([nodes, ours]))
"""


@pytest.fixture(scope="module")
def started() -> tuple[list[str], dict[str, bool]]:
    """The ids of the nodes; the modules of the pack that are imported, and whether each is a package."""
    code = START.format(repo=str(REPO), comfy=str(COMFY))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    nodes, modules = json.loads(done.stdout.splitlines()[-1])
    return nodes, {
        name.removeprefix("the_pack.").removeprefix("ltx_core_impl."): package for name, package in modules.items()
    }


def test_the_nodes_are_all_there(started: tuple[list[str], dict[str, bool]]) -> None:
    assert len(started[0]) == len(set(started[0])) >= 65


@pytest.mark.parametrize(
    "room",
    [
        "model.transformer",
        "model.video_vae",
        "model.audio_vae",
        "model.upsampler",
        "text_encoders.gemma",
        "parallel",
        "kernels",
        "quantization",
        "loader",
    ],
)
def test_no_module_of_a_room_is_imported_at_the_start(started: tuple[list[str], dict[str, bool]], room: str) -> None:
    assert not [name for name, package in started[1].items() if name.startswith(f"{room}.") and not package]


def test_few_modules_are_imported_at_the_start(started: tuple[list[str], dict[str, bool]]) -> None:
    assert len(started[1]) <= MOST_MODULES
