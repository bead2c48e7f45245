"""Writing video: decoded and encoded chunk by chunk, straight into a file."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ...ltx_core_impl import media
from ...ltx_core_impl.media.video_writer import DEFAULT_CRF
from ...ltx_core_impl.types import Audio
from .. import host
from ..host import host_files
from ..vae.decoding import Clips
from ..vae.vae_tiling import TileSizes, check_tiling
from ..wires import sockets
from ..wires.checks import InputError, check_frame_rate, check_widgets, message_or_true
from ..wires.geometry import UNCONNECTED
from ..wires.inputs import frame_rate_input, noise_seed_input, tiling_inputs
from ..wires.pictures import require_mask, require_sound, say_short_sound
from .films import FILMS, FORMAT_TOOLTIP, MP4, alpha_of

CATEGORY = "LTX-2/video"


class LTX2SaveVideo(io.ComfyNode):
    """A video latent, with sound, to a film."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2SaveVideo",
            display_name="LTX-2 Save Video",
            category=CATEGORY,
            description="Decodes a video latent and writes it as MP4 (H.264, AAC), or as a film with alpha, chunk by "
            "chunk, so that a clip of any length takes the memory of one chunk. The file carries the graph: drop it on "
            "ComfyUI to get it back.",
            is_output_node=True,
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            inputs=[
                io.Latent.Input("video_latent", tooltip="From the sampler. Each clip of a batch becomes a file."),
                sockets.VideoVAE.Input("video_vae", tooltip="The VAE of the model that made the latent."),
                io.String.Input("filename_prefix", default="video/LTX-2", tooltip=host_files.PREFIX_TOOLTIP),
                frame_rate_input(
                    "Frames per second of the file; 0 = that of the latent. 23.976 and 29.97 become the exact "
                    "24000/1001 and 30000/1001.",
                    default=0.0,
                    least=0.0,
                ),
                io.Int.Input(
                    "crf",
                    default=DEFAULT_CRF,
                    min=0,
                    max=51,
                    tooltip="Quality of H.264: 0 = lossless, 19 = no visible loss, 28 = small file, 51 = worst.",
                ),
                *tiling_inputs(512, 64, 64, 24, "decode"),
                noise_seed_input(),
                io.Audio.Input(
                    "audio",
                    optional=True,
                    tooltip="Sound, from 'LTX-2 Vocoder' or a file. It is cut, or followed by silence, to the length "
                    "of the picture. Unconnected: a silent film.",
                ),
                io.Combo.Input(
                    "format",
                    options=list(FILMS),
                    default=MP4,
                    optional=True,
                    tooltip=FORMAT_TOOLTIP,
                ),
                io.Mask.Input(
                    "alpha",
                    optional=True,
                    tooltip="Straight alpha, white = opaque, for a format that has it. One frame, or one per frame of "
                    "a clip; any size. Unconnected: opaque.",
                ),
            ],
            outputs=[io.Video.Output(display_name="video", tooltip="The file (the last one of a batch).")],
        )

    @classmethod
    def validate_inputs(
        cls,
        filename_prefix,
        crf,
        frame_rate,
        tile_size,
        tile_overlap,
        temporal_size,
        temporal_overlap,
        format=MP4,
        alpha=UNCONNECTED,
    ) -> bool | str:
        def check() -> None:
            if filename_prefix is not None:
                host_files.check_prefix(filename_prefix)
            check_widgets(cls, crf=crf, frame_rate=frame_rate, format=format)
            if alpha is not UNCONNECTED:
                _check_alpha_fits(format)
            check_tiling(tile_size, tile_overlap, temporal_size, temporal_overlap)

        return message_or_true(check)

    @classmethod
    def execute(
        cls,
        video_latent,
        video_vae,
        filename_prefix,
        frame_rate,
        crf,
        tile_size,
        tile_overlap,
        temporal_size,
        temporal_overlap,
        noise_seed,
        audio=None,
        format=MP4,
        alpha=None,
    ) -> io.NodeOutput:
        clips = Clips.of(video_latent, video_vae)
        rate = file_rate(frame_rate, video_latent)
        check_widgets(cls, crf=crf, format=format)
        mask = None if alpha is None else _clip_alpha(alpha, clips, format)
        host_files.check_prefix(filename_prefix)
        sounds = clip_sounds(audio, clips.count)
        if sounds[0] is not None:
            say_short_sound(sounds[0], float(clips.frames / rate), "audio")
        metadata = host_files.graph_metadata(cls.hidden)
        progress = host.Progress(clips.count * clips.frames, "Decoding and writing", unit="frame")
        sizes = TileSizes(tile_size, tile_overlap, temporal_size, temporal_overlap)
        saved = []
        with clips.decoder(sizes, noise_seed) as decode:
            for clip, sound in enumerate(sounds):
                extension, writer_of, has_alpha = FILMS[format]
                with host_files.new_output(filename_prefix, extension, clips.width, clips.height) as file:
                    with writer_of()(file.path, fps=rate, audio=sound, crf=crf, metadata=metadata) as writer:
                        for chunk in decode(clip, torch.float32 if has_alpha else torch.uint8):
                            if has_alpha:
                                chunk = media.with_alpha(chunk, alpha_of(mask, writer.frames_written, chunk))
                            writer.write(chunk)
                            progress(clip * clips.frames + writer.frames_written)
                saved.append(file.final)
        preview = ui.PreviewVideo([host_files.saved_result(path) for path in saved])
        return io.NodeOutput(host_files.video_of(saved[-1]), ui=preview)


def _check_alpha_fits(format: str | None) -> None:
    if format is not None and not FILMS[format].has_alpha:
        known = " or ".join(name for name, film in FILMS.items() if film.has_alpha)
        raise InputError(f"alpha is connected, but {format} has none. Choose format {known}, or disconnect alpha.")


def _clip_alpha(alpha: Any, clips: Clips, format: str) -> Tensor:
    """The mask of a clip, ``(1 or frames, h, w)``. Raises `InputError` for another number of frames."""
    _check_alpha_fits(format)
    mask = require_mask(alpha, "alpha")
    if len(mask) not in (1, clips.frames):
        raise InputError(
            f"alpha has {len(mask)} frames, a clip of video_latent {clips.frames}. Give it 1 frame or {clips.frames}."
        )
    return mask


def file_rate(typed: float, video_latent: dict) -> Fraction:
    """The exact rate of the file: as typed, or for 0 that of the latent."""
    if typed:
        check_frame_rate(typed)
        return media.frame_rate(typed)
    carried = video_latent.get("frame_rate")
    if carried is None:
        raise InputError(
            "frame_rate is 0, which takes the rate of video_latent, but that carries none. Type one, for example 24."
        )
    check_frame_rate(carried)
    return media.frame_rate(carried)


def clip_sounds(audio: Any, clips: int) -> list[Audio | None]:
    """The sound of every clip of a batch; a single sound serves all. Raises `InputError` for what is no sound."""
    if audio is None:
        return [None] * clips
    sound = require_sound(audio)
    waveform = sound.waveform
    if waveform.shape[0] not in (1, clips):
        raise InputError(f"audio holds {waveform.shape[0]} sounds, video_latent {clips} clips. Give 1 or {clips}.")
    return [Audio(waveform=one, sampling_rate=sound.sampling_rate) for one in waveform.expand(clips, -1, -1)]


NODES = [LTX2SaveVideo]
