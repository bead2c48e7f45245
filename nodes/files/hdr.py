"""High dynamic range: decoding to linear light, a preview of it, and OpenEXR files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ...ltx_core_impl import media
from ...ltx_core_impl.light.spaces import LOG_CODES, Tags, to_rec709
from .. import host
from ..host import host_files
from ..vae.decoding import Clips
from ..vae.vae_tiling import TileSizes, check_tiling
from ..wires import sockets
from ..wires.checks import InputError, check_widgets, message_or_true
from ..wires.inputs import MAX_SIDE, noise_seed_input, tiling_inputs
from ..wires.pictures import require_pictures

CATEGORY = "LTX-2/video"
MAX_STOPS, MAX_EVERY = 20.0, 16


class LinearLight(NamedTuple):
    """What is taken of decoded clips: a curve that is undone, a size, every n-th frame of each clip."""

    curve: str
    height: int
    width: int
    every: int

    @classmethod
    def of(cls, clips: Clips, curve: str, crop_width: int, crop_height: int, keep_every: int) -> LinearLight:
        """A crop of 0 is the whole picture. Raises `InputError` for a crop larger than that."""
        height, width = crop_height or clips.height, crop_width or clips.width
        if height > clips.height or width > clips.width:
            raise InputError(
                f"crop_width x crop_height is {width} x {height}; the pictures are {clips.width} x {clips.height}. "
                "Choose at most that, or 0."
            )
        return cls(curve, height, width, keep_every)

    def frames(self, clips: Clips) -> int:
        """How many frames of each clip are taken."""
        return -(-clips.frames // self.every)

    def taken(self, chunk: Tensor, first: int) -> Tensor:
        """What is taken of a chunk in log ``(f, H, W, 3)`` that starts at frame ``first`` of its clip."""
        return chunk[-first % self.every :: self.every, : self.height, : self.width]


def light_inputs() -> list[io.Input]:
    """How a latent becomes linear light and its preview."""
    return [
        io.Combo.Input(
            "curve",
            options=list(LOG_CODES),
            default="LogC3",
            tooltip="What the LoRA was trained in. LogC3: the HDR LoRA of LTX-2.3. ACEScct: ACES workflows of LTX-2.5.",
        ),
        exposure_input(),
        io.Int.Input(
            "crop_width",
            default=0,
            min=0,
            max=MAX_SIDE,
            tooltip="Width in pixels to cut the pictures back to, from the left, after a source was padded; 0 = not.",
        ),
        io.Int.Input(
            "crop_height",
            default=0,
            min=0,
            max=MAX_SIDE,
            tooltip="The same for the height in pixels, from the top.",
        ),
    ]


def exposure_input() -> io.Input:
    """Brightness of the preview."""
    return io.Float.Input(
        "exposure",
        default=0.0,
        min=-MAX_STOPS,
        max=MAX_STOPS,
        step=0.1,
        tooltip="Brightness of the preview in stops (each doubles the light); the HDR pictures stay as they are.",
    )


def keep_every_input() -> io.Input:
    """Frames to take."""
    return io.Int.Input(
        "keep_every",
        default=1,
        min=1,
        max=MAX_EVERY,
        optional=True,
        tooltip="1 = all frames. 2 = every second one, for the recipe's high quality: encode the source at twice its "
        "frame rate, so that every frame comes twice.",
    )


def half_input() -> io.Input:
    """Precision of EXR files."""
    return io.Boolean.Input(
        "half",
        default=True,
        tooltip="16 bit per channel, which is enough for this light; off = 32 bit, twice the size.",
    )


def write_frames(folder: Path, pictures: Tensor, first: int, half: bool, tags: Tags | None = None) -> int:
    """Write pictures as EXR files with numbers from ``first`` on; the number of the next one."""
    for number, picture in enumerate(pictures, start=first):
        media.write_exr(folder / f"frame_{number:05d}.exr", picture, half=half, tags=tags)
    return first + len(pictures)


class LTX2HDRDecode(io.ComfyNode):
    """A latent of an HDR LoRA to linear light."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2HDRDecode",
            display_name="LTX-2 HDR Decode",
            category=CATEGORY,
            description="Decodes what a model with an HDR LoRA made, in 32 bit, and undoes the log curve: linear light "
            "without an upper limit, and a tone-mapped preview of it.",
            inputs=[
                io.Latent.Input("video_latent", tooltip="From the sampler, with an HDR LoRA on the model."),
                sockets.VideoVAE.Input("video_vae", tooltip="The VAE of the model that made the latent."),
                *light_inputs(),
                *tiling_inputs(1280, 256, 32, 16, "decode"),
                noise_seed_input(),
                keep_every_input(),
            ],
            outputs=[
                io.Image.Output(
                    display_name="hdr",
                    tooltip="Linear light in Rec.709 primaries: 1 is white, highlights reach about 55, black may lie a "
                    "little below 0. For 'LTX-2 Save EXR'.",
                ),
                io.Image.Output(display_name="preview", tooltip="Tone-mapped for a screen, in [0, 1]."),
            ],
        )

    @classmethod
    def validate_inputs(cls, tile_size, tile_overlap, temporal_size, temporal_overlap) -> bool | str:
        return message_or_true(lambda: check_tiling(tile_size, tile_overlap, temporal_size, temporal_overlap))

    @classmethod
    def execute(
        cls,
        video_latent,
        video_vae,
        curve,
        exposure,
        crop_width,
        crop_height,
        tile_size,
        tile_overlap,
        temporal_size,
        temporal_overlap,
        noise_seed,
        keep_every=1,
    ) -> io.NodeOutput:
        check_widgets(
            cls,
            curve=curve,
            exposure=exposure,
            crop_width=crop_width,
            crop_height=crop_height,
            keep_every=keep_every,
        )
        clips = Clips.of(video_latent, video_vae)
        light = LinearLight.of(clips, curve, crop_width, crop_height, keep_every)
        frames = clips.count * light.frames(clips)
        hdr = torch.empty(frames, light.height, light.width, 3, device=host.output_device())
        preview = torch.empty_like(hdr)
        sizes = TileSizes(tile_size, tile_overlap, temporal_size, temporal_overlap)
        filled = 0
        for part, chunk in clips.decoded(sizes, noise_seed, precise=True):
            pictures = to_rec709(light.taken(chunk, part.start % clips.frames), curve)
            taken = slice(filled, filled + len(pictures))
            hdr[taken] = pictures
            preview[taken] = media.tone_mapped(hdr[taken], exposure)
            filled = taken.stop
        return io.NodeOutput(hdr, preview)


class LTX2SaveEXR(io.ComfyNode):
    """Linear light to a numbered sequence of EXR files."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2SaveEXR",
            display_name="LTX-2 Save EXR",
            category=CATEGORY,
            description="Writes pictures of linear light as OpenEXR files, one per frame, into a new folder. Values "
            "are written as they are, without clipping or a curve.",
            is_output_node=True,
            inputs=[
                io.Image.Input("images", tooltip="Linear light, from the hdr output of 'LTX-2 HDR Decode'."),
                io.String.Input(
                    "filename_prefix",
                    default="hdr/LTX-2",
                    tooltip="Name of the new folder inside ComfyUI's output folder, without number; the files in it "
                    "are frame_00000.exr, frame_00001.exr, ...",
                ),
                half_input(),
            ],
            outputs=[io.String.Output(display_name="folder", tooltip="Where the files are.")],
        )

    @classmethod
    def validate_inputs(cls, filename_prefix) -> bool | str:
        return message_or_true(lambda: filename_prefix is None or host_files.check_prefix(filename_prefix))

    @classmethod
    def execute(cls, images, filename_prefix, half) -> io.NodeOutput:
        pictures = require_pictures(images, "images")
        progress = host.Progress(len(pictures), "Writing", unit="frame")
        with host_files.new_folder(filename_prefix, pictures.shape[2], pictures.shape[1]) as folder:
            for index in range(len(pictures)):
                progress(write_frames(folder.path, pictures[index : index + 1], index, half))
        return io.NodeOutput(str(folder.final), ui=ui.PreviewText(f"{len(pictures)} EXR files in {folder.final}"))


NODES = [LTX2HDRDecode, LTX2SaveEXR]
