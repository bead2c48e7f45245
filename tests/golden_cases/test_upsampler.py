"""Latent upscalers of LTX-2 and LTX-2.3 against the reference's numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ltx_core_impl.loader import SingleGPUModelBuilder
from ltx_core_impl.model.upsampler import LatentUpsamplerConfigurator, infer_config, upsample_video
from tests.conftest import assert_close, config, golden, golden_path
from tests.golden_cases.test_video_vae import encoder

UPSCALERS = [("2.0", "x2"), ("2.0", "temporal"), ("2.3", "x2"), ("2.3", "x1.5"), ("2.3", "temporal")]


@pytest.mark.parametrize(("version", "kind"), UPSCALERS)
def test_upscale(version: str, kind: str) -> None:
    path = golden_path(version, f"upscaler-{kind}")
    upsampler = LatentUpsamplerConfigurator.from_config(config(path)).eval().requires_grad_(False)
    upsampler.load_state_dict({key: tensor.float() for key, tensor in load_file(path).items()})
    case = golden(version, f"upscale-{kind}")
    assert_close(upsample_video(case["latents"], encoder(version), upsampler), case["upscaled"])


@pytest.mark.parametrize(("version", "kind"), UPSCALERS)
def test_config_is_inferred_from_tensors(version: str, kind: str) -> None:
    path = golden_path(version, f"upscaler-{kind}")
    inferred = infer_config({key: tuple(tensor.shape) for key, tensor in load_file(path).items()})
    stored = {"rational_resampler": False, **config(path)}
    assert {key: inferred[key] for key in stored} == stored


@pytest.mark.parametrize(("version", "kind"), UPSCALERS)
@pytest.mark.parametrize("kept", [(), ("_class_name",), ("in_channels", "spatial_upsample", "temporal_upsample")])
def test_a_config_that_leaves_something_out_builds_the_same(
    version: str, kind: str, kept: tuple[str, ...], tmp_path: Path
) -> None:
    path = golden_path(version, f"upscaler-{kind}")
    whole = {"_class_name": "LatentUpsampler", **config(path)}
    metadata = {"config": json.dumps({key: whole[key] for key in kept})} if kept else None
    save_file(load_file(path), tmp_path / "upscaler.safetensors", metadata)
    models = [
        SingleGPUModelBuilder(LatentUpsamplerConfigurator, file).build(device="cpu", dtype=torch.float32)
        for file in (path, tmp_path / "upscaler.safetensors")
    ]
    latent = golden(version, f"upscale-{kind}")["latents"]
    assert torch.equal(*(upsample_video(latent, encoder(version), model) for model in models))


def test_a_file_without_the_fixed_blur_is_complete(tmp_path: Path) -> None:
    path = golden_path("2.3", "upscaler-x1.5")
    tensors = {key: value for key, value in load_file(path).items() if "blur_down" not in key}
    save_file(tensors, tmp_path / "upscaler.safetensors", {"config": json.dumps(config(path))})
    builder = SingleGPUModelBuilder(LatentUpsamplerConfigurator, tmp_path / "upscaler.safetensors")
    model = builder.build(device="cpu", dtype=torch.float32)
    case = golden("2.3", "upscale-x1.5")
    assert_close(upsample_video(case["latents"], encoder("2.3"), model), case["upscaled"])
