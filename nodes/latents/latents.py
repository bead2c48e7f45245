"""Empty latents and seeded noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from comfy_api.latest import io

from ...ltx_core_impl import components
from ...ltx_core_impl.presets import LTX_2_3_PRESET
from ...ltx_core_impl.types import VideoPixelShape
from .. import host
from ..wires import sockets
from ..wires.checks import (
    InputError,
    check_frame_rate,
    check_widgets,
    message_or_true,
    optional_handle,
)
from ..wires.geometry import (
    UNCONNECTED,
    VideoGeometry,
    audio_geometry,
    check_clip_size,
    geometry_when_queued,
    video_geometry,
)
from ..wires.handles import describe
from ..wires.inputs import MAX_LENGTH, MAX_SEED, MAX_SIDE, frame_rate_input

CATEGORY = "LTX-2/latents"
MAX_BATCH = 64


class LTX2EmptyLatents(io.ComfyNode):
    """Where a clip starts: its size, and nothing in it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2EmptyLatents",
            display_name="LTX-2 Empty Latents",
            category=CATEGORY,
            description="Empty video and audio latents of a clip. Sound and picture get the same duration.",
            inputs=[
                io.Int.Input(
                    "width",
                    default=LTX_2_3_PRESET.width,
                    min=0,  # the browser rounds to whole steps from here
                    max=MAX_SIDE,
                    step=32,
                    tooltip="Width in pixels, a multiple of 32 (of 64 for the first stage's target in two-stage "
                    "graphs). Good: 768, 1280.",
                ),
                io.Int.Input(
                    "height",
                    default=LTX_2_3_PRESET.height,
                    min=0,  # the browser rounds to whole steps from here
                    max=MAX_SIDE,
                    step=32,
                    tooltip="Height in pixels, a multiple of 32. Good: 512, 704.",
                ),
                io.Int.Input(
                    "length",
                    default=LTX_2_3_PRESET.frames,
                    min=1,
                    max=MAX_LENGTH,
                    step=8,
                    tooltip="Number of frames, 8k + 1: 97, 121, 241. Seconds = length / frame_rate.",
                ),
                frame_rate_input(
                    "Frames per second. The model knows 24 to 50 best. It also decides how long the sound is."
                ),
                io.Int.Input(
                    "batch_size",
                    default=1,
                    min=1,
                    max=MAX_BATCH,
                    tooltip="Clips made at once; each gets its own noise (seed, seed + 1, ...).",
                ),
                sockets.VideoVAE.Input(
                    "video_vae",
                    optional=True,
                    tooltip="Only for checkpoints whose latents differ from the published 32 x 32 x 8 with 128 "
                    "channels: takes the sizes from this VAE.",
                ),
                sockets.AudioVAE.Input(
                    "audio_vae", optional=True, tooltip="The same for the sound: takes channels and rates from it."
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="video_latent", tooltip="(batch, channels, frames, height, width)"),
                io.Latent.Output(display_name="audio_latent", tooltip="(batch, channels, frames, mel)"),
                io.Float.Output(display_name="frame_rate", tooltip="For the fps of 'Create Video'."),
            ],
        )

    @classmethod
    def validate_inputs(cls, width, height, length, frame_rate, batch_size, video_vae=UNCONNECTED) -> bool | str:
        geometry = geometry_when_queued(video_vae)
        return message_or_true(lambda: cls._check(width, height, length, frame_rate, batch_size, geometry))

    @classmethod
    def _check(
        cls,
        width: int | None,
        height: int | None,
        length: int | None,
        frame_rate: float | None,
        batch_size: int | None,
        geometry: VideoGeometry | None,
    ) -> None:
        check_widgets(cls, width=width, height=height, length=length, batch_size=batch_size)
        if frame_rate is not None:
            check_frame_rate(frame_rate)
        if geometry is not None:
            check_clip_size(geometry, width, height, length)

    @classmethod
    def execute(cls, width, height, length, frame_rate, batch_size, video_vae=None, audio_vae=None) -> io.NodeOutput:
        video = video_geometry(optional_handle(video_vae, "video_vae"))
        audio = audio_geometry(optional_handle(audio_vae, "audio_vae"))
        cls._check(width, height, length, frame_rate, batch_size, video)
        pixels = VideoPixelShape(batch=batch_size, frames=length, height=height, width=width, fps=frame_rate)
        device = host.output_device()

        def empty(shape, kind: str) -> dict:
            samples = torch.zeros(shape.to_torch_shape(), device=device)
            return {"samples": samples, "type": kind, "frame_rate": frame_rate}

        return io.NodeOutput(
            empty(video.latent_shape(pixels), "video"), empty(audio.latent_shape(pixels), "audio"), frame_rate
        )


@dataclass(frozen=True)
class SeededNoise:
    """Noise as the reference draws it: in token layout, video first, then audio, from one generator per sample.

    Fits ComfyUI's NOISE socket: core nodes can call `generate_noise`. ``loop_seed`` is for the noise that some solvers
    add in their steps; None leaves it to the sampler.
    """

    seed: int
    loop_seed: int | None = None

    def generators(self, batch: int) -> components.Generators:
        """One CPU generator per sample, so that a seed gives the same noise on every device and in every batch."""
        return components.seeded_generators([self.seed + index for index in range(batch)])

    def generate_noise(self, input_latent: dict) -> torch.Tensor:
        """For core samplers: float32 noise in the layout of the latent."""
        samples = input_latent["samples"]
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randn(samples.shape, generator=generator, dtype=torch.float32)


def require_seed(noise: Any) -> int:
    """The seed of our noise, or of core's RandomNoise."""
    seed = getattr(noise, "seed", None)
    if not isinstance(seed, int):
        raise InputError(f"noise needs 'LTX-2 Latent Noise'; it got {describe(noise)}.")
    return seed


class LTX2LatentNoise(io.ComfyNode):
    """A seed."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2LatentNoise",
            display_name="LTX-2 Latent Noise",
            category=CATEGORY,
            description="The noise that a run starts from. The same seed gives the same noise on every machine that "
            "computes in the same precision.",
            inputs=[
                io.Int.Input(
                    "seed",
                    default=LTX_2_3_PRESET.seed,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=True,
                    tooltip="Any whole number; another one gives another clip for the same prompt.",
                )
            ],
            outputs=[io.Noise.Output(display_name="noise", tooltip="For 'LTX-2 Sampler'.")],
        )

    @classmethod
    def execute(cls, seed) -> io.NodeOutput:
        return io.NodeOutput(SeededNoise(seed=seed))


NODES = [LTX2EmptyLatents, LTX2LatentNoise]
