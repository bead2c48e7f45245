"""Pictures: video VAE."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from .. import host
from ..wires import sockets
from ..wires.checks import check_frame_rate, check_frames, check_grid, check_widgets, message_or_true, require_handle
from ..wires.geometry import video_geometry
from ..wires.inputs import frame_rate_input, noise_seed_input, tiling_inputs
from ..wires.pictures import require_pictures
from ..wires.versions import latent_version
from .decoding import Clips
from .encoding import encoded_video
from .vae_tiling import TileSizes, check_tiling, convolution_tiling

CATEGORY = "LTX-2/video"


class LTX2VideoVAEEncode(io.ComfyNode):
    """Pictures to latent."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2VideoVAEEncode",
            display_name="LTX-2 Video VAE Encode",
            category=CATEGORY,
            description="Encodes a picture or a clip of 8k + 1 frames.",
            inputs=[
                io.Image.Input(
                    "images", tooltip="Frames of one clip: 1, 9, 17, ... with sides that are multiples of 32."
                ),
                sockets.VideoVAE.Input("video_vae", tooltip="From the checkpoint loader."),
                *tiling_inputs(0, 64, 0, 24, "encode"),
                frame_rate_input("Frames per second of the clip; travels with the latent to the sampler."),
            ],
            outputs=[io.Latent.Output(display_name="video_latent", tooltip="(1, channels, frames, height, width)")],
        )

    @classmethod
    def validate_inputs(cls, tile_size, tile_overlap, temporal_size, temporal_overlap) -> bool | str:
        return message_or_true(lambda: check_tiling(tile_size, tile_overlap, temporal_size, temporal_overlap))

    @classmethod
    def execute(
        cls, images, video_vae, tile_size, tile_overlap, temporal_size, temporal_overlap, frame_rate
    ) -> io.NodeOutput:
        handle = require_handle(video_vae, "video_vae", "video_vae")
        check_frame_rate(frame_rate)
        sizes = TileSizes(tile_size, tile_overlap, temporal_size, temporal_overlap)
        tiling = convolution_tiling(handle, sizes)
        pictures = require_pictures(images, "images")
        scale = video_geometry(handle).scale
        check_frames(pictures.shape[0], scale.time, "the number of images")
        check_grid("the height of images", pictures.shape[1], scale.height)
        check_grid("the width of images", pictures.shape[2], scale.width)
        video = pictures.permute(3, 0, 1, 2)[None] * 2 - 1
        latent = encoded_video(video, handle, sizes, tiling)
        return io.NodeOutput({"samples": latent, "type": "video", "frame_rate": frame_rate, **latent_version(handle)})


class LTX2VideoVAEDecode(io.ComfyNode):
    """Latent to pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2VideoVAEDecode",
            display_name="LTX-2 Video VAE Decode",
            category=CATEGORY,
            description="Decodes a video latent to frames, tile by tile so that long or large clips fit in memory.",
            inputs=[
                io.Latent.Input("video_latent", tooltip="Video latent from the sampler."),
                sockets.VideoVAE.Input("video_vae", tooltip="From the checkpoint loader."),
                *tiling_inputs(512, 64, 64, 24, "decode"),
                noise_seed_input(),
                io.Boolean.Input(
                    "auto_tiles",
                    default=True,
                    optional=True,
                    tooltip="Choose by the free memory: decode the whole clip at once where that fits (two to three "
                    "times as fast), else in the tiles of the widgets; for the diffusion decoder of LTX-2.5 in tiles "
                    "of its own. Off: always the tiles of the widgets, as the published pipelines decode; the "
                    "diffusion decoder needs overlaps of 160 px and 40 frames.",
                ),
                io.Int.Input(
                    "steps",
                    default=0,
                    min=0,
                    max=100,
                    optional=True,
                    tooltip="Denoising steps of the diffusion decoder of LTX-2.5. 0 = as the file says (1), which is "
                    "what it was trained for. Convolutional decoders ignore this.",
                ),
            ],
            outputs=[io.Image.Output(display_name="images", tooltip="Frames; several clips follow one another.")],
        )

    @classmethod
    def validate_inputs(cls, tile_size, tile_overlap, temporal_size, temporal_overlap) -> bool | str:
        return message_or_true(lambda: check_tiling(tile_size, tile_overlap, temporal_size, temporal_overlap))

    @classmethod
    def execute(
        cls,
        video_latent,
        video_vae,
        tile_size,
        tile_overlap,
        temporal_size,
        temporal_overlap,
        noise_seed,
        auto_tiles=True,
        steps=0,
    ) -> io.NodeOutput:
        check_widgets(cls, steps=steps)
        clips = Clips.of(video_latent, video_vae)
        images = torch.empty(clips.count * clips.frames, clips.height, clips.width, 3, device=host.output_device())
        sizes = TileSizes(tile_size, tile_overlap, temporal_size, temporal_overlap)
        for part, chunk in clips.decoded(sizes, noise_seed, auto_tiles=auto_tiles, whole=True, steps=steps):
            images[part] = chunk
        return io.NodeOutput(images)


NODES = [LTX2VideoVAEEncode, LTX2VideoVAEDecode]
