"""A tensor that a file may declare and lack: the keyframe embedding of early LTX-2.5 files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ltx_core_impl.loader import SingleGPUModelBuilder
from ltx_core_impl.loader.errors import MissingTensorsError
from ltx_core_impl.model.transformer import LTXModelConfigurator, LTXVideoOnlyModelConfigurator
from tests.transformer_helpers import PREFIX, transformer_path

BF16, F32 = torch.bfloat16, torch.float32


@pytest.fixture
def early_file(tmp_path: Path) -> Path:
    """An LTX-2.5 transformer that declares the keyframe embedding and does not have it."""
    with safe_open(transformer_path("2.5"), "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}
        metadata = file.metadata()
    del tensors[f"{PREFIX}keyframes_abs_pos_embedding"]
    save_file(tensors, tmp_path / "early.safetensors", metadata)
    return tmp_path / "early.safetensors"


@pytest.mark.parametrize("configurator", [LTXModelConfigurator, LTXVideoOnlyModelConfigurator])
@pytest.mark.parametrize("dtype", [None, F32])
def test_a_keyframe_embedding_that_is_declared_but_absent_is_zero(
    early_file: Path, configurator: type, dtype: torch.dtype | None
) -> None:
    builder = SingleGPUModelBuilder(configurator, early_file)
    builder.validate()
    model = builder.build(device="cpu", dtype=dtype)
    embedding = model.keyframes_abs_pos_embedding
    assert embedding.dtype == (dtype or BF16)
    assert embedding.shape == (1, model.patchify_proj.out_features)
    assert not embedding.any()
    assert not embedding.requires_grad


def test_another_missing_tensor_is_still_an_error(early_file: Path) -> None:
    with safe_open(early_file, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys() if not key.endswith("patchify_proj.bias")}
        metadata = file.metadata()
    save_file(tensors, early_file, metadata)
    with pytest.raises(MissingTensorsError, match="patchify_proj"):
        SingleGPUModelBuilder(LTXModelConfigurator, early_file).build(device="cpu")
