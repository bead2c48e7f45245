"""Both video VAEs of LTX-2.5 against the reference's numbers."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from ltx_core_impl.model.video_vae import (
    AxisTiling,
    DiffusionVideoDecoder,
    PerAxisTiling,
    VideoDecoder,
    VideoDecoderConfigurator,
    VideoEncoderConfigurator,
)
from ltx_core_impl.model.video_vae.noise import draw_noise
from tests.conftest import GOLDEN_25, assert_close, config, golden

SEED = 7
DIFFUSION, CONVOLUTIONAL = "", "-conv"


def load(configurator: type, kind: str, part: str) -> nn.Module:
    """Half of a split VAE file, in float32."""
    path = GOLDEN_25 / "vae" / f"ltx-2.5-tiny-video-vae{kind}-bf16.safetensors"
    state = {
        key.removeprefix(f"{part}."): tensor.float()
        for key, tensor in load_file(path).items()
        if key.startswith((f"{part}.", "per_channel_statistics."))
    }
    module = configurator.from_config(config(path))
    module.load_state_dict(state)
    return module.eval().requires_grad_(False)


def diffusion_decoder() -> DiffusionVideoDecoder:
    return load(VideoDecoderConfigurator, DIFFUSION, "decoder")


def convolutional_decoder() -> VideoDecoder:
    return load(VideoDecoderConfigurator, CONVOLUTIONAL, "decoder")


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(SEED)


def test_noise() -> None:
    expected = golden("2.5", "decode-noise")["17x96x96"]
    assert torch.equal(draw_noise(expected.shape, like=expected, generator=generator()), expected)


@pytest.mark.parametrize("case", ["video-vae", "video-vae-small"])
def test_diffusion_decode(case: str) -> None:
    tensors = golden("2.5", case)
    assert_close(diffusion_decoder()(tensors["decode_latents"], generator=generator()), tensors["decoded"])


def test_diffusion_tiled_decode() -> None:
    case = golden("2.5", "video-vae-tiled")
    tiling = PerAxisTiling(frames=AxisTiling(size=16, overlap=8), width=AxisTiling(size=64, overlap=32))
    chunks = list(diffusion_decoder().tiled_decode(case["decode_latents"], tiling, generator=generator()))
    assert_close(torch.cat(chunks, dim=2), case["decoded"].float(), tolerance=2e-3)


@pytest.mark.parametrize("kind", [DIFFUSION, CONVOLUTIONAL])
def test_encode(kind: str) -> None:
    case = golden("2.5", "video-vae-conv")
    assert_close(load(VideoEncoderConfigurator, kind, "encoder")(case["pixels"]), case["latents"])


def test_convolutional_decode() -> None:
    case = golden("2.5", "video-vae-conv")
    assert_close(convolutional_decoder()(case["decode_latents"]), case["decoded"])


def test_convolutional_tiled_decode() -> None:
    case = golden("2.5", "video-vae-conv-tiled")
    tiling = PerAxisTiling(
        frames=AxisTiling(size=16, overlap=8),
        height=AxisTiling(size=64, overlap=32),
        width=AxisTiling(size=96, overlap=32),
    )
    chunks = list(convolutional_decoder().tiled_decode(case["latents"], tiling))
    assert_close(torch.cat(chunks, dim=2), case["decoded"].float(), tolerance=2e-3)


def test_tiled_encode() -> None:
    case = golden("2.5", "video-vae-tiled-encode")
    tiling = PerAxisTiling(frames=AxisTiling(size=24, overlap=16), height=AxisTiling(size=128, overlap=64))
    encoder = load(VideoEncoderConfigurator, DIFFUSION, "encoder")
    assert_close(encoder.tiled_encode(case["pixels"].float(), tiling), case["latents"])
