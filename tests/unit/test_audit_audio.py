"""Audio VAE configs that nobody published, and which half of the VAE each key concerns (spec 04 §1.1, §5)."""

from __future__ import annotations

import pytest
import torch

from ltx_core_impl.model.audio_vae import AudioDecoderConfigurator, AudioEncoderConfigurator
from ltx_core_impl.model.audio_vae.coding import make_audio_processor
from ltx_core_impl.model.audio_vae.mel import AudioProcessor, mel_filterbank
from ltx_core_impl.model.audio_vae.resampling import resample
from ltx_core_impl.types import Audio
from tests.unit.test_audio_models import fill, small_audio_vae


@pytest.mark.parametrize(
    ("ch_mult", "axis", "mel_bins", "latent"),
    [
        ([1, 2], "height", 16, (4, 9, 8)),
        ([1], "height", 16, (4, 17, 16)),
        ([1, 2, 2, 4], "height", 16, (4, 3, 2)),
        ([1, 2], None, 24, (4, 8, 12)),
        ([1, 2, 4], "width", 18, (4, 4, 5)),
        ([1, 2, 4], "width-compatibility", 18, (4, 4, 4)),
    ],
)
@torch.no_grad()
def test_statistics_have_the_features_that_the_levels_leave(
    ch_mult: list[int], axis: str | None, mel_bins: int, latent: tuple[int, ...]
) -> None:
    config = small_audio_vae(ch_mult=ch_mult, causality_axis=axis, mel_bins=mel_bins)
    encoder, decoder = AudioEncoderConfigurator.from_config(config), AudioDecoderConfigurator.from_config(config)
    found = encoder(torch.zeros(2, 2, 17, mel_bins))
    assert found.shape == (2, *latent)
    assert encoder.config.latent_features == latent[0] * latent[2]
    # The length that the decoder is fitted to is that of three levels, whatever their number (spec 04 §5.5).
    assert decoder(found).shape == (2, 2, 4 * latent[1] - (0 if axis is None else 3), mel_bins)


@pytest.mark.parametrize("change", [{"attn_type": "none"}, {"attn_type": "linear"}, {"resamp_with_conv": False}])
def test_the_decoder_ignores_the_keys_of_the_encoder(change: dict[str, object]) -> None:
    def names(**options: object) -> set[str]:
        return set(AudioDecoderConfigurator.from_config(small_audio_vae(**options)).state_dict())

    plain = {"mid_block_add_attention": True, "attn_resolutions": [64]}
    assert names(**plain, **change) == names(**plain)
    assert "up.2.attn.0.q.weight" in names(**plain, **change)


def test_mel_bins_come_from_the_first_key_that_tells_them() -> None:
    config = small_audio_vae(mel_bins=None)
    section = config["audio_vae"]
    section["preprocessing"]["mel"] = {"n_mel_channels": 24}
    section["variables"] = {"mel_bins": 32}
    assert AudioEncoderConfigurator.from_config(config).config.mel_bins == 24
    del section["preprocessing"]["mel"]
    assert AudioEncoderConfigurator.from_config(config).config.mel_bins == 32


@torch.no_grad()
def test_without_mel_bins_the_decoder_keeps_as_many_as_the_latent_has() -> None:
    config = small_audio_vae(mel_bins=None)
    del config["audio_vae"]["preprocessing"]["mel"]
    known = fill(AudioDecoderConfigurator.from_config(small_audio_vae()))
    unknown = fill(AudioDecoderConfigurator.from_config(config))
    latent = torch.sin(0.3 * torch.arange(48.0)).view(1, 4, 3, 4)
    assert torch.equal(unknown(latent), known(latent)[..., :4])
    with pytest.raises(ValueError, match="does not say how many mel bins"):
        make_audio_processor(AudioEncoderConfigurator.from_config(config))


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
