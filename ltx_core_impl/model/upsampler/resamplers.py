"""The upsampling steps of the latent upscalers (spec 03 §17)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

RATIONAL_SCALES: dict[float, tuple[int, int]] = {0.75: (3, 4), 1.5: (3, 2), 2.0: (2, 1), 4.0: (4, 1)}
BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)


class DepthToTime(nn.Module):
    """``(B, 2C, F, H, W)`` -> ``(B, C, 2F-1, H, W)``, or ``(B, 8C, F, H, W)`` -> ``(B, C, 2F-1, 2H, 2W)``.

    The first frame is dropped: the first latent frame stands for one pixel frame only.
    """

    def __init__(self, spatial: bool):
        super().__init__()
        self.spatial = 2 if spatial else 1

    def forward(self, x: Tensor) -> Tensor:
        pattern = "b (c p1 p2 p3) f h w -> b c (f p1) (h p2) (w p3)"
        return rearrange(x, pattern, p1=2, p2=self.spatial, p3=self.spatial)[:, :, 1:]


class BlurDownsample(nn.Module):
    """Keeps every ``stride``-th pixel of ``(N, C, H, W)`` after a 5×5 binomial blur, zero outside the picture."""

    def __init__(self, stride: int):
        super().__init__()
        self.stride = stride
        # On the CPU even under a meta device: a file may lack it.
        taps = torch.tensor(BINOMIAL, device="cpu")
        kernel = torch.outer(taps, taps) / taps.sum() ** 2
        self.register_buffer("kernel", kernel[None, None])

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            return x
        channels = x.shape[1]
        kernel = self.kernel.to(x).expand(channels, -1, -1, -1)
        return F.conv2d(x, kernel, stride=self.stride, padding=len(BINOMIAL) // 2, groups=channels)


class RationalResampler(nn.Module):
    """Resizes ``(N, C, H, W)`` by num/den: a convolution and pixel shuffle by num, then a blur and stride of den.

    An odd side gives ``⌊(num·side - 1)/den⌋ + 1``, not exactly the scale.

    Raises:
        ValueError: a scale other than 0.75, 1.5, 2 and 4.
    """

    def __init__(self, channels: int, scale: float):
        super().__init__()
        if scale not in RATIONAL_SCALES:
            known = ", ".join(str(known) for known in RATIONAL_SCALES)
            raise ValueError(f"spatial_scale is {scale}; a rational resampler can do {known}.")
        self.numerator, denominator = RATIONAL_SCALES[scale]
        self.conv = nn.Conv2d(channels, self.numerator**2 * channels, kernel_size=3, padding=1)
        self.blur_down = BlurDownsample(stride=denominator)

    def forward(self, x: Tensor) -> Tensor:
        return self.blur_down(F.pixel_shuffle(self.conv(x), self.numerator))
