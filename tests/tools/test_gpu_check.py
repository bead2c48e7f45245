"""The GPU check's own code, on a CPU with tiny models: that it runs and says the truth, not how fast anything is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ltx_core_impl.loader import open_checkpoint
from ltx_core_impl.model.transformer import LTXModelConfigurator
from ltx_core_impl.quantization import QuantizationPolicy
from tests.conftest import checkpoint_path
from tools import gpu_check
from tools.gpu import checkpoint, host_run, models
from tools.gpu.table import GpuRow, markdown
from tools.provision import REPO, is_provisioned


def test_every_row_runs_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    with torch.no_grad():
        assert gpu_check.main(["--tiny"]) == 0
    printed = capsys.readouterr().out
    for row in ("forward, bf16", "guided step", "fp8_cast", "fp8_scaled_mm, dynamic", "fp8_scaled_mm, calibrated"):
        assert f"| {row}" in printed
    for row in ("streamed forward", "blocks compiled", "VAE decode, whole", "default tiles", "diffusion decoder"):
        assert row in printed


def test_without_a_card_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_check.main([]) == 1
    assert "--tiny" in capsys.readouterr().err


def test_the_graph_runs_in_a_server() -> None:
    if not is_provisioned():
        pytest.skip("needs a ComfyUI: python3 tools/run_tests.py makes one")
    command = [sys.executable, "tools/gpu_check.py", "--tiny", "--host", "--parts"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [line for line in done.stdout.splitlines() if line.startswith("| whole")]
    assert [line.split("|")[2].strip() for line in rows] == ["1", "2", "3"]
    assert "kept" not in rows[0] and "kept" in rows[1]  # the loader runs once


def test_a_wrong_number_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = gpu_check.timed.Setting(torch.device("cpu"), tiny=True)
    monkeypatch.setitem(gpu_check.timed.TOLERANCE, torch.bfloat16, 1e-9)
    with torch.no_grad(), pytest.raises(ArithmeticError, match="bf16 on cpu differs from float32"):
        gpu_check.timed.check_numbers(setting)


def test_quantised_twins_share_what_they_do_not_change() -> None:
    config = models.tiny_config()
    model = models.random_model(LTXModelConfigurator, config, torch.float32, torch.device("cpu"))
    twin = models.quantised(model, LTXModelConfigurator, config, QuantizationPolicy.fp8_cast())
    assert twin.patchify_proj.weight.data_ptr() == model.patchify_proj.weight.data_ptr()
    layer = twin.transformer_blocks[0].attn1.to_q
    assert layer.weight.dtype is torch.float8_e4m3fn
    twin.to(torch.float64)
    assert model.patchify_proj.weight.dtype is torch.float32


def test_the_random_checkpoint_is_a_checkpoint(tmp_path: Path) -> None:
    good = open_checkpoint(checkpoint_path("2.3"))
    path = tmp_path / "random.safetensors"
    size = checkpoint.write_random_checkpoint(path, dict(good.shapes), good.config, torch.device("cpu"))
    written = open_checkpoint(path)
    assert size == path.stat().st_size
    assert written.shapes == good.shapes
    assert written.components == good.components
    assert len(checkpoint.published_shapes()) > 4000


def test_the_graph_takes_a_stored_context() -> None:
    prompt = host_run.graph("x.safetensors", "y.safetensors", (64, 32, 9))
    kinds = {node["class_type"] for node in prompt.values()}
    assert "LTX2LoadContext" in kinds and not kinds & {"LTX2TextEncode", "LTX2TextEncoderLoader"}
    [latents] = [node["inputs"] for node in prompt.values() if node["class_type"] == "LTX2EmptyLatents"]
    assert (latents["width"], latents["height"], latents["length"]) == (64, 32, 9)


def test_a_row_is_judged_by_its_ratio() -> None:
    good, bad = GpuRow("a", [1.0], [2.0], "b", 0.6), GpuRow("c", [3.0], [2.0], "b", 1.2)
    assert (good.ratio, good.verdict, bad.verdict) == (0.5, "yes", "NO")
    assert GpuRow("d", [1.0]).verdict == "-"
    table = markdown([good, bad], "a card", judged=True)
    assert table.startswith("a card\n") and "| NO |" in table
    assert "| NO |" not in markdown([good, bad], "a card", judged=False)
