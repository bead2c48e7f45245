"""Films with straight alpha, chunk by chunk: ProRes 4444, VP9 WebM, and a sequence of PNG files (spec 08 §7.1)."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import ClassVar

import av
import numpy as np
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

from ..types import Audio
from .audio_track import track_waveform, write_wav
from .clips import fit_waveform
from .color import CB, CR, LUMA, rgb_to_i420
from .video_writer import BT709_TAG, VideoWriter

SOUND_FILE = "sound.wav"


class ProResWriter(VideoWriter):
    """A MOV file with ProRes 4444: 4:4:4 in 10 bits, alpha without loss at 10 bits, sound as 16-bit PCM.

    Frames are ``(f, H, W, 4)``, uint8 or float in [0, 1]; ``crf`` has no meaning here. The rest is as in `VideoWriter`.
    """

    _container_format = "mov"
    _sound_codec = "pcm_s16le"
    _channels = 4

    def _add_stream(self) -> av.VideoStream:
        options = {"profile": "4444", "alpha_bits": "16", "vendor": "apl0"}
        stream = self._container.add_stream("prores_ks", rate=self.rate, options=options)
        stream.pix_fmt = "yuva444p10le"
        return stream

    def _frame(self, picture: Tensor) -> av.VideoFrame:
        rgba = _as_floats(picture)
        rgb = rgba[..., :3]
        luma, *chroma = (rgb @ rgb.new_tensor(weights) for weights in (LUMA, CB, CR))
        planes = [64 + 876 * luma, *(512 + 896 * one for one in chroma), 1023 * rgba[..., 3]]
        codes = [plane.round().clamp(0, 1023).cpu().numpy().astype("<u2") for plane in planes]
        frame = _frame_of(codes, "yuva444p10le")
        # This encoder heeds the tags of frames, not those of its context.
        for tag in ("colorspace", "color_primaries", "color_trc"):
            with contextlib.suppress(AttributeError):  # the last two are read-only in older PyAV
                setattr(frame, tag, BT709_TAG)
        return frame


class VP9Writer(VideoWriter):
    """A WebM file with VP9 and alpha, which browsers play: 4:2:0 in 8 bits, sound as Opus.

    Frames are ``(f, H, W, 4)``, uint8 or float in [0, 1]. ``crf`` 0 is without loss, else the quality of picture and
    alpha. The rest is as in `VideoWriter`.
    """

    _container_format = "webm"
    _container_options: ClassVar[dict[str, str]] = {}
    _sound_codec = "libopus"
    _channels = 4

    def _add_stream(self) -> av.VideoStream:
        quality = {"lossless": "1"} if self._crf == 0 else {"crf": str(self._crf), "b": "0"}
        # Alternate reference frames would be left out of the alpha's own stream; the encoder refuses them with alpha.
        options = {**quality, "auto-alt-ref": "0", "row-mt": "1", "deadline": "good", "cpu-used": "4"}
        stream = self._container.add_stream("libvpx-vp9", rate=self.rate, options=options)
        stream.pix_fmt = "yuva420p"
        return stream

    def _frame(self, picture: Tensor) -> av.VideoFrame:
        height, width, _ = picture.shape
        codes = rgb_to_i420(picture[..., :3]).cpu().numpy().reshape(-1)
        sizes = [(height, width), (height // 2, width // 2), (height // 2, width // 2)]
        ends = np.cumsum([rows * columns for rows, columns in sizes])[:-1]
        planes = [part.reshape(size) for part, size in zip(np.split(codes, ends), sizes, strict=True)]
        alpha = (_as_floats(picture)[..., 3] * 255).round().cpu().numpy().astype(np.uint8)
        return _frame_of([*planes, alpha], "yuva420p")


class PngSequence:
    """Context manager that writes chunks of frames as PNG files ``frame_00000.png``, ... of 8 bits into a folder.

    Sound, cut or continued with silence to the length of the frames, goes into `SOUND_FILE` beside them. What was
    written stays when the block raises: the folder is the caller's.

    Args:
        path: the folder; it is made where it is missing.
        fps, audio, metadata: as in `VideoWriter`; the texts go into the first file.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        fps: float,
        audio: Audio | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.path = Path(path)
        self.frames_written = 0
        self._fps = fps
        self._sound = None if audio is None else Audio(track_waveform(audio), audio.sampling_rate)
        self._texts = dict(metadata or {})

    def __enter__(self) -> PngSequence:
        self.path.mkdir(parents=True, exist_ok=True)
        return self

    def write(self, frames: Tensor) -> None:
        """Write ``(f, H, W, 4)``, uint8 or float in [0, 1]."""
        if frames.ndim != 4 or frames.shape[-1] != 4:
            raise ValueError(f"Frames are (frames, height, width, 4 channels); got shape {tuple(frames.shape)}.")
        for picture in frames:
            info = PngImagePlugin.PngInfo()
            for key, text in self._texts.items() if not self.frames_written else ():
                info.add_text(key, text)
            pixels = (_as_floats(picture) * 255).round().cpu().numpy().astype(np.uint8)
            Image.fromarray(pixels).save(self.path / f"frame_{self.frames_written:05d}.png", pnginfo=info)
            self.frames_written += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None or self._sound is None:
            return
        samples = round(self.frames_written / self._fps * self._sound.sampling_rate)
        waveform = fit_waveform(self._sound.waveform, samples)
        write_wav(self.path / SOUND_FILE, Audio(waveform, self._sound.sampling_rate))


def with_alpha(frames: Tensor, alpha: Tensor | None) -> Tensor:
    """Frames ``(f, H, W, 3)`` in [0, 1] with alpha ``(f, H, W)``, opaque without one: ``(f, H, W, 4)``."""
    alpha = frames.new_ones(frames.shape[:3]) if alpha is None else alpha.to(frames)
    return torch.cat([frames, alpha[..., None]], dim=-1)


def _as_floats(picture: Tensor) -> Tensor:
    return picture.float() / 255 if picture.dtype == torch.uint8 else picture.float().clamp(0.0, 1.0)


def _frame_of(planes: list[np.ndarray], pixel_format: str) -> av.VideoFrame:
    """A frame out of its planes of codes; PyAV's own conversion knows neither of these formats."""
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, pixel_format)
    for plane, codes in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        data = np.ascontiguousarray(codes).view(np.uint8)
        rows[:, : data.shape[1]] = data
        plane.update(rows)
    return frame
