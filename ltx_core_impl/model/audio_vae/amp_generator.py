"""BigVGAN-style generator with anti-aliased periodic activations (spec 04 §8.2 to §8.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .filters import DownSample1d, UpSample1d
from .vocoder import Generator, GeneratorConfig

SNAKE_EPS = 1e-9


class SnakeBeta(nn.Module):
    """``x + sin^2(e^alpha x) / e^beta`` per channel of ``(B, C, L)``; both parameters are logarithms."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        frequency = self.alpha.exp()[:, None]
        magnitude = self.beta.exp()[:, None] + SNAKE_EPS
        return (x * frequency).sin_().square_().div_(magnitude).add_(x)


class Activation1d(nn.Module):
    """SnakeBeta applied at twice the rate, so that its harmonics do not alias; length is kept."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.act = SnakeBeta(channels)
        self.upsample = UpSample1d()
        self.downsample = DownSample1d()

    def forward(self, x: Tensor) -> Tensor:
        return self.downsample(self.act(self.upsample(x)))


class AMPBlock(nn.Module):
    """Residual pairs of dilated and plain convolutions, each behind an anti-aliased activation."""

    def __init__(self, channels: int, kernel_size: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel_size, dilation=d, padding=d * (kernel_size - 1) // 2)
            for d in dilations
        )
        self.convs2 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel_size, padding=(kernel_size - 1) // 2) for _ in dilations
        )
        self.acts1 = nn.ModuleList(Activation1d(channels) for _ in dilations)
        self.acts2 = nn.ModuleList(Activation1d(channels) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for act1, dilated, act2, plain in zip(self.acts1, self.convs1, self.acts2, self.convs2, strict=True):
            x = plain(act2(dilated(act1(x)))).add_(x)
        return x


class AMPGenerator(Generator):
    """Generator of the LTX-2.3 vocoder; ``bounded`` false (the bandwidth extension) leaves the output as it is."""

    def __init__(self, config: GeneratorConfig, bounded: bool) -> None:
        super().__init__(config, make_block=AMPBlock)
        self.act_post = Activation1d(self.out_width)
        self.bounded = bounded
        self.use_tanh_at_final = config.use_tanh_at_final

    def before_stage(self, x: Tensor) -> Tensor:
        return x

    def after_stages(self, x: Tensor) -> Tensor:
        return self.act_post(x)

    def bound(self, waveform: Tensor) -> Tensor:
        if not self.bounded:
            return waveform
        return torch.tanh_(waveform) if self.use_tanh_at_final else waveform.clamp_(-1.0, 1.0)
