"""Encoding pictures and sound that are in memory, as every node that takes them needs it."""

from __future__ import annotations

from torch import Tensor

from ...ltx_core_impl import media
from ...ltx_core_impl.model import audio_vae, video_vae
from ...ltx_core_impl.types import Audio
from .. import host
from ..loading import components
from ..wires.finite import require_finite
from ..wires.geometry import AudioGeometry
from ..wires.handles import ComponentHandle
from .vae_tiling import TileSizes, tile_pixels


def encoded_video(
    video: Tensor, vae: ComponentHandle, sizes: TileSizes | None = None, tiling: video_vae.Tiling | None = None
) -> Tensor:
    """The latent of a video ``(B, 3, F, H, W)`` in [-1, 1]: ``(B, C, f, h, w)`` in float32 on the output device.

    ``tiling`` is what ``sizes`` make; without, the video is encoded at once.
    """
    size = video.shape[2:]
    pixels = size.numel() if sizes is None else tile_pixels(size, sizes)
    with components.video_encoder(vae, pixels=pixels) as encoder:
        if tiling is None:
            latent = encoder(components.like(video, encoder))
        else:
            latent = encoder.tiled_encode(video, tiling)
    return require_finite(latent.float().to(host.output_device()), "The encoded picture")


def fitted_sound(sound: Audio, geometry: AudioGeometry, latent_frames: int) -> Audio:
    """A sound cut, or padded with silence, so that its latent has at least this many frames."""
    samples = geometry.samples(latent_frames, sound.sampling_rate)
    return Audio(media.fit_waveform(sound.waveform, samples), sound.sampling_rate)


def encoded_sound(sound: Audio, vae: ComponentHandle) -> Tensor:
    """The latent of a sound ``(B, C, samples)``, often one frame longer than the sound itself."""
    with components.audio_encoder(vae) as encoder:
        latent = audio_vae.encode_audio(
            Audio(sound.waveform.to(components.device_of(encoder)), sound.sampling_rate), encoder
        )
    return require_finite(latent.float().to(host.output_device()), "The encoded sound")
