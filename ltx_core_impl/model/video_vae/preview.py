"""A picture of a latent without decoding it: a linear map from latent channels to colours, fitted to the VAE itself."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from .encoder import VideoEncoder

_PICTURES = 48
_CELLS = 4
_RIDGE = 1e-2


class PreviewMap(NamedTuple):
    """Colour in [-1, 1] of a latent cell is ``latent @ weight + bias``.

    Attributes:
        weight: float32 ``(C, 3)``.
        bias: float32 ``(3,)``.
    """

    weight: Tensor
    bias: Tensor

    def picture(self, latent: Tensor) -> Tensor:
        """uint8 ``(H, W, 3)`` of one frame of a normalised latent ``(C, H, W)``; one pixel per latent cell."""
        colours = latent.float().permute(1, 2, 0) @ self.weight.to(latent.device) + self.bias.to(latent.device)
        return colours.add(1).mul_(127.5).clamp_(0, 255).to(torch.uint8)


@torch.no_grad()
def fit_preview(encoder: VideoEncoder) -> PreviewMap:
    """Fit the map by encoding smooth random pictures and regressing the mean colour of every cell on its latent.

    Ridge regression in float64; the same encoder always gives the same map. Takes the encoding of 48 small pictures.
    """
    parameter = next(encoder.parameters())
    generator = torch.Generator().manual_seed(0)
    scale = encoder.scale_factors
    colours = torch.rand((_PICTURES, 3, _CELLS // 2 + 1, _CELLS // 2 + 1), generator=generator) * 2 - 1
    size = (_CELLS * scale.height, _CELLS * scale.width)
    pictures = interpolate(colours, size=size, mode="bilinear", align_corners=True)
    latents = torch.cat([encoder(picture[None, :, None].to(parameter)).cpu() for picture in pictures])
    channels = latents.shape[1]
    inputs = latents.double().permute(0, 2, 3, 4, 1).reshape(-1, channels)
    targets = adaptive_avg_pool2d(pictures.double(), _CELLS).permute(0, 2, 3, 1).reshape(-1, 3)
    mean, target_mean = inputs.mean(0), targets.mean(0)
    centred = inputs - mean
    gram = centred.T @ centred
    gram.diagonal().add_(_RIDGE * gram.diagonal().mean())
    weight = torch.linalg.solve(gram, centred.T @ (targets - target_mean))
    return PreviewMap(weight=weight.float(), bias=(target_mean - mean @ weight).float())
