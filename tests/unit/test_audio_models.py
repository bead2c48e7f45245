"""Audio VAE and vocoders: filters, deterministic networks, inventories, options (spec 04 §15)."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ltx_core_impl.model.audio_vae import (
    AudioDecoderConfigurator,
    AudioEncoderConfigurator,
    VocoderConfigurator,
    VocoderWithBWE,
    decode_audio,
    encode_audio,
)
from ltx_core_impl.model.audio_vae.amp_generator import Activation1d
from ltx_core_impl.model.audio_vae.filters import hann_sinc_filter, hann_sinc_upsample, kaiser_sinc_filter
from ltx_core_impl.types import Audio
from tests.conftest import TESTS

INVENTORY = TESTS / "inventory"


def published(version: str) -> dict[str, Any]:
    return json.loads((INVENTORY / f"config-{version}.json").read_text())


def small_audio_vae(**ddconfig: object) -> dict[str, Any]:
    """The published audio VAE config, narrowed as in check 9."""
    config = copy.deepcopy(published("22b"))
    config["audio_vae"]["model"]["params"]["ddconfig"] |= {"ch": 16, "z_channels": 4, "mel_bins": 16} | ddconfig
    return config


def small_vocoder() -> dict[str, Any]:
    section = {
        "resblock": "1",
        "stereo": True,
        "upsample_initial_channel": 16,
        "upsample_rates": [3, 2],
        "upsample_kernel_sizes": [7, 4],
        "resblock_kernel_sizes": [3, 7],
        "resblock_dilation_sizes": [[1, 3, 5]] * 2,
    }
    return {"vocoder": section}


def small_bwe_vocoder() -> dict[str, Any]:
    base = small_vocoder()["vocoder"] | {
        "resblock": "AMP1",
        "activation": "snakebeta",
        "use_tanh_at_final": False,
        "use_bias_at_final": False,
    }
    bwe = base | {"upsample_rates": [4, 3], "upsample_kernel_sizes": [8, 7], "n_fft": 16, "hop_length": 4}
    bwe |= {"num_mels": 64, "input_sampling_rate": 16000, "output_sampling_rate": 48000}
    return {"vocoder": {"vocoder": base, "bwe": bwe}}


def fill(module: nn.Module) -> nn.Module:
    """The deterministic weights of check 9."""
    state = module.state_dict()
    for index, name in enumerate(sorted(state)):
        tensor = state[name]
        if name.endswith(".filter"):
            continue
        wave = torch.sin(1.3 * index + 0.37 * torch.arange(tensor.numel()).double()).view(tensor.shape)
        if name.endswith("std-of-means"):
            wave = 1 + 0.25 * wave
        elif name.endswith("mean-of-means"):
            wave = 0.25 * wave
        elif name.endswith((".alpha", ".beta")):
            wave = 0.2 * wave
        elif name.endswith("mel_basis"):
            wave = 0.01 * wave.abs()
        elif name.endswith(("forward_basis", "inverse_basis")):
            wave = 0.05 * wave
        elif name.endswith(".bias"):
            wave = 0.1 * wave
        else:
            small = name.endswith("conv_post.weight") or name == "bwe_generator.conv_pre.weight"
            wave = wave / math.sqrt(math.prod(tensor.shape[1:])) * (0.02 if small else 1)
        tensor.copy_(wave)
    return module.eval()


def wave_input(shape: tuple[int, ...], step: float) -> Tensor:
    return torch.sin(step * torch.arange(math.prod(shape)).double()).float().view(shape)


def check(
    output: Tensor, shape: tuple[int, ...], values: dict[tuple[int, ...], float], mean: float, std: float
) -> None:
    """Values are compared at the scale of the output: one near zero is a difference of large ones, whose float32
    rounding depends on the processor (and on the one that the reference ran on)."""
    assert output.shape == shape
    for position, value in values.items():
        assert output[position].item() == pytest.approx(value, rel=2e-5, abs=2e-5 * std), position
    assert output.mean().item() == pytest.approx(mean, rel=2e-5)
    assert output.std(unbiased=False).item() == pytest.approx(std, rel=2e-5)


@torch.no_grad()
def test_deterministic_encoder() -> None:
    output = fill(AudioEncoderConfigurator.from_config(small_audio_vae()))(wave_input((1, 2, 9, 16), 0.05))
    values = {(0, 0, 0, 0): -0.08639061, (0, 1, 1, 2): 0.01253248, (0, 3, 2, 3): -0.02202163}
    check(output, (1, 4, 3, 4), values, mean=0.04164071, std=0.163317)


@torch.no_grad()
def test_deterministic_decoder() -> None:
    decoder = fill(AudioDecoderConfigurator.from_config(small_audio_vae())).double()
    output = decoder(wave_input((1, 4, 3, 4), 0.3).double())
    values = {(0, 0, 0, 0): 0.2983338, (0, 1, 4, 7): -3.540064, (0, 1, 8, 15): -0.02843611}
    check(output, (1, 2, 9, 16), values, mean=0.02727471, std=2.435477)


@torch.no_grad()
def test_deterministic_hifigan() -> None:
    vocoder = fill(VocoderConfigurator.from_config(small_vocoder()))
    values = {(0, 0, 0): 0.001522851, (0, 1, 13): 0.03897616, (0, 0, 29): 0.002681645}
    check(vocoder(wave_input((1, 2, 5, 64), 0.02)), (1, 2, 30), values, mean=0.0191679, std=0.01862822)
    assert vocoder.output_sampling_rate == 24000


@torch.no_grad()
def test_deterministic_bandwidth_extension() -> None:
    vocoder = fill(VocoderConfigurator.from_config(small_bwe_vocoder()))
    mel = wave_input((1, 2, 5, 64), 0.02)
    base = vocoder.vocoder(mel)
    expected = {(0, 0, 0): 0.009354344, (0, 1, 13): -0.02537229, (0, 0, 29): -0.03149747}
    for position, value in expected.items():
        assert base[position].item() == pytest.approx(value, rel=2e-5)
    values = {(0, 0, 0): 0.006006328, (0, 1, 44): -0.0147834, (0, 0, 89): -0.01401606}
    check(vocoder(mel), (1, 2, 90), values, mean=-0.01562069, std=0.03201961)
    assert vocoder.output_sampling_rate == 48000


@torch.no_grad()
def test_low_precision_vocoder_runs_in_float32() -> None:
    vocoder = fill(VocoderConfigurator.from_config(small_bwe_vocoder())).to(torch.bfloat16)
    rounded = copy.deepcopy(vocoder).float()
    mel = wave_input((1, 2, 5, 64), 0.02)
    assert torch.equal(vocoder(mel), rounded(mel))
    assert vocoder(mel.bfloat16()).dtype == torch.bfloat16


def test_kaiser_taps() -> None:
    taps = [0.00202896469, 0.00938946567, -0.0255434625, -0.0576573834, 0.128572583, 0.443209797]
    kernel = kaiser_sinc_filter(0.25, 0.3, 12).flatten()
    torch.testing.assert_close(kernel, torch.tensor(taps + taps[::-1]), rtol=1e-6, atol=1e-8)
    rounded = [0.0020294189, 0.0093994141, -0.0255126953, -0.0576171875, 0.12890625, 0.443359375]
    assert torch.equal(kernel[:6].bfloat16(), torch.tensor(rounded).bfloat16())


def test_hann_taps() -> None:
    kernel = hann_sinc_filter(3).flatten()
    half = [-8.1753e-07, -0.000183016979, -0.000538223714, 0.000244591618, 0.00264129625, 0.00362526136]
    half += [-0.000861470122, -0.00897745974, -0.0108616697, 0.00169034069, 0.0213740114, 0.0254519004]
    half += [-0.0025134082, -0.0467810296, -0.0594799556, 0.00311386585, 0.135345951, 0.271942735, 0.33]
    assert kernel.shape == (43,)
    assert kernel[:3].abs().max() < 1e-16
    torch.testing.assert_close(kernel[3:22], torch.tensor(half), rtol=2e-6, atol=5e-8)
    torch.testing.assert_close(kernel, kernel.flip(0), rtol=0, atol=1e-7)


def test_hann_upsampling_replicates_the_edges() -> None:
    signal = torch.randn(1, 2, 11, generator=torch.Generator().manual_seed(0)).double()
    kernel = hann_sinc_filter(3).flatten().double()
    expected = torch.zeros(1, 2, 33, dtype=torch.float64)
    for n in range(33):
        for i in range(-20, 32):
            tap = n - 3 * i + 21
            if 0 <= tap < 43:
                expected[..., n] += 3 * kernel[tap] * signal[..., min(max(i, 0), 10)]
    torch.testing.assert_close(hann_sinc_upsample(signal, 3), expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_anti_aliased_activation() -> None:
    activation = Activation1d(1)
    activation.act.alpha.fill_(0.3)
    activation.act.beta.fill_(-0.2)
    signal = torch.tensor([[[0, 0.5, -0.5, 1, 0.25]]])
    up = [-0.0670468509, 0.158173978, 0.519646108, 0.264564753, -0.425257266, -0.255479276]
    up += [0.70816958, 1.00599551, 0.482188523, 0.149429724]
    torch.testing.assert_close(activation.upsample(signal).flatten(), torch.tensor(up), rtol=0, atol=3e-7)
    alone = [0, 0.97686958, -0.023130417, 2.162746, 0.38389564]
    torch.testing.assert_close(activation.act(signal).flatten(), torch.tensor(alone), rtol=0, atol=3e-7)
    final = [0.17788984, 0.65234375, -0.043339208, 1.7318909, 0.70640838]
    torch.testing.assert_close(activation(signal).flatten(), torch.tensor(final), rtol=0, atol=5e-7)


@pytest.mark.parametrize("version", ["19b", "22b"])
@pytest.mark.parametrize(
    ("configurator", "prefixes"),
    [
        (AudioEncoderConfigurator, {"audio_vae.encoder.": "", "audio_vae.per_channel": "per_channel"}),
        (AudioDecoderConfigurator, {"audio_vae.decoder.": "", "audio_vae.per_channel": "per_channel"}),
        (VocoderConfigurator, {"vocoder.": ""}),
    ],
)
def test_published_inventory(version: str, configurator: type, prefixes: dict[str, str]) -> None:
    expected = {}
    for line in (INVENTORY / f"inventory-{version}.tsv").read_text().splitlines():
        name, _, shape = line.partition("\t")
        for prefix, replacement in prefixes.items():
            if name.startswith(prefix):
                expected[replacement + name.removeprefix(prefix)] = [int(size) for size in shape.split(",")]
    with torch.device("meta"):
        model = configurator.from_config(published(version))
    state = model.state_dict()
    assert {name: list(tensor.shape) for name, tensor in state.items()} == expected
    assert all(tensor.is_meta for tensor in state.values())
    counts = {"audio_encoder": 46, "audio_decoder": 58, "vocoder": 194 if version == "19b" else 1227}
    assert len(state) == counts[configurator.component]


@pytest.mark.parametrize(("version", "samples"), [("19b", 1200), ("22b", 2400)])
def test_full_size_shapes_on_meta(version: str, samples: int) -> None:
    with torch.device("meta"):
        vocoder = VocoderConfigurator.from_config(published(version))
        encoder = AudioEncoderConfigurator.from_config(published(version))
        decoder = AudioDecoderConfigurator.from_config(published(version))
        assert vocoder(torch.empty(1, 2, 5, 64)).shape == (1, 2, samples)
        latents = encoder(torch.empty(1, 2, 9, 64))
        assert latents.shape == (1, 8, 3, 16)
        assert decoder(latents).shape == (1, 2, 9, 64)


@pytest.mark.parametrize(
    ("mel_frames", "latents"), [(1, 1), (2, 1), (3, 1), (4, 1), (5, 2), (9, 3), (13, 4), (101, 26)]
)
@torch.no_grad()
def test_latent_length(mel_frames: int, latents: int) -> None:
    encoder = AudioEncoderConfigurator.from_config(small_audio_vae())
    assert encoder(torch.zeros(1, 2, mel_frames, 16)).shape == (1, 4, latents, 4)


@torch.no_grad()
def test_causality() -> None:
    """Latent frame t is the first to see mel frames 4t-3 to 4t."""
    encoder = fill(AudioEncoderConfigurator.from_config(small_audio_vae()))
    mel = wave_input((1, 2, 13, 16), 0.05)
    latents = encoder(mel)
    for frame in range(13):
        changed = mel.clone()
        changed[:, :, frame] += 1
        first = (encoder(changed) - latents).abs().amax(dim=(0, 1, 3)).nonzero()[0].item()
        assert first == -(-frame // 4)


@pytest.mark.parametrize("axis", ["height", "width", "width-compatibility", None])
@torch.no_grad()
def test_every_causality_axis_has_the_documented_size(axis: str | None) -> None:
    config = small_audio_vae(causality_axis=axis, mid_block_add_attention=True, attn_resolutions=[128])
    latents = AudioEncoderConfigurator.from_config(config)(torch.zeros(1, 2, 16, 16))
    assert latents.shape == (1, 4, 4, 4)
    mel = AudioDecoderConfigurator.from_config(config)(latents)
    assert mel.shape == (1, 2, 16 if axis is None else 13, 16)


def test_optional_layers() -> None:
    default = AudioEncoderConfigurator.from_config(small_audio_vae()).state_dict()
    attention = AudioEncoderConfigurator.from_config(small_audio_vae(mid_block_add_attention=True)).state_dict()
    added = {f"mid.attn_1.{name}.{kind}" for name in ("q", "k", "v", "proj_out") for kind in ("weight", "bias")}
    assert set(attention) - set(default) == added
    assert attention["mid.attn_1.q.weight"].shape == (64, 64, 1, 1)
    none = small_audio_vae(mid_block_add_attention=True, attn_type="none")
    assert set(AudioEncoderConfigurator.from_config(none).state_dict()) == set(default)
    group = small_audio_vae(norm_type="group", causality_axis=None, ch=32, mel_bins=32)
    assert "mid.block_1.norm1.weight" in AudioEncoderConfigurator.from_config(group).state_dict()


@torch.no_grad()
def test_attention_is_softmax_over_all_positions() -> None:
    encoder = fill(AudioEncoderConfigurator.from_config(small_audio_vae(mid_block_add_attention=True)))
    block = encoder.mid.attn_1
    x = wave_input((1, 64, 3, 4), 0.1)
    hidden = block.norm(x)
    query, key, value = (layer(hidden).flatten(2)[0] for layer in (block.q, block.k, block.v))
    weights = torch.softmax(query.T @ key * 64**-0.5, dim=-1)
    expected = x + block.proj_out((value @ weights.T).view(1, 64, 3, 4))
    torch.testing.assert_close(block(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm_type": "group"}, "cannot be causal"),
        ({"norm_type": "layer"}, "norm_type is 'layer'"),
        ({"attn_type": "linear"}, "attn_type is 'linear'"),
        ({"causality_axis": "none"}, "'none' is not a valid"),
        ({"resamp_with_conv": False}, "resamp_with_conv"),
    ],
)
def test_unsupported_audio_vae_options(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AudioEncoderConfigurator.from_config(small_audio_vae(**changes))


def test_missing_sections_are_refused() -> None:
    with pytest.raises(ValueError, match=r"audio_vae\.model\.params\.ddconfig"):
        AudioDecoderConfigurator.from_config({})
    with pytest.raises(ValueError, match="resblock is None, expected 1"):
        VocoderConfigurator.from_config({})


@pytest.mark.parametrize("half", ["vocoder", "bwe"])
@pytest.mark.parametrize("key", ["resblock", "stereo", "activation"])
def test_bwe_required_values(half: str, key: str) -> None:
    config = small_bwe_vocoder()
    del config["vocoder"][half][key]
    with pytest.raises(ValueError, match=f"Config value {key} is None"):
        VocoderConfigurator.from_config(config)


def test_bwe_keys_without_default() -> None:
    config = small_bwe_vocoder()
    del config["vocoder"]["bwe"]["hop_length"]
    with pytest.raises(ValueError, match=r"vocoder\.bwe lacks hop_length"):
        VocoderConfigurator.from_config(config)
    config["vocoder"]["bwe"]["hop_length"] = 5
    with pytest.raises(ValueError, match="does not give 48000"):
        VocoderConfigurator.from_config(config)


def test_wrong_shapes_are_named() -> None:
    encoder = AudioEncoderConfigurator.from_config(small_audio_vae())
    decoder = AudioDecoderConfigurator.from_config(small_audio_vae())
    vocoder = VocoderConfigurator.from_config(small_vocoder())
    with pytest.raises(ValueError, match=r"\(1, 1, 9, 16\)"):
        encoder(torch.zeros(1, 1, 9, 16))
    with pytest.raises(ValueError, match=r"\(1, 128, 2, 2, 2\)"):
        decoder(torch.zeros(1, 128, 2, 2, 2))
    with pytest.raises(ValueError, match="4 channels x 5 mel bins"):
        decoder(torch.zeros(1, 4, 3, 5))
    with pytest.raises(ValueError, match=r"\(1, 2, 9, 32\)"):
        vocoder(torch.zeros(1, 2, 9, 32))


@torch.no_grad()
def test_encode_and_decode_in_the_model_precision() -> None:
    config = small_audio_vae(mel_bins=64)
    encoder = AudioEncoderConfigurator.from_config(config).bfloat16()
    decoder = AudioDecoderConfigurator.from_config(config).bfloat16()
    waveform = torch.randn(2, 1, 15360, generator=torch.Generator().manual_seed(0)) * 0.1
    latents = encode_audio(Audio(waveform, 16000), encoder)
    assert latents.shape == (2, 4, 25, 16) and latents.dtype == torch.bfloat16
    for vocoder_config, factor, rate in ((small_vocoder(), 6, 24000), (small_bwe_vocoder(), 18, 48000)):
        vocoder = VocoderConfigurator.from_config(vocoder_config).bfloat16()
        audio = decode_audio(latents.float(), decoder, vocoder)
        assert audio.waveform.shape == (2, 2, 97 * factor) and audio.waveform.dtype == torch.float32
        assert audio.sampling_rate == rate
        assert isinstance(vocoder, VocoderWithBWE) == (rate == 48000)
        assert decode_audio(latents[:1], decoder, vocoder).waveform.shape == (2, 97 * factor)


@torch.no_grad()
def test_inputs_are_not_changed() -> None:
    mel = wave_input((1, 2, 5, 64), 0.02)
    kept = mel.clone()
    for config in (small_vocoder(), small_bwe_vocoder()):
        fill(VocoderConfigurator.from_config(config))(mel)
    assert torch.equal(mel, kept)
