"""Published architectures, chosen by version when a file has lost its ``config`` (spec 01 §5.2)."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from ..version import ModelVersion
from . import ltx_2, ltx_2_3, ltx_2_5


def published_section(section: str, version: ModelVersion, keys: Iterable[str] = ()) -> dict[str, Any]:
    """One section (``transformer``, ``vae``, ``audio_vae``, ``vocoder``) of a version's published config.

    Args:
        keys: tensor names of the file; LTX-2.5 has two video VAEs, told apart by ``up_blocks``.
    """
    if section == "transformer":
        modules = {ModelVersion.LTX_2: ltx_2, ModelVersion.LTX_2_3: ltx_2_3, ModelVersion.LTX_2_5: ltx_2_5}
        return copy.deepcopy(modules[version].TRANSFORMER)
    if section == "vae" and version is ModelVersion.LTX_2_5 and not any(".up_blocks." in key for key in keys):
        return copy.deepcopy(ltx_2_5.VAE)
    return copy.deepcopy(getattr(ltx_2 if version is ModelVersion.LTX_2 else ltx_2_3, section.upper()))
