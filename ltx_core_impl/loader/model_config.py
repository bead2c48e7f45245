"""The config a component is built from: the file's own, else the published one of its version (spec 01 §3, §5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checkpoint import Checkpoint
from .errors import ConfigError
from .presets import preset_section
from .version import ModelVersion

_SECTIONS = {
    "transformer": "transformer",
    "embeddings_processor": "transformer",
    "video_embeddings_processor": "transformer",
    "video_encoder": "vae",
    "video_decoder": "vae",
    "audio_encoder": "audio_vae",
    "audio_decoder": "audio_vae",
    "vocoder": "vocoder",
}


def config_for(checkpoint: Checkpoint, component: str | None) -> dict[str, Any]:
    """The whole config with the section ``component`` needs.

    The code defaults of the published models are not their published values, so an absent section is never left to
    them: it comes from the version that the tensors show, or the file is refused.

    Raises:
        ConfigError: no config, and the tensors match no known version.
        VersionError: no config, and the tensors contradict each other.
    """
    config = checkpoint.config
    if component == "upsampler":
        return config if "in_channels" in config else {**config, **upsampler_config(checkpoint.shapes)}
    section = _SECTIONS.get(component)
    if section is None or config.get(section):
        return config
    version = _version_for(checkpoint, section)
    if version is None:
        raise ConfigError(
            f"{checkpoint.path} has no config for the {component} (metadata 'config', section {section!r}), and its "
            f"tensors match no known LTX-2 version; it holds: {', '.join(checkpoint.components) or 'nothing known'}. "
            "Use the file as published"
        )
    return {**config, section: preset_section(section, version, checkpoint.shapes)}


def _version_for(checkpoint: Checkpoint, section: str) -> ModelVersion | None:
    """The version that decides a section's preset; both audio VAEs are the same, so there any will do."""
    version = checkpoint.version
    if version is None and section == "audio_vae" and {"audio_encoder", "audio_decoder"} & set(checkpoint.components):
        return ModelVersion.LTX_2
    return version


def upsampler_config(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """The config of a latent upsampler, read from its shapes (spec 01 §3.6).

    Raises:
        ConfigError: the shapes are not those of a latent upsampler.
    """
    first = shapes.get("initial_conv.weight", ())
    if len(first) not in (4, 5):
        raise ConfigError("no config and no initial_conv.weight: this is not a latent upsampler; choose another file")
    mid, channels = first[0], first[1]
    plain, rational = shapes.get("upsampler.0.weight"), shapes.get("upsampler.conv.weight")
    ratios = {4: 2.0, 9: 1.5}
    if rational is not None and mid and rational[0] // mid in ratios:
        spatial, scale = True, ratios[rational[0] // mid]
    elif plain is not None and len(plain) in (4, 5):
        spatial = len(plain) == 4
        scale = 2.0 if spatial else 1.0
    else:
        raise ConfigError("no config and no known upsampler layer: this is not a latent upsampler; choose another file")
    blocks = {key.split(".")[1] for key in shapes if key.startswith("res_blocks.")}
    return {
        "_class_name": "LatentUpsampler",
        "in_channels": channels,
        "mid_channels": mid,
        "num_blocks_per_stage": len(blocks),
        "dims": len(first) - 2,
        "spatial_upsample": spatial,
        "temporal_upsample": not spatial,
        "spatial_scale": scale,
        "rational_resampler": rational is not None,
    }
