"""Faster forms agree with the plain ones: functions of other packages, our Triton kernels, inputs that are shared."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import pytest
import torch
from torch.nn.functional import linear, rms_norm

from ltx_core_impl.kernels import modulated_norm, neighborhood, optional, own
from ltx_core_impl.model.transformer.adaln import Modulation
from ltx_core_impl.model.transformer.attention import Attention
from ltx_core_impl.model.transformer.rope import precompute_rope
from ltx_core_impl.model.video_vae.diffusion.neighborhood import neighborhood_attention
from ltx_core_impl.quantization import linear as quantized
from ltx_core_impl.quantization.fp8 import emulated_scaled_mm, quantize_weight
from tests.conftest import assert_close, golden
from tests.transformer_helpers import golden_modalities, load_transformer

ROOT = Path(__file__).parents[2]


def rms_adaln(x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, eps: float = 1e-6) -> torch.Tensor:
    return rms_norm(x, x.shape[-1:], eps=eps) * (1 + scale) + shift


@pytest.fixture
def everything_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPU tensors count as what the packages' functions serve; our own kernels stay out."""
    for module in (modulated_norm, neighborhood):
        monkeypatch.setattr(module, "is_fast", lambda *tensors: True)
    optional.optional_function.cache_clear()
    yield
    optional.optional_function.cache_clear()


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, everything_is_fast: None) -> types.ModuleType:
    """A comfy-kitchen with nothing in it yet."""
    module = types.ModuleType("comfy_kitchen")
    monkeypatch.setitem(sys.modules, "comfy_kitchen", module)
    monkeypatch.setitem(sys.modules, "natten", None)
    return module


def test_functions_are_looked_up_one_by_one(package: types.ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    package.rms_adaln = rms_adaln
    package.na3d = lambda q, k: q  # another signature
    assert optional.optional_function("comfy_kitchen", "rms_adaln", ("x", "scale", "shift", "eps")) is rms_adaln
    assert not caplog.records
    assert optional.optional_function("comfy_kitchen", "na3d", ("q", "k", "v")) is None
    assert "na3d does not take q, k, v" in caplog.text
    assert optional.optional_function("comfy_kitchen", "int8_linear", ("x",)) is None
    assert optional.optional_function("natten", "na3d", ("query",)) is None
    assert len(caplog.records) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tensors_on_a_cpu_take_the_plain_form(dtype: torch.dtype) -> None:
    x = torch.zeros(2, 3, 4, dtype=dtype)
    assert not optional.is_fast(x)
    assert modulated_norm.modulated_norm_kernel(x) is None
    assert own.quantize(x, None, 1e-30) is None
    assert own.gate_heads(x[..., None], x) is None


def test_gradients_take_the_plain_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional, "on_fast_device", lambda tensor: True)
    x = torch.zeros(2, requires_grad=True)
    assert not optional.is_fast(x)
    with torch.no_grad():
        assert optional.is_fast(x)


@pytest.mark.parametrize("per_token", [False, True])
def test_a_package_normalises_and_modulates_the_blocks(package: types.ModuleType, per_token: bool) -> None:
    x, table = torch.randn(2, 5, 8), torch.randn(9, 8)
    index = torch.randint(0, 3, (2, 5)) if per_token else None
    modulation = Modulation(torch.randn(3 if per_token else 2, 9, 8), index)
    plain = modulation.with_table(table, x).norm(x, 1, 0, 1e-6)
    package.rms_adaln = rms_adaln
    optional.optional_function.cache_clear()
    fused = modulation.with_table(table, x)
    assert fused.kernel is rms_adaln
    assert_close(fused.norm(x, 1, 0, 1e-6), plain, tolerance=1e-6)


def test_a_package_does_neighbourhood_attention(package: types.ModuleType) -> None:
    calls = []

    def na3d(q, k, v, kernel_size, is_causal=None, scale=None):
        calls.append((tuple(kernel_size), scale, q.is_contiguous()))
        return v

    package.na3d = na3d
    q, k, v = torch.randn(1, 4, 5, 6, 3 * 2, 4).chunk(3, dim=-2)
    assert torch.equal(neighborhood_attention(q, k, v, (3, 3, 3), scale=0.5), v)
    assert calls == [((3, 3, 3), 0.5, True)]
    with pytest.raises(ValueError, match="window of 5 does not fit an axis of 4"):
        neighborhood_attention(q, k, v, (5, 3, 3), scale=0.5)


KITCHEN = pytest.mark.skipif(
    importlib.util.find_spec("comfy_kitchen") is None,
    reason="comfy_kitchen is not installed: its functions are NOT compared with ours in this run",
)


@KITCHEN
@pytest.mark.parametrize("version", ["2.0", "2.3", "2.5"])
@torch.inference_mode()
def test_comfy_kitchen_gives_the_golden_velocities(everything_is_fast: None, version: str) -> None:
    model, case = load_transformer(version), golden(version, "transformer")
    video, audio = golden_modalities(version)
    plain = [key for key in case if key.startswith("video_vel") or key.startswith("audio_vel")]
    assert len(plain) == 2, sorted(case)
    for key, actual in zip(sorted(plain, reverse=True), model(video, audio), strict=True):
        assert_close(actual, case[key], tolerance=1e-5)


@KITCHEN
@pytest.mark.parametrize("kernel", [(3, 3, 3), (1, 5, 3), (4, 4, 5)])
@pytest.mark.parametrize("extra", [(0, 0, 0), (3, 9, 2)])
def test_comfy_kitchen_does_our_neighbourhood_attention(
    monkeypatch: pytest.MonkeyPatch, kernel: tuple[int, ...], extra: tuple[int, ...]
) -> None:
    shape = (2, *(window + more for window, more in zip(kernel, extra, strict=True)), 2, 16)
    q, k, v = (torch.randn(shape) for _ in range(3))
    plain = neighborhood_attention(q, k, v, kernel, scale=0.25)
    monkeypatch.setattr(neighborhood, "is_fast", lambda *tensors: True)
    optional.optional_function.cache_clear()
    assert neighborhood.neighborhood_kernel_name(q) == "comfy_kitchen"
    assert_close(neighborhood_attention(q, k, v, kernel, scale=0.25), plain, tolerance=1e-6)


@pytest.mark.parametrize("static", [False, True])
def test_layers_with_one_input_quantise_it_once(monkeypatch: pytest.MonkeyPatch, static: bool) -> None:
    torch.manual_seed(0)
    attention = Attention(16, heads=2, head_dim=8, gated=True).to(torch.bfloat16).eval()
    x = torch.randn(1, 5, 16, dtype=torch.bfloat16)
    layers = {name: layer for name, layer in attention.named_modules() if isinstance(layer, torch.nn.Linear)}
    expected_inputs = {}
    for name, layer in layers.items():
        codes, scale = quantize_weight(layer.weight.detach())
        quantized.to_scaled_linear(layer)
        layer.weight = torch.nn.Parameter(codes, requires_grad=False)
        layer.set_scales(scale, torch.tensor(0.01) if static else None)
        layer.register_forward_hook(lambda _, inputs, out, name=name: expected_inputs.update({name: (inputs[0], out)}))
    calls = []
    original = quantized.quantize_activations

    def counted(x: torch.Tensor, scale: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(x.shape)
        return original(x, scale)

    monkeypatch.setattr(quantized, "quantize_activations", counted)
    with torch.no_grad():
        attention(x)
        assert len(calls) == 2  # of q, k, v and gate; of the output layer
        calls.clear()
        attention(x, torch.randn(1, 7, 16, dtype=torch.bfloat16))
        assert len(calls) == 3  # of q and gate; of k and v; of the output layer
        for layer, (given, out) in ((layers[name], pair) for name, pair in expected_inputs.items()):
            codes, scale = original(given, layer.input_scale)
            alone = emulated_scaled_mm(codes[0], layer.weight, scale, layer.weight_scale, torch.bfloat16)
            assert torch.equal(out[0], alone + layer.bias)  # bit for bit, shared or not


def test_layers_with_other_scales_do_not_share() -> None:
    prepared: dict = {}
    x = torch.randn(4, 16)
    for scale in (0.01, 0.02, 0.01):
        layer = quantized.to_scaled_linear(torch.nn.Linear(16, 16, bias=False))
        codes, weight_scale = quantize_weight(torch.randn(16, 16))
        layer.weight = torch.nn.Parameter(codes, requires_grad=False)
        layer.set_scales(weight_scale, torch.tensor(scale))
        shared = layer(x, prepared)
        assert torch.equal(shared, layer(x))
    assert len(prepared) == 2


@pytest.mark.parametrize("axes", [1, 3])
@pytest.mark.parametrize("rows", [1, 2])
def test_rotation_tables_are_laid_out_as_the_kernel_reads_them(axes: int, rows: int) -> None:
    positions = torch.rand(rows, axes, 7, 2) * 20
    table = precompute_rope(positions, width=32, heads=4, max_pos=(20,) * axes, dtype=torch.bfloat16)
    assert table.cos.shape == (rows, 4, 7, 4)
    assert table.cos.stride() == table.sin.stride() == (7 * 16, 4, 16, 1)


INTERPRETED = """
    import torch
    from torch.nn.functional import rms_norm
    from ltx_core_impl.kernels import own
    from ltx_core_impl.model.transformer.rope import RopeTable, RopeType, apply_rotary_emb
    from ltx_core_impl.quantization.fp8 import FP8_MAX, dynamic_scale

    own.is_fast = lambda *tensors: True
    kernels = own.kernels()
    torch.manual_seed(0)

    # The interpreter rounds wrongly to e4m3 where a value is carried to the next power of two, so that the last
    # step, a cast to the output's dtype, is left out here: what is cast must equal to the bit.
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        x = (torch.randn(3, 37, 64) * 3).to(dtype)
        for given in (None, torch.tensor(0.003)):
            low, high = x.aminmax()
            scale, wide = torch.zeros(()) if given is None else given, torch.empty(x.shape)
            kernels.quantize_kernel[(2,)](
                x, low, high, scale, wide, x.numel(), DYNAMIC=given is None, LARGEST=FP8_MAX, SMALLEST=1e-30, BLOCK=4096
            )
            assert torch.equal(scale, dynamic_scale(x) if given is None else given)
            assert torch.equal(wide, (x.float() * scale.reciprocal()).clamp(-FP8_MAX, FP8_MAX)), (dtype, given)
        codes, scale = own.quantize(x, None, 1e-30)
        assert codes.shape == x.shape and codes.dtype == torch.float8_e4m3fn and torch.equal(scale, dynamic_scale(x))

    for bad in (float("nan"), float("inf")):
        x = torch.randn(64)
        x[5] = bad
        for given in (None, torch.tensor(0.003)):
            low, high = x.aminmax()
            scale, wide = torch.zeros(()) if given is None else given, torch.empty(x.shape)
            kernels.quantize_kernel[(1,)](
                x, low, high, scale, wide, x.numel(), DYNAMIC=given is None, LARGEST=FP8_MAX, SMALLEST=1e-30, BLOCK=4096
            )
            expected = dynamic_scale(x) if given is None else given
            torch.testing.assert_close(scale, expected, rtol=0, atol=0, equal_nan=True)
            plain = (x * expected.reciprocal()).clamp(-FP8_MAX, FP8_MAX)
            torch.testing.assert_close(wide, plain, rtol=0, atol=0, equal_nan=True)

    codes = torch.arange(256, dtype=torch.uint8)
    codes = codes[(codes & 127) != 127].view(torch.float8_e4m3fn)  # all but the two NaNs
    for dtype in (torch.bfloat16, torch.float16):
        assert torch.equal(own.widen(codes, torch.zeros(1, dtype=dtype)), codes.to(dtype))

    for split in (True, False):
        for rows in (1, 2):
            x, weight = torch.randn(2, 5, 24 + 4)[..., :24], torch.randn(24)
            angles = torch.randn(rows, 5, 4, 3).transpose(1, 2)
            table = RopeTable(angles.cos(), angles.sin())
            plain = rms_norm(x, (24,), weight, 1e-6).unflatten(-1, (4, -1)).transpose(1, 2)
            kind = RopeType.SPLIT if split else RopeType.INTERLEAVED
            fused = own.norm_rotate(x, weight, 1e-6, 4, table, split).unflatten(-1, (4, -1)).transpose(1, 2)
            torch.testing.assert_close(fused, apply_rotary_emb(plain, table, kind), rtol=1e-5, atol=1e-6)
            fused = own.norm_rotate(x, weight, 1e-6, 4, None, split)
            torch.testing.assert_close(fused, plain.transpose(1, 2).flatten(2), rtol=1e-5, atol=1e-6)

    x, logits = torch.randn(2, 4, 5, 6).transpose(1, 2), torch.randn(2, 5, 4)
    torch.testing.assert_close(own.gate_heads(x, logits), x * (2 * logits.sigmoid())[..., None], rtol=1e-5, atol=1e-6)
    assert own.gate_heads(x, logits[:1]) is None  # what broadcasts is left to PyTorch
    q, weight = torch.randn(2, 5, 24), torch.ones(24)
    for shape in ((1, 1, 5, 3), (1, 4, 1, 3), (3, 4, 5, 3), (1, 4, 5, 1)):
        assert own.norm_rotate(q, weight, 1e-6, 4, (torch.ones(shape), torch.ones(shape)), True) is None
    assert not own._broken
"""


@pytest.mark.skipif(
    importlib.util.find_spec("triton") is None,
    reason="triton is not installed: our kernels are NOT run through its interpreter in this run",
)
def test_our_kernels_in_the_interpreter_of_triton() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)}
    script = textwrap.dedent(INTERPRETED)
    done = subprocess.run([sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_kernel_that_cannot_run_is_given_up_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def __getattr__(self, name: str) -> object:
            raise RuntimeError("no compiler")

    monkeypatch.setattr(own, "is_fast", lambda *tensors: True)
    monkeypatch.setattr(own, "kernels", Broken)
    monkeypatch.setattr(own, "_broken", set())
    x = torch.randn(1, 3, 2, 4)
    assert own.gate_heads(x, torch.randn(1, 3, 2)) is None
    assert own.gate_heads(x, torch.randn(1, 3, 2)) is None
    assert [record.message for record in caplog.records] == [
        "the Triton kernel gate_heads cannot run here (no compiler); plain PyTorch does its work"
    ]


def test_cast_layers_widen_to_the_same_weights() -> None:
    layer = quantized.to_cast_linear(torch.nn.Linear(8, 8))
    layer.weight = torch.nn.Parameter(torch.randn(8, 8).to(torch.float8_e4m3fn), requires_grad=False)
    x = torch.randn(3, 8)
    with torch.no_grad():
        assert torch.equal(layer(x), linear(x, layer.weight.float(), layer.bias))
