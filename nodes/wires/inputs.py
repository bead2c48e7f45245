"""Inputs and outputs that several nodes have, described once."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...ltx_core_impl.presets import LTX_2_3_PRESET
from . import sockets

MAX_SIDE, MAX_LENGTH = 16384, 16385
MAX_SEED = 0xFFFFFFFFFFFFFFFF
MAX_FRAME_RATE = 1000.0


class NumberInput(io.Float.Input):
    """A number with a fraction, to which a wire with a whole number may go too."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.widget_type = "FLOAT"

    def get_io_type(self) -> str:
        """The types of wires that fit."""
        return "FLOAT,INT"


def frame_rate_input(
    tooltip: str, default: float = LTX_2_3_PRESET.fps, least: float = 0.01, optional: bool = False
) -> io.Float.Input:
    """The frame rate of a clip, typed or linked; many nodes hand it out as a whole number."""
    return NumberInput(
        "frame_rate",
        default=default,
        min=least,
        max=MAX_FRAME_RATE,
        step=0.01,
        optional=optional,
        tooltip=tooltip,
    )


def device_input(options: list[str]) -> io.Combo.Input:
    """Where a loader's components compute."""
    return io.Combo.Input(
        "device",
        options=options,
        default=options[0],
        optional=True,
        tooltip="Where it computes. default: where ComfyUI computes. With two cards the text encoder can live on one "
        "and the transformer on the other.",
    )


def fraction_input(name: str, default: float, tooltip: str, step: float = 0.01) -> io.Float.Input:
    """A strength from 0 to 1."""
    return io.Float.Input(name, default=default, min=0.0, max=1.0, step=step, tooltip=tooltip)


def noise_seed_input() -> io.Int.Input:
    """The seed of a decoder's own noise."""
    return io.Int.Input(
        "noise_seed",
        default=0,
        min=0,
        max=MAX_SEED,
        tooltip="Seed of the noise that some decoders start from (LTX-2.5) or add; most ignore it.",
    )


def target_input(tells: str = "size and length") -> io.Latent.Input:
    """The latent whose clip a guide is made for."""
    return io.Latent.Input(
        "video_latent", tooltip=f"The latent that will be sampled; it tells the {tells} of the clip."
    )


def ic_lora_model_input() -> io.Input:
    """The model whose LoRA says what its reference looks like."""
    return sockets.Model.Input(
        "model", tooltip="The model with the IC-LoRA; the LoRA file says how small the reference must be."
    )


def skip_step_input() -> io.Int.Input:
    """Steps without a prediction of their own."""
    return io.Int.Input(
        "skip_step",
        default=0,
        min=0,
        max=100,
        tooltip="Reuse the last prediction of this modality for this many steps after each computed one. 0 = compute "
        "every step.",
    )


def reference_strength_input() -> io.Float.Input:
    """The strength of a reference."""
    return fraction_input("strength", 1.0, "How clean the reference is shown: 1 = as it is; less mixes it with noise.")


def guides_input() -> io.Input:
    """The chain of guides so far."""
    return sockets.Guides.Input("guides", optional=True, tooltip="Guides to add this one to.")


def guides_output() -> io.Output:
    """The chain of guides with one more."""
    return sockets.Guides.Output(display_name="guides", tooltip="For 'LTX-2 Sampler' or the next guide.")


def unusual_video_vae_input() -> io.Input:
    """A video VAE whose sizes are asked for."""
    return sockets.VideoVAE.Input(
        "video_vae", optional=True, tooltip="For checkpoints whose latents differ from the published sizes."
    )


def unusual_audio_vae_input() -> io.Input:
    """An audio VAE whose rates are asked for."""
    return sockets.AudioVAE.Input(
        "audio_vae", optional=True, tooltip="For checkpoints whose sound rates differ from the published."
    )


def tiling_inputs(tile: int, overlap: int, frames: int, frame_overlap: int, purpose: str) -> list[io.Input]:
    """The widgets of `vae_tiling.TileSizes`."""
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
