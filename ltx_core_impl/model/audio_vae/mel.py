"""Log-mel front end of the audio encoder (spec 04 §4); no torchaudio."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ...types import Audio
from .resampling import resample

LOG_FLOOR = 1e-5

# Slaney's mel scale: linear below 1 kHz at 3 mel per 200 Hz, logarithmic above.
_HZ_PER_MEL = 200.0 / 3.0
_BREAK_HZ = 1000.0
_BREAK_MEL = 15.0
_LOG_STEP = math.log(6.4) / 27.0


def _hz_to_mel(frequency: float) -> float:
    if frequency < _BREAK_HZ:
        return frequency / _HZ_PER_MEL
    return _BREAK_MEL + math.log(frequency / _BREAK_HZ) / _LOG_STEP


def mel_band_edges(mel_bins: int, max_frequency: float) -> Tensor:
    """The ``mel_bins + 2`` edges in Hz (float32, CPU) of triangular bands from 0 Hz to ``max_frequency``."""
    mels = torch.linspace(0.0, _hz_to_mel(max_frequency), mel_bins + 2, device="cpu")
    linear = _HZ_PER_MEL * mels
    logarithmic = _BREAK_HZ * torch.exp(_LOG_STEP * (mels - _BREAK_MEL))
    return torch.where(mels >= _BREAK_MEL, logarithmic, linear)


def mel_filterbank(sample_rate: int, n_fft: int, mel_bins: int) -> Tensor:
    """Slaney-normalised triangular filters ``(n_fft / 2 + 1, mel_bins)`` up to half the rate, float32 on the CPU."""
    # Of an odd rate the bands reach half of it, the bins only the whole hertz below, as in torchaudio.
    frequencies = torch.linspace(0.0, float(sample_rate // 2), n_fft // 2 + 1, device="cpu")
    edges = mel_band_edges(mel_bins, sample_rate / 2)
    widths = edges.diff()
    slopes = edges[None, :] - frequencies[:, None]
    rising = -slopes[:, :-2] / widths[:-1]
    falling = slopes[:, 2:] / widths[1:]
    area = 2.0 / (edges[2:] - edges[:-2])
    return torch.minimum(rising, falling).clamp_min(0.0) * area


class AudioProcessor(nn.Module):
    """Waveform of any rate to the log-mel spectrogram that the audio encoder reads.

    The window and the filterbank are computed, never loaded, and stay float32 on the CPU until moved.
    """

    def __init__(self, sample_rate: int, mel_bins: int, hop_length: int, n_fft: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.hop_length = hop_length
        self.n_fft = n_fft
        window = torch.hann_window(n_fft, periodic=True, dtype=torch.float32, device="cpu")
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filterbank", mel_filterbank(sample_rate, n_fft, mel_bins), persistent=False)

    def forward(self, audio: Audio) -> Tensor:
        """Natural-log mel ``(B, 2, 1 + samples // hop, mel_bins)`` in float32, on the processor's device.

        ``samples`` counts at the processor's rate. Mono is copied to both channels; nothing is normalised.

        Raises:
            ValueError: neither one nor two channels, or not more than half a window of samples.
        """
        waveform = to_stereo(audio.waveform).to(device=self.window.device, dtype=torch.float32)
        waveform = resample(waveform, audio.sampling_rate, self.sample_rate)
        samples = waveform.shape[-1]
        if samples <= self.n_fft // 2:
            raise ValueError(
                f"The audio has {samples} samples at {self.sample_rate} Hz ({samples / self.sample_rate:.3f} s); "
                f"more than {self.n_fft // 2} are needed. Use a longer clip or pad it with silence."
            )
        spectrum = torch.stft(
            waveform.flatten(0, 1),
            n_fft=self.n_fft,
            hop_length=self.hop_length,
            window=self.window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        ).abs()
        mel = spectrum.transpose(1, 2) @ self.filterbank
        return mel.clamp_(min=LOG_FLOOR).log_().unflatten(0, waveform.shape[:2])


def to_stereo(waveform: Tensor) -> Tensor:
    """``(B, channels, samples)`` or ``(channels, samples)`` as ``(B, 2, samples)``; mono is duplicated.

    Raises:
        ValueError: another number of dimensions or channels.
    """
    if waveform.ndim == 2:
        waveform = waveform[None]
    if waveform.ndim != 3 or waveform.shape[1] not in (1, 2):
        raise ValueError(
            f"Audio must be mono or stereo, (batch, 1 or 2 channels, samples); got shape {tuple(waveform.shape)}. "
            "Mix other channel layouts down to stereo first."
        )
    return waveform.expand(-1, 2, -1)
