"""Sizes that a checkpoint's config decides, read from handles without reading weights."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import Any, NamedTuple

import torch

from ...ltx_core_impl.components.patchifiers import AudioPatchifier
from ...ltx_core_impl.model import audio_vae, video_vae
from ...ltx_core_impl.model.video_vae import diffusion
from ...ltx_core_impl.types import AudioLatentShape, SpatioTemporalScaleFactors, VideoLatentShape, VideoPixelShape
from .checks import check_frames, check_grid
from .handles import ComponentHandle

UNCONNECTED = "unconnected"
"""What ``validate_inputs`` gets for an optional socket without a wire; None stands for one with a wire."""


class VideoGeometry(NamedTuple):
    """Latent channels and pixels per latent cell of a video VAE."""

    channels: int = 128
    scale: SpatioTemporalScaleFactors = SpatioTemporalScaleFactors.default()

    def latent_shape(self, pixels: VideoPixelShape) -> VideoLatentShape:
        """The latent of a clip of this size."""
        return VideoLatentShape.from_pixel_shape(pixels, latent_channels=self.channels, scale_factors=self.scale)

    def pixel_frames(self, latent_frames: int) -> int:
        """Frames that a latent decodes to."""
        return (latent_frames - 1) * self.scale.time + 1


class AudioGeometry(NamedTuple):
    """Latent channels, mel bins per latent frame and rates of an audio VAE."""

    channels: int = 8
    mel_bins: int = 16
    patchifier: AudioPatchifier = AudioPatchifier()

    def latent_shape(self, pixels: VideoPixelShape) -> AudioLatentShape:
        """The latent of a sound as long as a clip of this size."""
        return AudioLatentShape.from_video_pixel_shape(
            pixels,
            channels=self.channels,
            mel_bins=self.mel_bins,
            sample_rate=self.patchifier.sample_rate,
            hop_length=self.patchifier.hop_length,
            audio_latent_downsample_factor=self.patchifier.downsample_factor,
        )

    def samples(self, latent_frames: int, rate: int) -> int:
        """Samples of a sound at ``rate`` Hz that fills this many latent frames."""
        mel_frames = latent_frames * self.patchifier.downsample_factor
        return math.ceil(mel_frames * self.patchifier.hop_length * rate / self.patchifier.sample_rate)


def video_geometry(vae: ComponentHandle | None) -> VideoGeometry:
    """Of a video VAE; of the published ones when none is connected."""
    return VideoGeometry() if vae is None else _video_geometry(vae.config)


def geometry_when_queued(vae: Any) -> VideoGeometry | None:
    """The published geometry; None when a VAE is connected, whose grid is only known when the graph runs."""
    return video_geometry(None) if vae is UNCONNECTED else None


def check_clip_size(
    geometry: VideoGeometry,
    width: int | None = None,
    height: int | None = None,
    length: int | None = None,
    multiple: int = 0,
) -> None:
    """Sides on the VAE's grid, or on one of ``multiple`` pixels, and whole groups of frames; None is not judged.

    Raises `InputError` with the nearest sizes that fit.
    """
    for name, value, cell in (("width", width, geometry.scale.width), ("height", height, geometry.scale.height)):
        if multiple:
            check_grid("multiple", multiple, cell)
        if value is not None:
            check_grid(name, value, multiple or cell)
    if length is not None:
        check_frames(length, geometry.scale.time)


def audio_geometry(vae: ComponentHandle | None) -> AudioGeometry:
    """Of an audio VAE; of the published ones when none is connected."""
    return AudioGeometry() if vae is None else _audio_geometry(vae.config)


def diffusion_params(vae: ComponentHandle) -> diffusion.DiffusionDecoderParams | None:
    """Sizes of a video VAE's diffusion decoder (LTX-2.5); None when its decoder is convolutional."""
    return _diffusion_params(vae.config)


@lru_cache(maxsize=16)
def _diffusion_params(config: str) -> diffusion.DiffusionDecoderParams | None:
    with torch.device("meta"):
        decoder = video_vae.VideoDecoderConfigurator.from_config(json.loads(config))
    return decoder.params if isinstance(decoder, video_vae.DiffusionVideoDecoder) else None


@lru_cache(maxsize=16)
def _video_geometry(config: str) -> VideoGeometry:
    with torch.device("meta"):
        encoder = video_vae.VideoEncoderConfigurator.from_config(json.loads(config))
    return VideoGeometry(channels=encoder.latent_channels, scale=encoder.scale_factors)


@lru_cache(maxsize=16)
def _audio_geometry(config: str) -> AudioGeometry:
    with torch.device("meta"):
        decoder = audio_vae.AudioDecoderConfigurator.from_config(json.loads(config))
    vae = decoder.config
    return AudioGeometry(
        channels=vae.z_channels,
        mel_bins=vae.latent_features // vae.z_channels,
        patchifier=AudioPatchifier(sample_rate=vae.sampling_rate, hop_length=vae.hop_length),
    )
