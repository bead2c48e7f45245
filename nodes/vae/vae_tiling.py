"""Cutting a video for its VAE: the tiles that its kind of decoder takes, and the memory that they need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from ...ltx_core_impl.model import video_vae
from ...ltx_core_impl.model.video_vae import diffusion
from .. import host
from ..loading import components
from ..wires.checks import InputError
from ..wires.geometry import diffusion_params, video_geometry
from ..wires.handles import ComponentHandle

PER_AXIS_VERSIONS = ("2.5",)
"""Model versions whose reference cuts each axis on its own; the earlier ones shape tiles like the picture."""


class TileSizes(NamedTuple):
    """The tile widgets: pixels and frames, 0 leaves an axis whole."""

    tile_size: int
    tile_overlap: int
    temporal_size: int
    temporal_overlap: int

    def together(self) -> video_vae.TilingConfig | None:
        """Tiles shaped like the picture; None for none. Raises ValueError with the nearest valid value."""
        spatial = video_vae.SpatialTiling(size=self.tile_size, overlap=self.tile_overlap) if self.tile_size else None
        temporal = (
            video_vae.TemporalTiling(size=self.temporal_size, overlap=self.temporal_overlap)
            if self.temporal_size
            else None
        )
        return video_vae.TilingConfig(spatial=spatial, temporal=temporal) if spatial or temporal else None

    def per_axis(self) -> video_vae.PerAxisTiling | None:
        """Tiles with independent axes; None for none."""
        if not self.tile_size and not self.temporal_size:
            return None
        frames = video_vae.AxisTiling(
            size=self.temporal_size, overlap=self.temporal_overlap if self.temporal_size else 0
        )
        side = video_vae.AxisTiling(size=self.tile_size, overlap=self.tile_overlap if self.tile_size else 0)
        return video_vae.PerAxisTiling(frames=frames, height=side, width=side)


def check_tiling(*values: int | None) -> None:
    """Judge the values of `inputs.tiling_inputs` at queue time, where None stands for one that is linked."""
    if None not in values:
        TileSizes(*values).together()


def tile_pixels(size: Sequence[int], sizes: TileSizes) -> int:
    """Pixels (frames x height x width) of the largest tile of a clip of this size."""
    frames, height, width = size
    frames = min(frames, sizes.temporal_size or frames)
    return frames * min(height, sizes.tile_size or height) * min(width, sizes.tile_size or width)


class DecodePlan(NamedTuple):
    """Tiles, and the memory that decoding with them needs besides the weights."""

    tiling: video_vae.Tiling | None
    working_memory: int


def convolution_tiling(vae: ComponentHandle, sizes: TileSizes) -> video_vae.Tiling | None:
    """Tiles of the encoder or the convolutional decoder, by the rules of the VAE's model version."""
    return sizes.per_axis() if vae.version in PER_AXIS_VERSIONS else sizes.together()


def decode_plan(
    vae: ComponentHandle,
    latent_size: tuple[int, int, int],
    sizes: TileSizes,
    auto: bool,
    whole: bool = False,
    precise: bool = False,
) -> DecodePlan:
    """Tiles for a latent of (frames, height, width).

    Args:
        auto: choose the tiles of a diffusion decoder from the memory that ComfyUI can grant; its neighbourhoods need
            far larger overlaps than a convolutional decoder.
        whole: let ``auto`` also decode the whole clip at once with a convolutional decoder, two to three times as
            fast, where that fits. Not for those who must never hold a clip as a whole.
        precise: the decoder computes in float32, which takes twice the memory.

    Raises:
        ValueError: the tiles do not suit the decoder, or the memory does not suffice.
    """
    params = diffusion_params(vae)
    if params is not None:
        return _diffusion_plan(vae, params, latent_size, sizes, auto, precise)
    tiling = convolution_tiling(vae, sizes)
    geometry = video_geometry(vae)
    frames, height, width = latent_size
    size = (geometry.pixel_frames(frames), height * geometry.scale.height, width * geometry.scale.width)
    times = 2 if precise else 1
    memory = components.convolution_memory(math.prod(size)) * times
    if auto and whole and memory + components.video_decoder_bytes(vae, _dtype(precise)) <= host.grantable_memory():
        return DecodePlan(None, memory)
    return DecodePlan(tiling, components.convolution_memory(tile_pixels(size, sizes)) * times)


def _dtype(precise: bool) -> torch.dtype | None:
    return torch.float32 if precise else None


def _check_overlaps(params: diffusion.DiffusionDecoderParams, sizes: TileSizes) -> None:
    frames, pixels = diffusion.required_overlaps(params)[0], max(diffusion.required_overlaps(params)[1:])
    if (sizes.tile_size and sizes.tile_overlap < pixels) or (sizes.temporal_size and sizes.temporal_overlap < frames):
        raise InputError(
            f"tile_overlap is {sizes.tile_overlap}, temporal_overlap {sizes.temporal_overlap}; the tiles of this "
            f"diffusion decoder must overlap by {pixels} px and {frames} frames. Raise them, or turn auto_tiles on."
        )


def _diffusion_plan(
    vae: ComponentHandle,
    params: diffusion.DiffusionDecoderParams,
    latent_size: tuple[int, int, int],
    sizes: TileSizes,
    auto: bool,
    precise: bool,
) -> DecodePlan:
    element_bytes = torch.float32.itemsize if precise else diffusion.ELEMENT_BYTES
    padded = tuple(max(length, least) for length, least in zip(latent_size, params.min_latent_size, strict=True))
    if auto:
        tiling = video_vae.auto_tiling(
            params,
            padded,
            free_bytes=host.grantable_memory(),
            model_bytes=components.video_decoder_bytes(vae, _dtype(precise)),
            element_bytes=element_bytes,
        )
    else:
        tiling = sizes.per_axis()
        _check_overlaps(params, sizes)
    if tiling is not None:
        diffusion.diffusion_plan(tiling, params, padded)  # refuses what does not suit before the weights are read
    return DecodePlan(tiling, diffusion.working_bytes(params, padded, tiling, element_bytes=element_bytes))
