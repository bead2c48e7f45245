"""Making existing clips fit the model: sizes, lengths, sound as long as the picture, room for what is to come."""

from __future__ import annotations

import logging
from typing import Any

import torch
from comfy_api.latest import io

from ...ltx_core_impl import conditioning, media, sampling
from ...ltx_core_impl.media.resize import CROP, FITS, PAD
from ..wires.checks import (
    InputError,
    check_frame_rate,
    check_widgets,
    message_or_true,
    optional_handle,
)
from ..wires.geometry import UNCONNECTED, VideoGeometry, check_clip_size, geometry_when_queued, video_geometry
from ..wires.inputs import MAX_LENGTH, MAX_SIDE, frame_rate_input, unusual_video_vae_input
from ..wires.pictures import SILENCE_RATE, require_mask_for, require_pictures, require_sound

logger = logging.getLogger(__name__)
CATEGORY = "LTX-2/video"
SOUND_OUTPUT = "The sound, exactly as long as the pictures; silence where there is none."


class LTX2FitVideo(io.ComfyNode):
    """Any clip, cut and scaled to what the model takes."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2FitVideo",
            display_name="LTX-2 Fit Video",
            category=CATEGORY,
            description="Makes an existing clip fit the model: 8k + 1 frames, sides that are multiples of 32 or 64, "
            "sound exactly as long as the picture.",
            inputs=[
                io.Image.Input("images", tooltip="Frames of any size and number, from 'Get Video Components'."),
                frame_rate_input("Frames per second of the clip: connect the fps of 'Get Video Components'."),
                io.Int.Input(
                    "width",
                    default=0,
                    min=0,
                    max=MAX_SIDE,
                    tooltip="Width in pixels; 0 = the clip's own, less what does not fit 'multiple'. The clip is "
                    "scaled to cover the size and the centre is cut out.",
                ),
                io.Int.Input(
                    "height",
                    default=0,
                    min=0,
                    max=MAX_SIDE,
                    tooltip="Height in pixels; 0 = the clip's own, less what does not fit 'multiple'.",
                ),
                io.Int.Input(
                    "multiple",
                    default=32,
                    min=0,
                    max=256,
                    step=32,
                    tooltip="What the sides must be multiples of: 32, or 64 for two stages and IC-LoRAs with half-size "
                    "references. 0 = as little as the VAE allows.",
                ),
                io.Int.Input(
                    "length",
                    default=0,
                    min=0,
                    max=MAX_LENGTH,
                    tooltip="Frames to take from the start, 8k + 1 (97, 121); 0 = as many as there are, less the last "
                    "ones that do not fill a group of 8.",
                ),
                io.Audio.Input("audio", optional=True, tooltip="Sound of the clip, cut or padded to the picture."),
                unusual_video_vae_input(),
                io.Combo.Input(
                    "fit",
                    options=list(FITS),
                    default=CROP,
                    optional=True,
                    tooltip="crop: scale to cover the size and cut out the centre; a size of 0 is rounded down. pad: "
                    "keep the whole picture and mirror it into the rest, at the right and the bottom; a size of 0 is "
                    "rounded up. pad is what the alpha LoRA wants; cut the result back to source_width and "
                    "source_height from the top left.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The fitted frames."),
                io.Audio.Output(display_name="audio", tooltip=SOUND_OUTPUT),
                io.Int.Output(display_name="width", tooltip="Width in pixels."),
                io.Int.Output(display_name="height", tooltip="Height in pixels."),
                io.Int.Output(display_name="length", tooltip="Number of frames."),
                io.Float.Output(display_name="frame_rate", tooltip="Frames per second, as it came in."),
                io.Int.Output(display_name="source_width", tooltip="Width of the given frames in pixels."),
                io.Int.Output(display_name="source_height", tooltip="Height of the given frames in pixels."),
            ],
        )

    @classmethod
    def validate_inputs(cls, frame_rate, width, height, multiple, length, video_vae=UNCONNECTED) -> bool | str:
        geometry = geometry_when_queued(video_vae)
        return message_or_true(lambda: cls._check(frame_rate, width, height, multiple, length, geometry))

    @classmethod
    def _check(
        cls,
        frame_rate: float | None,
        width: int | None,
        height: int | None,
        multiple: int | None,
        length: int | None,
        geometry: VideoGeometry | None,
    ) -> None:
        check_widgets(cls, width=width, height=height, multiple=multiple, length=length)
        if frame_rate is not None:
            check_frame_rate(frame_rate)
        if geometry is not None:
            sides = (None, None) if multiple is None else (width or None, height or None)
            check_clip_size(geometry, *sides, length=length or None, multiple=multiple or 0)

    @classmethod
    def execute(
        cls, images, frame_rate, width, height, multiple, length, audio=None, video_vae=None, fit=CROP
    ) -> io.NodeOutput:
        check_widgets(cls, fit=fit)
        geometry = video_geometry(optional_handle(video_vae, "video_vae"))
        cls._check(frame_rate, width, height, multiple, length, geometry)
        pictures = require_pictures(images, "images")
        scale = geometry.scale
        longest = sampling.snap_frames(len(pictures), scale.time)
        count = length or longest
        if count > len(pictures):
            raise InputError(
                f"length is {length}; the clip has only {len(pictures)} frames. Set it to {longest}, or 0 for as many "
                "as there are."
            )
        own_height, own_width = pictures.shape[1:3]
        height = height or _whole_side("height", own_height, multiple or scale.height, fit)
        width = width or _whole_side("width", own_width, multiple or scale.width, fit)
        frames = media.fit_frames(pictures[:count], height, width, FITS[fit])
        sound = _sound(audio, count / frame_rate)
        return io.NodeOutput(frames, sound, width, height, count, frame_rate, own_width, own_height)


def _whole_side(name: str, own: int, step: int, fit: str) -> int:
    """The clip's own side on the grid: rounded up to pad, down to crop. Raises `InputError` where that leaves none."""
    if fit == PAD:
        return -(-own // step) * step
    if own < step:
        raise InputError(
            f"The clip's {name} is {own} pixels, less than {step}. Set {name} to {step} or more to enlarge it."
        )
    return own // step * step


class LTX2ExtendClip(io.ComfyNode):
    """Room before and after a clip."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2ExtendClip",
            display_name="LTX-2 Extend Clip",
            category=CATEGORY,
            description="Makes room before and after a clip. Encode the result, keep the window of the given clip "
            "with 'LTX-2 Retake Region' (outside), and the sampler fills the room.",
            inputs=[
                io.Image.Input("images", tooltip="The clip to extend, with sides that are multiples of 32."),
                frame_rate_input("Frames per second of the clip."),
                io.Int.Input(
                    "frames_before",
                    default=0,
                    min=0,
                    max=MAX_LENGTH,
                    tooltip="New frames before the clip; 0 = none. With 8k + 1 of them every frame of the clip is "
                    "kept, with others the first few are generated anew with the room.",
                ),
                io.Int.Input(
                    "frames_after",
                    default=48,
                    min=0,
                    max=MAX_LENGTH,
                    tooltip="New frames after the clip. All frames together must be 8k + 1.",
                ),
                io.Audio.Input("audio", optional=True, tooltip="Sound of the clip; silent where there is room."),
                unusual_video_vae_input(),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The clip with its first and last frame repeated."),
                io.Audio.Output(display_name="audio", tooltip=SOUND_OUTPUT),
                io.Float.Output(display_name="start_time", tooltip="Where the given clip starts, in seconds."),
                io.Float.Output(display_name="end_time", tooltip="Where the given clip ends, in seconds."),
                io.Float.Output(display_name="frame_rate", tooltip="Frames per second, as it came in."),
            ],
        )

    @classmethod
    def validate_inputs(cls, frame_rate, frames_before, frames_after) -> bool | str:
        return message_or_true(lambda: cls._check(frame_rate, frames_before, frames_after))

    @classmethod
    def _check(cls, frame_rate: float | None, frames_before: int | None, frames_after: int | None) -> None:
        check_widgets(cls, frames_before=frames_before, frames_after=frames_after)
        if frame_rate is not None:
            check_frame_rate(frame_rate)
        if frames_before == frames_after == 0:
            raise InputError("frames_before and frames_after are both 0: there is nothing to add. Set one of them.")

    @classmethod
    def execute(cls, images, frame_rate, frames_before, frames_after, audio=None, video_vae=None) -> io.NodeOutput:
        cls._check(frame_rate, frames_before, frames_after)
        pictures = require_pictures(images, "images")
        total = frames_before + len(pictures) + frames_after
        factor = video_geometry(optional_handle(video_vae, "video_vae")).scale.time
        shorter = sampling.snap_frames(total, factor)
        if shorter != total:
            below = shorter - frames_before - len(pictures)
            above = below + factor
            better = f"{below} or {above}" if below >= 0 else f"{above}"
            raise InputError(
                f"{frames_before} new frames, {len(pictures)} given ones and {frames_after} new ones are {total}; a "
                f"clip has {factor}k + 1 frames. Set frames_after to {better}."
            )
        start, end = frames_before / frame_rate, (frames_before + len(pictures)) / frame_rate
        return io.NodeOutput(
            media.pad_frames(pictures, frames_before, frames_after),
            _sound(audio, total / frame_rate, offset=start, end=end),
            start,
            end,
            frame_rate,
        )


def _sound(audio: Any, seconds: float, offset: float = 0.0, end: float | None = None) -> dict:
    """The sound of a clip of ``seconds``, starting at ``offset`` and silent from ``end`` on."""
    if audio is None:
        logger.warning("The clip has no sound; it is taken as silent.")
        return {"waveform": torch.zeros(1, 2, round(seconds * SILENCE_RATE)), "sample_rate": SILENCE_RATE}
    sound = require_sound(audio)
    waveform, rate = sound.waveform, sound.sampling_rate
    given = waveform if end is None else waveform[..., : round((end - offset) * rate)]
    return {"waveform": media.fit_waveform(given, round(seconds * rate), round(offset * rate)), "sample_rate": rate}


class LTX2InpaintFill(io.ComfyNode):
    """Green where something is to be painted."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2InpaintFill",
            display_name="LTX-2 Inpaint Fill",
            category=CATEGORY,
            description="Covers the masked part of a clip with the green that in- and out-painting LoRAs fill: the "
            "reference for 'LTX-2 Reference Video Guide' with such a LoRA.",
            inputs=[
                io.Image.Input("images", tooltip="The clip."),
                io.Mask.Input("mask", tooltip="White = to be filled. One frame, or one per frame; any size."),
                io.Int.Input(
                    "grow",
                    default=16,
                    min=0,
                    max=1024,
                    tooltip="Pixels by which the white part is made larger on all sides: 15 for a first stage at half "
                    "size, 30 at full size.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The clip with green in it."),
                io.Mask.Output(display_name="mask", tooltip="The larger mask, in the clip's size."),
            ],
        )

    @classmethod
    def execute(cls, images, mask, grow) -> io.NodeOutput:
        pictures = require_pictures(images, "images")
        check_widgets(cls, grow=grow)
        marked = require_mask_for(mask, pictures, "mask")
        larger = conditioning.grow_mask(media.resize_mask(marked, pictures.shape[1], pictures.shape[2]), grow)
        return io.NodeOutput(media.fill_masked(pictures, larger), larger)


NODES = [LTX2FitVideo, LTX2ExtendClip, LTX2InpaintFill]
