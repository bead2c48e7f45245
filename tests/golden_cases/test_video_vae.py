"""Video VAE of LTX-2 and LTX-2.3 against the reference's numbers."""

from __future__ import annotations

import torch
from safetensors.torch import load_file
from torch import nn

from ltx_core_impl.model.video_vae import (
    SpatialTiling,
    TemporalTiling,
    TilingConfig,
    VideoDecoder,
    VideoDecoderConfigurator,
    VideoEncoder,
    VideoEncoderConfigurator,
)
from ltx_core_impl.model.video_vae.statistics import MEAN, STD
from tests.conftest import assert_close, checkpoint_path, config, golden


def load(module: nn.Module, version: str, part: str) -> nn.Module:
    """Fill an encoder or decoder from the combined checkpoint."""
    state = {}
    for key, tensor in load_file(checkpoint_path(version)).items():
        if key.startswith(f"vae.{part}."):
            state[key.removeprefix(f"vae.{part}.")] = tensor.float()
        elif key in {f"vae.per_channel_statistics.{name}" for name in (MEAN, STD)}:
            state[key.removeprefix("vae.")] = tensor.float()
    module.load_state_dict(state)
    return module.eval().requires_grad_(False)


def encoder(version: str) -> VideoEncoder:
    return load(VideoEncoderConfigurator.from_config(config(checkpoint_path(version))), version, "encoder")


def decoder(version: str) -> VideoDecoder:
    return load(VideoDecoderConfigurator.from_config(config(checkpoint_path(version))), version, "decoder")


def test_encode(version: str) -> None:
    case = golden(version, "video-vae")
    assert_close(encoder(version)(case["pixels"]), case["latents"])


def test_decode(version: str) -> None:
    case = golden(version, "video-vae")
    assert_close(decoder(version)(case["decode_latents"]), case["decoded"])


def test_tiled_decode(version: str) -> None:
    case = golden(version, "video-vae-tiled")
    tiling = TilingConfig(spatial=SpatialTiling(size=96, overlap=32), temporal=TemporalTiling(size=16, overlap=8))
    chunks = list(decoder(version).tiled_decode(case["latents"], tiling))
    assert_close(torch.cat(chunks, dim=2), case["decoded"].float(), tolerance=2e-3)
