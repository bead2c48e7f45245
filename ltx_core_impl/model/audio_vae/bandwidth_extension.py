"""LTX-2.3 vocoder: a 16 kHz generator, then bandwidth extension to 48 kHz (spec 04 §8.5, §8.6)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .amp_generator import AMPGenerator
from .filters import hann_sinc_upsample
from .mel import LOG_FLOOR
from .vocoder import MEL_BINS, GeneratorConfig


@dataclass(frozen=True)
class BandwidthExtensionConfig:
    """Analysis parameters of the ``bwe`` section; rates in Hz, ``n_fft`` and ``hop_length`` in samples."""

    input_sampling_rate: int
    output_sampling_rate: int
    n_fft: int
    hop_length: int
    num_mels: int


class STFTBasis(nn.Module):
    """Windowed DFT rows ``(n_fft + 2, 1, n_fft)``, real half first; the inverse is stored but never used."""

    def __init__(self, n_fft: int) -> None:
        super().__init__()
        self.register_buffer("forward_basis", torch.zeros(n_fft + 2, 1, n_fft))
        self.register_buffer("inverse_basis", torch.zeros(n_fft + 2, 1, n_fft))


class MelSTFT(nn.Module):
    """Causal log-mel analysis with the bases of the checkpoint."""

    def __init__(self, n_fft: int, hop_length: int, num_mels: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.register_buffer("mel_basis", torch.zeros(num_mels, n_fft // 2 + 1))
        self.stft_fn = STFTBasis(n_fft)

    def forward(self, waveform: Tensor) -> Tensor:
        """``(B, C, L)`` to natural-log mel ``(B, C, L // hop, num_mels)``; only the past is padded."""
        batch, channels, length = waveform.shape
        flat = waveform.reshape(batch * channels, 1, length)
        flat = F.pad(flat, (max(0, self.n_fft - self.hop_length), 0))
        real, imaginary = F.conv1d(flat, self.stft_fn.forward_basis, stride=self.hop_length).chunk(2, dim=1)
        magnitude = (real.square() + imaginary.square()).sqrt_()
        mel = (self.mel_basis @ magnitude).clamp_(min=LOG_FLOOR).log_()
        return mel.transpose(1, 2).unflatten(0, (batch, channels))


class VocoderWithBWE(nn.Module):
    """Log-mel ``(B, 2, M, 64)`` to a stereo waveform in [-1, 1] at ``output_sampling_rate`` (48 kHz).

    The base generator makes a 16 kHz waveform; the extension adds a residual to its upsampled copy. All of it
    runs in float32: weights that arrive in a lower precision are converted, once, by the first forward pass.
    """

    def __init__(self, base: GeneratorConfig, extension: GeneratorConfig, analysis: BandwidthExtensionConfig) -> None:
        super().__init__()
        ratio, remainder = divmod(analysis.output_sampling_rate, analysis.input_sampling_rate)
        if remainder or math.prod(extension.upsample_rates) != analysis.hop_length * ratio:
            raise ValueError(
                f"The bandwidth extension upsamples {analysis.hop_length} samples at {analysis.input_sampling_rate} Hz "
                f"by {math.prod(extension.upsample_rates)}, which does not give {analysis.output_sampling_rate} Hz. "
                "Check hop_length, upsample_rates and the sampling rates of the checkpoint's vocoder.bwe section."
            )
        if analysis.num_mels != MEL_BINS:
            raise ValueError(f"vocoder.bwe.num_mels is {analysis.num_mels}; the generator reads {MEL_BINS} mel bins.")
        self.ratio = ratio
        self.output_sampling_rate = analysis.output_sampling_rate
        self.vocoder = AMPGenerator(base, bounded=True)
        self.mel_stft = MelSTFT(analysis.n_fft, hop_length=analysis.hop_length, num_mels=analysis.num_mels)
        self.bwe_generator = AMPGenerator(extension, bounded=False)

    def forward(self, mel: Tensor) -> Tensor:
        """Generate ``(B, 2, samples)``, cast back to the dtype of ``mel``."""
        self._ensure_float32()
        waveform = self.vocoder(mel.float())
        length = waveform.shape[-1]
        padded = F.pad(waveform, (0, -length % self.mel_stft.hop_length))
        residual = self.bwe_generator(self.mel_stft(padded))
        extended = residual.add_(hann_sinc_upsample(padded, self.ratio)).clamp_(-1.0, 1.0)
        return extended[..., : length * self.ratio].to(mel.dtype)

    def _ensure_float32(self) -> None:
        if any(tensor.dtype != torch.float32 for tensor in (*self.parameters(), *self.buffers())):
            self.float()
