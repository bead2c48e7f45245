"""Loading and fusing what no fixture holds: odd sizes, every mix of dtypes, early LTX-2.5 files."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ltx_core_impl.loader import SingleGPUModelBuilder
from ltx_core_impl.loader.errors import MissingTensorsError
from ltx_core_impl.model.transformer import LTXModelConfigurator, LTXVideoOnlyModelConfigurator
from ltx_core_impl.quantization.fp8 import quantize_weight
from ltx_core_impl.quantization.linear import to_scaled_linear
from tests.transformer_helpers import PREFIX, transformer_path

BF16, F16, F32 = torch.bfloat16, torch.float16, torch.float32


class Odd(nn.Module):
    """Layers whose sizes are multiples of nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer_blocks = nn.ModuleList(
            nn.ModuleDict({"to_q": nn.Linear(21, 7), "net": nn.Linear(7, 33, bias=False)}) for _ in range(2)
        )
        self.proj_out = nn.Linear(7, 5)

    @classmethod
    def from_config(cls, config: dict) -> Odd:
        return cls()


LORAS = ((2, BF16, None, 0.8), (50, F32, 10.0, -0.3), (1, F16, 3.0, 1), (4, BF16, 4.0, 0.0), (3, BF16, None, 1.7))
"""Rank (also beyond the layers' sizes), dtype of the matrices, alpha, strength."""


@pytest.mark.parametrize(("stored", "built"), list(itertools.product((BF16, F32, F16), (None, BF16, F32))))
def test_stacked_loras_are_added_in_the_reference_order(
    tmp_path: Path, stored: torch.dtype, built: torch.dtype | None
) -> None:
    torch.manual_seed(0)
    weights = {name: value.to(stored) for name, value in Odd().state_dict().items()}
    save_file(weights, tmp_path / "model.safetensors")
    builder = SingleGPUModelBuilder(Odd, tmp_path / "model.safetensors")
    target = built or stored
    products: dict[str, list[Tensor]] = {}
    for number, (rank, dtype, alpha, strength) in enumerate(LORAS):
        lora = {}
        for name, weight in weights.items():
            if weight.ndim != 2:
                continue
            module = f"diffusion_model.{name.removesuffix('.weight')}"
            down, up = (torch.randn(rank, weight.shape[1]) * 0.2).to(dtype), torch.randn(len(weight), rank).to(dtype)
            lora |= {f"{module}.lora_A.weight": down, f"{module}.lora_B.weight": up}
            scale = strength
            if alpha is not None:
                lora[f"{module}.alpha"] = torch.tensor([alpha]) if number % 2 else torch.tensor(alpha, dtype=BF16)
                scale = strength * alpha / rank
            if strength:
                products.setdefault(name, []).append(torch.matmul(up * scale, down).to(target))
        save_file(lora, tmp_path / f"{number}.safetensors")
        builder = builder.lora(tmp_path / f"{number}.safetensors", strength)
    fused = builder.build(device="cpu", dtype=built).state_dict()
    for name, weight in weights.items():
        expected = weight.to(target)
        if name in products:
            expected = torch.stack(products[name]).sum(dim=0).add_(weight)
        assert fused[name].dtype == target
        assert torch.equal(fused[name], expected), name


@pytest.mark.parametrize("shape", [(21,), (3, 21), (2, 3, 21), (0, 21), (2, 0, 21), (1, 2, 3, 21)])
def test_scaled_layers_take_inputs_of_any_rank_and_size(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    plain = nn.Linear(21, 7)
    codes, scale = quantize_weight(plain.weight.detach())
    layer = to_scaled_linear(nn.Linear(21, 7))
    layer.weight, layer.bias = nn.Parameter(codes, requires_grad=False), plain.bias
    layer.set_scales(scale.reshape(1), torch.tensor([0.02]))
    x = torch.randn(shape)
    y = layer(x)
    assert y.shape == (*shape[:-1], 7)
    torch.testing.assert_close(y, plain(x), atol=0.2, rtol=0.1)


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
