"""Whatever lies in the model folders, the pack imports; an odd entry is left out, or refused when it is chosen."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.nodes.queueing import answer


@pytest.fixture
def folders(nodes: dict[str, Any]) -> ModuleType:
    return sys.modules["ltx2_pack.nodes.host.folders"]


@pytest.fixture
def models(nodes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Model folders of the test's own, instead of ComfyUI's."""
    import folder_paths

    extensions = {".safetensors"}
    names = ("checkpoints", "diffusion_models", "loras", "text_encoders", "vae", "latent_upscale_models")
    own = {}
    for name in names:
        (tmp_path / name).mkdir()
        own[name] = ([str(tmp_path / name)], extensions)
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", own)
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    yield tmp_path


def fill_with_oddities(folder: Path) -> None:
    """Links to themselves, to nothing and to their own folder; a socket; a folder named as a file."""
    for name in ("self.safetensors", "self.json", "self"):
        (folder / name).symlink_to(folder / name)
    for name in ("nothing.safetensors", "nothing.json", "nothing"):
        (folder / name).symlink_to(folder / "not-there")
    (folder / "back").symlink_to(folder)
    (folder / "folder.json").mkdir()
    (folder / "folder.safetensors").mkdir()
    there = os.getcwd()
    os.chdir(folder)  # the path of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket.json")
    finally:
        os.chdir(there)


def build_schemas(nodes: dict[str, Any]) -> None:
    for node in nodes.values():
        node.define_schema()


def test_odd_entries_are_left_out(folders: ModuleType, models: Path, nodes: dict[str, Any], pack: ModuleType) -> None:
    for folder in ("checkpoints", "diffusion_models", "loras", "text_encoders"):
        fill_with_oddities(models / folder)
    (models / "checkpoints" / "amax.json").write_text("{}")
    (models / "checkpoints" / "model.safetensors").write_bytes(b"x")
    build_schemas(nodes)
    assert len(asyncio.run(asyncio.run(pack.comfy_entrypoint()).get_node_list())) == len(nodes)
    assert folders.calibration_options() == ["none", "amax.json"]
    assert "model.safetensors" in folders.file_options("checkpoints")


@pytest.mark.parametrize("name", ["self.safetensors", "nothing.safetensors", "folder.safetensors"])
def test_an_odd_entry_that_is_chosen_is_refused(models: Path, nodes: dict[str, Any], name: str) -> None:
    fill_with_oddities(models / "checkpoints")
    said = answer(nodes["LTX2CheckpointLoader"], name, "auto", "none", "none", 1.0)
    assert isinstance(said, str) and name in said and "checkpoints" in said


def test_one_entry_that_core_cannot_look_at_costs_itself_only(
    folders: ModuleType, models: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import folder_paths

    fill_with_oddities(models / "loras")
    (models / "loras" / "back").unlink()  # a folder that leads back is not even shown to core
    (models / "loras" / "style.safetensors").write_bytes(b"x")
    (models / "loras" / "notes.txt").write_text("x")

    def refuse(folder: str) -> list[str]:
        raise PermissionError(13, "Permission denied", "secret")

    monkeypatch.setattr(folder_paths, "get_filename_list", refuse)
    options = folders.file_options("loras", optional=True)
    assert options[0] == "none" and "style.safetensors" in options and "notes.txt" not in options
    assert "models/loras" in caplog.text


def test_links_that_lead_back_end(folders: ModuleType, models: Path, nodes: dict[str, Any]) -> None:
    """With two of them ComfyUI's own listing doubles its work forty times over."""
    for folder in ("checkpoints", "loras"):
        (models / folder / "model.safetensors").write_bytes(b"x")
        (models / folder / "back").symlink_to(".")
        (models / folder / "up").symlink_to("..")
    build_schemas(nodes)
    names = folders.file_options("checkpoints")
    assert "model.safetensors" in names and not any("back" in name for name in names)


def test_a_link_to_a_neighbour_is_listed_under_both_names(folders: ModuleType, models: Path) -> None:
    (models / "loras" / "styles").mkdir()
    (models / "loras" / "styles" / "a.safetensors").write_bytes(b"x")
    (models / "loras" / "alias").symlink_to("styles")
    assert folders.file_options("loras") == ["alias/a.safetensors", "styles/a.safetensors"]


def test_an_unreadable_folder_is_left_out(
    folders: ModuleType, models: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (models / "diffusion_models" / "amax.json").write_text("{}")
    closed, listdir = str(models / "checkpoints"), os.listdir

    def guarded(path: str) -> list[str]:
        if path == closed:
            raise PermissionError(13, "Permission denied", path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", guarded)
    assert folders.calibration_options() == ["none", "amax.json"]
    assert closed in caplog.text


def test_a_thousand_files_are_not_looked_at_one_by_one(
    models: Path, nodes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a share that answers slowly each question costs: schemas ask per folder, not per file."""
    (models / "text_encoders" / "gemma").mkdir()
    (models / "text_encoders" / "gemma" / "config.json").write_text("{}")
    for index in range(1000):
        (models / "checkpoints" / f"model-{index}.safetensors").touch()
        (models / "text_encoders" / "gemma" / f"model-{index}.safetensors").touch()
    build_schemas(nodes)  # ComfyUI remembers the lists from here on
    asked = []
    stat, is_file = os.stat, os.path.isfile
    monkeypatch.setattr(os, "stat", lambda *args, **kwargs: asked.append(args) or stat(*args, **kwargs))
    monkeypatch.setattr(os.path, "isfile", lambda path: asked.append(path) or is_file(path))
    build_schemas(nodes)
    assert len(asked) < 200
    assert nodes["LTX2TextEncoderLoader"].define_schema().inputs[0].options == ["gemma"]
