"""Audio: log-mel front end, audio VAE and vocoders (spec 04)."""

from .audio_vae import AudioDecoder, AudioEncoder, AudioVAEConfig
from .bandwidth_extension import BandwidthExtensionConfig, VocoderWithBWE
from .coding import decode_audio, encode_audio, make_audio_processor
from .configurator import AudioDecoderConfigurator, AudioEncoderConfigurator, VocoderConfigurator
from .mel import AudioProcessor
from .resampling import resample
from .vocoder import GeneratorConfig, Vocoder

__all__ = [
    "AudioDecoder",
    "AudioDecoderConfigurator",
    "AudioEncoder",
    "AudioEncoderConfigurator",
    "AudioProcessor",
    "AudioVAEConfig",
    "BandwidthExtensionConfig",
    "GeneratorConfig",
    "Vocoder",
    "VocoderConfigurator",
    "VocoderWithBWE",
    "decode_audio",
    "encode_audio",
    "make_audio_processor",
    "resample",
]
