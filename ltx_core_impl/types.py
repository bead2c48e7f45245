"""Shapes, latent state and audio: the vocabulary shared by every part (spec 06 §1).

Latents live in two layouts. Unpatchified video is ``(B, C, F, H, W)`` and audio ``(B, C, T, mel)``;
while sampling both are token-major, ``(B, N, D)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

AUDIO_SAMPLE_RATE = 16000
AUDIO_HOP_LENGTH = 160
AUDIO_DOWNSAMPLE_FACTOR = 4


class SpatioTemporalScaleFactors(NamedTuple):
    """Pixels per latent cell along each axis of a video VAE."""

    time: int
    height: int
    width: int

    @classmethod
    def default(cls) -> SpatioTemporalScaleFactors:
        """The factors of every published LTX-2 video VAE."""
        return cls(time=8, height=32, width=32)


class VideoPixelShape(NamedTuple):
    """Size of a pixel-space video; ``fps`` in frames per second."""

    batch: int
    frames: int
    height: int
    width: int
    fps: float

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return float(self.frames) / float(self.fps)


class VideoLatentShape(NamedTuple):
    """Size of an unpatchified video latent, in the order of its tensor."""

    batch: int
    channels: int
    frames: int
    height: int
    width: int

    @classmethod
    def from_torch_shape(cls, shape: torch.Size | tuple[int, ...]) -> VideoLatentShape:
        """Read a ``(B, C, F, H, W)`` tensor shape."""
        if len(shape) != 5:
            raise ValueError(f"A video latent has 5 dimensions (B, C, F, H, W); this one has shape {tuple(shape)}.")
        return cls(*shape)

    @classmethod
    def from_pixel_shape(
        cls,
        shape: VideoPixelShape,
        latent_channels: int = 128,
        scale_factors: SpatioTemporalScaleFactors | None = None,
    ) -> VideoLatentShape:
        """Latent size of a pixel-space video; the first latent frame covers one pixel frame."""
        scale = scale_factors or SpatioTemporalScaleFactors.default()
        return cls(
            batch=shape.batch,
            channels=latent_channels,
            frames=(shape.frames - 1) // scale.time + 1,
            height=shape.height // scale.height,
            width=shape.width // scale.width,
        )

    def upscale(self, scale_factors: SpatioTemporalScaleFactors | None = None) -> VideoLatentShape:
        """Size of the RGB video that this latent decodes to."""
        scale = scale_factors or SpatioTemporalScaleFactors.default()
        return self._replace(
            channels=3,
            frames=(self.frames - 1) * scale.time + 1,
            height=self.height * scale.height,
            width=self.width * scale.width,
        )

    def token_count(self) -> int:
        """Tokens after patchifying (patch size 1)."""
        return self.frames * self.height * self.width

    def mask_shape(self) -> VideoLatentShape:
        """Size of a mask with one value per latent cell."""
        return self._replace(channels=1)

    def to_torch_shape(self) -> torch.Size:
        """``(B, C, F, H, W)``."""
        return torch.Size(self)


class AudioLatentShape(NamedTuple):
    """Size of an unpatchified audio latent, in the order of its tensor."""

    batch: int
    channels: int
    frames: int
    mel_bins: int

    @classmethod
    def from_torch_shape(cls, shape: torch.Size | tuple[int, ...]) -> AudioLatentShape:
        """Read a ``(B, C, T, mel)`` tensor shape."""
        if len(shape) != 4:
            raise ValueError(f"An audio latent has 4 dimensions (B, C, T, mel); this one has shape {tuple(shape)}.")
        return cls(*shape)

    @classmethod
    def from_duration(
        cls,
        batch: int,
        duration: float,
        channels: int = 8,
        mel_bins: int = 16,
        sample_rate: int = AUDIO_SAMPLE_RATE,
        hop_length: int = AUDIO_HOP_LENGTH,
        audio_latent_downsample_factor: int = AUDIO_DOWNSAMPLE_FACTOR,
    ) -> AudioLatentShape:
        """Latent size of ``duration`` seconds; the frame count is rounded half to even."""
        latents_per_second = float(sample_rate) / float(hop_length) / float(audio_latent_downsample_factor)
        return cls(batch=batch, channels=channels, frames=round(duration * latents_per_second), mel_bins=mel_bins)

    @classmethod
    def from_video_pixel_shape(
        cls,
        shape: VideoPixelShape,
        channels: int = 8,
        mel_bins: int = 16,
        sample_rate: int = AUDIO_SAMPLE_RATE,
        hop_length: int = AUDIO_HOP_LENGTH,
        audio_latent_downsample_factor: int = AUDIO_DOWNSAMPLE_FACTOR,
    ) -> AudioLatentShape:
        """Latent size of the sound that lasts as long as a video."""
        return cls.from_duration(
            batch=shape.batch,
            duration=shape.duration,
            channels=channels,
            mel_bins=mel_bins,
            sample_rate=sample_rate,
            hop_length=hop_length,
            audio_latent_downsample_factor=audio_latent_downsample_factor,
        )

    def token_count(self) -> int:
        """Tokens after patchifying: one per latent frame."""
        return self.frames

    def mask_shape(self) -> AudioLatentShape:
        """Size of a mask with one value per latent frame."""
        return self._replace(channels=1, mel_bins=1)

    def to_torch_shape(self) -> torch.Size:
        """``(B, C, T, mel)``."""
        return torch.Size(self)


@dataclass(frozen=True)
class Audio:
    """Decoded sound: ``waveform`` ``(B, channels, samples)`` or ``(channels, samples)`` in [-1, 1]; rate in Hz."""

    waveform: Tensor
    sampling_rate: int


@dataclass(frozen=True)
class GeneratedKeyframeLayout:
    """Where the tokens of generated keyframe slots lie in a state.

    ``pixel_indices`` are pixel-frame indices; each slot owns ``tokens_per_keyframe`` consecutive tokens, the
    first slot starting at ``first_token``.
    """

    pixel_indices: tuple[int, ...]
    tokens_per_keyframe: int
    first_token: int

    @property
    def token_count(self) -> int:
        """Tokens of all slots together."""
        return len(self.pixel_indices) * self.tokens_per_keyframe


@dataclass(frozen=True)
class LatentState:
    """One modality while it is being denoised.

    Attributes:
        latent: noisy tokens ``(B, N, D)`` (unpatchified only before and after sampling).
        denoise_mask: ``(B, N, 1)`` float32; 1 generates, 0 keeps ``clean_latent``, between mixes.
        positions: ``(B, axes, N, 2)`` float32 ``[start, end)``; video (seconds, pixel row, pixel column), audio
            (seconds).
        clean_latent: what the mask blends towards, shaped like ``latent``.
        attention_mask: ``(B, N, N)`` self-attention weights in [0, 1]; None attends everywhere.
        keyframes_mask: ``(B, N, 1)`` float32, video only: 1 on the target's first latent frame and on keyframe slots.
        generated_keyframe_layout: where keyframe slots lie, if any were appended.
        generated_keyframes: ``(B, C, K, H, W)`` content of the slots, filled when conditioning is cleared.
        frozen: the modality is context only; its sigma is 0.
        windows: ``(N)`` int64, the window in time that alone sees a token; -1 for all. None: every token is for all.
    """

    latent: Tensor
    denoise_mask: Tensor
    positions: Tensor
    clean_latent: Tensor
    attention_mask: Tensor | None = None
    keyframes_mask: Tensor | None = None
    generated_keyframe_layout: GeneratedKeyframeLayout | None = None
    generated_keyframes: Tensor | None = None
    frozen: bool = False
    windows: Tensor | None = None
