"""Latent upscalers of LTX-2 and LTX-2.3 against the reference's numbers."""

from __future__ import annotations

import pytest
from safetensors.torch import load_file

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
