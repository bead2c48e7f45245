"""How strong a LoRA was trained: alpha and its rules, from the header's metadata (diffusers, SimpleTuner, PEFT)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .config import parse_json_metadata
from .errors import LoraError
from .header import Header
from .key_maps.lora_names import names_text_encoder

METADATA_KEY = "lora_adapter_metadata"
MAX_ALPHA = 1e9

_TEXT_ENCODERS = ("text_encoder", "text_encoders", "te")
_FIELDS = ("r", "lora_alpha", "alpha_pattern", "rank_pattern", "use_rslora", "use_dora")


@dataclass(frozen=True)
class TrainedScale:
    """Alpha by module, and whether it was divided by the square root of the rank (arXiv:2312.03732).

    Attributes:
        alpha: of every module without an own one; None when the file does not say.
        alpha_pattern: alpha of the modules whose name is, or ends with, a key.
        uses_dora: the change is meant with magnitudes.
    """

    alpha: float | None = None
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    rank_stabilized: bool = False
    uses_dora: bool = False

    def factor(self, module: str, rank: int) -> float:
        """What ``up @ down`` is multiplied by; 1 when the file says nothing. ``rank``: of the matrices."""
        alpha = next((value for key, value in self.alpha_pattern.items() if _ends_with(module, key)), self.alpha)
        return (rank if alpha is None else alpha) / (math.sqrt(rank) if self.rank_stabilized else rank)


class TrainedScales:
    """The scales of a file; one may hold a LoRA of the transformer and one of the text encoder."""

    def __init__(self, header: Header) -> None:
        """Read the metadata.

        Raises:
            ConfigError: they are no JSON object.
            LoraError: a value that is no number, or a pattern that is a regular expression; says which.
        """
        content = parse_json_metadata(header, METADATA_KEY)
        # Keys are flat ("transformer.r"), nested ({"transformer": {"r": ...}}), or bare ({"r": ...}).
        sections: dict[str, dict[str, Any]] = {}
        for key, value in content.items():
            section, _, name = key.rpartition(".")
            if isinstance(value, Mapping) and name not in _FIELDS:
                sections.setdefault(key, {}).update(value)
            else:
                sections.setdefault(section, {})[name] = value
        scales = {
            section: _scale(header, section, values)
            for section, values in sections.items()
            if any(name in values for name in _FIELDS)
        }
        self._text_encoder = next((scales.pop(name) for name in _TEXT_ENCODERS if name in scales), None)
        others = [*(scales[name] for name in ("transformer", "unet", "") if name in scales), *scales.values()]
        self._transformer = next(iter(others), None)

    def of(self, module: str) -> TrainedScale:
        """The scale that holds for a module as the file spells it."""
        one, other = self._transformer, self._text_encoder
        if names_text_encoder(module):
            one, other = other, one
        elif module.startswith(("transformer.", "diffusion_model.", "lora_unet_")):
            other = None
        return one or other or TrainedScale()


def _scale(header: Header, section: str, values: Mapping[str, Any]) -> TrainedScale:
    where = f"{header.path}: {METADATA_KEY}: {section + '.' if section else ''}"
    pattern = values.get("alpha_pattern") or {}
    if not isinstance(pattern, Mapping):
        raise LoraError(f"{where}alpha_pattern is {pattern!r}; an object with one alpha per module is needed")
    for key in pattern:
        if not re.fullmatch(r"\^?[\w.]+\$?", key.replace("\\.", ".")):
            raise LoraError(
                f"{where}alpha_pattern has the regular expression {key!r}; only module names can be read. Save it with "
                "alpha tensors, or with the modules written out"
            )
    alpha = values.get("lora_alpha")
    return TrainedScale(
        None if alpha is None else _number(f"{where}lora_alpha", alpha),
        {key: _number(f"{where}alpha_pattern {key}", value) for key, value in pattern.items()},
        _is_set(values.get("use_rslora")),
        _is_set(values.get("use_dora")),
    )


def _is_set(value: Any) -> bool:
    """Trainers write true as a JSON value, as 1 or as a text."""
    return str(value).lower() in ("true", "1")


def _number(where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < MAX_ALPHA:
        raise LoraError(f"{where} is {value!r:.60}; a number is needed. Use the LoRA as it was published")
    return float(value)


def _ends_with(module: str, key: str) -> bool:
    """PEFT's rule for a pattern that is a plain name: the whole module's name, or its last parts."""
    name = key.replace("\\.", ".").removesuffix("$")
    joint = "."
    if joint not in module:  # kohya joins the parts of a name by underscores
        joint, name = "_", name.replace(".", "_")
    if name.startswith("^"):
        return module == name[1:]
    return f"{joint}{module}".endswith(f"{joint}{name}")
