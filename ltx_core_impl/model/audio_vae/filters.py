"""Fixed low-pass filters of the LTX-2.3 vocoder and the layers that apply them (spec 04 §8.1, §8.2, §8.6)."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RATIO = 2
KERNEL_SIZE = 2 * (6 * RATIO // 2)
CUTOFF = 0.5 / RATIO
HALF_WIDTH = 0.6 / RATIO
HANN_ROLLOFF = 0.99
HANN_ZERO_CROSSINGS = 6


@lru_cache(maxsize=4)
def kaiser_sinc_filter(cutoff: float, half_width: float, kernel_size: int) -> Tensor:
    """Unit-sum low-pass filter ``(1, 1, kernel_size)`` in float32 on the CPU.

    ``cutoff`` and ``half_width`` (of the transition band) are in cycles per sample.
    """
    if cutoff == 0:
        return torch.zeros(1, 1, kernel_size, device="cpu")
    half = kernel_size // 2
    attenuation = 2.285 * (half - 1) * math.pi * 4 * half_width + 7.95
    if attenuation > 50.0:
        beta = 0.1102 * (attenuation - 8.7)
    elif attenuation >= 21.0:
        beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    else:
        beta = 0.0
    window = torch.kaiser_window(kernel_size, periodic=False, beta=beta, device="cpu")
    time = torch.arange(kernel_size, device="cpu") - half + (0.5 if kernel_size % 2 == 0 else 0)
    taps = 2 * cutoff * window * torch.sinc(2 * cutoff * time)
    return (taps / taps.sum()).view(1, 1, kernel_size)


@lru_cache(maxsize=4)
def hann_sinc_filter(ratio: int) -> Tensor:
    """Interpolation filter ``(1, 1, 2 * 7 * ratio + 1)`` for upsampling by ``ratio``, float32 on the CPU."""
    width = math.ceil(HANN_ZERO_CROSSINGS / HANN_ROLLOFF)
    time = (torch.arange(2 * width * ratio + 1, device="cpu") / ratio - width) * HANN_ROLLOFF
    window = torch.cos(time.clamp(-HANN_ZERO_CROSSINGS, HANN_ZERO_CROSSINGS) * math.pi / HANN_ZERO_CROSSINGS / 2) ** 2
    return (torch.sinc(time) * window * HANN_ROLLOFF / ratio).view(1, 1, -1)


def _filter_buffer() -> Tensor:
    """The anti-aliasing filter on the default device, so that a meta model shows it as not loaded yet."""
    return torch.empty(1, 1, KERNEL_SIZE).copy_(kaiser_sinc_filter(CUTOFF, HALF_WIDTH, KERNEL_SIZE))


class UpSample1d(nn.Module):
    """Double the rate of ``(B, C, L)`` with edge replication; the stored filter is the checkpoint's."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", _filter_buffer())

    def forward(self, x: Tensor) -> Tensor:
        channels, taps = x.shape[1], self.filter.shape[-1]
        pad = taps // RATIO - 1
        left = pad * RATIO + (taps - RATIO) // 2
        right = pad * RATIO + (taps - RATIO + 1) // 2
        x = F.pad(x, (pad, pad), mode="replicate")
        x = F.conv_transpose1d(x, RATIO * self.filter.expand(channels, -1, -1), stride=RATIO, groups=channels)
        return x[..., left : x.shape[-1] - right]


class LowPassFilter1d(nn.Module):
    """Filter ``(B, C, L)`` with edge replication and keep every second sample."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", _filter_buffer())

    def forward(self, x: Tensor) -> Tensor:
        channels, taps = x.shape[1], self.filter.shape[-1]
        left = taps // 2 - (taps % 2 == 0)
        x = F.pad(x, (left, taps // 2), mode="replicate")
        return F.conv1d(x, self.filter.expand(channels, -1, -1), stride=RATIO, groups=channels)


class DownSample1d(nn.Module):
    """Halve the rate of ``(B, C, L)``."""

    def __init__(self) -> None:
        super().__init__()
        self.lowpass = LowPassFilter1d()

    def forward(self, x: Tensor) -> Tensor:
        return self.lowpass(x)


def hann_sinc_upsample(waveform: Tensor, ratio: int) -> Tensor:
    """Raise the rate of ``(B, C, L)`` to ``ratio * L`` samples, replicating the edges (spec 04 §8.6)."""
    channels = waveform.shape[1]
    taps = hann_sinc_filter(ratio).to(waveform)
    width = math.ceil(HANN_ZERO_CROSSINGS / HANN_ROLLOFF)
    left = 2 * width * ratio
    x = F.pad(waveform, (width, width), mode="replicate")
    x = F.conv_transpose1d(x, ratio * taps.expand(channels, -1, -1), stride=ratio, groups=channels)
    return x[..., left : left + ratio * waveform.shape[-1]]
