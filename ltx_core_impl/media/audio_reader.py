"""Reading sound from media files with PyAV (spec 04 §3.2)."""

from __future__ import annotations

import logging
from os import PathLike

import av
import torch
import torch.nn.functional as F
from torch import Tensor

from ..types import Audio
from .container import PacketDecoder, container_start, open_media

logger = logging.getLogger(__name__)
# Timestamps of some containers are rounded to milliseconds; half a packet is no rounding.
JITTER_SECONDS = 0.01
# Packets overlap: the first one that is decoded after a jump is half a sound.
WARM_UP_SECONDS = 0.1
# A leap of the clock, as between joined broadcasts, is no silence that somebody waits for.
LONGEST_GAP_SECONDS = 3600.0
DEFAULT_LAYOUTS = {3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""The speakers that FFmpeg assumes for a number of channels that comes without their names."""


def read_audio(path: str | PathLike[str], start: float = 0.0, duration: float | None = None) -> Audio | None:
    """Sound of the first audio stream from ``start`` s, at most ``duration`` s long; None without any.

    The waveform is float32 ``(channels, samples)`` in [-1, 1] at the file's own rate. More than two channels are
    mixed down to stereo. A range is cut to the sample. Every sample lies at its time in the file: a track that begins
    later has silence in front, and where the track pauses, or a packet is damaged, there is silence of that length.

    Raises:
        ValueError: a negative start, a duration that is not positive, or a file that is no film and no sound.
    """
    if start < 0 or (duration is not None and duration <= 0):
        raise ValueError(f"Audio starts at 0 s or later and lasts longer than 0 s; got start {start}, {duration} s.")
    with open_media(path) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        rate = stream.rate
        offset = container_start(container)
        if start > 0:
            container.seek(int((max(0.0, start - WARM_UP_SECONDS) + offset) / stream.time_base), stream=stream)
        layout = stream.layout.name if stream.layout.nb_channels <= 2 else "stereo"
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
        track = _Track(rate, str(path))
        for frame in PacketDecoder(container, stream, path).frames():
            time = track.end if frame.pts is None else float(frame.pts * frame.time_base) - offset - start
            if time is not None and time + frame.samples / rate < 0:
                continue
            if duration is not None and time is not None and time > duration:
                break
            track.add(time or 0.0, [_samples(converted) for converted in resampler.resample(frame)])
        track.add(None, [_samples(converted) for converted in resampler.resample(None)])
    if not track.pieces:
        return None
    waveform = torch.cat(track.pieces, dim=1)
    stop = None if duration is None else round(duration * rate)
    return Audio(waveform=waveform[:, :stop].contiguous(), sampling_rate=rate)


def mixed_to_stereo(waveform: Tensor, sampling_rate: int) -> Tensor:
    """Waveforms ``(B, channels, samples)`` of 3 to 8 channels as stereo, mixed as `read_audio` mixes a file's.

    Raises:
        ValueError: another number of channels; who plays what is not known then.
    """
    channels = waveform.shape[1]
    if channels not in DEFAULT_LAYOUTS:
        raise ValueError(
            f"The sound has {channels} channels; 1 to {max(DEFAULT_LAYOUTS)} are known by their speakers. Mix it down "
            "to stereo first."
        )
    sounds = waveform.detach().to(device="cpu", dtype=torch.float32)
    mixed = [_mixed(sound, DEFAULT_LAYOUTS[channels], sampling_rate) for sound in sounds]
    return torch.stack(mixed).to(waveform.device)


def _mixed(sound: Tensor, layout: str, rate: int) -> Tensor:
    # Interleaved, because PyAV fills no more than seven planes.
    frame = av.AudioFrame.from_ndarray(sound.T.reshape(1, -1).contiguous().numpy(), format="flt", layout=layout)
    frame.sample_rate = rate
    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=rate)
    return torch.cat([_samples(part) for part in (*resampler.resample(frame), *resampler.resample(None))], dim=1)


def _samples(frame: av.AudioFrame) -> Tensor:
    return torch.from_numpy(frame.to_ndarray())


class _Track:
    """Pieces of a waveform laid at their times; times are seconds from where the reading began."""

    def __init__(self, rate: int, name: str) -> None:
        self.pieces: list[Tensor] = []
        self._rate, self._name = rate, name
        self._written = 0
        # What the clock was wrong by, after a leap.
        self._leap = 0

    @property
    def end(self) -> float | None:
        """Where the next piece goes when it carries no time; None before any."""
        return (self._written + self._leap) / self._rate if self.pieces else None

    def add(self, time: float | None, pieces: list[Tensor]) -> None:
        """Append what sounds from ``time`` on (None: at once), with silence up to there."""
        for piece in pieces:
            if time is not None:
                piece = self._placed(piece, round(time * self._rate) - self._leap)
                time = None
            if piece.shape[1]:
                self.pieces.append(piece)
                self._written += piece.shape[1]

    def _placed(self, piece: Tensor, position: int) -> Tensor:
        gap = position - self._written
        if self.pieces and abs(gap) <= JITTER_SECONDS * self._rate:
            return piece
        if gap < 0 and not self.pieces:
            return piece[:, -gap:]
        if abs(gap) > LONGEST_GAP_SECONDS * self._rate:
            logger.warning(
                "The clock of the sound in %s leaps by %.0f s; it goes on at once.", self._name, gap / self._rate
            )
            self._leap += gap
            return piece
        return F.pad(piece, (gap, 0)) if gap > 0 else piece[:, -gap:]
