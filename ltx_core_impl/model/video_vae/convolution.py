"""The 3×3×3 convolution of the video VAE (spec 03 §3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .patchify import Stride

KERNEL = 3
# Larger inputs are convolved in temporal pieces: bounds the padded copy and the workspace, and keeps tensors
# below the 2³¹ elements at which some padding kernels fail. A default decode tile (57 × 512 × 512) is one piece.
MAX_PIECE_ELEMENTS = 2**27
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class CausalConv3d(nn.Module):
    """3×3×3 convolution padded by replication in time and by ``spatial_padding_mode`` in space.

    Args:
        stride: (time, height, width).
        spatial_padding_mode: ``zeros``, ``reflect``, ``replicate`` or ``circular``; reflect needs height and
            width of at least 2.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: Stride = (1, 1, 1),
        spatial_padding_mode: str = "zeros",
    ):
        super().__init__()
        if spatial_padding_mode not in PADDING_MODES:
            raise ValueError(
                f"spatial_padding_mode is '{spatial_padding_mode}'; it must be one of {', '.join(PADDING_MODES)}."
            )
        self.conv = nn.Conv3d(
            in_channels,
            out_channels,
            kernel_size=KERNEL,
            stride=stride,
            padding=(0, KERNEL // 2, KERNEL // 2),
            padding_mode=spatial_padding_mode,
        )

    def forward(self, x: Tensor, causal: bool) -> Tensor:
        """``(B, C, F, H, W)`` -> ``(B, O, F, H, W)`` (divided by the stride).

        ``causal`` pads with two copies of the first frame; otherwise one copy of the first and of the last frame.
        """
        return self.convolve(self.pad(x, causal))

    def pad(self, x: Tensor, causal: bool) -> Tensor:
        """``x`` with the frames that the kernel reads beyond its ends, ``(B, C, F + 2, H, W)``.

        Apart from the convolution so that a caller can drop ``x``, the largest tensor of the network, before it.
        """
        before = KERNEL - 1 if causal else KERNEL // 2
        return _repeat_edge_frames(x, before, KERNEL - 1 - before)

    def convolve(self, padded: Tensor) -> Tensor:
        """The convolution of a ``pad``-ded input."""
        frames = padded.shape[2] - (KERNEL - 1)
        piece_frames = max(1, MAX_PIECE_ELEMENTS // (padded.numel() // padded.shape[2]))
        if frames <= piece_frames or self.conv.stride != (1, 1, 1):
            return self.conv(padded)

        out = padded.new_empty(padded.shape[0], self.conv.out_channels, frames, *padded.shape[3:])
        for start in range(0, frames, piece_frames):
            stop = min(start + piece_frames, frames)
            out[:, :, start:stop] = self.conv(padded[:, :, start : stop + KERNEL - 1])
        return out


def _repeat_edge_frames(x: Tensor, before: int, after: int) -> Tensor:
    """Prepend copies of the first frame and append copies of the last one."""
    first = x[:, :, :1].expand(-1, -1, before, -1, -1)
    last = x[:, :, -1:].expand(-1, -1, after, -1, -1)
    return torch.cat([part for part in (first, x, last) if part.shape[2]], dim=2)
