"""A starting point for the video VAE in closed form: principal components instead of the first hours of training.

The encoder projects 8x8 patches of each colour onto their principal components, then blocks of 2x2 patches and four
frames onto theirs; the decoder is the transpose. The layers of the real VAE can express that: a pair of channels x and
-x passes a SiLU unharmed (silu(x) - silu(-x) = x), and two constant channels, large against all others, keep a pixel
norm from rescaling them.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from .settings import LATENT_CHANNELS, PATCH, WIDTH

COLORS = 3
KEPT = LATENT_CHANNELS // COLORS - 1  # 2 · 3 · KEPT + 2 channels fit into WIDTH
PAIRED = COLORS * KEPT
CONSTANT = 8.0
ENERGY = 1.5  # mean square length of a signal beside the constant
NORM = (2 * (CONSTANT**2 + ENERGY) / WIDTH) ** 0.5  # what the pixel norm divides by, on average


def principal(data: Tensor, count: int, generator: torch.Generator, rows: int = 40000) -> Tensor:
    """Orthonormal directions ``(D, count)`` of the largest second moments of ``(N, D)``."""
    sample = data[torch.randperm(len(data), generator=generator)[:rows]]
    _, vectors = torch.linalg.eigh(sample.T @ sample / len(sample))
    return vectors.flip(1)[:, :count].contiguous()


class Components:
    """Both sets of components, fitted to clips ``(B, 3, 4k + 1, H, W)``.

    ``patch`` is ``(q·r, KEPT)``, ``cell`` ``(a·p·i·j·k, KEPT)``: pair of frames, frame of the pair, patch row, patch
    column, component.
    """

    def __init__(self, clips: Tensor, generator: torch.Generator) -> None:
        patches = rearrange(clips, "b c f (h q) (w r) -> b c f h w (q r)", q=PATCH, r=PATCH)
        self.patch = principal(patches.flatten(0, 4), KEPT, generator)
        coded = (patches @ self.patch)[:, :, 1:]
        cells = rearrange(coded, "b c (t a p) (h i) (w j) k -> (b c t h w) (a p i j k)", a=2, p=2, i=2, j=2)
        self.cell = principal(cells, KEPT, generator)
        self.patch_gain = (ENERGY / (COLORS * coded.square().sum(dim=-1).mean())).sqrt()
        self.cell_gain = (ENERGY / (COLORS * (cells @ self.cell).square().sum(dim=-1).mean())).sqrt()


@torch.no_grad()
def initialize(encoder: nn.Module, decoder: nn.Module, components: Components) -> None:
    """Put the components into the layers; residual blocks start as identities."""
    for module in (encoder, decoder):
        for name, child in module.named_modules():
            if name.endswith("conv2"):
                nn.init.zeros_(child.conv.weight)
                nn.init.zeros_(child.conv.bias)
    _encoder(encoder, components)
    _decoder(decoder, components)


def _empty(layer: nn.Module) -> Tensor:
    """The weight of the convolution in a layer, set to nearly zero; its bias to zero."""
    convolution = next(child for child in layer.modules() if isinstance(child, nn.Conv3d))
    nn.init.normal_(convolution.weight, std=1e-4)
    nn.init.zeros_(convolution.bias)
    return convolution.weight


def _encoder(encoder: nn.Module, components: Components) -> None:
    newest, center = 2, 1
    weight = _empty(encoder.conv_in)
    pixels = components.patch.view(PATCH, PATCH, KEPT)  # (q, r, k)
    for color in range(COLORS):
        rows = slice(color * KEPT, (color + 1) * KEPT)
        columns = slice(color * PATCH**2, (color + 1) * PATCH**2)
        weight[rows, columns, newest, center, center] = rearrange(pixels, "q r k -> k (r q)")
    time, cell = encoder.down_blocks[0], encoder.down_blocks[1]
    _empty(time)
    weight = _empty(cell)
    basis = components.cell.view(2, 2, 2, 2, KEPT, KEPT) * components.cell_gain  # (a, p, i, j, k, m)
    for color in range(COLORS):
        # Channels before this layer are (component, frame of the pair).
        block = rearrange(basis, "a p i j k m -> m (k p) a i j")
        start = color * KEPT
        columns = slice(2 * start, 2 * (start + KEPT))
        weight[start : start + KEPT, columns, 1:, 1:, 1:] = block
        weight[PAIRED + start : PAIRED + start + KEPT, columns, 1:, 1:, 1:] = -block
    cell.conv.bias[2 * PAIRED : 2 * PAIRED + 2] = CONSTANT
    weight = _empty(encoder.conv_out)
    for channel in range(PAIRED):
        weight[channel, channel, newest, center, center] = NORM
        weight[channel, PAIRED + channel, newest, center, center] = -NORM


def _decoder(decoder: nn.Module, components: Components) -> None:
    center = 1
    weight = _empty(decoder.conv_in)
    weight[range(PAIRED), range(PAIRED), center, center, center] = 1.0
    nn.init.normal_(weight[LATENT_CHANNELS:], std=0.02)
    cell, time = decoder.up_blocks[1], decoder.up_blocks[3]
    weight = _empty(cell).view(WIDTH, 2, 2, 2, WIDTH, 3, 3, 3)  # (output, a, i, j, input, taps)
    basis = components.cell.view(2, 2, 2, 2, KEPT, KEPT) / components.cell_gain * components.patch_gain
    for color in range(COLORS):
        rows = slice(2 * color * KEPT, 2 * (color + 1) * KEPT)
        columns = slice(color * KEPT, (color + 1) * KEPT)
        weight[rows, :, :, :, columns, center, center, center] = rearrange(basis, "a p i j k m -> (k p) a i j m")
    weight = _empty(time).view(WIDTH, 2, WIDTH, 3, 3, 3)  # (output, p, input, taps)
    for channel in range(PAIRED):
        for frame in range(2):
            weight[channel, frame, 2 * channel + frame, center, center, center] = 1.0
            weight[PAIRED + channel, frame, 2 * channel + frame, center, center, center] = -1.0
    time.conv.conv.bias.view(WIDTH, 2)[2 * PAIRED : 2 * PAIRED + 2] = CONSTANT
    weight = _empty(decoder.conv_out)
    pixels = rearrange(components.patch.view(PATCH, PATCH, KEPT), "q r k -> (r q) k") * NORM / components.patch_gain
    for color in range(COLORS):
        rows, columns = slice(color * PATCH**2, (color + 1) * PATCH**2), slice(color * KEPT, (color + 1) * KEPT)
        weight[rows, columns, center, center, center] = pixels
        shifted = slice(PAIRED + color * KEPT, PAIRED + (color + 1) * KEPT)
        weight[rows, shifted, center, center, center] = -pixels
