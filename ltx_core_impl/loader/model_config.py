"""The config a component is built from: the file's own, else the published one of its version (spec 01 §3, §5.2)."""

from __future__ import annotations

from typing import Any

from .checkpoint import Checkpoint
from .config_schema import check_config
from .errors import ConfigError
from .published import published_section
from .version import ModelVersion

_SECTIONS = {
    "transformer": "transformer",
    "embeddings_processor": "transformer",
    "video_encoder": "vae",
    "video_decoder": "vae",
    "audio_encoder": "audio_vae",
    "audio_decoder": "audio_vae",
    "vocoder": "vocoder",
}


def config_for(checkpoint: Checkpoint, component: str | None) -> dict[str, Any]:
    """The whole config with the section ``component`` needs, every value of it judged.

    The code defaults of the published models are not their published values, so an absent section is never left to
    them: it comes from the version that the tensors show, or the file is refused.

    Raises:
        ConfigError: no config, and the tensors match no known version; or a value of the wrong type or out of range.
        VersionError: no config, and the tensors contradict each other.
    """
    config = checkpoint.config
    section = _SECTIONS.get(component)
    if section is None or config.get(section):
        check_config(config, component, where=f"{checkpoint.path}: config")
        return config
    version = _version_for(checkpoint, section)
    if version is None:
        raise ConfigError(
            f"{checkpoint.path} has no config for the {component} (metadata 'config', section {section!r}), and its "
            f"tensors match no known LTX-2 version; it holds: {', '.join(checkpoint.components) or 'nothing known'}. "
            "Use the file as published"
        )
    return {**config, section: published_section(section, version, checkpoint.shapes)}


def _version_for(checkpoint: Checkpoint, section: str) -> ModelVersion | None:
    """The version that decides a section's preset; both audio VAEs are the same, so there any will do."""
    version = checkpoint.version
    if version is None and section == "audio_vae" and {"audio_encoder", "audio_decoder"} & set(checkpoint.components):
        return ModelVersion.LTX_2
    return version
