"""Adapter files (LoRA, DoRA, LoHa, LoKr, differences): what they change, read from the header (spec 01 §7)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ..operations import SDOps
from .adapter_math import DIFFERENCES, LOW_RANK, Kind, kind_of, lora_product, rank_of
from .checkpoint import Checkpoint, open_checkpoint
from .errors import LoraError
from .folders import PathLike
from .key_maps.lora_names import split_adapter_key
from .lora_scale import TrainedScales
from .version import ModelVersion, version_from_metadata

__all__ = [
    "LoraFile",
    "LoraPair",
    "LoraPathStrengthAndSDOps",
    "LoraReport",
    "ModuleChange",
    "lora_product",
    "open_lora",
]


class LoraPathStrengthAndSDOps(NamedTuple):
    """A LoRA to be fused: file, strength, and the renaming of its keys (None: every known dialect is understood)."""

    path: PathLike
    strength: float = 1.0
    sd_ops: SDOps | None = None


class LoraPair(NamedTuple):
    """The keys of one change ``ΔW = strength · alpha/r · (up @ down)`` in its file."""

    down: str
    up: str
    alpha: str | None


@dataclass(frozen=True)
class LoraReport:
    """Which modules a LoRA changes, and which of its keys have no counterpart in the model."""

    path: str
    matched: tuple[str, ...]
    unmatched: tuple[str, ...]


@dataclass(frozen=True)
class ModuleChange:
    """All that a file has for one module: its keys by role, and the kind of change to the weight (None: only a bias
    or a replacement)."""

    keys: Mapping[str, str]
    kind: Kind | None

    @property
    def weight_roles(self) -> tuple[str, ...]:
        """The roles whose tensors make the change of the weight."""
        return () if self.kind is None else tuple(r for r in self.keys if r in self.kind.needed | self.kind.optional)

    @property
    def further_differences(self) -> tuple[str, ...]:
        """The roles of differences that are added beside that change."""
        return tuple(role for role in self.keys if role in DIFFERENCES and role not in self.weight_roles)


@dataclass(frozen=True)
class LoraFile:
    """A LoRA by its header: what it changes, by the module name the file uses, and the keys that rules left out."""

    checkpoint: Checkpoint
    changes: Mapping[str, ModuleChange]
    unused: tuple[str, ...]

    @property
    def path(self) -> str:
        return str(self.checkpoint.path)

    @property
    def pairs(self) -> Mapping[str, LoraPair]:
        """The low-rank pairs, by the module name the file uses."""
        found = {module: change.keys for module, change in self.changes.items()}
        return {
            module: LoraPair(keys["down"], keys["up"], keys.get("alpha"))
            for module, keys in found.items()
            if keys.keys() >= LOW_RANK
        }

    @cached_property
    def scales(self) -> TrainedScales:
        """How strong its modules were trained, where no alpha tensor says so."""
        return TrainedScales(self.checkpoint.headers[0])

    def rank(self, change: ModuleChange) -> int | None:
        """The number that alpha is divided by, None for a change without alpha."""
        shapes = {role: self.checkpoint.shapes[key] for role, key in change.keys.items()}
        return None if change.kind is None else rank_of(change.kind, shapes)

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.checkpoint.headers[0].metadata

    @property
    def version(self) -> ModelVersion | None:
        """The model version the file says it is for, None when it does not say."""
        return version_from_metadata(self.metadata.get("model_version"))

    @property
    def reference_downscale_factor(self) -> float:
        """How much smaller than the output the reference video of an IC-LoRA is; 1 when the file does not say.

        Raises:
            LoraError: not a number >= 1.
        """
        return self._factor("reference_downscale_factor")

    @property
    def reference_spatial_scale_factor(self) -> float:
        """As ``reference_downscale_factor``, under the name newer IC-LoRAs use."""
        return self._factor("reference_spatial_scale_factor")

    @property
    def reference_temporal_scale_factor(self) -> float:
        """How much sparser in time the reference video of an IC-LoRA is; 1 when the file does not say."""
        return self._factor("reference_temporal_scale_factor")

    @property
    def hdr_transform(self) -> str | None:
        """``"logc3"`` for an HDR LoRA, None otherwise."""
        value = self.metadata.get("hdr_transform") or self.metadata.get("use_hdr_transform")
        return "logc3" if value in ("true", "True") else value

    def _factor(self, key: str) -> float:
        text = self.metadata.get(key, "1")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 1):
            raise LoraError(f"{self.path} has {key} {text!r}; a number >= 1 is needed")
        return value

    def shapes_of(self, pair: LoraPair) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of down ``(r, in)`` and up ``(out, r)``."""
        return self.checkpoint.shapes[pair.down], self.checkpoint.shapes[pair.up]


def open_lora(path: PathLike, sd_ops: SDOps | None = None) -> LoraFile:
    """Read what a LoRA file changes, without its matrices.

    Every tensor of the file has a place in ``changes``, except those that ``sd_ops`` leaves out on purpose.

    Raises:
        CheckpointError: unreadable file.
        LoraError: no adapter, or a tensor in it that cannot be applied (named): half applied it would do something
            else.
    """
    checkpoint = open_checkpoint(path)
    parts: dict[str, dict[str, str]] = {}
    left_out, unknown = [], []
    for key in checkpoint.shapes:
        name = key if sd_ops is None else sd_ops.apply_to_key(key)
        split = None if name is None else split_adapter_key(name)
        if name is None:
            left_out.append(key)
        elif split is None or _other_kind(name):
            unknown.append(key)
        else:
            found = parts.setdefault(split.module, {})
            if split.role in found:
                raise LoraError(
                    f"{checkpoint.path} holds {found[split.role]!r} and {key!r}, which say the same of {split.module}; "
                    "only one of them could be applied. Use another export of this LoRA"
                )
            found[split.role] = key
    _refuse_other_adapters(checkpoint, unknown)
    changes = {module: ModuleChange(found, kind_of(frozenset(found))) for module, found in parts.items()}
    if not any(change.kind or {"diff_b", "b_norm", "up_bias"} & set(change.keys) for change in changes.values()):
        raise LoraError(
            f"{checkpoint.path} has no LoRA matrices (lora_A/lora_B or lora_down/lora_up, LoHa, LoKr or differences), "
            f"first key {next(iter(checkpoint.shapes))!r}; choose a LoRA file"
        )
    if unknown:
        raise LoraError(
            f"{checkpoint.path} holds {unknown[0]!r}{_more(unknown)}, which is no part of an adapter that can be "
            "applied (LoRA, DoRA, LoHa, LoKr, differences); the rest alone would do something else. Use another export "
            "of this LoRA"
        )
    lora = LoraFile(checkpoint, changes, tuple(left_out))
    for module, change in changes.items():
        _check_complete(lora, module, change)
    return lora


_OTHER_ADAPTERS = {
    ".oft_": "an OFT",
    ".a1.weight": "a GLoRA",
    ".reshape_weight": "an adapter that changes the sizes of the model",
    ".on_input": "an IA3",
}

_WITH_WEIGHT = frozenset({"alpha", "magnitude", "up_bias"})
_ALONE = frozenset({"diff_b", "b_norm", "set_weight", "set_bias"})


def _other_kind(name: str) -> str | None:
    return next((kind for part, kind in _OTHER_ADAPTERS.items() if part in name), None)


def _refuse_other_adapters(checkpoint: Checkpoint, keys: Iterable[str]) -> None:
    for key in keys:
        kind = _other_kind(key)
        if kind is not None:
            raise LoraError(f"{checkpoint.path} is {kind} ({key}), which is not supported; use a plain LoRA")


def _check_complete(lora: LoraFile, module: str, change: ModuleChange) -> None:
    """Nothing of a module may be left over, every part must hold numbers, and a DoRA must have its magnitudes."""
    for role, key in change.keys.items():
        entry = lora.checkpoint.entries[key][1]
        count = math.prod(entry.shape)
        if count == 0 or (role == "alpha" and count != 1):
            needed = "one number is" if role == "alpha" else "numbers are"
            raise LoraError(
                f"{lora.path}: {key!r} has the shape {tuple(entry.shape)}; {needed} needed. The file is damaged, "
                "download it again or save it anew"
            )
        if role != "alpha" and not entry.dtype.startswith(("F", "BF")):
            raise LoraError(
                f"{lora.path}: {key!r} is stored as {entry.dtype}; numbers with a fraction are needed (F32, F16, BF16 "
                "or fp8). Use another export of this LoRA"
            )
    used = {*_ALONE, *DIFFERENCES, *change.weight_roles} | (_WITH_WEIGHT if change.kind else set())
    left = [key for role, key in change.keys.items() if role not in used]
    if left:
        raise LoraError(
            f"{lora.path}: {left[0]!r}{_more(left)} is only a part of a change of {module}, the other parts are "
            "missing; the file is incomplete, download it again or save it anew"
        )
    if (
        change.kind
        and change.kind.name == "LoRA"
        and "magnitude" not in change.keys
        and lora.scales.of(module).uses_dora
    ):
        raise LoraError(
            f"{lora.path} says that it is a DoRA (use_dora), but has no magnitude for {module} "
            "(lora_magnitude_vector or dora_scale); save it anew with its magnitudes"
        )


def _more(keys: list[str]) -> str:
    return f" and {len(keys) - 1} more" if len(keys) > 1 else ""
