"""Calibration files: the largest input each layer saw, for static fp8 input scales (spec 01 §9.2)."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

from .fp8 import FP8_MAX

MAX_FILE_BYTES = 50_000_000
_SUFFIX = ".input_quantizer"
_PREFIXES = ("model.diffusion_model.", "diffusion_model.")


def read_input_scales(path: str | os.PathLike[str]) -> Mapping[str, float]:
    """Input scale (``amax / 448``) by module path.

    The file is ``{"amax_values": {"transformer_blocks.0.attn1.to_q.input_quantizer": 12.34, …}}``; the names may carry
    ``model.diffusion_model.`` or ``diffusion_model.`` in front.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another content, or a value that is not a finite number > 0.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no calibration file at {path}; give the JSON with 'amax_values', or leave it out")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"{path} has {path.stat().st_size} bytes, too many for a calibration file")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the calibration file {path} is not valid JSON ({error})") from error
    values = content.get("amax_values") if isinstance(content, dict) else None
    if not isinstance(values, dict):
        raise ValueError(f"the calibration file {path} has no object 'amax_values' of layer names and numbers")
    scales = {}
    for key, amax in values.items():
        number = isinstance(amax, (int, float)) and not isinstance(amax, bool)
        if not number or not math.isfinite(amax) or amax <= 0:
            raise ValueError(f"the calibration file {path} gives {key} the amax {amax!r}; a number > 0 is needed")
        name = next((key[len(prefix) :] for prefix in _PREFIXES if key.startswith(prefix)), key)
        scales[name.removesuffix(_SUFFIX)] = amax / FP8_MAX
    return scales
