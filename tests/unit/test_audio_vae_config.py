"""Audio VAE configs that nobody published, and which half of the VAE each key concerns (spec 04 §1.1, §5)."""

from __future__ import annotations

import pytest
import torch

from ltx_core_impl.model.audio_vae import AudioDecoderConfigurator, AudioEncoderConfigurator
from ltx_core_impl.model.audio_vae.coding import make_audio_processor
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
