"""Whole directions: waveform to latents and latents to waveform (spec 04 §6, §11)."""

from __future__ import annotations

from torch import Tensor

from ...types import Audio
from .audio_vae import AudioDecoder, AudioEncoder
from .bandwidth_extension import VocoderWithBWE
from .mel import AudioProcessor
from .vocoder import Vocoder


def make_audio_processor(encoder: AudioEncoder) -> AudioProcessor:
    """The log-mel front end that ``encoder`` was trained with, float32 on the encoder's device."""
    config = encoder.config
    if config.mel_bins is None:
        raise ValueError("The checkpoint's audio_vae config does not say how many mel bins the encoder reads.")
    processor = AudioProcessor(
        sample_rate=config.sampling_rate, mel_bins=config.mel_bins, hop_length=config.hop_length, n_fft=config.n_fft
    )
    return processor.to(encoder.conv_in.conv.weight.device)


def encode_audio(audio: Audio, encoder: AudioEncoder, processor: AudioProcessor | None = None) -> Tensor:
    """Normalised latents ``(B, 8, ceil(M / 4), 16)`` in the encoder's dtype; ``M`` mel frames at 100 per second.

    ``audio`` may be mono or stereo at any rate. Usually one latent frame longer than the matching video needs:
    crop it. Raises ValueError as `AudioProcessor` does.
    """
    mel = (processor or make_audio_processor(encoder))(audio)
    return encoder(mel.to(encoder.conv_in.conv.weight))


def decode_audio(latent: Tensor, decoder: AudioDecoder, vocoder: Vocoder | VocoderWithBWE) -> Audio:
    """Waveform of normalised latents ``(B, 8, T, 16)``, lasting ``(4 T - 3) / 100`` s.

    The waveform is float32, ``(B, 2, samples)``, or ``(2, samples)`` for a batch of one.
    """
    mel = decoder(latent.to(decoder.conv_in.conv.weight))
    waveform = vocoder(mel.float())
    return Audio(waveform=waveform.squeeze(0).float(), sampling_rate=vocoder.output_sampling_rate)
