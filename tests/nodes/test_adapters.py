"""LoRAs on the loaders: files in models/loras, what is refused at the queue, what is said on the node."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import GOLDEN
from tests.text_helpers import GEMMA3

Run = Callable[..., tuple[Any, ...]]
LAYER = "layers.0.self_attn.q_proj"


@pytest.fixture
def loras(pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that ComfyUI knows as one for LoRAs."""
    import folder_paths

    paths, extensions = folder_paths.folder_names_and_paths["loras"]
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "loras", ([str(tmp_path), *paths], extensions))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    return tmp_path


@pytest.fixture
def projection(nodes: dict[str, Any]) -> Any:
    return nodes["LTX2CheckpointLoader"].execute("ltx-2.3-tiny.safetensors", "auto", "none", "none", 1.0).args[4]


def text_lora() -> dict[str, torch.Tensor]:
    rows, columns = load_file(GEMMA3 / "model-00001-of-00001.safetensors")[f"language_model.model.{LAYER}.weight"].shape
    return {
        f"base_model.model.model.{LAYER}.lora_A.weight": torch.ones(2, columns) / 4,
        f"base_model.model.model.{LAYER}.lora_B.weight": torch.ones(rows, 2),
    }


def test_a_lora_of_the_text_encoder_changes_the_context(
    run: Run, nodes: dict[str, Any], loras: Path, projection: Any
) -> None:
    save_file(text_lora(), loras / "words.safetensors")
    loader = nodes["LTX2TextEncoderLoader"]
    assert loader.validate_inputs("gemma-3-tiny", "words.safetensors", 1.0) is True
    assert loader.validate_inputs("gemma-3-tiny") is True

    def context(**inputs: Any) -> torch.Tensor:
        output = loader.execute("gemma-3-tiny", projection, **inputs)
        assert output.ui is None
        return run("LTX2TextEncode", text_encoder=output.args[0], prompt="a red circle")[0].video

    plain = context()
    assert torch.equal(context(lora="words.safetensors", lora_strength=0.0), plain)
    assert (context(lora="words.safetensors", lora_strength=1.0) - plain).abs().max() > 1e-3
    prints = [loader.fingerprint_inputs("gemma-3-tiny", "words.safetensors", strength) for strength in (0.5, 1.0)]
    assert len({*prints, loader.fingerprint_inputs("gemma-3-tiny")}) == 3


def test_a_lora_in_the_wrong_loader_is_refused_at_the_queue(nodes: dict[str, Any], loras: Path) -> None:
    words = {key.replace("base_model.model.", "text_encoder."): value for key, value in text_lora().items()}
    save_file(words, loras / "words.safetensors")
    with pytest.raises(ValueError, match="changes nothing of this model"):
        nodes["LTX2TextEncoderLoader"].validate_inputs("gemma-3-tiny", "ltx-2.3-tiny-lora-a.safetensors", 1.0)
    with pytest.raises(ValueError, match="goes into the text encoder's loader"):
        nodes["LTX2CheckpointLoader"].validate_inputs(
            "ltx-2.3-tiny.safetensors", "auto", "none", "words.safetensors", 1.0
        )


def test_names_and_metadata_of_another_version_are_only_said(nodes: dict[str, Any], loras: Path) -> None:
    tensors = load_file(GOLDEN / "ltx-2.3-tiny.lora-a.safetensors")
    save_file(tensors, loras / "ltx-2-mystyle.safetensors")
    save_file(tensors, loras / "mystyle.safetensors", {"model_version": "2.5.0"})
    save_file(tensors | {"diffusion_model.elsewhere.diff": torch.ones(1)}, loras / "more.safetensors")
    model = nodes["LTX2CheckpointLoader"].execute("ltx-2.3-tiny.safetensors", "auto", "none", "none", 1.0).args[0]
    for name, words in (
        ("ltx-2-mystyle.safetensors", "seems to be made for LTX-2; ltx-2.3-tiny.safetensors is LTX-2.3"),
        ("mystyle.safetensors", "seems to be made for LTX-2.5; ltx-2.3-tiny.safetensors is LTX-2.3"),
        ("more.safetensors", "tensors in more.safetensors have no place in this model"),
    ):
        queued = nodes["LTX2CheckpointLoader"].validate_inputs("ltx-2.3-tiny.safetensors", "auto", "none", name, 1.0)
        assert queued is True
        output = nodes["LTX2LoraLoader"].execute(model, name, 1.0)
        assert words in output.ui.as_dict()["text"][0]
        assert output.args[0].loras[0].file.name == name


def test_alpha_in_the_metadata_doubles_the_change(run: Run, nodes: dict[str, Any], loras: Path, pack: Any) -> None:
    import sys

    components = sys.modules["ltx2_pack.nodes.loading.components"]
    tensors = load_file(GOLDEN / "ltx-2.3-tiny.lora-a.safetensors")
    rank = next(value.shape[0] for key, value in tensors.items() if "lora_A" in key)
    said = json.dumps({"transformer.r": rank, "transformer.lora_alpha": 2 * rank})
    save_file(tensors, loras / "twice.safetensors", {"lora_adapter_metadata": said})
    loader = nodes["LTX2CheckpointLoader"]

    def weights(name: str, strength: float) -> dict[str, torch.Tensor]:
        handle = loader.execute("ltx-2.3-tiny.safetensors", "auto", "none", name, strength).args[0]
        return components.transformer_builder(handle).build("cpu").state_dict()

    twice, double = weights("twice.safetensors", 0.5), weights("ltx-2.3-tiny-lora-a.safetensors", 1.0)
    assert all(torch.equal(twice[name], value) for name, value in double.items())
