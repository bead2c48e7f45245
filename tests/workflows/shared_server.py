"""One real ComfyUI server for all tests of a run that need one, started when the first of them asks."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.conftest import checkpoint_path
from tools.provision import demo_inputs, is_provisioned, provision
from tools.server import Server

SCENE = {
    name: torch.randn(48, width, generator=torch.Generator().manual_seed(width))
    for name, width in (("video_context", 64), ("audio_context", 32))
}
"""Tokens as wide as the tiny transformer of LTX-2.5 takes them."""

# No tutorial, no banner, no map: a test's screenshot shows the graph.
BROWSER_SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.UseNewMenu": "Disabled",
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.VueNodes.Enabled": False,
    "Comfy.Workflow.Persist": False,
}


@functools.cache
def running_server() -> Server:
    """The server, with folders of its own and the files of the demo graphs; stopped when Python ends."""
    if not is_provisioned():
        pytest.skip("needs a ComfyUI: python3 tools/run_tests.py makes one")
    folder = Path(tempfile.mkdtemp(prefix="ltx2-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    settings = folder / "user" / "default" / "comfy.settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(BROWSER_SETTINGS))
    (folder / "input").mkdir()
    for source in demo_inputs():
        shutil.copyfile(source, folder / "input" / source.name)
    server = Server(provision(), folder=folder, options=["--extra-model-paths-config", str(_own_models(folder))])
    server.start()
    atexit.register(server.stop)
    return server


def _own_models(folder: Path) -> Path:
    """Files that no golden case has; returns the file that tells ComfyUI of them.

    Broken checkpoints, as a user may really have them besides the good ones, and a fixed text of an HDR LoRA.
    """
    embeddings = folder / "models" / "embeddings"
    embeddings.mkdir(parents=True)
    save_file(SCENE, embeddings / "ltx-2.5-tiny-scene-emb.safetensors")
    checkpoints = folder / "models" / "checkpoints"
    checkpoints.mkdir(parents=True)
    good = checkpoint_path("2.3").read_bytes()
    contents = {
        "truncated": good[: len(good) // 2],
        "empty": b"",
        "html": b"<!DOCTYPE html><html><body>404</body></html>",
        "lfs-pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 46139010774\n",
        "pickle": b"PK\x03\x04" + bytes(200),
    }
    for name, content in contents.items():
        (checkpoints / f"{name}.safetensors").write_bytes(content)
    config = folder / "extra_model_paths.yaml"
    folders = "  checkpoints: checkpoints\n  embeddings: embeddings\n"
    config.write_text(f"own:\n  base_path: {folder / 'models'}\n{folders}")
    return config
