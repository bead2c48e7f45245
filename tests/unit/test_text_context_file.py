"""Encoded prompts in files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ltx_core_impl.text_encoders.context_file import StoredContext, load_context, save_context

VIDEO, AUDIO = torch.randn(1, 5, 8), torch.randn(1, 5, 4)


def test_a_context_comes_back_as_it_was(tmp_path: Path) -> None:
    save_context(tmp_path / "a.safetensors", StoredContext(VIDEO, AUDIO, version="2.3", prompt="a “red” circle"))
    loaded = load_context(tmp_path / "a.safetensors")
    assert torch.equal(loaded.video, VIDEO) and torch.equal(loaded.audio, AUDIO)
    assert (loaded.version, loaded.prompt) == ("2.3", "a “red” circle")


def test_a_precomputed_file_without_notes_is_read(tmp_path: Path) -> None:
    save_file({"video_context": VIDEO.bfloat16(), "audio_context": AUDIO.bfloat16()}, tmp_path / "b.safetensors")
    loaded = load_context(tmp_path / "b.safetensors")
    assert (loaded.video.dtype, loaded.version, loaded.prompt) == (torch.float32, "", "")


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"audio_context": AUDIO}, "video_context is missing"),
        ({"video_context": VIDEO[0, 0], "audio_context": AUDIO}, "shape"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, tensors: dict, words: str) -> None:
    save_file(tensors, tmp_path / "c.safetensors")
    with pytest.raises(ValueError, match=words):
        load_context(tmp_path / "c.safetensors")


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.safetensors").write_bytes(b"<html>")
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load_context(tmp_path / "d.safetensors")


def test_a_scene_embedding_of_a_lora(tmp_path: Path) -> None:
    """Without a batch, and without sound: zeros as wide as the published models' stand in (spec 08 §3.2)."""
    save_file({"video_context": VIDEO[0]}, tmp_path / "scene.safetensors")
    stored = load_context(tmp_path / "scene.safetensors")
    assert torch.equal(stored.video, VIDEO[:1])
    assert stored.audio.shape == (1, VIDEO.shape[1], 2048) and not stored.audio.any()
    save_file({"video_context": VIDEO[0], "audio_context": AUDIO[0]}, tmp_path / "both.safetensors")
    assert torch.equal(load_context(tmp_path / "both.safetensors").audio, AUDIO[:1])
