"""Mattes of the alpha LoRA: refining, laying over a new background, and files with alpha."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from comfy_api.latest import io, ui
from torch import Tensor

from ...ltx_core_impl import media
from ...ltx_core_impl.media.matte import (
    COVER,
    FITS,
    FRAMES_AT_ONCE,
    MatteSettings,
    composited,
    matte_of,
    refined_matte,
    unmixed,
)
from ...ltx_core_impl.media.video_writer import DEFAULT_CRF
from ...ltx_core_impl.types import Audio
from .. import host
from ..host import host_files
from ..wires.checks import InputError, check_frame_rate, check_widgets, message_or_true
from ..wires.geometry import UNCONNECTED
from ..wires.inputs import fraction_input, frame_rate_input
from ..wires.pictures import require_mask_for, require_pictures, require_sound, say_short_sound
from .films import FILMS, PRORES, WEBM, alpha_of

CATEGORY = "LTX-2/video"
CUT, RESIZE = "cut", "resize"
HOLD, LOOP = "hold last frame", "loop"
PNG = "PNG files"
FORMATS = [name for name, film in FILMS.items() if film.has_alpha] + [PNG]
MAX_EXPAND, MAX_FEATHER, MAX_RADIUS, MAX_CLIP = 128, 64.0, 64, 0.5
GREY = 0.5


class LTX2RefineMatte(io.ComfyNode):
    """A generated matte, made usable."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        def clip_input(name: str, what: str) -> io.Float.Input:
            return io.Float.Input(name, default=0.0, min=0.0, max=MAX_CLIP, step=0.01, tooltip=what)

        return io.Schema(
            node_id="LTX2RefineMatte",
            display_name="LTX-2 Refine Matte",
            category=CATEGORY,
            description="Cleans the matte that the alpha LoRA made, takes the old background out of soft edges, and "
            "lays the subject over a new one. With the values as they are the matte is not changed.",
            inputs=[
                io.Image.Input(
                    "matte",
                    tooltip="The decoded matte, white = kept. Its red channel counts, or its alpha where it has one.",
                ),
                io.Boolean.Input("invert", default=False, tooltip="On for mattes whose black is kept."),
                io.Int.Input(
                    "expand",
                    default=0,
                    min=-MAX_EXPAND,
                    max=MAX_EXPAND,
                    tooltip="Pixels by which the kept part grows; negative shrinks it (-1 to -3 against a rim of the "
                    "old background).",
                ),
                clip_input("black_clip", "Up to this value the matte becomes black: 0.02 to 0.1 against haze."),
                clip_input(
                    "white_clip",
                    "From 1 less this value on it becomes white: 0.02 to 0.1 against holes in the subject.",
                ),
                io.Float.Input(
                    "feather",
                    default=0.0,
                    min=0.0,
                    max=MAX_FEATHER,
                    step=0.1,
                    tooltip="Softness of the edge in pixels (sigma of a blur). Good: 0 to 2.",
                ),
                fraction_input("mix", 1.0, "How much of the changes so far is used: 0 = the matte as it came."),
                fraction_input(
                    "unmix",
                    0.0,
                    "How much of the old background is taken out of the colours where the matte is soft: 1 for hair "
                    "and motion blur. Needs images.",
                ),
                io.Int.Input(
                    "unmix_radius",
                    default=12,
                    min=1,
                    max=MAX_RADIUS,
                    tooltip="How far around a pixel the old background is looked for, in pixels.",
                ),
                io.Combo.Input(
                    "size",
                    options=[CUT, RESIZE],
                    default=CUT,
                    tooltip="Where the matte has another size than images. cut: its right and bottom are cut off, as "
                    "they were padded by 'LTX-2 Fit Video' (fit: pad). resize: it is scaled.",
                ),
                io.Combo.Input(
                    "plate_fit",
                    options=list(FITS),
                    default=COVER,
                    tooltip="How the plate is brought to the size: cover (its centre is cut out), contain (black bars) "
                    "or stretch.",
                ),
                io.Combo.Input(
                    "plate_end",
                    options=[HOLD, LOOP],
                    default=HOLD,
                    tooltip="What a plate does that is shorter than the clip.",
                ),
                io.Image.Input(
                    "images", optional=True, tooltip="The clip that the matte is of, unpadded. Without it: grey."
                ),
                io.Image.Input(
                    "plate", optional=True, tooltip="The new background, a picture or a film. Without it: black."
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="over",
                    tooltip="The subject over the plate; sides are made even with a black row or column.",
                ),
                io.Image.Output(
                    display_name="rgba", tooltip="Pictures with straight alpha as their fourth channel, 1 = kept."
                ),
                io.Mask.Output(display_name="mask", tooltip="The refined matte, white = kept: for the save nodes."),
                io.Image.Output(display_name="images", tooltip="The pictures, with unmixed colours."),
            ],
        )

    @classmethod
    def validate_inputs(cls, unmix, images=UNCONNECTED) -> bool | str:
        return message_or_true(lambda: cls._check_unmix(unmix, images is UNCONNECTED))

    @classmethod
    def _check_unmix(cls, unmix: float | None, without_images: bool) -> None:
        check_widgets(cls, unmix=unmix)
        if unmix and without_images:
            raise InputError(
                f"unmix is {unmix:g}, but images is not connected: there are no colours to take anything out of. "
                "Connect the clip, or set unmix to 0."
            )

    @classmethod
    def execute(
        cls,
        matte,
        invert,
        expand,
        black_clip,
        white_clip,
        feather,
        mix,
        unmix,
        unmix_radius,
        size,
        plate_fit,
        plate_end,
        images=None,
        plate=None,
    ) -> io.NodeOutput:
        widgets = {"expand": expand, "black_clip": black_clip, "white_clip": white_clip, "feather": feather, "mix": mix}
        check_widgets(cls, **widgets, unmix_radius=unmix_radius, size=size)
        cls._check_unmix(unmix, images is None)
        check_widgets(cls, plate_fit=plate_fit, plate_end=plate_end)
        require_pictures(matte, "matte")
        raw = matte_of(matte).float().clamp(0.0, 1.0)
        background = None if plate is None else require_pictures(plate, "plate")
        if images is None:
            pictures = torch.full((1, *raw.shape[1:], 3), GREY).expand(len(raw), -1, -1, -1)
        else:
            given = require_pictures(images, "images")
            count = min(len(given), len(raw))
            pictures, raw = given[:count], _in_size(raw[:count], given, size)
        host.check_interrupt()
        mask = refined_matte(raw.to(pictures.device), MatteSettings(invert, **widgets))
        host.check_interrupt()
        if unmix:
            pictures = unmixed(pictures, mask, unmix, unmix_radius)
        host.check_interrupt()
        over = composited(pictures, mask, background, plate_fit, loop=plate_end == LOOP)
        return io.NodeOutput(over, media.with_alpha(pictures, mask), mask, pictures)


def _in_size(matte: Tensor, pictures: Tensor, how: str) -> Tensor:
    """The matte in the size of the pictures. Raises `InputError` for one that is too small to be cut."""
    height, width = pictures.shape[1:3]
    if matte.shape[1:] == (height, width):
        return matte
    if how == RESIZE:
        return F.interpolate(matte[:, None], size=(height, width), mode="bilinear", align_corners=False)[:, 0]
    if matte.shape[1] < height or matte.shape[2] < width:
        raise InputError(
            f"matte is {matte.shape[2]} x {matte.shape[1]}, images are {width} x {height}: a smaller matte cannot be "
            f"cut to them. Pad the clip with 'LTX-2 Fit Video' (fit: pad) before it is encoded, or set size to "
            f"{RESIZE}."
        )
    return matte[:, :height, :width]


class LTX2SaveAlpha(io.ComfyNode):
    """Pictures and a matte to a film with alpha."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2SaveAlpha",
            display_name="LTX-2 Save Alpha",
            category=CATEGORY,
            description="Writes pictures with straight alpha, a few at a time: as ProRes 4444, as WebM for browsers, "
            "or as PNG files. For latents there is 'LTX-2 Save Video'.",
            is_output_node=True,
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            inputs=[
                io.Image.Input(
                    "images", tooltip="The pictures; the alpha of pictures with four channels counts without mask."
                ),
                io.String.Input("filename_prefix", default="video/alpha", tooltip=host_files.PREFIX_TOOLTIP),
                frame_rate_input("Frames per second of the film."),
                io.Combo.Input(
                    "format",
                    options=FORMATS,
                    default=PRORES,
                    tooltip="MOV (ProRes 4444): for editing, 10 bits, exact alpha, PCM sound. WebM (VP9): for "
                    "browsers, Opus sound. PNG files: a folder of them, 8 bits, exact alpha, sound.wav beside.",
                ),
                io.Int.Input(
                    "crf",
                    default=DEFAULT_CRF,
                    min=0,
                    max=51,
                    tooltip="Quality of WebM, alpha included: 0 = lossless, 19 = no visible loss. The other formats "
                    "ignore it.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Straight alpha, white = opaque. One frame, or one per frame; any size.",
                ),
                io.Audio.Input(
                    "audio", optional=True, tooltip="Sound; it is cut, or followed by silence, to the picture's length."
                ),
            ],
            outputs=[io.String.Output(display_name="path", tooltip="The file, or the folder of PNG files.")],
        )

    @classmethod
    def validate_inputs(cls, filename_prefix, frame_rate, format, crf) -> bool | str:
        def check() -> None:
            if filename_prefix is not None:
                host_files.check_prefix(filename_prefix)
            check_widgets(cls, format=format, crf=crf)
            if frame_rate is not None:
                check_frame_rate(frame_rate)

        return message_or_true(check)

    @classmethod
    def execute(cls, images, filename_prefix, frame_rate, format, crf, mask=None, audio=None) -> io.NodeOutput:
        pictures = require_pictures(images, "images")
        check_widgets(cls, format=format, crf=crf)
        check_frame_rate(frame_rate)
        alpha = _alpha_of_pictures(images, mask)
        count, height, width = pictures.shape[:3]
        options = {"fps": media.frame_rate(frame_rate), "audio": _one_sound(audio, count / frame_rate)}
        options["metadata"] = host_files.graph_metadata(cls.hidden)
        if format == PNG:
            with host_files.new_folder(filename_prefix, width, height) as made:
                with media.PngSequence(made.path, **options) as writer:
                    _write(writer, pictures, alpha, even=False)
            return io.NodeOutput(str(made.final), ui=ui.PreviewText(f"{count} PNG files in {made.final}"))
        film = FILMS[format]
        with host_files.new_output(filename_prefix, film.extension, width, height) as made:
            with film.writer()(made.path, crf=crf, **options) as writer:
                _write(writer, pictures, alpha, even=True)
        if format == WEBM:
            return io.NodeOutput(str(made.final), ui=ui.PreviewVideo([host_files.saved_result(made.final)]))
        return io.NodeOutput(str(made.final), ui=ui.PreviewText(f"{count} frames in {made.final}"))


def _alpha_of_pictures(images: Tensor, mask: Tensor | None) -> Tensor | None:
    if mask is not None:
        return require_mask_for(mask, images, "mask")
    return images[..., 3].clamp(0.0, 1.0) if images.shape[-1] == 4 else None


def _one_sound(audio: dict | None, seconds: float) -> Audio | None:
    if audio is None:
        return None
    sound = require_sound(audio)
    if len(sound.waveform) != 1:
        raise InputError(f"audio holds {len(sound.waveform)} sounds; a film has one. Choose one of them.")
    say_short_sound(sound, seconds, "audio")
    return sound


def _write(writer: object, pictures: Tensor, alpha: Tensor | None, even: bool) -> None:
    """Write all pictures, a few at a time; films get a clear row or column where a side is odd."""
    progress = host.Progress(len(pictures), "Writing", unit="frame")
    height, width = pictures.shape[1:3]
    for part in torch.arange(len(pictures)).split(FRAMES_AT_ONCE):
        first = int(part[0])
        frames = pictures[first : first + len(part)].float()
        rgba = media.with_alpha(frames, alpha_of(alpha, first, frames))
        writer.write(F.pad(rgba, (0, 0, 0, width % 2, 0, height % 2)) if even else rgba)
        progress(writer.frames_written)


NODES = [LTX2RefineMatte, LTX2SaveAlpha]
