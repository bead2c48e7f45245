"""Latent upscalers of LTX-2.5 against the reference's numbers."""

from __future__ import annotations

import pytest
from safetensors.torch import load_file

from ltx_core_impl.model.upsampler import LatentUpsamplerConfigurator, upsample_video
from ltx_core_impl.model.video_vae import VideoEncoderConfigurator
from tests.conftest import GOLDEN_25, assert_close, config, golden
from tests.golden_cases.test_video_vae_25 import CONVOLUTIONAL, load


@pytest.mark.parametrize(("kind", "name"), [("x2", "spatial"), ("temporal", "temporal")])
def test_upscale(kind: str, name: str) -> None:
    path = GOLDEN_25 / "latent_upscale_models" / f"ltx-2.5-tiny-latent-{name}-upscaler-x2-bf16-1.0.safetensors"
    upsampler = LatentUpsamplerConfigurator.from_config(config(path)).eval().requires_grad_(False)
    upsampler.load_state_dict({key: tensor.float() for key, tensor in load_file(path).items()})
    case = golden("2.5", f"upscale-{kind}")
    encoder = load(VideoEncoderConfigurator, CONVOLUTIONAL, "encoder")
    assert_close(upsample_video(case["latents"], encoder, upsampler), case["upscaled"])
