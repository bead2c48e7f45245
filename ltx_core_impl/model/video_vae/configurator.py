"""Building the video VAE from a checkpoint's ``config`` (spec 03 §1, §2; 01 §3.4, §3.8)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from .blocks import BlockSpec, decoder_multiplier
from .decoder import VideoDecoder
from .diffusion import DiffusionDecoderParams, DiffusionVideoDecoder
from .diffusion.state_dict import UNUSED_PREFIXES
from .encoder import VideoEncoder

CONVOLUTIONAL_CLASS = "CausalVideoAutoencoder"

Shapes = Mapping[str, Sequence[int]]
"""Tensor shapes of one component by module key (prefix removed)."""


class VideoEncoderConfigurator:
    """Builds a :class:`VideoEncoder`."""

    component: ClassVar[str] = "video_encoder"

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> VideoEncoder:
        """Read ``config["vae"]``: flat (LTX-2, LTX-2.3) or with an ``encoder`` section (LTX-2.5).

        Raises:
            ValueError: no encoder blocks, or an unsupported value.
        """
        vae = _vae_section(config)
        section = vae.get("encoder", vae)
        _check_dims(section)
        return VideoEncoder(
            blocks=_block_list(section, "encoder_blocks", "blocks"),
            in_channels=section.get("in_channels", 3),
            # In the nested layout the encoder's output is the latent.
            latent_channels=section.get("out_channels" if "encoder" in vae else "latent_channels", 128),
            patch_size=section.get("patch_size", 4),
            norm_layer=section.get("norm_layer", "pixel_norm"),
            latent_log_var=section.get("latent_log_var", "uniform"),
            spatial_padding_mode=section.get(
                "spatial_padding_mode", section.get("encoder_spatial_padding_mode", "zeros")
            ),
        )


class VideoDecoderConfigurator:
    """Builds a :class:`VideoDecoder`, or a :class:`DiffusionVideoDecoder` (LTX-2.5)."""

    component: ClassVar[str] = "video_decoder"
    leaves_out: ClassVar[tuple[str, ...]] = UNUSED_PREFIXES

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> VideoDecoder | DiffusionVideoDecoder:
        """Read ``config["vae"]``; its ``_class_name`` tells the two kinds of decoder apart.

        Raises:
            ValueError: no decoder blocks, or an unsupported value.
        """
        vae = _vae_section(config)
        _check_dims(vae)
        if _is_diffusion(vae):
            return DiffusionVideoDecoder(DiffusionDecoderParams.from_config(vae))
        return VideoDecoder(
            # Stored like an encoder's, from pixels to latents.
            blocks=_block_list(vae, "decoder_blocks")[::-1],
            out_channels=vae.get("out_channels", 3),
            latent_channels=vae.get("latent_channels", 128),
            base_channels=vae.get("decoder_base_channels", 128),
            patch_size=vae.get("patch_size", 4),
            norm_layer=vae.get("norm_layer", "pixel_norm"),
            spatial_padding_mode=vae.get("spatial_padding_mode", "reflect"),
            causal=vae.get("causal_decoder", False),
            timestep_conditioning=vae.get("timestep_conditioning", True),
        )

    @staticmethod
    def complete_config(config: dict[str, Any], shapes: Shapes) -> dict[str, Any]:
        """The config with what the tensors know better.

        ``timestep_conditioning``, where absent, is whether its tensors are there. ``decoder_base_channels``
        becomes the width of the last stage: ltx-core 1.1.2 starts at 8 times the key, 1.2.0 at the product of
        all multipliers times the key, which differ for block lists that nobody published.
        """
        vae = dict(_vae_section(config))
        if _is_diffusion(vae):
            return config
        vae.setdefault("timestep_conditioning", "timestep_scale_multiplier" in shapes)
        conv_in = tuple(shapes["conv_in.conv.weight"])
        blocks = _block_list(vae, "decoder_blocks")
        multiplied = math.prod(decoder_multiplier(spec) for spec in blocks)
        if conv_in[0] < multiplied:
            raise ValueError(
                f"The tensor conv_in.conv.weight of the video decoder has the shape {conv_in}; its decoder_blocks "
                f"divide {conv_in[0]} channels by {multiplied}, which leaves none."
            )
        vae["decoder_base_channels"] = conv_in[0] // multiplied
        return {**config, "vae": vae}


def _vae_section(config: dict[str, Any]) -> dict[str, Any]:
    if not config.get("vae"):
        raise ValueError(
            f"The file's config has no 'vae' section (it has: {', '.join(sorted(config)) or 'nothing'}); it describes "
            "no video VAE. Choose a file that contains one."
        )
    return config["vae"]


def _is_diffusion(vae: dict[str, Any]) -> bool:
    return vae.get("_class_name", CONVOLUTIONAL_CLASS) != CONVOLUTIONAL_CLASS and "decoder" in vae


def _check_dims(section: dict[str, Any]) -> None:
    dims = section.get("dims", 3)
    if dims != 3:
        raise ValueError(f"The video VAE has dims = {dims}; only 3 is supported.")


def _block_list(section: dict[str, Any], *names: str) -> tuple[BlockSpec, ...]:
    for name in names:
        if section.get(name):
            return BlockSpec.parse_list(section[name])
    raise ValueError(f"The VAE config has no '{names[0]}'; the network cannot be built. The file is damaged.")
