"""HiFi-GAN vocoder of LTX-2: log-mel to a 24 kHz stereo waveform (spec 04 §7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = 2
MEL_BINS = 64
LEAKY_SLOPE = 0.1


@dataclass(frozen=True)
class GeneratorConfig:
    """Architecture of one upsampling generator, named as in the checkpoint's ``vocoder`` section."""

    upsample_initial_channel: int
    upsample_rates: tuple[int, ...]
    upsample_kernel_sizes: tuple[int, ...]
    resblock_kernel_sizes: tuple[int, ...]
    resblock_dilation_sizes: tuple[tuple[int, ...], ...]
    use_tanh_at_final: bool
    use_bias_at_final: bool


class ResBlock(nn.Module):
    """Residual pairs of dilated and plain convolutions on ``(B, C, L)``."""

    def __init__(self, channels: int, kernel_size: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel_size, dilation=d, padding=d * (kernel_size - 1) // 2)
            for d in dilations
        )
        self.convs2 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel_size, padding=(kernel_size - 1) // 2) for _ in dilations
        )

    def forward(self, x: Tensor) -> Tensor:
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            hidden = dilated(F.leaky_relu(x, LEAKY_SLOPE))
            x = plain(F.leaky_relu_(hidden, LEAKY_SLOPE)).add_(x)
        return x


class Generator(nn.Module):
    """Skeleton of both vocoder generations: mel ``(B, 2, M, 64)`` to samples ``(B, 2, M * prod(upsample_rates))``.

    A stage upsamples with a transposed convolution, halving the width, and averages parallel residual blocks.
    Subclasses say what acts before a stage, what ends the last one, and how the result is bounded.
    """

    def __init__(self, config: GeneratorConfig, make_block: Callable[..., nn.Module]) -> None:
        super().__init__()
        width = config.upsample_initial_channel
        self.conv_pre = nn.Conv1d(CHANNELS * MEL_BINS, width, kernel_size=7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for rate, kernel_size in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            padding = (kernel_size - rate) // 2
            self.ups.append(nn.ConvTranspose1d(width, width // 2, kernel_size, stride=rate, padding=padding))
            width //= 2
            for size, dilations in zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True):
                self.resblocks.append(make_block(width, kernel_size=size, dilations=dilations))
        self.blocks_per_stage = len(config.resblock_kernel_sizes)
        self.out_width = width
        self.conv_post = nn.Conv1d(width, CHANNELS, kernel_size=7, padding=3, bias=config.use_bias_at_final)

    def before_stage(self, x: Tensor) -> Tensor:
        """Activation ahead of each transposed convolution; may write into ``x``."""
        raise NotImplementedError

    def after_stages(self, x: Tensor) -> Tensor:
        """Activation ahead of the last convolution; may write into ``x``."""
        raise NotImplementedError

    def bound(self, waveform: Tensor) -> Tensor:
        """Final activation; may write into ``waveform``."""
        raise NotImplementedError

    def forward(self, mel: Tensor) -> Tensor:
        """Generate in the weights' dtype; ValueError for anything but a stereo ``(B, 2, M, 64)`` mel."""
        if mel.ndim != 4 or mel.shape[1] != CHANNELS or mel.shape[3] != MEL_BINS:
            raise ValueError(
                f"The vocoder reads stereo mel spectrograms (batch, {CHANNELS}, time, {MEL_BINS}); "
                f"got shape {tuple(mel.shape)}."
            )
        stacked = mel.to(self.conv_pre.weight.dtype).transpose(2, 3).flatten(1, 2)
        x = self.conv_pre(stacked)
        for i, upsample in enumerate(self.ups):
            x = upsample(self.before_stage(x))
            x = self._average(x, self.resblocks[i * self.blocks_per_stage : (i + 1) * self.blocks_per_stage])
        return self.bound(self.conv_post(self.after_stages(x)))

    @staticmethod
    def _average(x: Tensor, blocks: nn.ModuleList) -> Tensor:
        total = blocks[0](x)
        for block in blocks[1:]:
            total += block(x)
        return total.div_(len(blocks))


class Vocoder(Generator):
    """HiFi-GAN generator, ``(B, 2, M, 64)`` log-mel to ``(B, 2, samples)`` in [-1, 1] at ``output_sampling_rate``."""

    def __init__(self, config: GeneratorConfig, output_sampling_rate: int) -> None:
        super().__init__(config, make_block=ResBlock)
        self.use_tanh_at_final = config.use_tanh_at_final
        self.output_sampling_rate = output_sampling_rate

    def before_stage(self, x: Tensor) -> Tensor:
        return F.leaky_relu_(x, LEAKY_SLOPE)

    def after_stages(self, x: Tensor) -> Tensor:
        return F.leaky_relu_(x)

    def bound(self, waveform: Tensor) -> Tensor:
        return torch.tanh_(waveform) if self.use_tanh_at_final else waveform.clamp_(-1.0, 1.0)
