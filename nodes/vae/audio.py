"""Sound: audio VAE and vocoder."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...ltx_core_impl.types import VideoPixelShape
from .. import host
from ..loading import components
from ..wires import sockets
from ..wires.checks import InputError, check_widgets, latent_samples, optional_handle, require, require_handle
from ..wires.finite import require_finite
from ..wires.geometry import AudioGeometry, audio_geometry, video_geometry
from ..wires.handles import ComponentHandle, Mel
from ..wires.pictures import clip_of, frame_rate_of, require_sound, say_short_sound
from ..wires.versions import check_latent_fits, check_made_by, latent_version
from .encoding import encoded_sound, fitted_sound

CATEGORY = "LTX-2/audio"
RATE = 48_000


class LTX2AudioVAEEncode(io.ComfyNode):
    """Sound to latent."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2AudioVAEEncode",
            display_name="LTX-2 Audio VAE Encode",
            category=CATEGORY,
            description="Encodes a sound. Any sample rate; mono is doubled to stereo.",
            inputs=[
                io.Audio.Input("audio", tooltip="Mono or stereo sound at any sample rate."),
                sockets.AudioVAE.Input("audio_vae", tooltip="From the checkpoint loader."),
                io.Int.Input(
                    "latent_frames",
                    default=0,
                    min=0,
                    max=100000,
                    tooltip="Cut, or pad with silence, to this many latent frames (25 per second), so that the sound "
                    "fits a clip; 0 keeps the length of the sound.",
                ),
                io.Latent.Input(
                    "fit_to",
                    optional=True,
                    tooltip="Cut, or pad with silence, to the duration of this video or audio latent; latent_frames "
                    "is ignored then.",
                ),
                sockets.VideoVAE.Input(
                    "video_vae",
                    optional=True,
                    tooltip="Only where fit_to is a video latent of a checkpoint whose latents differ from the "
                    "published sizes: says how long it is.",
                ),
            ],
            outputs=[io.Latent.Output(display_name="audio_latent", tooltip="(batch, channels, frames, mel)")],
        )

    @classmethod
    def execute(cls, audio, audio_vae, latent_frames=0, fit_to=None, video_vae=None) -> io.NodeOutput:
        handle = require_handle(audio_vae, "audio_vae", "audio_vae")
        check_widgets(cls, latent_frames=latent_frames)
        sound = require_sound(audio)
        geometry = audio_geometry(handle)
        if fit_to is not None:
            latent_frames = _latent_frames(fit_to, geometry, optional_handle(video_vae, "video_vae"))
        if latent_frames:
            say_short_sound(sound, geometry.samples(latent_frames, RATE) / RATE, "audio")
            sound = fitted_sound(sound, geometry, latent_frames)
        latent = encoded_sound(sound, handle)
        if latent_frames:
            latent = latent[:, :, :latent_frames]
        return io.NodeOutput({"samples": latent, "type": "audio", **latent_version(handle)})


def _latent_frames(latent: Any, geometry: AudioGeometry, video_vae: ComponentHandle | None) -> int:
    """Audio latent frames that last as long as a video or audio latent."""
    if isinstance(latent, dict) and getattr(latent.get("samples"), "ndim", 0) == 4:
        return latent_samples(latent, "audio", "fit_to").shape[2]
    clip = clip_of(latent, video_vae, "fit_to")
    needed = video_geometry(video_vae).channels
    if clip.latent.channels != needed:
        made = "the published VAEs have" if video_vae is None else f"{video_vae.file.name} has"
        raise InputError(
            f"fit_to has {clip.latent.channels} channels, {made} {needed}: its number of frames is not known. Connect "
            "the VAE that it is made with to video_vae, or the audio latent of 'LTX-2 Empty Latents' to fit_to."
        )
    pixels = VideoPixelShape(batch=1, frames=clip.frames, height=1, width=1, fps=frame_rate_of(latent, "fit_to"))
    return geometry.latent_shape(pixels).frames


class LTX2AudioVAEDecode(io.ComfyNode):
    """Latent to spectrogram."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2AudioVAEDecode",
            display_name="LTX-2 Audio VAE Decode",
            category=CATEGORY,
            description="Decodes an audio latent to a log-mel spectrogram; 'LTX-2 Vocoder' makes sound of it.",
            inputs=[
                io.Latent.Input("audio_latent", tooltip="Audio latent from the sampler."),
                sockets.AudioVAE.Input("audio_vae", tooltip="From the checkpoint loader."),
            ],
            outputs=[sockets.Mel.Output(display_name="mel", tooltip="Spectrogram for 'LTX-2 Vocoder'.")],
        )

    @classmethod
    def execute(cls, audio_latent, audio_vae) -> io.NodeOutput:
        handle = require_handle(audio_vae, "audio_vae", "audio_vae")
        samples = latent_samples(audio_latent, "audio", "audio_latent")
        check_latent_fits(audio_latent, handle, "audio_latent")
        geometry = audio_geometry(handle)
        if samples.shape[1] != geometry.channels or samples.shape[3] != geometry.mel_bins:
            raise InputError(
                f"audio_latent has {samples.shape[1]} channels and {samples.shape[3]} mel bins; this audio VAE decodes "
                f"{geometry.channels} and {geometry.mel_bins}. Use the audio VAE of the model that made the latent."
            )
        with components.audio_decoder(handle) as decoder:
            mel = require_finite(decoder(components.like(samples, decoder)).float(), "The spectrogram")
        rate = geometry.patchifier.sample_rate
        made_by = latent_version(handle).get("model_version")
        return io.NodeOutput(Mel(spectrogram=mel.to(host.output_device()), sampling_rate=rate, version=made_by))


class LTX2Vocoder(io.ComfyNode):
    """Spectrogram to sound."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2Vocoder",
            display_name="LTX-2 Vocoder",
            category=CATEGORY,
            description="Makes stereo sound of a spectrogram: 24 kHz with LTX-2, 48 kHz with LTX-2.3.",
            inputs=[
                sockets.Mel.Input("mel", tooltip="From 'LTX-2 Audio VAE Decode'."),
                sockets.Vocoder.Input("vocoder", tooltip="From the checkpoint loader."),
            ],
            outputs=[io.Audio.Output(display_name="audio", tooltip="For 'Create Video' or 'Save Audio'.")],
        )

    @classmethod
    def execute(cls, mel, vocoder) -> io.NodeOutput:
        handle = require_handle(vocoder, "vocoder", "vocoder")
        mel = require(mel, Mel, "mel", "the output of 'LTX-2 Audio VAE Decode'")
        check_made_by(mel.version, handle, "mel")
        with components.vocoder(handle) as model:
            waveform = require_finite(model(mel.spectrogram.to(components.device_of(model))), "The sound")
            rate = model.output_sampling_rate
        return io.NodeOutput({"waveform": waveform.float().to(host.output_device()), "sample_rate": rate})


NODES = [LTX2AudioVAEEncode, LTX2AudioVAEDecode, LTX2Vocoder]
