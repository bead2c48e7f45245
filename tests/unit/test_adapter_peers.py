"""Adapters made and run by PEFT and LyCORIS, fused by us. Runs where the two are installed; the formulas themselves are
held by test_loader_adapters.py, which needs neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ltx_core_impl.loader import SingleGPUModelBuilder

REASON = "the peer is not installed: pip install peft==0.21.2 accelerate lycoris-lora==4.1.3 toml to compare with it"
OUT, IN = 36, 24


class One(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.to_q = nn.Linear(IN, OUT)

    @classmethod
    def from_config(cls, config: dict) -> One:
        return cls()


def ours(tmp_path: Path, layer: nn.Linear, adapter: dict[str, Tensor], metadata: dict[str, str] | None = None) -> Any:
    save_file({f"to_q.{name}": value for name, value in layer.state_dict().items()}, tmp_path / "model.safetensors")
    adapter = {key: value.detach().clone().contiguous() for key, value in adapter.items()}
    save_file(adapter, tmp_path / "lora.safetensors", metadata)
    builder = SingleGPUModelBuilder(One, tmp_path / "model.safetensors")
    return builder.lora(tmp_path / "lora.safetensors").build("cpu").to_q


def matrix(module: nn.Module) -> Tensor:
    """The matrix that a module without its bias multiplies by, from what it computes."""
    with torch.no_grad():
        return (module(torch.eye(IN)) - module(torch.zeros(1, IN))).t()


LYCORIS = [
    *(("locon", "LoConModule", {"lora_dim": 4, "rs_lora": stabilized}) for stabilized in (False, True)),
    *(("loha", "LohaModule", {"lora_dim": 4, "rs_lora": stabilized}) for stabilized in (False, True)),
    *(("lokr", "LokrModule", {"lora_dim": 2, "rs_lora": stabilized}) for stabilized in (False, True)),
    ("lokr", "LokrModule", {"lora_dim": 1, "decompose_both": True}),
    # Without rs_lora: LyCORIS itself loads a file with two whole halves at another scale than it trained it with.
    ("lokr", "LokrModule", {"lora_dim": 2, "full_matrix": True}),
]


@pytest.mark.parametrize(("file", "name", "options"), LYCORIS)
@pytest.mark.parametrize("dora", [{}, {"weight_decompose": True}, {"weight_decompose": True, "wd_on_out": False}])
def test_lycoris(tmp_path: Path, file: str, name: str, options: dict, dora: dict) -> None:
    lycoris = pytest.importorskip(f"lycoris.modules.{file}", reason=REASON)
    torch.manual_seed(0)
    layer = nn.Linear(IN, OUT)
    module = getattr(lycoris, name)("x", layer, 1.0, alpha=3, **options, **dora)
    for key, parameter in module.named_parameters():
        parameter.data.normal_()
        if key == "dora_scale":
            parameter.data.abs_()
    adapter = {f"lycoris_to_q.{key}": value for key, value in module.custom_state_dict().items()}
    fused = ours(tmp_path, layer, adapter)
    # What it computes while it trains: merge_to of 4.1.3 multiplies LoHa and LoKr by alpha / rank twice.
    torch.testing.assert_close(fused.weight.data, matrix(module.eval()), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("stabilized", [False, True])
def test_peft(tmp_path: Path, dora: bool, stabilized: bool) -> None:
    peft = pytest.importorskip("peft", reason=REASON)
    torch.manual_seed(0)
    model = One()
    layer = nn.Linear(IN, OUT)
    layer.load_state_dict(model.to_q.state_dict())
    config = peft.LoraConfig(
        r=4, lora_alpha=6, alpha_pattern={"to_q": 10}, target_modules=["to_q"], use_dora=dora, use_rslora=stabilized
    )
    wrapped = peft.get_peft_model(model, config)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            parameter.data.normal_()
        if "magnitude" in name:
            parameter.data.abs_()
    adapter = peft.get_peft_model_state_dict(wrapped)
    text = f'{{"transformer.r": 4, "transformer.lora_alpha": 6, "transformer.alpha_pattern": {{"to_q": 10}}, \
"transformer.use_rslora": {str(stabilized).lower()}, "transformer.use_dora": {str(dora).lower()}}}'
    fused = ours(tmp_path, layer, adapter, {"lora_adapter_metadata": text})
    torch.testing.assert_close(fused.weight.data, wrapped.merge_and_unload().to_q.weight.data, rtol=1e-4, atol=1e-4)


def test_peft_with_biases(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason=REASON)
    torch.manual_seed(0)
    model = One()
    layer = nn.Linear(IN, OUT)
    layer.load_state_dict(model.to_q.state_dict())
    wrapped = peft.get_peft_model(model, peft.LoraConfig(r=4, lora_alpha=4, target_modules=["to_q"], lora_bias=True))
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            parameter.data.normal_()
    fused = ours(tmp_path, layer, peft.get_peft_model_state_dict(wrapped))
    merged = wrapped.merge_and_unload().to_q
    torch.testing.assert_close(fused.bias.data, merged.bias.data)
    torch.testing.assert_close(fused.weight.data, merged.weight.data)
