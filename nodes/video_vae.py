"""Pictures: video VAE."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..ltx_core_impl.model.video_vae import DiffusionVideoDecoder, decode_video
from . import components, host, sockets
from .checks import InputError, check_between, check_frames, check_grid, latent_samples, message_or_true, require_handle
from .geometry import video_geometry
from .handles import describe
from .vae_tiling import TileSizes, convolution_tiling, decode_plan
from .versions import check_latent_fits, latent_version

CATEGORY = "LTX-2/video"


def tiling_inputs(tile: int, overlap: int, frames: int, frame_overlap: int, purpose: str) -> list[io.Input]:
    """The widgets of `TileSizes`."""
    return [
        io.Int.Input(
            "tile_size",
            default=tile,
            min=0,
            max=8192,
            step=32,
            tooltip=f"Tile side in pixels, a multiple of 32; 0 = {purpose} whole frames. Smaller needs less memory and "
            "more time. Good: 512.",
        ),
        io.Int.Input(
            "tile_overlap",
            default=overlap,
            min=0,
            max=4096,
            step=32,
            tooltip="Overlap of neighbouring tiles in pixels, a multiple of 32; more hides seams better. Good: 64.",
        ),
        io.Int.Input(
            "temporal_size",
            default=frames,
            min=0,
            max=8192,
            step=8,
            tooltip=f"Tile length in frames, a multiple of 8; 0 = {purpose} all frames at once. Good: 64.",
        ),
        io.Int.Input(
            "temporal_overlap",
            default=frame_overlap,
            min=0,
            max=4096,
            step=8,
            tooltip="Overlap of tiles in time, in frames, a multiple of 8. Good: 24.",
        ),
    ]


def check_tiling(*values: int | None) -> bool | str:
    """Judge the values of `tiling_inputs` at queue time."""
    if any(value is None for value in values):
        return True
    return message_or_true(lambda: TileSizes(*values).together())


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
                io.Float.Input(
                    "frame_rate",
                    default=24.0,
                    min=0.01,
                    max=1000.0,
                    step=0.01,
                    tooltip="Frames per second of the clip; travels with the latent to the sampler.",
                ),
            ],
            outputs=[io.Latent.Output(display_name="video_latent", tooltip="(1, channels, frames, height, width)")],
        )

    @classmethod
    def validate_inputs(cls, tile_size, tile_overlap, temporal_size, temporal_overlap) -> bool | str:
        return check_tiling(tile_size, tile_overlap, temporal_size, temporal_overlap)

    @classmethod
    def execute(
        cls, images, video_vae, tile_size, tile_overlap, temporal_size, temporal_overlap, frame_rate
    ) -> io.NodeOutput:
        handle = require_handle(video_vae, "video_vae", "video_vae")
        tiling = convolution_tiling(handle, TileSizes(tile_size, tile_overlap, temporal_size, temporal_overlap))
        if not isinstance(images, torch.Tensor) or images.ndim != 4 or images.shape[-1] < 3:
            raise InputError(f"images needs pictures (frames, height, width, 3 colours); it got {describe(images)}.")
        scale = video_geometry(handle).scale
        check_frames(images.shape[0], scale.time, "the number of images")
        check_grid("the height of images", images.shape[1], scale.height)
        check_grid("the width of images", images.shape[2], scale.width)
        video = images[..., :3].permute(3, 0, 1, 2)[None] * 2 - 1
        with components.video_encoder(handle, pixels=video[0, 0].numel()) as encoder:
            video = components.like(video, encoder)
            latent = encoder(video) if tiling is None else encoder.tiled_encode(video, tiling)
        latent = latent.float().to(host.output_device())
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
                io.Int.Input(
                    "noise_seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    tooltip="Seed of the noise that some decoders start from (LTX-2.5) or add; most ignore it.",
                ),
                io.Boolean.Input(
                    "auto_tiles",
                    default=True,
                    optional=True,
                    tooltip="For the diffusion decoder of LTX-2.5: choose the tiles by the free memory. Off: the tile "
                    "widgets count; it needs overlaps of 160 px and 40 frames. Convolutional decoders ignore this.",
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
        return check_tiling(tile_size, tile_overlap, temporal_size, temporal_overlap)

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
        handle = require_handle(video_vae, "video_vae", "video_vae")
        check_between("steps", steps, 0, 100)
        samples = latent_samples(video_latent, "video", "video_latent")
        geometry = video_geometry(handle)
        if samples.shape[1] != geometry.channels:
            raise InputError(
                f"video_latent has {samples.shape[1]} channels; this video VAE decodes {geometry.channels}. "
                "Use the video VAE of the model that made the latent."
            )
        check_latent_fits(video_latent, handle, "video_latent")
        batch, _, frames, height, width = samples.shape
        clip = geometry.pixel_frames(frames)
        size = (height * geometry.scale.height, width * geometry.scale.width)
        images = torch.empty((batch * clip, *size, 3), device=host.output_device())
        progress = host.Progress(len(images))
        sizes = TileSizes(tile_size, tile_overlap, temporal_size, temporal_overlap)
        plan = decode_plan(handle, (frames, height, width), sizes, auto_tiles)
        with components.video_decoder(handle, plan.working_memory) as decoder:
            if steps and isinstance(decoder, DiffusionVideoDecoder):
                decoder = decoder.with_steps(steps)
            filled = 0
            for index in range(batch):
                generator = torch.Generator().manual_seed(noise_seed + index)
                latent = components.like(samples[index : index + 1], decoder)
                for chunk in decode_video(latent, decoder, plan.tiling, generator=generator, dtype=torch.float32):
                    images[filled : filled + len(chunk)] = chunk
                    filled += len(chunk)
                    progress(filled)
        return io.NodeOutput(images)


NODES = [LTX2VideoVAEEncode, LTX2VideoVAEDecode]
