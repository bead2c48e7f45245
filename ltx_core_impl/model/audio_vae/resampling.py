"""Band-limited sinc resampling with a Hann window (spec 04 §3.5)."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

LOWPASS_WIDTH = 6
ROLLOFF = 0.99
MAX_FILTER_VALUES = 2**23
"""Rates without a large common divisor have thousands of phases, whose filters all at once would fill gigabytes."""


@lru_cache(maxsize=32)
def sinc_filters(step: int, phases: int, first: int, last: int) -> tuple[Tensor, int]:
    """Filters ``(last - first, 1, taps)`` in float32 on the CPU of the phases from ``first`` to before ``last``.

    Also the sample of the padded input at which their taps begin.
    """
    cutoff, width = _cutoff_and_width(step, phases)
    begin, end = first * step // phases, math.ceil(last * step / phases)
    taps = torch.arange(begin - width, end + width, dtype=torch.float32, device="cpu") / step
    offsets = torch.arange(-first, -last, -1, dtype=torch.float32, device="cpu") / phases
    time = ((offsets[:, None, None] + taps) * cutoff).clamp(-LOWPASS_WIDTH, LOWPASS_WIDTH)
    window = torch.cos(time * math.pi / LOWPASS_WIDTH / 2) ** 2
    angle = time * math.pi
    sinc = torch.where(angle == 0, 1.0, angle.sin() / angle)
    return sinc * (window * (cutoff / step)), begin


def _cutoff_and_width(step: int, phases: int) -> tuple[float, int]:
    cutoff = min(step, phases) * ROLLOFF
    return cutoff, math.ceil(LOWPASS_WIDTH * step / cutoff)


def resample(waveform: Tensor, source_rate: int, target_rate: int) -> Tensor:
    """Change the sampling rate of ``(..., samples)``; the result has ``ceil(samples * target / source)`` samples.

    The signal is taken as zero outside its ends. Computed in float32; dtype and device are kept. Equal rates
    return the input itself.
    """
    if source_rate <= 0 or target_rate <= 0:
        raise ValueError(f"Sampling rates must be positive; got {source_rate} Hz and {target_rate} Hz.")
    if source_rate == target_rate:
        return waveform
    divisor = math.gcd(source_rate, target_rate)
    step, phases = source_rate // divisor, target_rate // divisor
    _, width = _cutoff_and_width(step, phases)
    samples = waveform.shape[-1]
    padded = F.pad(waveform.reshape(-1, 1, samples).float(), (width, width + step))
    at_once, blocks = max(1, MAX_FILTER_VALUES // step), []
    for first in range(0, phases, at_once):
        filters, begin = sinc_filters(step, phases, first, min(first + at_once, phases))
        block = F.conv1d(padded[..., begin:], filters.to(padded.device), stride=step)
        blocks.append(block[..., : samples // step + 1])
    flat = torch.cat(blocks, dim=1)
    length = math.ceil(phases * samples / step)
    resampled = flat.transpose(1, 2).reshape(*waveform.shape[:-1], -1)[..., :length]
    return resampled.to(waveform.dtype)
