"""Names inside LoRA files, in every dialect, taken apart and put into the model's own terms (spec 01 §7.3)."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from .diffusers import diffusers_module_name, transformer_name

KOHYA_PREFIXES = ("lora_unet_", "lora_transformer_", "lycoris_")
TEXT_ENCODER_KOHYA_PREFIXES = ("lora_te_", "lora_te1_", "lycoris_te_", "lycoris_text_encoder_", "lycoris_")

_PREFIXES = ("base_model.model.", "model.diffusion_model.", "diffusion_model.", "transformer.")
_KOHYA_INNER = ("model_diffusion_model_", "diffusion_model_", "transformer_")
_TEXT_ENCODER_PREFIXES = (
    "base_model.model.",
    "text_encoders.",
    "text_encoder.",
    "gemma3_12b.",
    "gemma.",
    "transformer.",
)
_DOWN = ("lora_A", "lora_down", "lora.down", "lora_linear_layer.down")
_UP = ("lora_B", "lora_up", "lora.up", "lora_linear_layer.up")
_MATRIX = re.compile(
    r"^(?P<module>.+?)[._](?P<role>" + "|".join(map(re.escape, _DOWN + _UP)) + r")(?:\.default)?(?:\.weight)?$"
)
_LYCORIS = "hada_w1_a hada_w1_b hada_w2_a hada_w2_b hada_t1 hada_t2 lokr_w1 lokr_w1_a lokr_w1_b lokr_w2 lokr_w2_a " + (
    "lokr_w2_b lokr_t2"
)
_OTHERS = (
    (r"lora_mid(?:\.default)?(?:\.weight)?", "mid"),
    (rf"(?:{'|'.join(map(re.escape, _UP))})(?:\.default)?\.bias", "up_bias"),
    (r"lora_magnitude_vector(?:\.default)?(?:\.weight)?", "magnitude"),
    (r"dora_scale", "magnitude"),
    (rf"({'|'.join(_LYCORIS.split())})(?:\.default)?", None),
    (r"(diff|diff_b|w_norm|b_norm|set_weight)", None),
    (r"(?:modules_to_save(?:\.default)?\.)?weight", "set_weight"),
    (r"(?:modules_to_save(?:\.default)?\.)?bias", "set_bias"),
)
_OTHER = tuple((re.compile(rf"^(?P<module>.+?)\.{suffix}$"), role) for suffix, role in _OTHERS)


class LoraKey(NamedTuple):
    """A name taken apart: the module as the file spells it, and the role of its tensor there."""

    module: str
    role: str


def split_lora_key(key: str) -> LoraKey | None:
    """The parts of a plain LoRA tensor's name (``down``, ``up``, ``alpha``), None for any other."""
    if key.endswith(".alpha"):
        return LoraKey(key.removesuffix(".alpha"), "alpha")
    match = _MATRIX.match(key)
    if match is None:
        return None
    return LoraKey(match["module"], "down" if match["role"] in _DOWN else "up")


def split_adapter_key(key: str) -> LoraKey | None:
    """The parts of the name of any adapter tensor that can be applied, None for one that cannot."""
    plain = split_lora_key(key)
    if plain is not None:
        return plain
    for pattern, role in _OTHER:
        match = pattern.match(key)
        if match is not None:
            return LoraKey(match["module"], role or match[2])
    return None


class ModuleNames:
    """Finds the module a LoRA means among a transformer's own names."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)
        # The underscores of kohya names cannot be undone by rules (to_q, audio_attn1): spell every real name that way.
        spelled = [(diffusers_module_name(name), name) for name in names] + [(name, name) for name in names]
        self._by_kohya = {spelling.replace(".", "_"): name for spelling, name in spelled}

    def find(self, module: str) -> str | None:
        """The model's name of a module spelled in any dialect, None when it has no such module."""
        for prefix in KOHYA_PREFIXES:
            if module.startswith(prefix):
                return _find_kohya(module.removeprefix(prefix), self._by_kohya, _KOHYA_INNER)
        for name in _without_prefixes(module, _PREFIXES):
            if name in self._names:
                return name
        renamed = transformer_name(name)
        return renamed if renamed in self._names else None


class TextEncoderNames:
    """Finds the module a LoRA means among a language model's own names ``language_model.layers...``."""

    _ROOT = "language_model."

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)
        self._by_kohya = {name.removeprefix(self._ROOT).replace(".", "_"): name for name in names}

    def find(self, module: str) -> str | None:
        """The model's name of a module spelled in any dialect, None when it has no such module."""
        for prefix in TEXT_ENCODER_KOHYA_PREFIXES:
            if module.startswith(prefix):
                inner = ("text_encoder_", "text_model_", "model_", "language_model_")
                return _find_kohya(module.removeprefix(prefix), self._by_kohya, inner)
        for name in _without_prefixes(module, (*_TEXT_ENCODER_PREFIXES, "model.", self._ROOT)):
            for spelled in (name, self._ROOT + name):
                if spelled in self._names:
                    return spelled
        return None


def names_text_encoder(module: str) -> bool:
    """Whether a module's spelling says that it is of a text encoder."""
    bare = module.removeprefix("base_model.model.")
    return bare.startswith(("text_encoder", "lora_te", "lycoris_te_", "lycoris_text_encoder_"))


def _without_prefixes(module: str, prefixes: tuple[str, ...]) -> list[str]:
    """A name, then the same without its first prefix, without the first two, and so on."""
    names = [module]
    while stripped := next((prefix for prefix in prefixes if names[-1].startswith(prefix)), None):
        names.append(names[-1].removeprefix(stripped))
    return names


def _find_kohya(name: str, known: dict[str, str], prefixes: tuple[str, ...]) -> str | None:
    return next((known[one] for one in _without_prefixes(name, prefixes) if one in known), None)
