"""Audio input: resampling, mel filterbank and log-mel front end (spec 04 §15 checks 1 to 4, 11)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ltx_core_impl.model.audio_vae import AudioProcessor, resample
from ltx_core_impl.model.audio_vae.mel import mel_band_edges, mel_filterbank
from ltx_core_impl.model.audio_vae.resampling import sinc_filters
from ltx_core_impl.types import Audio


def sine(frequency: float, rate: int, samples: int, gain: float = 1.0) -> Tensor:
    """Sine evaluated in float64, stored in float32."""
    return (gain * torch.sin(2 * math.pi * frequency * torch.arange(samples).double() / rate)).float()


def processor() -> AudioProcessor:
    return AudioProcessor(sample_rate=16000, mel_bins=64, hop_length=160, n_fft=1024)


def test_slaney_band_edges() -> None:
    edges = mel_band_edges(64, 8000.0)
    expected = {
        1: 46.4057808,
        2: 92.8115616,
        9: 417.652039,
        21: 974.521423,
        22: 1021.81635,
        23: 1071.90674,
        40: 2418.1709,
        64: 7626.15869,
        65: 7999.99805,
    }
    for index, value in expected.items():
        assert edges[index].item() == pytest.approx(value, rel=1e-7)


def test_filterbank() -> None:
    bank = mel_filterbank(16000, 1024, 64)
    expected = {
        (1, 0): 0.00725564221,
        (2, 0): 0.0145112844,
        (3, 0): 0.0213311519,
        (4, 0): 0.0140755093,
        (3, 1): 0.000217887122,
        (490, 63): 0.002518469,
        (511, 63): 0.0001144622,
        (512, 63): 0.0,
        (28, 8): 0.012332418,
        (28, 9): 0.00921661966,
        (64, 20): 0.00984588359,
        (64, 21): 0.0110636186,
        (128, 35): 0.0101260012,
        (128, 36): 0.000318486564,
        (256, 49): 0.00262074755,
        (256, 50): 0.00260412483,
    }
    for position, value in expected.items():
        assert bank[position].item() == pytest.approx(value, rel=1e-6, abs=0)
    assert bank.shape == (513, 64)
    assert bank.max().item() == pytest.approx(0.0213311519, rel=1e-7)
    assert bank.sum().item() == pytest.approx(4.09588, rel=1e-5)
    assert bank[:, 0].nonzero().flatten().tolist() == [1, 2, 3, 4, 5]
    assert bank[:, 63].nonzero().flatten()[[0, -1]].tolist() == [466, 511]
    assert not bank[0].any()


def test_log_mel_of_two_tones() -> None:
    waveform = torch.stack([sine(440, 16000, 16000, gain=0.5), sine(1000, 16000, 16000, gain=0.25)])[None]
    mel = processor()(Audio(waveform, 16000))
    assert mel.shape == (1, 2, 101, 64) and mel.is_contiguous()
    expected = {
        (0, 0, 50, 8): 1.0857592,
        (0, 0, 50, 9): 0.97986823,
        (0, 0, 100, 8): 1.3005098,
        (0, 0, 0, 8): 1.2133213,
        (0, 0, 0, 0): -0.98209876,
        (0, 0, 50, 63): -11.512925,
        (0, 1, 50, 20): 0.23132844,
        (0, 1, 50, 21): 0.34793702,
        (0, 1, 0, 21): 0.42252463,
    }
    for position, value in expected.items():
        assert mel[position].item() == pytest.approx(value, abs=2e-6)
    assert mel.mean().item() == pytest.approx(-10.0995, abs=1e-4)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (48000, {0: 0.016551649, 1: 0.16970456, 2: 0.34001985, 100: -1.0002228, 15999: -0.16970457}),
        (44100, {0: 0.01624744, 1: 0.1697114, 2: 0.34002012, 100: -1.0002269, 15999: -0.16971277}),
    ],
)
def test_resampled_sine(rate: int, expected: dict[int, float]) -> None:
    resampled = resample(sine(440, rate, rate), rate, 16000)
    assert resampled.shape == (16000,)
    for index, value in expected.items():
        assert resampled[index].item() == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 24000, 44100, 48000, 96000])
@pytest.mark.parametrize("samples", [1, 1000, 4097])
def test_resampled_length(rate: int, samples: int) -> None:
    waveform = torch.randn(2, 3, samples, generator=torch.Generator().manual_seed(0))
    resampled = resample(waveform, rate, 16000)
    assert resampled.shape == (2, 3, math.ceil(samples * 16000 / rate))
    torch.testing.assert_close(resampled[1, 2], resample(waveform[1, 2], rate, 16000), rtol=0, atol=2e-6)


@pytest.mark.parametrize(("rate", "target"), [(47999, 16000), (16000, 48017), (96001, 16000)])
def test_rates_without_a_common_divisor(rate: int, target: int) -> None:
    """Filter by filter: all at once they are gigabytes. The ends are excepted, where the signal is cut off."""
    resampled = resample(sine(440, rate, rate // 5).repeat(2, 1), rate, target)
    assert resampled.shape == (2, math.ceil(rate // 5 * target / rate))
    torch.testing.assert_close(resampled[0, 50:-50], sine(440, target, resampled.shape[1])[50:-50], rtol=0, atol=1e-3)
    filters, begin = sinc_filters(47999, 16000, 8000, 8100)
    assert begin == 23999 and filters.shape == (100, 1, 339)


def test_bands_of_an_odd_rate_reach_half_of_it() -> None:
    # The last bin, at 5512 Hz, lies 0.5 Hz below the end of the last band and has weight.
    assert mel_filterbank(11025, n_fft=256, mel_bins=16)[-1, -1] > 0
    assert mel_filterbank(11024, n_fft=256, mel_bins=16)[-1, -1] == 0


@pytest.mark.parametrize("rate", [8000, 11025, 12345, 22050, 44100, 96000])
@pytest.mark.parametrize("target", [16000, 22050])
@pytest.mark.parametrize("samples", [1, 7, 5003])
def test_resampling_is_torchaudios(rate: int, target: int, samples: int) -> None:
    functional = pytest.importorskip("torchaudio.functional")
    waveform = torch.randn(2, 2, samples, generator=torch.Generator().manual_seed(samples))
    assert torch.equal(resample(waveform, rate, target), functional.resample(waveform, rate, target))


@pytest.mark.parametrize(
    ("rate", "bins", "hop", "window"),
    [
        (22050, 80, 256, 1024),
        (44100, 128, 441, 2048),
        (48000, 32, 480, 512),
        (16000, 40, 160, 400),
        (11025, 16, 99, 256),
    ],
)
def test_log_mel_is_torchaudios(rate: int, bins: int, hop: int, window: int) -> None:
    transforms = pytest.importorskip("torchaudio.transforms")
    waveform = torch.randn(2, 2, 9001, generator=torch.Generator().manual_seed(rate))
    expected = transforms.MelSpectrogram(
        sample_rate=rate,
        n_fft=window,
        hop_length=hop,
        f_max=rate / 2,
        n_mels=bins,
        power=1.0,
        norm="slaney",
        mel_scale="slaney",
    )(waveform)
    found = AudioProcessor(sample_rate=rate, mel_bins=bins, hop_length=hop, n_fft=window)(Audio(waveform, rate))
    assert torch.equal(found, expected.clamp(min=1e-5).log().transpose(2, 3))


def test_resampling_keeps_dtype_and_input() -> None:
    waveform = torch.ones(1, 2, 800, dtype=torch.float16)
    assert resample(waveform, 16000, 16000) is waveform
    assert resample(waveform, 8000, 16000).dtype == torch.float16
    with pytest.raises(ValueError, match="positive"):
        resample(waveform, 0, 16000)


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_one_second_has_101_frames(rate: int) -> None:
    assert processor()(Audio(torch.zeros(1, 2, rate), rate)).shape == (1, 2, 101, 64)


def test_mono_is_duplicated() -> None:
    mono = sine(300, 16000, 4000)[None, None]
    mel = processor()(Audio(mono, 16000))
    assert torch.equal(mel, processor()(Audio(mono.repeat(1, 2, 1), 16000)))
    assert torch.equal(mel, processor()(Audio(mono[0], 16000)))


def test_other_channel_counts_are_refused() -> None:
    with pytest.raises(ValueError, match=r"mono or stereo.*\(1, 6, 4000\)"):
        processor()(Audio(torch.zeros(1, 6, 4000), 16000))


def test_shortest_audio() -> None:
    assert processor()(Audio(torch.zeros(1, 2, 513), 16000)).shape == (1, 2, 4, 64)
    with pytest.raises(ValueError, match=r"512 samples.*longer clip"):
        processor()(Audio(torch.zeros(1, 2, 512), 16000))


def test_meta_construction_keeps_the_tables() -> None:
    with torch.device("meta"):
        built = processor()
    assert not built.state_dict()
    assert torch.equal(built.filterbank, mel_filterbank(16000, 1024, 64))
    assert built.window.device.type == "cpu"
