"""Audio golden cases: waveform to mel to latents, and latents to mel to waveform, against the reference."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from ltx_core_impl.model.audio_vae import (
    AudioDecoder,
    AudioDecoderConfigurator,
    AudioEncoder,
    AudioEncoderConfigurator,
    VocoderConfigurator,
    decode_audio,
    encode_audio,
    make_audio_processor,
)
from ltx_core_impl.types import Audio
from tests.conftest import GOLDEN_25, assert_close, checkpoint_path, config, golden

VERSIONS = ("2.0", "2.3", "2.5")
STATISTICS = "audio_vae.per_channel_statistics."


def audio_file(version: str) -> Path:
    """The file that holds a version's audio VAE and vocoder."""
    if version == "2.5":
        return GOLDEN_25 / "vae" / "ltx-2.5-tiny-audio-vae-bf16.safetensors"
    return checkpoint_path(version)


def build(configurator: type, version: str, prefix: str) -> nn.Module:
    """A component in float32 with the tensors below ``prefix`` (statistics included for the audio VAE)."""
    path = audio_file(version)
    tensors = {}
    for key, tensor in load_file(path).items():
        if key.startswith(prefix):
            tensors[key.removeprefix(prefix)] = tensor.float()
        elif prefix.startswith("audio_vae.") and key.startswith(STATISTICS):
            tensors[key.removeprefix("audio_vae.")] = tensor.float()
    with torch.device("meta"):
        model = configurator.from_config(config(path))
    model.load_state_dict(tensors, strict=True, assign=True)
    return model.eval()


def encoder(version: str) -> AudioEncoder:
    return build(AudioEncoderConfigurator, version, "audio_vae.encoder.")


def decoder(version: str) -> AudioDecoder:
    return build(AudioDecoderConfigurator, version, "audio_vae.decoder.")


@pytest.mark.parametrize("version", VERSIONS)
@torch.inference_mode()
def test_encoding(version: str) -> None:
    case = golden(version, "audio")
    model = encoder(version)
    audio = Audio(waveform=case["waveform"], sampling_rate=16000)
    assert_close(make_audio_processor(model)(audio), case["mel"])
    assert_close(model(case["mel"]), case["latents"])
    assert_close(encode_audio(audio, model), case["latents"])


@pytest.mark.parametrize("version", VERSIONS)
@torch.inference_mode()
def test_decoding(version: str) -> None:
    case = golden(version, "audio")
    model = decoder(version)
    vocoder = build(VocoderConfigurator, version, "vocoder.")
    assert_close(model(case["decode_latents"]), case["decoded_mel"])
    assert_close(vocoder(case["decoded_mel"]), case["vocoder_waveform"])
    audio = decode_audio(case["decode_latents"], model, vocoder)
    assert_close(audio.waveform, case["vocoder_waveform"][0])
    assert audio.sampling_rate == (24000 if version == "2.0" else 48000)
