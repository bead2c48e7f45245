"""Writing high dynamic range chunk by chunk: OpenEXR files, an HLG master, and a film of their preview."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ...ltx_core_impl import media
from ...ltx_core_impl.light.spaces import (
    ACESCG,
    EXR_SPACES,
    LOG_CODES,
    SRGB_LINEAR,
    delivered,
    from_code,
    primaries_of,
    to_rec709,
)
from ...ltx_core_impl.media.hlg_writer import SMALLEST_SIDE, HLGWriter, check_hlg_encoder
from ...ltx_core_impl.types import Audio
from .. import host
from ..host import host_files
from ..vae.decoding import Clips
from ..vae.vae_tiling import TileSizes, check_tiling
from ..wires import sockets
from ..wires.checks import InputError, check_frame_rate, check_widgets, message_or_true
from ..wires.inputs import frame_rate_input, noise_seed_input, tiling_inputs
from ..wires.pictures import require_pictures
from .hdr import CATEGORY, LinearLight, exposure_input, half_input, keep_every_input, light_inputs, write_frames
from .save_video import clip_sounds, file_rate

PREVIEW, PREVIEW_CRF, MASTER = "preview.mp4", 18, "master_hlg.mp4"
NO_EXR = "none"


def exr_space_input(default: str, optional: bool = False) -> io.Input:
    """What EXR files are written in."""
    return io.Combo.Input(
        "exr_space",
        options=[*EXR_SPACES, NO_EXR],
        default=default,
        optional=optional,
        tooltip="What the EXR files hold, and say so. srgb_linear: linear light in Rec.709. acescg: linear light in "
        "ACEScg, which keeps all colours. acescct: the log code. linear: the decoded light as it is, without saying "
        "in what. none: no EXR files.",
    )


def hlg_input(default: bool, optional: bool = False) -> io.Input:
    """Whether an HLG master is written."""
    return io.Boolean.Input(
        "hlg_master",
        default=default,
        optional=optional,
        tooltip=f"Also write {MASTER}: an HDR film (HLG, BT.2020, 10-bit HEVC) with the sound, for HDR screens.",
    )


def check_master(hlg_master: bool | None, height: int = SMALLEST_SIDE, width: int = SMALLEST_SIDE) -> None:
    """Raise ValueError where the master that is asked for cannot be encoded."""
    if not hlg_master:
        return
    check_hlg_encoder()
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(
            f"The pictures are {width} x {height}; an HLG master has {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels or more. "
            "Switch hlg_master off."
        )


class HdrFiles:
    """The files of one clip in a folder; `write` takes its pictures in log code, chunk by chunk."""

    def __init__(
        self,
        folder: Path,
        log: str,
        exposure: float,
        half: bool,
        exr_space: str,
        preview: media.VideoWriter,
        master: HLGWriter | None,
    ) -> None:
        self._folder, self._log, self._exposure = folder, log, exposure
        self._half, self._space = half, exr_space
        self._preview, self._master = preview, master
        self.written = 0

    def write(self, code: Tensor) -> None:
        """Write pictures ``(f, H, W, 3)``."""
        if self._space == NO_EXR:
            self.written += len(code)
        else:
            pictures = delivered(code, self._log, self._space)
            self.written = write_frames(self._folder, pictures, self.written, self._half, EXR_SPACES[self._space])
        if self._master is not None:
            self._master.write(from_code(code, self._log))
        even = (slice(None), slice(code.shape[1] // 2 * 2), slice(code.shape[2] // 2 * 2))  # H.264 takes no others
        self._preview.write(media.tone_mapped(to_rec709(code[even], self._log), self._exposure))


@contextmanager
def hdr_files(
    folder: Path,
    log: str,
    exposure: float,
    half: bool,
    exr_space: str,
    hlg_master: bool,
    *,
    fps: Fraction,
    audio: Audio | None,
    metadata: Mapping[str, str],
) -> Iterator[HdrFiles]:
    """The writers of one clip, closed when the block ends."""
    film = {"fps": fps, "audio": audio, "metadata": metadata}
    with ExitStack() as stack:
        preview = stack.enter_context(media.VideoWriter(folder / PREVIEW, crf=PREVIEW_CRF, **film))
        master = None
        if hlg_master:
            master = stack.enter_context(HLGWriter(folder / MASTER, primaries=primaries_of(log), **film))
        yield HdrFiles(folder, log, exposure, half, exr_space, preview, master)


def _saved(films: list[Path]) -> io.NodeOutput:
    preview = ui.PreviewVideo([host_files.saved_result(path) for path in films])
    return io.NodeOutput(str(films[-1].parent), host_files.video_of(films[-1]), ui=preview)


def _outputs(which: str = "") -> list[io.Output]:
    return [
        io.String.Output(display_name="folder", tooltip=f"Where the files are{which}."),
        io.Video.Output(display_name="preview", tooltip=f"The film of the preview{which}."),
    ]


class LTX2SaveHDR(io.ComfyNode):
    """A latent of an HDR model to EXR files, an HLG master and a film of their preview."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2SaveHDR",
            display_name="LTX-2 Save HDR",
            category=CATEGORY,
            description="'LTX-2 HDR Decode' and 'LTX-2 Save EXR' in one, chunk by chunk, so that a clip of any length "
            "takes the memory of one chunk: a new folder with EXR files, a tone-mapped preview.mp4, and an HLG master "
            "for HDR screens where it is asked for.",
            is_output_node=True,
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            inputs=[
                io.Latent.Input("video_latent", tooltip="From the sampler, with an HDR LoRA on the model."),
                sockets.VideoVAE.Input("video_vae", tooltip="The VAE of the model that made the latent."),
                _folder_input(),
                *light_inputs(),
                half_input(),
                *tiling_inputs(1280, 256, 32, 16, "decode"),
                noise_seed_input(),
                keep_every_input(),
                io.Audio.Input("audio", optional=True, tooltip="Sound of the films, cut or padded to the picture."),
                exr_space_input(SRGB_LINEAR, optional=True),
                hlg_input(False, optional=True),
                frame_rate_input(
                    "Frames per second of the films; 0 = the latent's. Connect the source's where the model was told "
                    "another rate than the film plays at, as with SDR films of more than 30 per second.",
                    default=0.0,
                    least=0.0,
                    optional=True,
                ),
            ],
            outputs=_outputs(" (the last clip's)"),
        )

    @classmethod
    def validate_inputs(
        cls,
        filename_prefix,
        curve,
        tile_size,
        tile_overlap,
        temporal_size,
        temporal_overlap,
        exr_space=SRGB_LINEAR,
        hlg_master=False,
        frame_rate=0.0,
    ) -> bool | str:
        def check() -> None:
            if filename_prefix is not None:
                host_files.check_prefix(filename_prefix)
            check_widgets(cls, curve=curve, exr_space=exr_space, frame_rate=frame_rate)
            check_tiling(tile_size, tile_overlap, temporal_size, temporal_overlap)
            check_master(hlg_master)

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
        exr_space=SRGB_LINEAR,
        hlg_master=False,
        frame_rate=0.0,
    ) -> io.NodeOutput:
        check_widgets(
            cls,
            curve=curve,
            exposure=exposure,
            crop_width=crop_width,
            crop_height=crop_height,
            keep_every=keep_every,
            exr_space=exr_space,
            frame_rate=frame_rate,
        )
        host_files.check_prefix(filename_prefix)
        clips = Clips.of(video_latent, video_vae)
        light = LinearLight.of(clips, curve, crop_width, crop_height, keep_every)
        check_master(hlg_master, light.height, light.width)
        rate = file_rate(frame_rate, video_latent) / keep_every
        sounds = clip_sounds(audio, clips.count)
        metadata = host_files.graph_metadata(cls.hidden)
        progress = host.Progress(clips.count * clips.frames, "Decoding and writing", unit="frame")
        sizes = TileSizes(tile_size, tile_overlap, temporal_size, temporal_overlap)
        kind = (curve, exposure, half, exr_space, hlg_master)
        films = []
        with clips.decoder(sizes, noise_seed, precise=True) as decode:
            for clip, sound in enumerate(sounds):
                with host_files.new_folder(filename_prefix, light.width, light.height) as folder:
                    decoded = 0
                    with hdr_files(folder.path, *kind, fps=rate, audio=sound, metadata=metadata) as files:
                        for chunk in decode(clip, torch.float32):
                            files.write(light.taken(chunk, decoded))
                            decoded += len(chunk)
                            progress(clip * clips.frames + decoded)
                films.append(folder.final / PREVIEW)
        return _saved(films)


class LTX2SaveHDRPictures(io.ComfyNode):
    """Pictures in log code to EXR files, an HLG master and a film of their preview."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2SaveHDRPictures",
            display_name="LTX-2 Save HDR Pictures",
            category=CATEGORY,
            description="Writes pictures in log code, decoded or blended, as 'LTX-2 Save HDR' writes a latent: a new "
            "folder with EXR files, a tone-mapped preview.mp4, and an HLG master for HDR screens.",
            is_output_node=True,
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            inputs=[
                io.Image.Input("images", tooltip="Pictures in log code, from 'LTX-2 Video VAE Decode' or after it."),
                frame_rate_input("Frames per second of the films."),
                _folder_input(),
                io.Combo.Input(
                    "curve",
                    options=list(LOG_CODES),
                    default="ACEScct",
                    tooltip="The log code of the pictures. ACEScct: LTX-2.5. LogC3: the HDR LoRA of LTX-2.3.",
                ),
                exposure_input(),
                exr_space_input(ACESCG),
                half_input(),
                hlg_input(True),
                io.Audio.Input("audio", optional=True, tooltip="Sound of the films, cut or padded to the picture."),
            ],
            outputs=_outputs(),
        )

    @classmethod
    def validate_inputs(cls, filename_prefix, frame_rate, curve, exposure, exr_space, hlg_master) -> bool | str:
        def check() -> None:
            if filename_prefix is not None:
                host_files.check_prefix(filename_prefix)
            check_widgets(cls, frame_rate=frame_rate, curve=curve, exposure=exposure, exr_space=exr_space)
            check_master(hlg_master)

        return message_or_true(check)

    @classmethod
    def execute(
        cls, images, frame_rate, filename_prefix, curve, exposure, exr_space, half, hlg_master, audio=None
    ) -> io.NodeOutput:
        check_widgets(cls, curve=curve, exposure=exposure, exr_space=exr_space)
        check_frame_rate(frame_rate)
        pictures = require_pictures(images, "images")
        _, height, width, _ = pictures.shape
        check_master(hlg_master, height, width)
        [sound] = clip_sounds(audio, 1)
        progress = host.Progress(len(pictures), "Writing", unit="frame")
        film = {"fps": media.frame_rate(frame_rate), "audio": sound, "metadata": host_files.graph_metadata(cls.hidden)}
        kind: tuple[Any, ...] = (curve, exposure, half, exr_space, hlg_master)
        with host_files.new_folder(filename_prefix, width, height) as folder:
            with hdr_files(folder.path, *kind, **film) as files:
                for index in range(len(pictures)):
                    files.write(pictures[index : index + 1].float())
                    progress(files.written)
        return _saved([folder.final / PREVIEW])


def _folder_input() -> io.Input:
    return io.String.Input(
        "filename_prefix",
        default="hdr/LTX-2",
        tooltip="Name of the new folder inside ComfyUI's output folder, without number. Each clip of a batch gets one.",
    )


NODES = [LTX2SaveHDR, LTX2SaveHDRPictures]
