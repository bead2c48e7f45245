"""No scale is overlooked, and files of other quantisations are called by their names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ltx_core_impl.loader import SingleGPUModelBuilder, UnsupportedFormatError, open_checkpoint
from ltx_core_impl.loader.errors import CheckpointError
from ltx_core_impl.quantization.other_kinds import other_kind_of_config, other_kind_of_tensors
from ltx_core_impl.text_encoders.gemma.files import open_gemma
from tests.unit.gguf_fixtures import random_blocks, save_gguf
from tests.unit.loader_fixtures import Blocks, BlocksConfigurator, inventory

FP8, BF16 = torch.float8_e4m3fn, torch.bfloat16
LAYER = "transformer_blocks.1.attn1.to_q"
TABLE = "transformer_blocks.1.attn1.q_norm.weight"


def blocks_with(tmp_path: Path, extra: dict[str, Tensor]) -> Path:
    torch.manual_seed(3)
    tensors = {name: torch.randn_like(value).to(BF16) for name, value in Blocks().state_dict().items()}
    save_file(tensors | extra, tmp_path / "x.safetensors")
    return tmp_path / "x.safetensors"


def fp8_weight() -> Tensor:
    return torch.ones(16, 16).to(FP8)


@pytest.mark.parametrize(
    "leaf",
    [
        "scale",
        "weight_scales",
        "weight.scale",
        "weight_scale_2",
        "weight_zero_point",
        "dequant_factor",
        "weight.meta.x",
    ],
)
@pytest.mark.parametrize("scaled", [False, True])
def test_a_companion_that_nobody_takes_is_refused(tmp_path: Path, leaf: str, scaled: bool) -> None:
    extra = {f"{LAYER}.weight": fp8_weight(), f"{LAYER}.{leaf}": torch.full((), 800.0)}
    extra |= {f"{LAYER}.weight_scale": torch.tensor(0.01)} if scaled else {}
    path = blocks_with(tmp_path, extra)
    with pytest.raises(UnsupportedFormatError) as caught:
        SingleGPUModelBuilder(BlocksConfigurator, path).validate()
    assert f"{LAYER}.{leaf}" in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    "extra",
    [
        {f"{LAYER}.weight": fp8_weight(), f"{LAYER}_scale": torch.ones(())},
        {
            f"{LAYER}.weight": fp8_weight(),
            f"{LAYER}.weight_scale": torch.ones(()),
            f"{LAYER}.scale_weight": torch.ones(()),
        },
        {f"{LAYER}.bias": torch.ones(16).to(FP8), f"{LAYER}.bias_scale": torch.ones(())},
        {TABLE: torch.ones(16).to(FP8), "transformer_blocks.1.attn1.q_norm.weight_scale_3": torch.ones(())},
        {f"{LAYER}.weight_scale": torch.ones(())},
        {f"{LAYER}.scale_weight": torch.ones(16)},
    ],
    ids=["beside the layer", "two scales", "of a bias", "of a norm", "beside bf16", "old name beside bf16"],
)
def test_scales_in_other_places_are_refused(tmp_path: Path, extra: dict[str, Tensor]) -> None:
    path = blocks_with(tmp_path, extra)
    with pytest.raises(UnsupportedFormatError, match=next(reversed(extra))):
        SingleGPUModelBuilder(BlocksConfigurator, path).validate()


def test_a_scale_beside_a_packed_gguf_weight_is_refused(tmp_path: Path) -> None:
    class Wide(BlocksConfigurator):
        @classmethod
        def from_config(cls, config: dict) -> Blocks:
            return Blocks(2, 32)

    tensors = {name: value.detach() for name, value in Blocks(2, 32).state_dict().items()}
    tensors |= {f"{LAYER}.weight": ("Q8_0", (32, 32), random_blocks("Q8_0", (32, 32))), f"{LAYER}.scale": torch.ones(1)}
    path = save_gguf(tmp_path / "x.gguf", tensors)
    with pytest.raises(UnsupportedFormatError, match=f"{LAYER}.weight is stored as Q8_0"):
        SingleGPUModelBuilder(Wide, path).validate()


def test_what_describes_inputs_changes_no_weight_and_is_accepted(tmp_path: Path) -> None:
    path = blocks_with(
        tmp_path,
        {
            f"{LAYER}.weight": fp8_weight(),
            f"{LAYER}.weight_scale": torch.ones(()),
            f"{LAYER}.input_scale": torch.ones(()),
            "transformer_blocks.0.attn1.to_q.input_scale": torch.ones(()),
        },
    )
    SingleGPUModelBuilder(BlocksConfigurator, path).validate()


INT32 = torch.zeros(16, 2, dtype=torch.int32)
OTHERS = {
    "bitsandbytes": {
        f"{LAYER}.weight": torch.zeros(128, 1, dtype=torch.uint8),
        f"{LAYER}.weight.absmax": torch.ones(4),
        f"{LAYER}.weight.quant_map": torch.ones(16),
        f"{LAYER}.weight.quant_state.bitsandbytes__nf4": torch.zeros(90, dtype=torch.uint8),
    },
    "bitsandbytes 8 bit": {f"{LAYER}.weight": torch.zeros(16, 16, dtype=torch.int8), f"{LAYER}.SCB": torch.ones(16)},
    "GPTQ": {
        f"{LAYER}.qweight": INT32.T.contiguous(),
        f"{LAYER}.qzeros": torch.zeros(1, 2, dtype=torch.int32),
        f"{LAYER}.scales": torch.ones(1, 16),
    },
    "GPTQ with an order": {f"{LAYER}.qweight": INT32, f"{LAYER}.g_idx": torch.zeros(16, dtype=torch.int32)},
    "AWQ": {f"{LAYER}.qweight": INT32, f"{LAYER}.qzeros": INT32.clone(), f"{LAYER}.scales": torch.ones(1, 16)},
    "SVDQuant": {
        f"{LAYER}.qweight": torch.zeros(16, 8, dtype=torch.int8),
        f"{LAYER}.wscales": torch.ones(1, 16),
        f"{LAYER}.smooth_factor": torch.ones(16),
    },
    "quanto": {
        f"{LAYER}.weight._data": torch.zeros(16, 16, dtype=torch.int8),
        f"{LAYER}.weight._scale": torch.ones(16, 1),
    },
    "torchao": {
        f"{LAYER}._weight_qdata": torch.zeros(16, 16, dtype=torch.int8),
        f"{LAYER}._weight_scale": torch.ones(16),
    },
    "HQQ": {f"{LAYER}.W_q": torch.zeros(16, 8, dtype=torch.uint8)},
    "compressed-tensors": {f"{LAYER}.weight_packed": INT32, f"{LAYER}.weight_scale": torch.ones(16, 1)},
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_quantisations_are_called_by_their_names(tmp_path: Path, name: str) -> None:
    path = blocks_with(tmp_path, OTHERS[name])
    for judge in (open_checkpoint, open_gemma):
        with pytest.raises(CheckpointError, match=name.split()[0]) as caught:
            judge(path)
        assert "use the bf16" in str(caught.value) and "download it again" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, "bitsandbytes"),
        ({"quantization_config": {"load_in_8bit": True}}, "bitsandbytes"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "GPTQ"),
        ({"quantization_config": {"quant_method": "awq"}}, "AWQ"),
        ({"quantization_config": {"method": "svdquant"}}, "SVDQuant"),
        ({"quantization_config": {"quant_method": "quanto"}}, "quanto"),
        ({"quantization_config": {"quant_method": "torchao"}}, "torchao"),
        ({"quantization_config": {"quant_method": "something-new"}}, "something-new"),
    ],
)
def test_a_folder_says_it_in_its_config(tmp_path: Path, config: dict, kind: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma3", **config}))
    save_file({"model.layers.0.mlp.down_proj.weight": torch.ones(2, 2)}, tmp_path / "model.safetensors")
    for judge in (open_checkpoint, open_gemma):
        with pytest.raises(CheckpointError, match=kind):
            judge(tmp_path)


@pytest.mark.parametrize(
    "config", [{}, {"quantization_config": None}, {"quantization_config": {"quant_method": "fp8"}}]
)
def test_other_configs_say_nothing(config: dict) -> None:
    assert other_kind_of_config(config) is None


@pytest.mark.parametrize("size", ["19b", "22b"])
def test_published_files_are_of_no_other_kind(size: str) -> None:
    shapes = inventory(size)
    scales = {f"{key.removesuffix('.weight')}.{leaf}": () for key in shapes for leaf in ("weight_scale", "input_scale")}
    assert other_kind_of_tensors(shapes | scales) is None
