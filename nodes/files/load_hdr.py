"""Reading high dynamic range into ACEScct code: EXR files and sequences, HDR films, and pictures on a wire."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import torch
from comfy_api.latest import io
from torch import Tensor

from ...ltx_core_impl import media, sampling
from ...ltx_core_impl.light.primaries import AP1, REC709
from ...ltx_core_impl.light.spaces import ACESCCT_CODE, ACESCG, PICTURE_SPACES, SRGB_GAMMA, SRGB_LINEAR, to_code
from ...ltx_core_impl.media.resize import CROP, FITS
from .. import host
from ..host import host_files
from ..wires.checks import InputError, check_widgets, message_or_true
from ..wires.handles import FileRef
from ..wires.inputs import MAX_SIDE, frame_rate_input
from ..wires.pictures import require_pictures
from .video_file import MAX_LENGTH

logger = logging.getLogger(__name__)
CATEGORY = "LTX-2/video"
EXR_RATE, CELL = 24.0, 8
SILENCE_RATE, SHORTEST_SILENCE = 44_100, 1.0
"""Samples per second and seconds of the silence of a sequence: encoders take no empty sound."""
SPACES = (SRGB_LINEAR, ACESCG, ACESCCT_CODE)
_SAME_PRIMARIES = 2e-3


class Source(NamedTuple):
    """What is read: files of a sequence or one film, at a rate, so many frames from one on."""

    path: Path
    files: tuple[Path, ...]
    rate: Fraction
    first: int
    count: int

    @property
    def start(self) -> float:
        """Where a film begins to be read, in seconds."""
        return float(self.first / self.rate)

    def pictures(self, space: str) -> Iterator[Tensor]:
        """ACEScct code ``(H, W, 3)``, one by one."""
        if self.files:
            for picture in media.read_exr_sequence(self.files[self.first : self.first + self.count]):
                yield to_code(picture, space)
            return
        for chunk in media.read_at_rate(
            self.path, self.rate, self.start, self.count, chunk_frames=1, show=media.WorkingCode
        ):
            yield chunk[0]

    def sound(self) -> dict:
        """The film's sound, as long as the pictures; silence of a sequence or a silent film."""
        seconds = float(self.count / self.rate)
        sound = None if self.files else media.read_audio(self.path, start=self.start, duration=seconds)
        if sound is None or not sound.waveform.shape[-1]:
            samples = math.ceil(max(seconds, SHORTEST_SILENCE) * SILENCE_RATE)
            return {"waveform": torch.zeros(1, 2, samples), "sample_rate": SILENCE_RATE}
        samples = round(seconds * sound.sampling_rate)
        return {"waveform": media.fit_waveform(sound.waveform, samples)[None], "sample_rate": sound.sampling_rate}


def hdr_file_input() -> io.Combo.Input:
    """EXR files and films of the input folder."""
    return io.Combo.Input(
        "file",
        options=host_files.input_hdr_pictures(),
        tooltip="EXR file, folder of EXR files (in the order of their numbers), or film in ComfyUI's input folder.",
    )


def light_inputs() -> list[io.Input]:
    """How the file is read, and from which frame on."""
    return [
        io.Combo.Input(
            "color_space",
            options=list(SPACES),
            default=SRGB_LINEAR,
            tooltip="What the EXR files hold. srgb_linear: linear light in Rec.709. acescg: linear light in "
            "ACEScg. acescct: log code already. Films say it themselves.",
        ),
        frame_rate_input(
            "Frames per second: of a sequence (0 = 24), or what a film is brought to by repeating or leaving "
            "out frames (0 = its own).",
            default=0.0,
            least=0.0,
        ),
        io.Int.Input("first_frame", default=0, min=0, max=MAX_LENGTH, tooltip="Frames to leave out at the start."),
    ]


class LTX2LoadHDR(io.ComfyNode):
    """An EXR file, a sequence, or a film, as pictures in ACEScct code."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2LoadHDR",
            display_name="LTX-2 Load HDR",
            category=CATEGORY,
            description="Reads an EXR file, a folder with an EXR sequence, or a film (HDR in PQ or HLG, or SDR) of the "
            "input folder into ACEScct code, the working signal of LTX-2.5's HDR graphs, without tone mapping. "
            "Resizing comes after the conversion, in full precision.",
            inputs=[
                hdr_file_input(),
                *light_inputs(),
                io.Int.Input(
                    "length", default=0, min=0, max=MAX_LENGTH, tooltip="Frames to take at most; 0 = all to the end."
                ),
                io.Boolean.Input(
                    "trim",
                    default=True,
                    tooltip="Leave out the last few frames so that 8k + 1 are left, as the model takes them.",
                ),
                io.Int.Input(
                    "width",
                    default=0,
                    min=0,
                    max=MAX_SIDE,
                    tooltip="Width in pixels to bring each frame to as it is read, so that a large sequence is never "
                    "in memory in its own size; 0 = its own.",
                ),
                io.Int.Input("height", default=0, min=0, max=MAX_SIDE, tooltip="The same for the height."),
                io.Combo.Input(
                    "fit",
                    options=list(FITS),
                    default=CROP,
                    tooltip="crop: scale to cover the size and cut out the centre. pad: keep the whole picture and "
                    "mirror it into the rest, at the right and the bottom.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="Pictures in ACEScct code, primaries AP1."),
                io.Audio.Output(
                    display_name="audio", tooltip="The film's sound, as long as the pictures; silence where none is."
                ),
                io.Float.Output(display_name="frame_rate", tooltip="Frames per second."),
                io.Int.Output(display_name="width", tooltip="Width of the pictures in pixels."),
                io.Int.Output(display_name="height", tooltip="Height of the pictures in pixels."),
                io.Int.Output(display_name="length", tooltip="Number of pictures."),
            ],
        )

    @classmethod
    def validate_inputs(cls, file, color_space, frame_rate, first_frame, length, width, height, fit) -> bool | str:
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
            if file is not None:
                check_file(Path(host_files.find_input(file, "file").path))

        return message_or_true(check)

    @classmethod
    def fingerprint_inputs(cls, file, **_) -> str:
        return fingerprint(file)

    @classmethod
    def execute(cls, file, color_space, frame_rate, first_frame, length, trim, width, height, fit) -> io.NodeOutput:
        check_widgets(cls, color_space=color_space, frame_rate=frame_rate, fit=fit, width=width, height=height)
        source = source_of(Path(host_files.find_input(file, "file").path), frame_rate, first_frame, length, trim)
        if source.files:
            say_other_tags(source.files[0], color_space)
        images, progress = None, host.Progress(source.count, "Reading", unit="frame")
        for index, picture in enumerate(source.pictures(color_space)):
            if width or height:
                size = (height or picture.shape[0], width or picture.shape[1])
                picture = FITS[fit](picture[None], *size)[0].movedim(0, -1)
            if images is None:
                images = torch.empty(source.count, *picture.shape, device=host.output_device())
            images[index] = picture
            progress(index + 1)
        return io.NodeOutput(
            images, source.sound(), float(source.rate), images.shape[2], images.shape[1], images.shape[0]
        )


def fingerprint(file: str) -> str:
    """Another one when a file of the sequence is another one."""
    path = Path(host_files.find_input(file, "file").path)
    return repr([FileRef.of(str(one)) for one in (media.exr_files(path) if path.is_dir() else [path])])


def _is_exr(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() == media.EXTENSION


def check_file(path: Path) -> None:
    """Raise ValueError when the file, or the first of a folder, is none that can be read."""
    if _is_exr(path):
        media.exr_info(media.exr_files(path)[0])
    else:
        media.probe_video(path)


def source_of(path: Path, rate: float, first: int, length: int, trim: bool) -> Source:
    """What is taken of a file or a folder. Raises `InputError` where it ends before ``first``."""
    files: tuple[Path, ...] = ()
    if _is_exr(path):
        files, exact = tuple(media.exr_files(path)), media.frame_rate(rate or EXR_RATE)
        available = len(files) - first
    else:
        exact = media.frame_rate(rate) if rate else media.probe_video(path).fps
        available = media.count_at_rate(path, exact, float(first / exact))
    if available < 1:
        raise InputError(
            f"first_frame is {first}; {os.path.basename(path)} ends before that. Choose an earlier one, counted from 0."
        )
    count = min(length, available) if length else available
    return Source(path, files, exact, first, sampling.snap_frames(count, CELL) if trim else count)


def say_other_tags(path: Path, space: str) -> None:
    """Log a file whose own words contradict the space that it is read in."""
    header = media.exr_info(path)
    wanted = REC709 if space == SRGB_LINEAR else AP1
    found = header.chromaticities
    if found is not None and max(abs(a - b) for a, b in zip(found, wanted.numbers, strict=True)) > _SAME_PRIMARIES:
        logger.warning(
            "%s is read as %s, but its chromaticities are others%s. Choose the color_space that it was written in.",
            path.name,
            space,
            f" ({header.color_space})" if header.color_space else "",
        )


class LTX2ToACEScct(io.ComfyNode):
    """Pictures on a wire into ACEScct code."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2ToACEScct",
            display_name="LTX-2 To ACEScct",
            category=CATEGORY,
            description="Brings pictures into ACEScct code, the working signal of LTX-2.5's HDR graphs. Put it before "
            "any resizing: mixing pixels in a screen's curve darkens edges.",
            inputs=[
                io.Image.Input("images", tooltip="Pictures; a fourth channel is kept as it is."),
                io.Combo.Input(
                    "color_space",
                    options=list(PICTURE_SPACES),
                    default=SRGB_GAMMA,
                    tooltip="What they are in. srgb_gamma: an ordinary picture or SDR film. srgb_linear: linear light "
                    "in Rec.709. acescg: linear light in ACEScg. acescct: the code already; values are only clipped.",
                ),
            ],
            outputs=[io.Image.Output(display_name="images", tooltip="Pictures in ACEScct code, primaries AP1.")],
        )

    @classmethod
    def validate_inputs(cls, color_space) -> bool | str:
        return message_or_true(lambda: check_widgets(cls, color_space=color_space))

    @classmethod
    def execute(cls, images, color_space) -> io.NodeOutput:
        check_widgets(cls, color_space=color_space)
        colours = require_pictures(images, "images")
        pictures = images if images.shape[-1] == 4 else colours
        code = torch.empty(pictures.shape, device=host.output_device())
        for index, picture in enumerate(pictures):
            code[index] = to_code(picture.float(), color_space)
        return io.NodeOutput(code)


NODES = [LTX2LoadHDR, LTX2ToACEScct]
