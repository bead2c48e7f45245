"""Reading sound from media files with PyAV (spec 04 §3.2)."""

from __future__ import annotations

from os import PathLike

import av
import numpy as np
import torch
import torch.nn.functional as F

from ..types import Audio
from .video_reader import container_start


def read_audio(path: str | PathLike[str], start: float = 0.0, duration: float | None = None) -> Audio | None:
    """Sound of the first audio stream from ``start`` s, at most ``duration`` s long; None without any.

    The waveform is float32 ``(channels, samples)`` in [-1, 1] at the file's own rate. More than two channels are
    mixed down to stereo. A range is cut to the sample; a track that begins later has silence in front.

    Raises:
        ValueError: a negative start, or a duration that is not positive.
    """
    if start < 0 or (duration is not None and duration <= 0):
        raise ValueError(f"Audio starts at 0 s or later and lasts longer than 0 s; got start {start}, {duration} s.")
    with av.open(path) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        rate = stream.rate
        offset = container_start(container)
        if start > 0:
            container.seek(int((start + offset) / stream.time_base), stream=stream)
        layout = stream.layout.name if stream.layout.nb_channels <= 2 else "stereo"
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
        pieces: list[np.ndarray] = []
        first_time: float | None = None
        for frame in container.decode(stream):
            if frame.pts is None:
                continue
            time = float(frame.pts * frame.time_base) - offset
            if time + frame.samples / rate < start:
                continue
            if duration is not None and time > start + duration:
                break
            if first_time is None:
                first_time = time
            pieces += [converted.to_ndarray() for converted in resampler.resample(frame)]
        pieces += [converted.to_ndarray() for converted in resampler.resample(None)]
    if first_time is None:
        return None
    waveform = torch.from_numpy(np.concatenate(pieces, axis=1))
    # Silence where the sound begins later, so that it stays in step with the picture.
    lead = round((first_time - start) * rate)
    waveform = F.pad(waveform, (lead, 0)) if lead > 0 else waveform[:, -lead:]
    stop = None if duration is None else round(duration * rate)
    return Audio(waveform=waveform[:, :stop].contiguous(), sampling_rate=rate)
