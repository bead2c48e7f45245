"""Build the audio models from the ``config`` JSON of a checkpoint (spec 04 §1)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from .audio_vae import AudioDecoder, AudioEncoder, AudioVAEConfig
from .bandwidth_extension import BandwidthExtensionConfig, VocoderWithBWE
from .layers import CausalityAxis
from .vocoder import GeneratorConfig, Vocoder

ConfigDict = dict[str, Any]


def _required(section: ConfigDict, key: str, expected: object) -> None:
    if section.get(key) != expected:
        raise ValueError(f"Config value {key} is {section.get(key)}, expected {expected}")


def audio_vae_config(config: ConfigDict) -> AudioVAEConfig:
    """Read the ``audio_vae`` section.

    Raises:
        ValueError: no section (its code defaults are not the published architecture), or an unsupported option.
    """
    section = config.get("audio_vae") or {}
    params = section.get("model", {}).get("params", {})
    ddconfig = params.get("ddconfig")
    if not ddconfig:
        raise ValueError(
            "The checkpoint's config has no audio_vae.model.params.ddconfig. Use a file with its metadata intact, or "
            "pass the published configuration of its version."
        )
    preprocessing = section.get("preprocessing", {})
    stft = preprocessing.get("stft", {})
    norm_type = ddconfig.get("norm_type", "pixel")
    axis = CausalityAxis(ddconfig.get("causality_axis", "height"))
    if norm_type not in ("pixel", "group"):
        raise ValueError(f"Audio VAE norm_type is {norm_type!r}; supported are 'pixel' and 'group'.")
    if norm_type == "group" and axis is not CausalityAxis.NONE:
        raise ValueError(f"Group norm sees the whole time axis and cannot be causal (causality_axis {axis.value!r}).")
    mel_bins = (
        ddconfig.get("mel_bins")
        or preprocessing.get("mel", {}).get("n_mel_channels")
        or section.get("variables", {}).get("mel_bins")
    )
    return AudioVAEConfig(
        ch=ddconfig.get("ch", 128),
        ch_mult=tuple(ddconfig.get("ch_mult", (1, 2, 4))),
        num_res_blocks=ddconfig.get("num_res_blocks", 2),
        attn_resolutions=frozenset(ddconfig.get("attn_resolutions", (8, 16, 32))),
        resolution=ddconfig.get("resolution", 256),
        in_channels=ddconfig.get("in_channels", 2),
        out_ch=ddconfig.get("out_ch", 2),
        z_channels=ddconfig.get("z_channels", 8),
        double_z=ddconfig.get("double_z", True),
        mel_bins=mel_bins,
        mid_block_add_attention=ddconfig.get("mid_block_add_attention", True),
        attention=True,
        norm_type=norm_type,
        causality_axis=axis,
        dropout=ddconfig.get("dropout", 0.0),
        sampling_rate=params.get("sampling_rate", 16000),
        hop_length=stft.get("hop_length", 160),
        n_fft=stft.get("filter_length", 1024),
    )


def _generator_config(section: ConfigDict) -> GeneratorConfig:
    return GeneratorConfig(
        upsample_initial_channel=section.get("upsample_initial_channel", 1024),
        upsample_rates=tuple(section.get("upsample_rates", (6, 5, 2, 2, 2))),
        upsample_kernel_sizes=tuple(section.get("upsample_kernel_sizes", (16, 15, 8, 4, 4))),
        resblock_kernel_sizes=tuple(section.get("resblock_kernel_sizes", (3, 7, 11))),
        resblock_dilation_sizes=tuple(map(tuple, section.get("resblock_dilation_sizes", ((1, 3, 5),) * 3))),
        use_tanh_at_final=section.get("use_tanh_at_final", True),
        use_bias_at_final=section.get("use_bias_at_final", True),
    )


class AudioEncoderConfigurator:
    """Builds `AudioEncoder`."""

    component: ClassVar[str] = "audio_encoder"

    @classmethod
    def from_config(cls, config: ConfigDict) -> AudioEncoder:
        """Build from the whole ``config`` JSON.

        Two keys concern the encoder alone: the decoder always has vanilla attention and convolutional resampling.

        Raises:
            ValueError: as `audio_vae_config`, or an unsupported kind of attention or resampling.
        """
        vae = audio_vae_config(config)
        ddconfig = config["audio_vae"]["model"]["params"]["ddconfig"]
        attn_type = ddconfig.get("attn_type", "vanilla")
        if attn_type not in ("vanilla", "none"):
            raise ValueError(f"Audio VAE attn_type is {attn_type!r}; supported are 'vanilla' and 'none'.")
        if not ddconfig.get("resamp_with_conv", True):
            raise ValueError("Audio VAE resamp_with_conv is false; only convolutional resampling is supported.")
        return AudioEncoder(replace(vae, attention=attn_type != "none"))


class AudioDecoderConfigurator:
    """Builds `AudioDecoder`."""

    component: ClassVar[str] = "audio_decoder"

    @classmethod
    def from_config(cls, config: ConfigDict) -> AudioDecoder:
        """Build from the whole ``config`` JSON; ValueError as `audio_vae_config`."""
        return AudioDecoder(audio_vae_config(config))


class VocoderConfigurator:
    """Builds `Vocoder` (LTX-2) or, when the section has ``bwe``, `VocoderWithBWE` (LTX-2.3 and later)."""

    component: ClassVar[str] = "vocoder"

    @classmethod
    def from_config(cls, config: ConfigDict) -> Vocoder | VocoderWithBWE:
        """Build from the whole ``config`` JSON; ValueError when a value is missing or unsupported."""
        section = config.get("vocoder") or {}
        if "bwe" not in section:
            _required(section, "resblock", "1")
            _required(section, "stereo", True)
            return Vocoder(_generator_config(section), output_sampling_rate=section.get("output_sampling_rate", 24000))
        base, extension = section.get("vocoder", {}), section["bwe"]
        for half in (base, extension):
            _required(half, "resblock", "AMP1")
            _required(half, "stereo", True)
            _required(half, "activation", "snakebeta")
        keys = ("input_sampling_rate", "output_sampling_rate", "n_fft", "hop_length", "num_mels")
        missing = [key for key in keys if key not in extension]
        if missing:
            raise ValueError(f"The config section vocoder.bwe lacks {', '.join(missing)}.")
        return VocoderWithBWE(
            base=_generator_config(base),
            extension=_generator_config(extension),
            analysis=BandwidthExtensionConfig(**{key: extension[key] for key in keys}),
        )
