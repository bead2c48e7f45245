"""GGUF files at the loader: listed whatever lies beside them, judged from their header, used as any other file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ltx_core_impl.loader import SingleGPUModelBuilder
from ltx_core_impl.model.transformer import LTXModelConfigurator
from ltx_core_impl.quantization.packed import PackedLinear
from tests.conftest import GOLDEN, checkpoint_path
from tests.unit.gguf_fixtures import BLOCK_TYPES, random_blocks, save_gguf


@pytest.fixture
def folder(nodes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import folder_paths

    for name in ("diffusion_models", "checkpoints"):
        (tmp_path / name).mkdir()
        monkeypatch.setitem(
            folder_paths.folder_names_and_paths, name, ([str(tmp_path / name)], folder_paths.supported_pt_extensions)
        )
        monkeypatch.delitem(folder_paths.filename_list_cache, name, raising=False)
    yield tmp_path / "diffusion_models"
    for name in ("diffusion_models", "checkpoints"):
        folder_paths.filename_list_cache.pop(name, None)


def offered(nodes: dict[str, Any]) -> list[str]:
    schema = nodes["LTX2CheckpointLoader"].define_schema()
    return next(slot for slot in schema.inputs if slot.id == "checkpoint").options


def test_they_are_listed_with_their_folders(nodes: dict[str, Any], folder: Path) -> None:
    (folder / "sub").mkdir()
    for name in ("a.gguf", "sub/B.GGUF", "c.safetensors", "d.txt"):
        (folder / name).write_bytes(b"x")
    assert offered(nodes) == ["a.gguf", "c.safetensors", os.path.join("sub", "B.GGUF")]


def test_odd_entries_beside_them_do_no_harm(nodes: dict[str, Any], folder: Path) -> None:
    (folder / "a.gguf").write_bytes(b"x")
    (folder / "loop.gguf").symlink_to("loop.gguf")
    (folder / "nowhere.gguf").symlink_to("absent")
    (folder / "back").symlink_to(folder)
    (folder / "folder.gguf").mkdir()
    listed = sys.modules["ltx2_pack.nodes.host"].with_gguf_files(
        [], "diffusion_models", "checkpoints", "no_such_folder"
    )
    assert listed == ["a.gguf"]


def tiny(path: Path) -> Path:
    """The tiny LTX-2.3 as a transformer-only GGUF with some layers in Q8_0."""
    prefix, tensors = "model.diffusion_model.", {}
    for key, value in load_file(checkpoint_path("2.3")).items():
        name = key.removeprefix(prefix)
        if name == key:
            continue
        packed = name.endswith("attn1.to_q.weight") and value.shape[1] % 32 == 0
        raw = random_blocks("Q8_0", tuple(value.shape)) if packed else None
        tensors[name] = ("Q8_0", tuple(value.shape), raw) if packed else value.to(torch.bfloat16)
    config = SingleGPUModelBuilder(LTXModelConfigurator, checkpoint_path("2.3")).model_config()
    return save_gguf(path, tensors, {"config": json.dumps(config), "model_version": "2.3"})


def test_one_is_loaded_and_its_size_is_known(nodes: dict[str, Any], folder: Path, run: Any) -> None:
    path = tiny(folder / "tiny.gguf")
    choice = {
        "checkpoint": "tiny.gguf",
        "precision": "auto",
        "calibration": "none",
        "lora": "none",
        "lora_strength": 1.0,
    }
    assert nodes["LTX2CheckpointLoader"].validate_inputs(**choice) is True
    handle = run("LTX2CheckpointLoader", **choice)[0]
    assert handle.version == "2.3"
    components = sys.modules["ltx2_pack.nodes.loading.components"]
    with components.transformer(handle, working_memory=0) as model:
        modules = list(model.modules())
        assert any(type(module).__name__ == PackedLinear.__name__ for module in modules)
        held = sum(tensor.nbytes for tensor in model.state_dict().values())
    dtype = components.transformer_dtype(handle)
    estimate = components._stored_bytes([str(path)], "transformer", dtype)
    assert 0.98 < estimate / held < 1.02
    widened = components._stored_bytes([str(path)], "transformer", dtype, lora=True)
    entries = components.loader.open_checkpoint(path).entries
    ours = [entry for key, (_, entry) in entries.items() if "connector" not in key]
    packed = [entry for entry in ours if entry.dtype in BLOCK_TYPES]
    values = sum(torch.Size(entry.shape).numel() for entry in packed)
    assert widened - estimate == values * dtype.itemsize - sum(entry.nbytes for entry in packed) > 0


def test_a_damaged_one_is_refused_when_the_graph_is_queued(nodes: dict[str, Any], folder: Path) -> None:
    whole = tiny(folder / "tiny.gguf").read_bytes()
    (folder / "tiny.gguf").write_bytes(whole[:-100])
    choice = {
        "checkpoint": "tiny.gguf",
        "precision": "auto",
        "calibration": "none",
        "lora": "none",
        "lora_strength": 1.0,
    }
    with pytest.raises(ValueError) as refusal:
        nodes["LTX2CheckpointLoader"].validate_inputs(**choice)
    said = str(refusal.value)
    assert isinstance(said, str) and "truncated" in said and "tiny.gguf" in said


def test_a_lora_goes_on_top(nodes: dict[str, Any], folder: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import folder_paths

    monkeypatch.setitem(folder_paths.folder_names_and_paths, "loras", ([str(GOLDEN)], {".safetensors"}))
    tiny(folder / "tiny.gguf")
    choice = {"checkpoint": "tiny.gguf", "precision": "auto", "calibration": "none"}
    handle = run("LTX2CheckpointLoader", **choice, lora="ltx-2.3-tiny.lora-a.safetensors", lora_strength=0.8)[0]
    components = sys.modules["ltx2_pack.nodes.loading.components"]
    with components.transformer(handle, working_memory=0) as model:
        assert all(value.isfinite().all() for value in model.state_dict().values() if value.dtype.is_floating_point)
