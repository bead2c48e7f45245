"""Writing high dynamic range: decoded and written chunk by chunk, as OpenEXR files and a film of their preview."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui

from ...ltx_core_impl.media import VideoWriter, tone_mapped
from .. import host
from ..host import host_files
from ..vae.decoding import Clips
from ..vae.vae_tiling import TileSizes, check_tiling
from ..wires import sockets
from ..wires.checks import check_widgets, message_or_true
from ..wires.inputs import noise_seed_input, tiling_inputs
from .hdr import CATEGORY, LinearLight, half_input, keep_every_input, light_inputs, write_frames
from .save_video import clip_sounds, file_rate

PREVIEW, PREVIEW_CRF = "preview.mp4", 18


class LTX2SaveHDR(io.ComfyNode):
    """A latent of an HDR LoRA to EXR files and a film of their preview."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2SaveHDR",
            display_name="LTX-2 Save HDR",
            category=CATEGORY,
            description="'LTX-2 HDR Decode' and 'LTX-2 Save EXR' in one, chunk by chunk, so that a clip of any length "
            "takes the memory of one chunk: a new folder with EXR files of linear light and a tone-mapped preview.mp4.",
            is_output_node=True,
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            inputs=[
                io.Latent.Input("video_latent", tooltip="From the sampler, with an HDR LoRA on the model."),
                sockets.VideoVAE.Input("video_vae", tooltip="The VAE of the model that made the latent."),
                io.String.Input(
                    "filename_prefix",
                    default="hdr/LTX-2",
                    tooltip="Name of the new folder inside ComfyUI's output folder, without number. Each clip of a "
                    "batch gets one.",
                ),
                *light_inputs(),
                half_input(),
                *tiling_inputs(1280, 256, 32, 16, "decode"),
                noise_seed_input(),
                keep_every_input(),
                io.Audio.Input("audio", optional=True, tooltip="Sound of the preview, cut or padded to the picture."),
            ],
            outputs=[
                io.String.Output(display_name="folder", tooltip="Where the files are (the last clip's)."),
                io.Video.Output(display_name="preview", tooltip="The film of the preview (the last clip's)."),
            ],
        )

    @classmethod
    def validate_inputs(
        cls, filename_prefix, curve, tile_size, tile_overlap, temporal_size, temporal_overlap
    ) -> bool | str:
        def check() -> None:
            if filename_prefix is not None:
                host_files.check_prefix(filename_prefix)
            check_widgets(cls, curve=curve)
            check_tiling(tile_size, tile_overlap, temporal_size, temporal_overlap)

        return message_or_true(check)

    @classmethod
    def execute(
        cls,
        video_latent,
        video_vae,
        filename_prefix,
        curve,
        exposure,
        crop_width,
        crop_height,
        half,
        tile_size,
        tile_overlap,
        temporal_size,
        temporal_overlap,
        noise_seed,
        keep_every=1,
        audio=None,
    ) -> io.NodeOutput:
        check_widgets(
            cls,
            curve=curve,
            exposure=exposure,
            crop_width=crop_width,
            crop_height=crop_height,
            keep_every=keep_every,
        )
        host_files.check_prefix(filename_prefix)
        clips = Clips.of(video_latent, video_vae)
        light = LinearLight.of(clips, curve, crop_width, crop_height, keep_every)
        rate = file_rate(0.0, video_latent) / keep_every
        sounds = clip_sounds(audio, clips.count)
        metadata = host_files.graph_metadata(cls.hidden)
        progress = host.Progress(clips.count * clips.frames, "Decoding and writing", unit="frame")
        sizes = TileSizes(tile_size, tile_overlap, temporal_size, temporal_overlap)
        even = (slice(None), slice(light.height // 2 * 2), slice(light.width // 2 * 2))  # H.264 takes no others
        films = []
        with clips.decoder(sizes, noise_seed, precise=True) as decode:
            for clip, sound in enumerate(sounds):
                with host_files.new_folder(filename_prefix, light.width, light.height) as folder:
                    film = {"path": folder.path / PREVIEW, "fps": rate, "audio": sound, "metadata": metadata}
                    decoded = written = 0
                    with VideoWriter(**film, crf=PREVIEW_CRF) as writer:
                        for chunk in decode(clip, torch.float32):
                            pictures = light.of_chunk(chunk, decoded)
                            decoded += len(chunk)
                            written = write_frames(folder.path, pictures, written, half)
                            writer.write(tone_mapped(pictures, exposure)[even])
                            progress(clip * clips.frames + decoded)
                films.append(folder.final / PREVIEW)
        preview = ui.PreviewVideo([host_files.saved_result(path) for path in films])
        return io.NodeOutput(str(films[-1].parent), host_files.video_of(films[-1]), ui=preview)


NODES = [LTX2SaveHDR]
