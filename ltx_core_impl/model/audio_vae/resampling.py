"""Band-limited sinc resampling with a Hann window (spec 04 §3.5)."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

LOWPASS_WIDTH = 6
ROLLOFF = 0.99


@lru_cache(maxsize=8)
def _sinc_kernel(step: int, phases: int) -> tuple[Tensor, int]:
    """Filter bank ``(phases, 1, 2 * width + step)`` in float32 on the CPU, and ``width``."""
    cutoff = min(step, phases) * ROLLOFF
    width = math.ceil(LOWPASS_WIDTH * step / cutoff)
    taps = torch.arange(-width, width + step, dtype=torch.float32, device="cpu") / step
    offsets = torch.arange(0, -phases, -1, dtype=torch.float32, device="cpu") / phases
    time = ((offsets[:, None, None] + taps) * cutoff).clamp(-LOWPASS_WIDTH, LOWPASS_WIDTH)
    window = torch.cos(time * math.pi / LOWPASS_WIDTH / 2) ** 2
    angle = time * math.pi
    sinc = torch.where(angle == 0, 1.0, angle.sin() / angle)
    return sinc * (window * (cutoff / step)), width


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
    kernel, width = _sinc_kernel(step, phases)
    samples = waveform.shape[-1]
    flat = waveform.reshape(-1, 1, samples).float()
    flat = F.conv1d(F.pad(flat, (width, width + step)), kernel.to(flat.device), stride=step)
    length = math.ceil(phases * samples / step)
    resampled = flat.transpose(1, 2).reshape(*waveform.shape[:-1], -1)[..., :length]
    return resampled.to(waveform.dtype)
