"""The ``config`` metadata of a checkpoint: parsing, and limits that keep a hostile one harmless (spec 01 §3)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from .errors import ConfigError
from .header import Header

MAX_CONFIG_BYTES = 4_000_000
MAX_DEPTH = 16
MAX_LIST = 1024
MAX_SIZE = 1 << 20
MAX_COUNT = 256
_COUNT_KEYS = ("num_layers", "num_blocks", "num_res_blocks", "stage_depths", "num_hidden_layers")
"""Keys that say how often a module is repeated: building an absurd number of them would never end."""


def parse_json_metadata(header: Header, key: str) -> dict[str, Any]:
    """The JSON object under a metadata key, ``{}`` when the key is absent.

    Raises:
        ConfigError: too long, not JSON, or not an object.
    """
    text = header.metadata.get(key)
    if text is None:
        return {}
    where = f"{header.path}: the metadata entry {key!r}"
    if len(text) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{where} has {len(text)} characters, at most {MAX_CONFIG_BYTES} are read")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where} is not valid JSON ({error}); use the file as published") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{where} is a JSON {type(value).__name__}, an object is needed")
    return value


def parse_config(header: Header) -> dict[str, Any]:
    """The checked ``config`` of a file, ``{}`` when it has none.

    Raises:
        ConfigError: malformed, a known section that is no object, or a size beyond all reason.
    """
    config = parse_json_metadata(header, "config")
    for section in ("transformer", "vae", "audio_vae", "vocoder", "duration_head"):
        if not isinstance(config.get(section, {}), Mapping):
            kind = type(config[section]).__name__
            raise ConfigError(f"{header.path}: config section {section!r} is a {kind}, an object is needed")
    check_limits(config, where=f"{header.path}: config")
    return config


def check_limits(value: object, *, where: str, counts: bool = False, depth: int = 0) -> None:
    """Refuse a config value that would make the model builders allocate or loop without bound.

    Args:
        counts: the value says how often something is repeated.
    """
    if depth > MAX_DEPTH:
        raise ConfigError(f"{where} is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        for key, item in value.items():
            check_limits(item, where=f"{where}.{key}", counts=_is_count(key), depth=depth + 1)
    elif isinstance(value, list):
        if len(value) > MAX_LIST:
            raise ConfigError(f"{where} has {len(value)} entries, at most {MAX_LIST} are accepted")
        for index, item in enumerate(value):
            check_limits(item, where=f"{where}[{index}]", counts=counts, depth=depth + 1)
    elif isinstance(value, int) and not isinstance(value, bool):
        limit = MAX_COUNT if counts else MAX_SIZE
        if not -limit <= value <= limit:
            raise ConfigError(f"{where} is {value}; at most {limit} is accepted")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where} is {value}; a finite number is needed")


def _is_count(key: str) -> bool:
    return any(name in key for name in _COUNT_KEYS)
