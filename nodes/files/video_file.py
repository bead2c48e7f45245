"""Reading video: a file of the input folder to latents, chunk by chunk."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import NamedTuple

import torch
from comfy_api.latest import io
from torch import Tensor

from ...ltx_core_impl import media, sampling
from ...ltx_core_impl.media.display import Display, WorkingCode
from ...ltx_core_impl.media.resize import CROP, FITS, PAD, to_encoder_range
from ...ltx_core_impl.model import video_vae as ltx_video_vae
from ...ltx_core_impl.types import Audio, VideoPixelShape
from .. import host
from ..host import host_files
from ..loading import components
from ..vae.encoding import encoded_sound, fitted_sound
from ..vae.vae_tiling import TileSizes, check_tiling, convolution_tiling, tile_pixels
from ..wires import sockets
from ..wires.checks import (
    InputError,
    check_widgets,
    message_or_true,
    optional_handle,
    require_handle,
)
from ..wires.geometry import VideoGeometry, audio_geometry, check_clip_size, video_geometry
from ..wires.handles import ComponentHandle, FileRef
from ..wires.inputs import MAX_SIDE, frame_rate_input, tiling_inputs
from ..wires.pictures import SILENCE_RATE, say_short_sound
from ..wires.versions import latent_version

logger = logging.getLogger(__name__)
CATEGORY = "LTX-2/video"
MAX_LENGTH = 100001
CHUNK_FRAMES = 8
FASTEST_TOLD = 30.0
"""Frames per second that the HDR LoRA is told at most, whatever the film plays at (spec 08 §3.2)."""
LIGHTS = {"SDR": Display, "ACEScct": WorkingCode}
"""How the film is read: as a screen shows it, or as the light it stands for in log code."""
UPLOAD_BUTTON = "image"
"""The upload button's value. It stands last, so graphs that were saved before there was ``light`` hold it there."""


class Cut(NamedTuple):
    """What is taken of a file."""

    frames: int
    height: int
    width: int
    rate: float


def size_inputs(pad_is_for: str = "") -> list[io.Input]:
    """Width, height and how the picture is brought to them; 0 is the file's own."""
    return [
        io.Int.Input(
            "width",
            default=0,
            min=0,
            max=MAX_SIDE,
            step=32,
            tooltip="Width in pixels, a multiple of 32 (64 for two stages); 0 = the file's, see fit.",
        ),
        io.Int.Input("height", default=0, min=0, max=MAX_SIDE, step=32, tooltip="Height in pixels; 0 = the file's."),
        io.Combo.Input(
            "fit",
            options=list(FITS),
            default=CROP,
            tooltip="crop: scale to cover the size and cut out the centre; a size of 0 is rounded down to a "
            "multiple of 32. pad: keep the whole picture and mirror it into the rest, at the right and the "
            f"bottom; a size of 0 is rounded up to a multiple of 64{pad_is_for}.",
        ),
    ]


class LTX2EncodeVideoFile(io.ComfyNode):
    """A video file to latents."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2EncodeVideoFile",
            display_name="LTX-2 Encode Video File",
            category=CATEGORY,
            description="Reads a video of the input folder, brings it to a size and a constant frame rate, and encodes "
            "it chunk by chunk, so that a long clip takes the memory of one tile. Rotated phone video is turned "
            "upright, variable frame rates become constant, picture and sound stay in step.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=host_files.input_videos(),
                    upload=io.UploadType.video,
                    tooltip="Video in ComfyUI's input folder; the button uploads one.",
                ),
                sockets.VideoVAE.Input("video_vae", tooltip="From the checkpoint loader."),
                io.Float.Input(
                    "start", default=0.0, min=0.0, max=1e6, step=0.01, tooltip="Where to begin, in seconds."
                ),
                io.Int.Input(
                    "length",
                    default=0,
                    min=0,
                    max=MAX_LENGTH,
                    tooltip="Frames to take, 8k + 1: 97, 121, 241. 0 = all to the end, the last few left out where "
                    "they do not make 8k + 1.",
                ),
                frame_rate_input(
                    "Frames per second to bring the video to, by repeating or leaving out frames; 0 = the "
                    "file's own (its average where it varies). The model knows 24 to 50 best.",
                    default=0.0,
                    least=0.0,
                ),
                *size_inputs(" (HDR recipe)"),
                *tiling_inputs(512, 64, 64, 24, "encode"),
                sockets.AudioVAE.Input(
                    "audio_vae", optional=True, tooltip="Connect it to get the file's sound as a latent too."
                ),
                io.Combo.Input(
                    "light",
                    options=list(LIGHTS),
                    default="SDR",
                    optional=True,
                    tooltip="SDR: as a screen shows the film; HDR films are tone-mapped. ACEScct: the light of the "
                    "film, HDR or not, as the code that LTX-2.5's HDR graphs work in. Use 'LTX-2 VAE in Float32' with "
                    "it.",
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="video_latent", tooltip="(1, channels, frames, height, width)"),
                io.Latent.Output(
                    display_name="audio_latent",
                    tooltip="The sound, as long as the picture. Of a silent file: an empty latent, which the sampler "
                    "fills with new sound. Nothing without audio_vae.",
                ),
                io.Audio.Output(
                    display_name="audio",
                    tooltip="The sound as it is in the file, cut or continued with silence to the length of the "
                    "picture; silence for a silent file.",
                ),
                io.Float.Output(display_name="frame_rate", tooltip="Frames per second of the latent."),
                io.Int.Output(display_name="length", tooltip="Frames that were taken."),
                io.Int.Output(display_name="width", tooltip="Width of the file's picture in pixels, upright."),
                io.Int.Output(display_name="height", tooltip="Height of the file's picture in pixels, upright."),
                io.Mask.Output(
                    display_name="alpha",
                    tooltip="The file's alpha in the size of the latent's frames, white = opaque; of a file without "
                    "alpha one white frame.",
                ),
                io.Float.Output(
                    display_name="model_rate",
                    tooltip="What the HDR LoRA is told as frame rate: frame_rate, or 30 where that is faster. For "
                    "'LTX-2 Sampler' and 'LTX-2 Empty Latents'; the files keep frame_rate.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(
        cls,
        file,
        start,
        length,
        frame_rate,
        width,
        height,
        fit,
        tile_size,
        tile_overlap,
        temporal_size,
        temporal_overlap,
        light="SDR",
    ) -> bool | str:
        def check() -> None:
            if file is not None:
                host_files.find_input(file, "file")
            check_widgets(cls, start=start, length=length, frame_rate=frame_rate, width=width, height=height, fit=fit)
            check_widgets(cls, light=_light(light))
            check_tiling(tile_size, tile_overlap, temporal_size, temporal_overlap)

        return message_or_true(check)

    @classmethod
    def fingerprint_inputs(cls, file, **_) -> str:
        return repr(host_files.find_input(file, "file"))

    @classmethod
    def execute(
        cls,
        file,
        video_vae,
        start,
        length,
        frame_rate,
        width,
        height,
        fit,
        tile_size,
        tile_overlap,
        temporal_size,
        temporal_overlap,
        audio_vae=None,
        light="SDR",
    ) -> io.NodeOutput:
        handle = require_handle(video_vae, "video_vae", "video_vae")
        sound_handle = optional_handle(audio_vae, "audio_vae")
        check_widgets(cls, start=start, length=length, frame_rate=frame_rate, width=width, height=height, fit=fit)
        light = _light(light)
        check_widgets(cls, light=light)
        source = host_files.find_input(file, "file")
        info = media.probe_video(source.path)
        cut = _cut(source, info, video_geometry(handle), start, length, frame_rate, width, height, fit)
        sizes = TileSizes(tile_size, tile_overlap, temporal_size, temporal_overlap)
        latent = _encoded(source, handle, cut, start, fit, sizes, LIGHTS[light])
        video = {"samples": latent, "type": "video", "frame_rate": cut.rate, **latent_version(handle)}
        sound, is_silent = _sound(source, start, cut)
        audio_latent = None if sound_handle is None else _audio_latent(sound, is_silent, sound_handle, cut)
        audio = {"waveform": sound.waveform[None], "sample_rate": sound.sampling_rate}
        alpha = _alpha(source, info, cut, start, fit)
        told = min(cut.rate, FASTEST_TOLD)
        return io.NodeOutput(video, audio_latent, audio, cut.rate, cut.frames, info.width, info.height, alpha, told)


def _light(chosen: str | None) -> str | None:
    return "SDR" if chosen == UPLOAD_BUTTON else chosen


def _cut(
    source: FileRef,
    info: media.VideoInfo,
    geometry: VideoGeometry,
    start: float,
    length: int,
    rate: float,
    width: int,
    height: int,
    fit: str,
) -> Cut:
    """What is taken, with all that is 0 filled in. Raises `InputError` when the file does not hold it."""
    scale = geometry.scale
    width = width or whole_cells(info.width, scale.width, fit)
    height = height or whole_cells(info.height, scale.height, fit)
    check_clip_size(geometry, width, height)
    rate = float(media.frame_rate(rate) if rate else info.fps)
    available = media.count_at_rate(source.path, rate, start)
    if not available:
        raise InputError(f"start is {start} s; {source.name} ends before that. Choose an earlier start.")
    if not length:
        length = sampling.snap_frames(available, scale.time)
    check_clip_size(geometry, length=length)
    if length > available:
        raise InputError(
            f"length is {length} frames; from {start} s on {source.name} has {available} at {rate:g} per second. Set "
            f"length to {sampling.snap_frames(available, scale.time)}, or 0 for all."
        )
    return Cut(length, height, width, rate)


def whole_cells(pixels: int, cell: int, fit: str) -> int:
    """A side of the file on the grid of cells: rounded up to two of them to pad, down to one to crop."""
    if fit == PAD:
        return -(-pixels // (2 * cell)) * 2 * cell
    return max(1, pixels // cell) * cell


def _encoded(
    source: FileRef,
    handle: ComponentHandle,
    cut: Cut,
    start: float,
    fit: str,
    sizes: TileSizes,
    show: type[Display],
) -> Tensor:
    tiling = convolution_tiling(handle, sizes)
    progress = host.Progress(cut.frames, "Reading and encoding", unit="frame")
    size = (cut.frames, cut.height, cut.width)
    with components.video_encoder(handle, pixels=tile_pixels(size, sizes)) as encoder:
        dtype = next(encoder.parameters()).dtype

        def chunks() -> Iterator[Tensor]:
            read = media.read_at_rate(source.path, cut.rate, start, cut.frames, chunk_frames=CHUNK_FRAMES, show=show)
            for frames in read:
                host.check_interrupt()
                fitted = FITS[fit](frames, cut.height, cut.width)
                yield to_encoder_range(fitted, frames.dtype).to(dtype).transpose(0, 1)[None]

        latent = ltx_video_vae.encode_chunks(
            chunks(), encoder, size, tiling or ltx_video_vae.TilingConfig(), callback=progress
        )
    return latent.float().to(host.output_device())


def _alpha(source: FileRef, info: media.VideoInfo, cut: Cut, start: float, fit: str) -> Tensor:
    """The file's alpha as a mask ``(frames, height, width)``, fitted as its pictures are; one white frame without."""
    if not info.has_alpha:
        return torch.ones(1, cut.height, cut.width)
    mask = torch.empty(cut.frames, cut.height, cut.width)
    filled = 0
    for part in media.read_at_rate(source.path, cut.rate, start, cut.frames, CHUNK_FRAMES, alpha=True):
        host.check_interrupt()
        mask[filled : filled + len(part)] = FITS[fit](part[..., None], cut.height, cut.width)[:, 0]
        filled += len(part)
    return mask


def _sound(source: FileRef, start: float, cut: Cut) -> tuple[Audio, bool]:
    """The sound of the cut, exactly as long as its picture, and whether the file has none."""
    duration = cut.frames / cut.rate
    audio = media.read_audio(source.path, start=start, duration=duration)
    if audio is None or audio.waveform.shape[-1] == 0:
        logger.warning("%s has no sound there; silence stands in for it.", source.name)
        return Audio(torch.zeros(2, round(duration * SILENCE_RATE)), SILENCE_RATE), True
    say_short_sound(audio, duration, source.name)
    samples = round(duration * audio.sampling_rate)
    return Audio(media.fit_waveform(audio.waveform, samples), audio.sampling_rate), False


def _audio_latent(sound: Audio, is_silent: bool, vae: ComponentHandle, cut: Cut) -> dict:
    geometry = audio_geometry(vae)
    shape = geometry.latent_shape(VideoPixelShape(1, cut.frames, cut.height, cut.width, fps=cut.rate))
    made_by = {"type": "audio", "frame_rate": cut.rate, **latent_version(vae)}
    if is_silent:
        return {"samples": torch.zeros(shape.to_torch_shape(), device=host.output_device()), **made_by}
    batch = Audio(sound.waveform[None], sound.sampling_rate)
    latent = encoded_sound(fitted_sound(batch, geometry, shape.frames), vae)
    return {"samples": latent[:, :, : shape.frames], **made_by}


NODES = [LTX2EncodeVideoFile]
