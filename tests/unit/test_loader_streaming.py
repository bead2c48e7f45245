"""Block streaming: the resident model's numbers within a budget (spec 01 §10.4)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ltx_core_impl.loader import SingleGPUModelBuilder
from ltx_core_impl.loader.block_buffer import block_bytes
from ltx_core_impl.loader.page_lock import HostSlab
from ltx_core_impl.loader.streaming import BlockStreamer, plan_streaming, resident_order, smallest_budget
from ltx_core_impl.model.transformer import LTXModelConfigurator, X0Model
from ltx_core_impl.quantization import QuantizationPolicy
from tests.conftest import GOLDEN
from tests.transformer_helpers import golden_modalities, transformer_path


class Stack(nn.Module):
    """Blocks of different sizes between two linears."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, width), nn.Linear(width, 8)) for width in widths)
        self.register_buffer("offset", torch.ones(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x) + self.offset
        for block in self.blocks:
            x = x + block(x)
        return x


def stack(widths: list[int]) -> Stack:
    torch.manual_seed(0)
    return Stack(widths).eval().requires_grad_(False)


@pytest.mark.parametrize("widths", [[16], [16, 4], [4, 16, 32], [64, 8, 8, 32, 16]])
def test_every_budget_gives_the_resident_numbers(widths: list[int]) -> None:
    model, x = stack(widths), torch.randn(3, 8)
    expected = model(x)
    whole, least = block_bytes(model), smallest_budget(model, model.blocks)
    for budget in range(min(least, whole), whole + 1, 256):
        with BlockStreamer(model, model.blocks, "cpu", budget) as streamer:
            assert streamer.plan.peak_bytes <= budget
            for _ in range(3):
                assert torch.equal(model(x), expected)
        assert torch.equal(model(x), expected)


def test_the_budget_decides_how_many_blocks_stay() -> None:
    model = stack([16] * 6)
    one = block_bytes(model.blocks[0])
    least = smallest_budget(model, model.blocks)
    assert least == block_bytes(model) - 4 * one
    assert plan_streaming(model, model.blocks, least).resident_blocks == 0
    assert plan_streaming(model, model.blocks, least + 2 * one + 1).resident_blocks == 2
    assert plan_streaming(model, model.blocks, block_bytes(model)).resident_blocks == 6


def test_the_blocks_that_stay_are_spread_over_the_model() -> None:
    assert sorted(resident_order(48)[:24]) == list(range(0, 48, 2))
    for count in (0, 1, 2, 7, 48):
        order = resident_order(count)
        assert sorted(order) == list(range(count))
        for staying in range(1, count):
            visiting = sorted(order[staying:])
            runs = [sum(1 for other in visiting if first <= other < first + 3) for first in visiting]
            assert staying < count / 2 or max(runs) <= 2, "three blocks in a row visit though half of them stay"


@pytest.mark.parametrize("inference", [False, True])
def test_resizing_moves_only_the_difference_and_keeps_the_numbers(inference: bool) -> None:
    model, x = stack([16, 8, 32, 16, 4]), torch.randn(3, 8)
    expected = model(x)
    least, whole = smallest_budget(model, model.blocks), block_bytes(model)
    with torch.inference_mode(inference):
        streamer = BlockStreamer(model, model.blocks, "cpu:0", least)
        for budget in (whole, least, whole - 1, (least + whole) // 2, least, whole):
            before = streamer.bytes_on_device
            assert streamer.resize(budget) == streamer.bytes_on_device - before
            assert streamer.bytes_on_device == streamer.plan.peak_bytes <= budget
            assert streamer.resize(budget) == 0
            for _ in range(2):
                assert torch.equal(model(x), expected)
    with pytest.raises(ValueError, match="at least"):
        streamer.resize(least - 1)
    assert streamer.bytes_on_device == whole
    streamer.detach()
    assert streamer.bytes_on_device == 0
    assert torch.equal(model(x), expected)


def test_shared_weights_stay_shared() -> None:
    model = stack([16, 16])
    model.register_parameter("twin", model.first.weight)
    with BlockStreamer(model, model.blocks, "cpu:0", smallest_budget(model, model.blocks)):
        assert model.twin is model.first.weight
    assert model.twin is model.first.weight


def test_a_budget_that_is_too_small_is_refused_with_the_need() -> None:
    model = stack([16] * 4)
    least = smallest_budget(model, model.blocks)
    with pytest.raises(ValueError, match=f"at least {least} bytes"):
        BlockStreamer(model, model.blocks, "cpu", least - 1)
    with pytest.raises(ValueError, match="no blocks"):
        BlockStreamer(model, nn.ModuleList(), "cpu", 1 << 30)


def test_weights_are_at_home_after_a_block_has_failed() -> None:
    model, x = stack([16] * 5), torch.randn(3, 8)
    expected = model(x)
    homes = [block[0].weight for block in model.blocks]

    class Interrupted(Exception):
        pass

    def interrupt(*args: object) -> None:
        raise Interrupted

    with BlockStreamer(model, model.blocks, "cpu", smallest_budget(model, model.blocks)):
        modules = [module for index in (0, 2, 4) for module in (model.blocks[index][1], model.blocks[index])]
        for failing in modules:
            handle = failing.register_forward_pre_hook(interrupt, prepend=True)
            with pytest.raises(Interrupted):
                model(x)
            handle.remove()
            assert all(block[0].weight is home for block, home in zip(model.blocks, homes, strict=True))
            assert torch.equal(model(x), expected)


def test_parameters_stay_parameters() -> None:
    model = stack([16] * 3)
    seen = []
    model.blocks[1][0].register_forward_pre_hook(lambda module, args: seen.append(type(module.weight)))
    with BlockStreamer(model, model.blocks, "cpu", smallest_budget(model, model.blocks)):
        model(torch.randn(3, 8))
        assert isinstance(model.first.weight, nn.Parameter)
    assert seen == [nn.Parameter]


def test_inference_mode_may_change_between_calls() -> None:
    model, x = stack([16] * 4), torch.randn(3, 8)
    expected = model(x)
    with torch.inference_mode():
        streamer = BlockStreamer(model, model.blocks, "cpu", smallest_budget(model, model.blocks))
        assert torch.equal(model(x), expected)
    assert torch.equal(model(x), expected)
    streamer.detach()


POLICIES = {
    "bf16": (),
    "fp8-cast": QuantizationPolicy.fp8_cast().module_ops,
    "fp8-scaled": QuantizationPolicy.fp8_scaled_mm().module_ops,
}


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("policy", POLICIES)
def test_any_precision_and_lora_streams_the_resident_numbers(policy: str, lora: bool) -> None:
    builder = SingleGPUModelBuilder(LTXModelConfigurator, transformer_path("2.3"), module_ops=POLICIES[policy])
    if lora:
        builder = builder.lora(GOLDEN / "ltx-2.3-tiny.lora-a.safetensors", strength=0.8)
    model = X0Model(builder.build(device="cpu", dtype=torch.float32))
    blocks = model.velocity_model.transformer_blocks
    with torch.inference_mode():
        resident = model(*golden_modalities("2.3"))
        with BlockStreamer(model, blocks, "cpu", smallest_budget(model, blocks)) as streamer:
            assert streamer.plan.resident_blocks < 2
            streamed = model(*golden_modalities("2.3"))
    assert all(torch.equal(a, b) for a, b in zip(streamed, resident, strict=True))
    assert all(out.isfinite().all() for out in resident)


class _Refuses:
    """No page-locked memory, said as a lock may say it."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def pin(self, memory: torch.Tensor) -> bool:
        if self.error is not None:
            raise self.error
        return False

    def unpin(self, memory: torch.Tensor) -> None:
        raise AssertionError("was not locked")


@pytest.mark.parametrize("error", [None, RuntimeError("no")])
def test_what_cuda_says_of_a_refused_lock_is_not_left_to_the_next_launch(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    launches = []

    def empty(*size: int, **to: object) -> torch.Tensor:
        if to.get("device") != "cuda":
            return original(*size, **to)
        launches.append(size)
        raise RuntimeError("CUDA error: out of memory")

    weights, original = [torch.zeros(4)], torch.empty
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch, "empty", empty)
    assert HostSlab.granted(weights, _Refuses(error)) is None
    assert launches == [(1,)]
