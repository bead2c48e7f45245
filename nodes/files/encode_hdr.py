"""Reading high dynamic range into latents, chunk by chunk: EXR sequences and HDR films of any length and size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from comfy_api.latest import io
from torch import Tensor

from ...ltx_core_impl import media
from ...ltx_core_impl.media.resize import FITS, to_encoder_range
from ...ltx_core_impl.model import video_vae as ltx_video_vae
from .. import host
from ..host import host_files
from ..loading import components
from ..vae.vae_tiling import TileSizes, check_tiling, convolution_tiling, tile_pixels
from ..wires import sockets
from ..wires.checks import check_widgets, message_or_true, require_handle
from ..wires.geometry import check_clip_size, video_geometry
from ..wires.inputs import tiling_inputs
from ..wires.versions import latent_version
from .load_hdr import Source, check_file, fingerprint, hdr_file_input, light_inputs, say_other_tags, source_of
from .video_file import FASTEST_TOLD, MAX_LENGTH, size_inputs, whole_cells

CATEGORY = "LTX-2/video"


class LTX2EncodeHDR(io.ComfyNode):
    """An EXR sequence or a film, as light, to a latent."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2EncodeHDR",
            display_name="LTX-2 Encode HDR",
            category=CATEGORY,
            description="Reads an EXR sequence or a film of the input folder as light in ACEScct code, brings it to a "
            "size, and encodes it chunk by chunk: 'LTX-2 Load HDR' and 'LTX-2 Video VAE Encode' in one, so that a long "
            "clip takes the memory of one tile.",
            inputs=[
                hdr_file_input(),
                sockets.VideoVAE.Input("video_vae", tooltip="From 'LTX-2 VAE in Float32'."),
                *light_inputs(),
                io.Int.Input(
                    "length",
                    default=0,
                    min=0,
                    max=MAX_LENGTH,
                    tooltip="Frames to take at most; 0 = all. The last few are left out, so that 8k + 1 are left.",
                ),
                *size_inputs(),
                *tiling_inputs(512, 64, 64, 24, "encode"),
            ],
            outputs=[
                io.Latent.Output(display_name="video_latent", tooltip="(1, channels, frames, height, width)"),
                io.Audio.Output(
                    display_name="audio", tooltip="The film's sound, as long as the pictures; silence where none is."
                ),
                io.Float.Output(display_name="frame_rate", tooltip="Frames per second of the latent."),
                io.Int.Output(display_name="length", tooltip="Frames that were taken."),
                io.Int.Output(display_name="width", tooltip="Width of the file's picture in pixels, upright."),
                io.Int.Output(display_name="height", tooltip="Height of the file's picture in pixels, upright."),
                io.Float.Output(
                    display_name="model_rate",
                    tooltip="What the HDR LoRA is told as frame rate: frame_rate, or 30 where that is faster.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(
        cls,
        file,
        color_space,
        frame_rate,
        first_frame,
        length,
        width,
        height,
        fit,
        tile_size,
        tile_overlap,
        temporal_size,
        temporal_overlap,
    ) -> bool | str:
        def check() -> None:
            check_widgets(
                cls,
                color_space=color_space,
                frame_rate=frame_rate,
                first_frame=first_frame,
                length=length,
                width=width,
                height=height,
                fit=fit,
            )
            check_tiling(tile_size, tile_overlap, temporal_size, temporal_overlap)
            if file is not None:
                check_file(Path(host_files.find_input(file, "file").path))

        return message_or_true(check)

    @classmethod
    def fingerprint_inputs(cls, file, **_) -> str:
        return fingerprint(file)

    @classmethod
    def execute(
        cls,
        file,
        video_vae,
        color_space,
        frame_rate,
        first_frame,
        length,
        width,
        height,
        fit,
        tile_size,
        tile_overlap,
        temporal_size,
        temporal_overlap,
    ) -> io.NodeOutput:
        handle = require_handle(video_vae, "video_vae", "video_vae")
        check_widgets(cls, color_space=color_space, frame_rate=frame_rate, fit=fit, width=width, height=height)
        path = Path(host_files.find_input(file, "file").path)
        source = source_of(path, frame_rate, first_frame, length, trim=True)
        own_height, own_width = _own_size(source)
        geometry = video_geometry(handle)
        height = height or whole_cells(own_height, geometry.scale.height, fit)
        width = width or whole_cells(own_width, geometry.scale.width, fit)
        check_clip_size(geometry, width, height, source.count)
        if source.files:
            say_other_tags(source.files[0], color_space)
        sizes = TileSizes(tile_size, tile_overlap, temporal_size, temporal_overlap)
        size = (source.count, height, width)
        progress = host.Progress(source.count, "Reading and encoding", unit="frame")
        with components.video_encoder(handle, pixels=tile_pixels(size, sizes)) as encoder:
            dtype = next(encoder.parameters()).dtype

            def chunks() -> Iterator[Tensor]:
                for picture in source.pictures(color_space):
                    host.check_interrupt()
                    fitted = FITS[fit](picture[None], height, width)
                    yield to_encoder_range(fitted, picture.dtype).to(dtype).transpose(0, 1)[None]

            tiling = convolution_tiling(handle, sizes) or ltx_video_vae.TilingConfig()
            latent = ltx_video_vae.encode_chunks(chunks(), encoder, size, tiling, callback=progress)
        rate = float(source.rate)
        video = {
            "samples": latent.float().to(host.output_device()),
            "type": "video",
            "frame_rate": rate,
            **latent_version(handle),
        }
        told = min(rate, FASTEST_TOLD)
        return io.NodeOutput(video, source.sound(), rate, source.count, own_width, own_height, told)


def _own_size(source: Source) -> tuple[int, int]:
    """Height and width of the file's pictures."""
    if source.files:
        return media.exr_info(source.files[0]).display_window.size
    info = media.probe_video(source.path)
    return info.height, info.width


NODES = [LTX2EncodeHDR]
