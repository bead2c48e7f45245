"""Names inside LoRA files, in every dialect, taken apart and put into the model's own terms (spec 01 §7.3)."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from .diffusers import diffusers_module_name, transformer_name

KOHYA_PREFIXES = ("lora_unet_", "lora_transformer_")

_PREFIXES = ("base_model.model.", "model.diffusion_model.", "diffusion_model.", "transformer.")
_DOWN = ("lora_A", "lora_down", "lora.down", "lora_linear_layer.down")
_UP = ("lora_B", "lora_up", "lora.up", "lora_linear_layer.up")
_SUFFIX = re.compile(
    r"^(?P<module>.+?)[._](?P<role>" + "|".join(map(re.escape, _DOWN + _UP)) + r")(?:\.default)?(?:\.weight)?$"
)


class LoraKey(NamedTuple):
    """A name taken apart: the module as the file spells it, and ``down``, ``up`` or ``alpha``."""

    module: str
    role: str


def split_lora_key(key: str) -> LoraKey | None:
    """The parts of a LoRA tensor's name, None for one that is no matrix of a plain LoRA."""
    if key.endswith(".alpha"):
        return LoraKey(key.removesuffix(".alpha"), "alpha")
    match = _SUFFIX.match(key)
    if match is None:
        return None
    return LoraKey(match["module"], "down" if match["role"] in _DOWN else "up")


class ModuleNames:
    """Finds the module a LoRA means among a model's own names."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)
        # The underscores of kohya names cannot be undone by rules (to_q, audio_attn1): spell every real name that way.
        spelled = [(diffusers_module_name(name), name) for name in names] + [(name, name) for name in names]
        self._by_kohya = {spelling.replace(".", "_"): name for spelling, name in spelled}

    def find(self, module: str) -> str | None:
        """The model's name of a module spelled in any dialect, None when it has no such module."""
        for prefix in KOHYA_PREFIXES:
            if module.startswith(prefix):
                return self._by_kohya.get(module.removeprefix(prefix))
        stripped = True
        while stripped:
            if module in self._names:
                return module
            stripped = next((prefix for prefix in _PREFIXES if module.startswith(prefix)), None)
            module = module.removeprefix(stripped or "")
        renamed = transformer_name(module)
        return renamed if renamed in self._names else None
