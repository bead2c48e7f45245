"""Audio: log-mel front end, audio VAE and vocoders (spec 04)."""

from __future__ import annotations

from ...on_demand import names_on_demand

__getattr__, __dir__, __all__ = names_on_demand(
    __name__,
    {
        ".audio_vae": ("AudioDecoder", "AudioEncoder", "AudioVAEConfig"),
        ".bandwidth_extension": ("BandwidthExtensionConfig", "VocoderWithBWE"),
        ".coding": ("decode_audio", "encode_audio", "make_audio_processor"),
        ".configurator": ("AudioDecoderConfigurator", "AudioEncoderConfigurator", "VocoderConfigurator"),
        ".mel": ("AudioProcessor",),
        ".resampling": ("resample",),
        ".vocoder": ("GeneratorConfig", "Vocoder"),
    },
)
