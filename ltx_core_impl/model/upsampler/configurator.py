"""Building a latent upscaler from its file (spec 03 §15; 01 §3.6, §3.8)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from .latent_upsampler import LatentUpsampler
from .resamplers import RATIONAL_SCALES

# 0.75 and 1.5 have the same tensors; only 1.5 is published.
SCALE_BY_NUMERATOR = {2: 2.0, 3: 1.5, 4: 4.0}
KEYS = (
    "in_channels",
    "mid_channels",
    "num_blocks_per_stage",
    "dims",
    "spatial_upsample",
    "temporal_upsample",
    "spatial_scale",
    "rational_resampler",
)


class LatentUpsamplerConfigurator:
    """Builds a :class:`LatentUpsampler`."""

    component: ClassVar[str] = "upsampler"

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LatentUpsampler:
        """Read the keys, which lie at the top level of an upscaler file's config.

        Raises:
            ValueError: an empty config (use :meth:`complete_config`), or an unsupported value.
        """
        if not config:
            raise ValueError(
                "The upscaler file has no config. Infer one from its tensors: "
                "LatentUpsamplerConfigurator.complete_config({}, shapes)."
            )
        return LatentUpsampler(
            in_channels=config.get("in_channels", 128),
            mid_channels=config.get("mid_channels", 512),
            num_blocks_per_stage=config.get("num_blocks_per_stage", 4),
            dims=config.get("dims", 3),
            spatial_upsample=config.get("spatial_upsample", True),
            temporal_upsample=config.get("temporal_upsample", False),
            spatial_scale=config.get("spatial_scale", 2.0),
            rational_resampler=config.get("rational_resampler", False),
        )

    @staticmethod
    def complete_config(config: dict[str, Any], shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
        """The config; what it leaves out is inferred from the tensor shapes, since defaults are rarely right.

        Raises:
            ValueError: something is left out, and the tensors are not those of a latent upscaler.
        """
        if all(key in config for key in KEYS):
            return config
        return {**infer_config(shapes), **config}


def infer_config(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """The config of a latent upscaler, from the shapes of its tensors.

    Raises:
        ValueError: the tensors are not those of a latent upscaler.
    """
    initial = shapes.get("initial_conv.weight")
    rational = shapes.get("upsampler.conv.weight")
    upsampler = rational or shapes.get("upsampler.0.weight")
    if initial is None or upsampler is None:
        raise ValueError(
            "These tensors are not a latent upscaler: 'initial_conv.weight' and 'upsampler.0.weight' or "
            "'upsampler.conv.weight' are needed. Choose a spatial or temporal upscaler file."
        )
    mid_channels = initial[0]
    expansion = upsampler[0] // mid_channels
    config: dict[str, Any] = {
        "in_channels": initial[1],
        "mid_channels": mid_channels,
        "num_blocks_per_stage": len({key.split(".")[1] for key in shapes if key.startswith("res_blocks.")}),
        "dims": len(initial) - 2,
        "spatial_upsample": len(upsampler) == 4 or expansion == 8,
        "temporal_upsample": len(upsampler) == 5,
        "spatial_scale": 2.0,
        "rational_resampler": rational is not None,
    }
    if rational is not None:
        numerator = math.isqrt(expansion)
        if SCALE_BY_NUMERATOR.get(numerator) not in RATIONAL_SCALES:
            raise ValueError(
                f"'upsampler.conv.weight' has {expansion} times the width of the network; 4, 9 or 16 are known."
            )
        config["spatial_scale"] = SCALE_BY_NUMERATOR[numerator]
    return config
