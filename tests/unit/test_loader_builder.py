"""The builder on toy models: names, dtypes, errors, progress, memory (spec 01 §6.5, §12.8)."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ltx_core_impl.loader import (
    CheckpointError,
    CheckpointNotFoundError,
    ConfigError,
    KeyValueOperationResult,
    LoraError,
    LoraPathStrengthAndSDOps,
    MissingTensorsError,
    ModuleOps,
    SDOps,
    ShapeMismatchError,
    SingleGPUModelBuilder,
    StateDictRegistry,
    create_meta_model,
)
from tests.conftest import TESTS
from tests.unit.loader_fixtures import Toy, ToyConfigurator, toy_tensors


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_file(toy_tensors(), tmp_path / "toy.safetensors")
    return tmp_path / "toy.safetensors"


def builder(path: Path, **fields: object) -> SingleGPUModelBuilder:
    return SingleGPUModelBuilder(model_class_configurator=ToyConfigurator, model_path=path, **fields)


def save_lora(path: Path, keys: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> Path:
    save_file({key: value.contiguous() for key, value in keys.items()}, path, metadata)
    return path


def pair(module: str, rank: int = 2, inputs: int = 4, outputs: int = 4) -> dict[str, torch.Tensor]:
    down = torch.linspace(-1, 1, rank * inputs).reshape(rank, inputs)
    up = torch.linspace(1, -1, outputs * rank).reshape(outputs, rank)
    return {f"{module}.lora_A.weight": down, f"{module}.lora_B.weight": up}


def test_weights_device_dtype_and_mode(path: Path) -> None:
    model = builder(path).build(device="cpu")
    assert isinstance(model, Toy) and not model.training
    for name, tensor in toy_tensors().items():
        assert torch.equal(model.state_dict()[name], tensor)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert all(p.dtype == torch.bfloat16 for p in builder(path).build("cpu", torch.bfloat16).parameters())


def test_the_files_dtype_is_kept(tmp_path: Path) -> None:
    save_file(toy_tensors(torch.bfloat16), tmp_path / "x.safetensors")
    model = builder(tmp_path / "x.safetensors").build(device="cpu")
    assert model.a.weight.dtype == torch.bfloat16 and Toy().a.weight.dtype == torch.float32


def test_missing_tensors_are_an_error_that_names_them(tmp_path: Path) -> None:
    tensors = toy_tensors()
    del tensors["b.weight"], tensors["a.bias"]
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(MissingTensorsError, match=r"2 of 3 tensors of the Toy are missing: a.bias, b.weight") as caught:
        builder(tmp_path / "x.safetensors").build(device="cpu")
    assert caught.value.keys == ("a.bias", "b.weight") and caught.value.component == "Toy"


def test_a_wrong_shape_is_an_error_with_both_shapes(tmp_path: Path) -> None:
    save_file({**toy_tensors(), "b.weight": torch.ones(3, 4)}, tmp_path / "x.safetensors")
    with pytest.raises(
        RuntimeError, match=r"size mismatch for b.weight .* has \(3, 4\), the config needs \(4, 4\)"
    ) as c:
        builder(tmp_path / "x.safetensors").build(device="cpu")
    assert isinstance(c.value, ShapeMismatchError) and isinstance(c.value, ValueError)


def test_extra_tensors_are_left_alone(tmp_path: Path) -> None:
    save_file({**toy_tensors(), "extra": torch.ones(9)}, tmp_path / "x.safetensors")
    assert "extra" not in builder(tmp_path / "x.safetensors").build(device="cpu").state_dict()


def test_absent_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFoundError):
        builder(tmp_path / "none.safetensors").build(device="cpu")
    (tmp_path / "x.safetensors").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(CheckpointError, match="GGUF"):
        builder(tmp_path / "x.safetensors").validate()


def test_shards_override_in_order(path: Path, tmp_path: Path) -> None:
    second = tmp_path / "second.safetensors"
    save_file({"b.weight": torch.full((4, 4), 7.0)}, second)
    model = builder((path, second)).build(device="cpu")
    assert (model.b.weight == 7).all() and torch.equal(model.a.weight, toy_tensors()["a.weight"])


def test_rules_rename_and_convert(tmp_path: Path) -> None:
    save_file({f"net.{key}": value for key, value in toy_tensors().items()}, tmp_path / "x.safetensors")

    def halve(key: str, value: torch.Tensor) -> list[KeyValueOperationResult]:
        return [KeyValueOperationResult(key, value * 0.5)]

    rules = SDOps("net").with_matching(prefix="net.").with_replacement("net.", "").with_kv_operation(halve, "b.")
    model = builder(tmp_path / "x.safetensors").with_sd_ops(rules).build(device="cpu")
    assert torch.equal(model.b.weight, toy_tensors()["b.weight"] * 0.5)
    assert torch.equal(model.a.weight, toy_tensors()["a.weight"])
    with pytest.raises(MissingTensorsError):
        builder(tmp_path / "x.safetensors", model_sd_ops=SDOps("nothing matches")).build(device="cpu")


def test_module_operations_run_in_order_where_they_match(path: Path) -> None:
    def mark(name: str) -> ModuleOps:
        def mutate(model: nn.Module) -> nn.Module:
            model.marks = [*getattr(model, "marks", []), name]
            return model

        return ModuleOps(name, lambda model: name != "skipped", mutate)

    operations = (mark("first"), mark("skipped"), mark("second"))
    assert builder(path).with_module_ops(operations).build(device="cpu").marks == ["first", "second"]
    assert next(create_meta_model(ToyConfigurator, {}, operations).parameters()).is_meta


def test_a_config_that_builds_nothing_is_our_error() -> None:
    class Needy:
        component = "needy"

        @classmethod
        def from_config(cls, config: dict) -> nn.Module:
            return nn.Linear(config["width"], config["width"])

    with pytest.raises(ConfigError, match="'width' is missing, which the needy needs"):
        create_meta_model(Needy, {})
    with pytest.raises(ConfigError, match="does not describe a needy"):
        create_meta_model(Needy, {"width": "x"})


def test_buffers_without_data_are_an_error(path: Path) -> None:
    class Forgetful:
        @classmethod
        def from_config(cls, config: dict) -> nn.Module:
            model = Toy()
            model.register_buffer("table", torch.ones(3), persistent=False)
            return model

    with pytest.raises(CheckpointError, match="no data after loading, first table"):
        SingleGPUModelBuilder(Forgetful, path).build(device="cpu")


def test_progress_counts_every_tensor_and_can_stop(path: Path) -> None:
    calls: list[tuple[int, int]] = []
    builder(path).build(device="cpu", progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]

    class Cancelled(Exception):
        pass

    def cancel(done: int, total: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        builder(path).build(device="cpu", progress=cancel)


def test_loras_stack_and_builders_do_not_change(path: Path, tmp_path: Path) -> None:
    first = save_lora(tmp_path / "1.safetensors", pair("a"))
    second = save_lora(tmp_path / "2.safetensors", pair("a", rank=1) | pair("b"))
    plain = builder(path)
    stacked = plain.lora(first, strength=0.5).lora(second)
    assert plain.loras == () and len(stacked.loras) == 2 and stacked.loras[1].strength == 1.0
    model = stacked.build(device="cpu")

    def change(file: dict[str, torch.Tensor], module: str) -> torch.Tensor:
        return file[f"{module}.lora_B.weight"] @ file[f"{module}.lora_A.weight"]

    expected = toy_tensors()["a.weight"] + 0.5 * change(pair("a"), "a") + change(pair("a", rank=1), "a")
    torch.testing.assert_close(model.a.weight.data, expected)
    torch.testing.assert_close(model.b.weight.data, toy_tensors()["b.weight"] + change(pair("b"), "b"))
    assert torch.equal(model.a.bias, toy_tensors()["a.bias"])
    replaced = stacked.with_loras([LoraPathStrengthAndSDOps(first, 2.0)])
    assert len(replaced.loras) == 1
    assert stacked.with_lora_load_device("cpu").lora_load_device == torch.device("cpu")


def test_unfused_tensors_take_the_dtype_too(path: Path, tmp_path: Path) -> None:
    lora = save_lora(tmp_path / "1.safetensors", pair("b"))
    model = builder(path).lora(lora).build("cpu", torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_strength_zero_opens_no_file(path: Path) -> None:
    model = builder(path).lora("/nowhere/none.safetensors", strength=0.0).build(device="cpu")
    assert torch.equal(model.a.weight, toy_tensors()["a.weight"])


def test_opposite_strengths_cancel(path: Path, tmp_path: Path) -> None:
    lora = save_lora(tmp_path / "1.safetensors", pair("a"))
    model = builder(path).lora(lora, 0.7).lora(lora, -0.7).build(device="cpu")
    assert torch.equal(model.a.weight, toy_tensors()["a.weight"])


def test_a_report_names_what_matched(path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lora = save_lora(tmp_path / "1.safetensors", pair("diffusion_model.a") | pair("text_embedding_projection.x"))
    reports = []
    with caplog.at_level(logging.WARNING):
        builder(path).lora(lora).build(device="cpu", report=reports.append)
    (report,) = reports
    assert report.matched == ("a",) and report.path == str(lora)
    assert report.unmatched == tuple(sorted(pair("text_embedding_projection.x")))
    assert "2 keys not used" in caplog.text
    assert builder(path).lora(lora).validate() == (report,)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (pair("elsewhere.to_q"), "changes nothing of this model"),
        (pair("a", outputs=8), r"for a it has matrices \(8, 2\) and \(2, 4\).*the model's is \(4, 4\); .*version"),
        ({"a.weight": torch.ones(4, 4)}, "no LoRA matrices"),
        ({"a.lora_A.weight": torch.ones(2, 4)}, "no LoRA matrices"),
        ({"lora_unet_a.hada_w1_a": torch.ones(4, 2), "lora_unet_a.alpha": torch.ones(())}, "no LoRA matrices"),
        ({"diffusion_model.a.oft_blocks": torch.ones(2, 2, 2)}, "is an OFT"),
        ({"a.a1.weight": torch.ones(2, 4), "a.b1.weight": torch.ones(2, 4)}, "is a GLoRA"),
    ],
)
def test_loras_that_do_not_fit_are_refused(path: Path, tmp_path: Path, keys: dict, words: str) -> None:
    lora = save_lora(tmp_path / "lora.safetensors", keys)
    for action in (builder(path).lora(lora).build, builder(path).lora(lora).validate):
        with pytest.raises(LoraError, match=words):
            action()


def test_a_registry_serves_later_builds_and_stays_pristine(path: Path, tmp_path: Path) -> None:
    registry = StateDictRegistry()
    cached = builder(path).with_registry(registry)
    lora = save_lora(tmp_path / "1.safetensors", pair("a"))
    fused = cached.lora(lora).build(device="cpu")
    assert torch.equal(fused.a.weight, builder(path).lora(lora).build(device="cpu").a.weight)
    plain = cached.build(device="cpu")
    assert torch.equal(plain.a.weight, toy_tensors()["a.weight"])
    assert plain.b.weight.data_ptr() == fused.b.weight.data_ptr()  # no second copy


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_loading_holds_hardly_more_than_the_model(tmp_path: Path) -> None:
    """Peak of the process while 96 MiB are fused and cast, measured in a process of its own."""
    tensors = {f"{index}.weight": torch.ones(2048, 2048, dtype=torch.bfloat16) for index in range(12)}
    save_file(tensors, tmp_path / "x.safetensors")
    keys = {key: value for index in range(12) for key, value in pair(str(index), 64, 2048, 2048).items()}
    lora = save_lora(tmp_path / "lora.safetensors", keys)
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "x.safetensors"), str(lora)],
        capture_output=True,
        text=True,
        check=True,
        cwd=TESTS.parent,
        # Matrices this small would come from glibc's heap, which keeps holes; real ones are mapped one by one.
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "1048576"},
    )
    peak, model = map(int, result.stdout.split())
    assert model == sum(tensor.nbytes for tensor in tensors.values())
    assert peak < 1.3 * model


MEASURE = """
import re, sys
import torch
from ltx_core_impl.loader import SingleGPUModelBuilder

def anonymous(field):
    return int(re.search(field + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024

class Deep:
    @classmethod
    def from_config(cls, config):
        return torch.nn.Sequential(*(torch.nn.Linear(2048, 2048, bias=False) for _ in range(12)))

peak, before = 0, anonymous("RssAnon")
def watch(done, total):
    global peak
    peak = max(peak, anonymous("RssAnon") - before)
model = SingleGPUModelBuilder(Deep, sys.argv[1]).lora(sys.argv[2]).build("cpu", progress=watch)
print(peak, sum(p.nbytes for p in model.parameters()))
"""
