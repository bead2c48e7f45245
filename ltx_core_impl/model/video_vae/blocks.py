"""Block lists: from the names in a config to modules, widths and scale factors (spec 03 §1.2, §3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ...types import SpatioTemporalScaleFactors
from .patchify import Stride
from .resnet import ResnetBlock3D, UNetMidBlock3D
from .sampling import DepthToSpaceUpsample, SpaceToDepthDownsample, StridedDownsample
from .spatial_attention import SpatialAttention

COMPRESSION_STRIDES: dict[str, Stride] = {
    "compress_time": (2, 1, 1),
    "compress_space": (1, 2, 2),
    "compress_all": (2, 2, 2),
}
ENCODER_MULTIPLIER = 2
DECODER_MULTIPLIER = {"res_x_y": 2}


@dataclass(frozen=True)
class BlockSpec:
    """One entry of ``encoder_blocks`` or ``decoder_blocks``."""

    name: str
    params: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse_list(cls, entries: Sequence[Sequence[Any]]) -> tuple[BlockSpec, ...]:
        """Read ``[[name, params], ...]``; an integer for ``params`` means that many layers."""
        return tuple(
            cls(name=name, params={"num_layers": params} if isinstance(params, int) else dict(params))
            for name, params in entries
        )

    @property
    def stride(self) -> Stride:
        """(time, height, width) by which the block resamples; ones for blocks that keep the size."""
        base = self.name.removesuffix("_x_y").removesuffix("_res")
        return COMPRESSION_STRIDES.get(base, (1, 1, 1))

    @property
    def num_layers(self) -> int:
        """Residual blocks of a ``res_x``.

        Raises:
            ValueError: the config does not say.
        """
        if "num_layers" not in self.params:
            raise ValueError(f"VAE block '{self.name}' needs 'num_layers'; its parameters are {self.params}.")
        return self.params["num_layers"]


@dataclass(frozen=True)
class BlockOptions:
    """What all blocks of one network have in common."""

    norm_layer: str
    spatial_padding_mode: str
    timestep_conditioning: bool = False


def scale_factors(blocks: Sequence[BlockSpec], patch_size: int) -> SpatioTemporalScaleFactors:
    """Pixels per latent cell: the product of all strides, times the patch size in space."""
    time, height, width = (math.prod(axis) for axis in zip(*(block.stride for block in blocks), strict=True))
    return SpatioTemporalScaleFactors(time=time, height=height * patch_size, width=width * patch_size)


def build_encoder_block(spec: BlockSpec, in_channels: int, options: BlockOptions) -> tuple[nn.Module, int]:
    """The module of one encoder block and its output width.

    Raises:
        ValueError: unknown block name.
    """
    name, multiplier = spec.name, spec.params.get("multiplier", ENCODER_MULTIPLIER)
    widened, padding = in_channels * multiplier, options.spatial_padding_mode
    if name == "res_x":
        block = UNetMidBlock3D(in_channels, spec.num_layers, options.norm_layer, padding)
        return block, in_channels
    if name == "res_x_y":
        return ResnetBlock3D(in_channels, widened, options.norm_layer, padding), widened
    if name == "attn":
        return SpatialAttention(in_channels), in_channels
    if name in {"compress_time_res", "compress_space_res", "compress_all_res"}:
        return SpaceToDepthDownsample(in_channels, widened, spec.stride, padding), widened
    if name in COMPRESSION_STRIDES:
        return StridedDownsample(in_channels, in_channels, spec.stride, padding), in_channels
    if name == "compress_all_x_y":
        return StridedDownsample(in_channels, widened, spec.stride, padding), widened
    raise ValueError(f"Unknown VAE encoder block '{name}'. {_OTHER_FILE_HINT}")


def decoder_multiplier(spec: BlockSpec) -> int:
    """By how much a decoder block divides the width."""
    return spec.params.get("multiplier", DECODER_MULTIPLIER.get(spec.name, 1))


def build_decoder_block(spec: BlockSpec, in_channels: int, options: BlockOptions) -> tuple[nn.Module, int]:
    """The module of one decoder block and its output width.

    Raises:
        ValueError: unknown block name.
    """
    name, padding = spec.name, options.spatial_padding_mode
    inject_noise = spec.params.get("inject_noise", False)
    narrowed = in_channels // decoder_multiplier(spec)
    if name == "res_x":
        block = UNetMidBlock3D(
            in_channels,
            spec.num_layers,
            options.norm_layer,
            padding,
            inject_noise=inject_noise,
            timestep_conditioning=options.timestep_conditioning,
        )
        return block, in_channels
    if name == "res_x_y":
        return ResnetBlock3D(in_channels, narrowed, options.norm_layer, padding, inject_noise=inject_noise), narrowed
    if name == "attn":
        return SpatialAttention(in_channels), in_channels
    if name in COMPRESSION_STRIDES:
        residual = name == "compress_all" and spec.params.get("residual", False)
        block = DepthToSpaceUpsample(in_channels, in_channels // narrowed, spec.stride, residual, padding)
        return block, narrowed
    raise ValueError(f"Unknown VAE decoder block '{name}'. {_OTHER_FILE_HINT}")


_OTHER_FILE_HINT = "This file needs a newer version of this package, or its config is damaged."
