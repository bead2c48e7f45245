"""Sound on its way into a file: a track that follows the video, or a WAV file (spec 04 §12)."""

from __future__ import annotations

import wave
from fractions import Fraction
from os import PathLike
from pathlib import Path

import av
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..types import Audio

LAYOUTS = {1: "mono", 2: "stereo"}
FALLBACK_RATE = 48000
BLOCK_SECONDS = 1


def track_waveform(audio: Audio) -> Tensor:
    """The waveform to write, float32 ``(channels, samples)`` on the CPU, clipped to [-1, 1].

    Raises:
        ValueError: no samples, more than one item, or another number of channels than one or two.
    """
    waveform = audio.waveform
    if waveform.ndim == 3 and waveform.shape[0] == 1:
        waveform = waveform[0]
    if waveform.ndim != 2 or waveform.shape[0] not in LAYOUTS or waveform.shape[1] == 0:
        raise ValueError(
            f"A sound track is (1 or 2 channels, samples) with at least one sample; "
            f"got shape {tuple(audio.waveform.shape)}."
        )
    return waveform.detach().to(device="cpu", dtype=torch.float32).clamp(-1.0, 1.0)


class AudioTrack:
    """Encodes a waveform in step with the video, so that a player never seeks far between the two.

    The encoder is fed floats: the reference's detour over 16-bit integers would only add noise. A rate that the codec
    (AAC in MP4) does not know is converted to 48 kHz.
    """

    def __init__(self, audio: Audio, codec: str = "aac") -> None:
        self._codec = codec
        self._waveform = track_waveform(audio)
        self._rate = audio.sampling_rate
        self._written = 0

    def open(self, container: av.container.OutputContainer) -> None:
        """Add the stream; call before anything is encoded."""
        known = av.Codec(self._codec, "w").audio_rates
        stream_rate = self._rate if known is None or self._rate in known else FALLBACK_RATE
        self._layout = LAYOUTS[self._waveform.shape[0]]
        self._container = container
        self._stream = container.add_stream(self._codec, rate=stream_rate, layout=self._layout)

    def encode_until(self, seconds: Fraction) -> None:
        """Encode what sounds before ``seconds``; silence follows the end of the waveform."""
        stop = round(seconds * self._rate)
        while self._written < stop:
            end = min(stop, self._written + self._rate * BLOCK_SECONDS)
            block = self._waveform[:, self._written : end]
            block = F.pad(block, (0, end - self._written - block.shape[1])).contiguous()
            frame = av.AudioFrame.from_ndarray(block.numpy(), format="fltp", layout=self._layout)
            frame.sample_rate, frame.pts, frame.time_base = self._rate, self._written, Fraction(1, self._rate)
            self._container.mux(self._stream.encode(frame))
            self._written = end

    def finish(self, seconds: Fraction) -> None:
        """Encode up to the end of the video and flush."""
        self.encode_until(seconds)
        self._container.mux(self._stream.encode())


def write_wav(path: str | PathLike[str], audio: Audio) -> None:
    """Write 16-bit PCM at the waveform's own rate; samples are scaled by 32767 and truncated towards zero."""
    waveform = track_waveform(audio)
    samples = (waveform * 32767.0).to(torch.int16).T.contiguous().numpy()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(waveform.shape[0])
        file.setsampwidth(samples.dtype.itemsize)
        file.setframerate(audio.sampling_rate)
        file.writeframes(samples.astype(np.dtype("<i2")).tobytes())
