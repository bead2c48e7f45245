"""A damaged file is refused by the loader that names it, when the graph is queued, in a sentence that names it."""

from __future__ import annotations

import json
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TESTS
from tests.nodes.queueing import answer

GOLDEN, GOLDEN25 = TESTS / "golden", TESTS / "golden25"
COMBINED = GOLDEN / "ltx-2.3-tiny.safetensors"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7600000000\n"


@pytest.fixture
def models(nodes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Model folders of the test's own, instead of ComfyUI's."""
    import folder_paths

    own = {}
    for name in ("checkpoints", "diffusion_models", "loras", "text_encoders", "vae", "latent_upscale_models"):
        (tmp_path / name).mkdir()
        own[name] = ([str(tmp_path / name)], {".safetensors"})
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", own)
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    return tmp_path


def rewritten(source: Path, target: Path, change: Callable[[dict, dict], None]) -> None:
    """A copy with another header (tensors, config); the tensors are a hole."""
    with open(source, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    config = json.loads(header["__metadata__"]["config"])
    data_bytes = source.stat().st_size - 8 - length
    change(header, config)
    header["__metadata__"]["config"] = json.dumps(config)
    text = json.dumps(header).encode()
    with open(target, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + data_bytes)


def load_checkpoint(nodes: dict[str, Any], name: str) -> bool | str:
    return answer(nodes["LTX2CheckpointLoader"], name, "auto", "none", "none", 1.0)


def test_good_files_pass(nodes: dict[str, Any], models: Path) -> None:
    shutil.copy(COMBINED, models / "checkpoints" / "good.safetensors")
    shutil.copy(GOLDEN / "ltx-2.3-tiny.lora-a.safetensors", models / "loras" / "good.safetensors")
    shutil.copy(GOLDEN / "ltx-2.3-tiny.upscaler-x2.safetensors", models / "latent_upscale_models" / "good.safetensors")
    for name in ("ltx-2.5-tiny-video-vae-bf16", "ltx-2.5-tiny-audio-vae-bf16", "ltx-2.5-tiny-video-vae-conv-bf16"):
        shutil.copy(GOLDEN25 / "vae" / f"{name}.safetensors", models / "vae" / f"{name}.safetensors")
        assert answer(nodes["LTX2ComponentLoader"], f"{name}.safetensors") is True
    shutil.copytree(GOLDEN / "gemma-tiny", models / "text_encoders" / "gemma")
    assert load_checkpoint(nodes, "good.safetensors") is True
    assert answer(nodes["LTX2LoraLoader"], "good.safetensors", 1.0) is True
    assert answer(nodes["LTX2UpscalerLoader"], "good.safetensors") is True
    assert answer(nodes["LTX2TextEncoderLoader"], "gemma") is True


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (LFS, "Git LFS pointer"),
        (b"<!DOCTYPE html><html>sign in</html>", "web page"),
        (b"", "is empty"),
        ((GOLDEN / "ltx-2.3-tiny.lora-a.safetensors").read_bytes()[:-100], "is truncated"),
        ((GOLDEN / "ltx-2.3-tiny.lora-a.safetensors").read_bytes()[:200], "is truncated"),
        ((GOLDEN / "ltx-2.3-tiny.upscaler-x2.safetensors").read_bytes(), "has no LoRA matrices"),
    ],
    ids=["lfs", "html", "empty", "cut", "cut in the header", "no LoRA"],
)
def test_a_damaged_lora(nodes: dict[str, Any], models: Path, content: bytes, words: str) -> None:
    (models / "loras" / "style.safetensors").write_bytes(content)
    said = answer(nodes["LTX2LoraLoader"], "style.safetensors", 1.0)
    assert isinstance(said, str) and "style.safetensors" in said and words in said
    # Mended, it passes: the verdict is about the file as it was.
    shutil.copy(GOLDEN / "ltx-2.3-tiny.lora-a.safetensors", models / "loras" / "style.safetensors")
    assert answer(nodes["LTX2LoraLoader"], "style.safetensors", 1.0) is True


def _set(*path: Any, value: Any) -> Callable[[dict, dict], None]:
    def change(header: dict, config: dict) -> None:
        inner: Any = config
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value

    return change


def _reshaped(tensor: str) -> Callable[[dict, dict], None]:
    def change(header: dict, config: dict) -> None:
        header[tensor]["shape"] = header[tensor]["shape"][::-1]

    return change


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (_set("vae", "decoder_blocks", value=[]), "config.vae.decoder_blocks"),
        (_set("vae", "timestep_conditioning", value=True), "timestep_conditioning"),
        (_reshaped("vae.decoder.conv_in.conv.weight"), "conv_in.conv.weight of the video decoder"),
        (_set("audio_vae", "preprocessing", "stft", "hop_length", value=0), "stft.hop_length"),
        (_set("audio_vae", "model", "params", "ddconfig", "num_res_blocks", value=2), "num_res_blocks"),
        (_set("vocoder", "bwe", "n_fft", value=0), "vocoder.bwe.n_fft"),
        (_reshaped("vocoder.vocoder.conv_pre.weight"), "vocoder.vocoder.conv_pre.weight"),
        (_set("transformer", "num_layers", value=3), "transformer.num_layers is 3, the tensors say 4"),
        (_set("transformer", "connector_num_layers", value=True), "transformer.connector_num_layers"),
    ],
)
def test_a_damaged_part_of_a_checkpoint(
    nodes: dict[str, Any], models: Path, change: Callable[[dict, dict], None], word: str
) -> None:
    rewritten(COMBINED, models / "checkpoints" / "model.safetensors", change)
    said = load_checkpoint(nodes, "model.safetensors")
    assert isinstance(said, str) and "model.safetensors" in said and word in said


def test_a_damaged_upscaler(nodes: dict[str, Any], models: Path) -> None:
    source, target = (
        GOLDEN / "ltx-2.3-tiny.upscaler-x2.safetensors",
        models / "latent_upscale_models" / "up.safetensors",
    )
    for change, word in (
        (_set("num_blocks_per_stage", value=3), "config.num_blocks_per_stage is 3, the tensors say 1"),
        (_set("mid_channels", value=True), "config.mid_channels is true"),
        (_reshaped("final_conv.weight"), "final_conv.weight"),
    ):
        rewritten(source, target, change)
        said = answer(nodes["LTX2UpscalerLoader"], "up.safetensors")
        assert isinstance(said, str) and "up.safetensors" in said and word in said
    target.write_bytes(LFS)
    assert "Git LFS pointer" in answer(nodes["LTX2UpscalerLoader"], "up.safetensors")


def test_a_damaged_text_encoder(nodes: dict[str, Any], models: Path) -> None:
    folder = models / "text_encoders" / "gemma"
    shutil.copytree(GOLDEN / "gemma-tiny", folder)
    loader = nodes["LTX2TextEncoderLoader"]
    assert answer(loader, "gemma") is True
    whole, tokenizer = json.loads((folder / "config.json").read_text()), (folder / "tokenizer.json").read_bytes()

    for content in (tokenizer[: len(tokenizer) // 2], LFS, b"{}"):
        (folder / "tokenizer.json").write_bytes(content)
        said = answer(loader, "gemma")
        assert isinstance(said, str) and "gemma" in said and "tokenizer.json" in said
    (folder / "tokenizer.json").write_bytes(tokenizer)

    text = whole["text_config"]
    for config, word in (
        ({key: value for key, value in whole.items() if key != "text_config"}, "text_config"),
        ({**whole, "text_config": []}, "text_config is []"),
        ({**whole, "text_config": {**text, "rms_norm_eps": "x"}}, "text_config.rms_norm_eps"),
        ({**whole, "text_config": {**text, "sliding_window": 0}}, "text_config.sliding_window is 0"),
        ({**whole, "text_config": {**text, "rope_scaling": {"factor": 0}}}, "rope_scaling.factor is 0"),
        ({**whole, "text_config": {**text, "layer_types": text["layer_types"][:-1]}}, "layer_types"),
    ):
        (folder / "config.json").write_text(json.dumps(config))
        said = answer(loader, "gemma")
        assert isinstance(said, str) and "gemma" in said and word in said
    (folder / "config.json").write_text(json.dumps(whole))
    assert answer(loader, "gemma") is True


def test_a_file_is_judged_once(nodes: dict[str, Any], models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(GOLDEN / "ltx-2.3-tiny.lora-a.safetensors", models / "loras" / "once.safetensors")
    judging, opened = sys.modules["ltx2_pack.nodes.loading.judging"], []
    open_lora = judging.loader.open_lora
    monkeypatch.setattr(judging.loader, "open_lora", lambda path: opened.append(path) or open_lora(path))
    for _ in range(3):
        assert answer(nodes["LTX2LoraLoader"], "once.safetensors", 1.0) is True
    assert len(opened) == 1
