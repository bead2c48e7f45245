"""LoRAs matched to one model: which of its tensors they change, and by how much."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .adapter_math import DIFFERENCES, by_columns, decomposed, weight_change
from .errors import LoraError
from .key_maps.lora_names import ModuleNames, names_text_encoder
from .lora_file import LoraFile, LoraReport, ModuleChange
from .tensor_file import TensorFile

logger = logging.getLogger(__name__)

Shape = tuple[int, ...]


class Names(Protocol):
    """Finds a model's module by a file's spelling of it."""

    def find(self, module: str) -> str | None: ...


@dataclass(frozen=True)
class _Change:
    """What the ``index``-th LoRA does to one tensor: ``roles`` add to it, ``replaced_by`` takes its place."""

    index: int
    module: str
    change: ModuleChange
    roles: tuple[str, ...]
    replaced_by: str | None = None

    @property
    def is_dora(self) -> bool:
        """The result is given the lengths that the file has for it."""
        return "magnitude" in self.change.keys and self.roles == self.change.weight_roles

    @property
    def is_sum(self) -> bool:
        """The change does not depend on the tensor's value."""
        return self.replaced_by is None and not self.is_dora

    @property
    def is_bias(self) -> bool:
        return bool(_BIAS_ROLES & set(self.roles)) or self.replaced_by == "set_bias"


_BIAS_ROLES = frozenset({"up_bias", "diff_b", "b_norm"})


class LoraFusion:
    """LoRAs matched to one model; gives each tensor's summed change when it is asked for.

    A tensor is called by its name in the model, a weight by the name of its module. A context manager: the files stay
    open while weights are fused.
    """

    def __init__(
        self,
        loras: list[tuple[LoraFile, float]],
        tensors: Mapping[str, Shape],
        names: Callable[[Collection[str]], Names] = ModuleNames,
    ) -> None:
        """Match every LoRA against the model.

        Args:
            loras: opened files with their strengths.
            tensors: shape of every tensor that may be changed: a weight's by the name of its module, any other's by
                its own name.
            names: how the files' spellings are understood.

        Raises:
            LoraError: a LoRA that changes nothing of this model, whose shapes do not fit, or that has a bias for a
                module without one.
        """
        known = names(tensors.keys())
        self.reports: list[LoraReport] = []
        self._tensors = tensors
        self._by_tensor: dict[str, list[_Change]] = {}
        self._strengths = [strength for _, strength in loras]
        self._loras = [lora for lora, _ in loras]
        self._files: list[TensorFile] = []
        for index, (lora, _) in enumerate(loras):
            matched = {module: name for module in lora.changes if (name := known.find(module)) is not None}
            _refuse_strange_parts(lora, known, matched)
            for module, name in matched.items():
                self._match(index, lora, module, name)
            self.reports.append(_report(lora, matched))

    def _match(self, index: int, lora: LoraFile, module: str, name: str) -> None:
        change = lora.changes[module]
        bias_roles = tuple(role for role in change.keys if role in _BIAS_ROLES)
        parts = [_Change(index, module, change, change.weight_roles)] if change.weight_roles else []
        parts += [_Change(index, module, change, (role,)) for role in change.further_differences]
        if "set_weight" in change.keys:
            parts.append(_Change(index, module, change, (), "set_weight"))
        biases = [_Change(index, module, change, bias_roles)] if bias_roles else []
        if "set_bias" in change.keys:
            biases.append(_Change(index, module, change, (), "set_bias"))
        bias = f"{name}.bias"
        if biases and bias not in self._tensors:
            key = change.keys[biases[0].replaced_by or biases[0].roles[0]]
            raise LoraError(
                f"{lora.path} has a bias for {name} ({key}), which has none in this model; it was made for another "
                "model version"
            )
        for target, entries in ((name, parts), (bias, biases)):
            for entry in entries:
                _check_shapes(lora, target, entry, self._tensors[target])
                self._by_tensor.setdefault(target, []).append(entry)

    def changes(self, name: str) -> bool:
        """Whether any LoRA changes this tensor (a weight by the name of its module)."""
        return name in self._by_tensor

    def __enter__(self) -> LoraFusion:
        self._files = [TensorFile(lora.checkpoint.headers[0]).__enter__() for lora in self._loras]
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._files:
            file.__exit__(None, None, None)
        self._files = []

    def delta(
        self,
        name: str,
        dtype: torch.dtype,
        device: torch.device,
        load_device: torch.device,
        weight: Callable[[], Tensor] | None = None,
    ) -> Tensor | None:
        """Sum of all changes of a tensor on ``device``, in its shape; None when there is none.

        Args:
            dtype: of the result, where the changes are plain sums; a DoRA or a replacement gives float32.
            load_device: where matrices are read to first.
            weight: gives the tensor as it is without LoRAs, dequantised. A DoRA and a replacement depend on it; they
                work on what the LoRAs before them left.

        Raises:
            LoraError: ``weight`` is needed and not given.
        """
        entries = self._by_tensor.get(name, ())
        if not entries:
            return None
        if all(entry.is_sum for entry in entries):
            products = [self._sum(entry, self._strengths[entry.index], device, load_device) for entry in entries]
            shape = self._tensors[name]
            products = [product.to(dtype).reshape(shape) for product in products]
            return products[0] if len(products) == 1 else torch.stack(products).sum(dim=0)
        if weight is None:
            raise LoraError(f"{self._loras[entries[0].index].path} changes {name} in a way that depends on its value")
        original = weight().to(device, torch.float32)
        changed = original.clone()
        for entry in entries:
            strength = self._strengths[entry.index]
            if entry.is_sum:
                changed += self._sum(entry, strength, device, load_device).float().reshape(changed.shape)
                continue
            if entry.replaced_by is not None:
                aim = self._read(entry, entry.replaced_by, device, load_device).float().reshape(changed.shape)
            else:
                magnitude = self._read(entry, "magnitude", device, load_device)
                aim = decomposed(changed, self._sum(entry, 1.0, device, load_device), magnitude)
            # Between the tensor as it is (strength 0) and what was trained (1), on a straight line.
            changed += (aim - changed) * strength
        return changed - original

    def _sum(self, entry: _Change, strength: float, device: torch.device, load_device: torch.device) -> Tensor:
        parts = {role: self._read(entry, role, device, load_device) for role in entry.roles}
        factor = strength * self._scale(entry)
        if not entry.is_bias:
            return weight_change(parts, factor)
        scaled = {"up_bias": factor}
        return sum(value.float() * scaled.get(role, strength) for role, value in parts.items())

    def _scale(self, entry: _Change) -> float:
        """Alpha over the rank."""
        lora = self._loras[entry.index]
        rank = lora.rank(entry.change)
        if rank is None or not {*entry.roles} - DIFFERENCES:
            return 1.0
        if "alpha" in entry.change.keys:
            key = entry.change.keys["alpha"]
            alpha = self._files[entry.index].read(key).float().item()
            if not math.isfinite(alpha):
                raise LoraError(f"{lora.path}: {key!r} is {alpha}; a number is needed. Download the file again")
            return alpha / rank
        return lora.scales.of(entry.module).factor(entry.module, rank) if entry.change.kind.name == "LoRA" else 1.0

    def _read(self, entry: _Change, role: str, device: torch.device, load_device: torch.device) -> Tensor:
        return self._files[entry.index].read_copy(entry.change.keys[role], load_device).to(device)


def _refuse_strange_parts(lora: LoraFile, known: Names, matched: Mapping[str, str]) -> None:
    """``to_q.lora_A.bias`` reads like the bias of a module ``to_q.lora_A``, but a layer holds no other modules."""
    for module, change in lora.changes.items():
        parent = module.rpartition(".")[0]
        if module not in matched and parent and known.find(parent) is not None:
            raise LoraError(
                f"{lora.path} holds {next(iter(change.keys.values()))}, which is no part of an adapter that can be "
                f"applied to {known.find(parent)}; the rest alone would do something else. Use another export of this "
                "LoRA"
            )


def _check_shapes(lora: LoraFile, name: str, entry: _Change, shape: Shape) -> None:
    shapes = {role: lora.checkpoint.shapes[key] for role, key in entry.change.keys.items()}
    fits = "; it was made for another model version"
    if {*entry.roles} == {"down", "up"} and len(shapes["down"]) == len(shapes["up"]) == 2:
        down, up = shapes["down"], shapes["up"]
        if len(shape) != 2 or up[1] != down[0] or (up[0], down[1]) != tuple(shape):
            raise LoraError(
                f"{lora.path} does not fit this model: for {name} it has matrices {up} and {down}, which change a "
                f"weight of shape {(*up[:1], *down[1:])}, the model's is {tuple(shape)}{fits}"
            )
    elif entry.is_bias or entry.replaced_by:
        wrong = [r for r in (entry.replaced_by, *entry.roles) if r and shapes[r] != tuple(shape)]
        if wrong:
            raise LoraError(
                f"{lora.path} does not fit this model: {entry.change.keys[wrong[0]]} has the shape {shapes[wrong[0]]}, "
                f"the model's {name} {tuple(shape)}{fits}"
            )
    else:
        found = _shape_of_change({role: shapes[role] for role in entry.roles})
        if found != tuple(shape):
            listed = ", ".join(f"{entry.change.keys[role]} {shapes[role]}" for role in entry.roles)
            what = "no change of any weight" if found is None else f"a change of shape {found}"
            raise LoraError(
                f"{lora.path} does not fit this model: for {name} it has {listed}, which make {what}, the model's is "
                f"{tuple(shape)}{fits}"
            )
    if entry.is_dora:
        try:
            by_columns(shapes["magnitude"], shape)
        except ValueError as error:
            key = entry.change.keys["magnitude"]
            raise LoraError(f"{lora.path} does not fit this model: {key} is {error}{fits}") from error


def _shape_of_change(shapes: Mapping[str, Shape]) -> Shape | None:
    """What the parts multiply to, found by multiplying tensors without data; None when they do not fit."""
    try:
        parts = {role: torch.empty(shape, device="meta") for role, shape in shapes.items()}
        return tuple(weight_change(parts, 1.0).shape)
    except (RuntimeError, ValueError):
        return None


def _report(lora: LoraFile, matched: Mapping[str, str]) -> LoraReport:
    used = {key for module in matched for key in lora.changes[module].keys.values()}
    unmatched = tuple(key for key in lora.checkpoint.shapes if key not in used)
    if not matched:
        first = next(iter(lora.changes))
        hint = " (a LoRA of the text encoder goes into the text encoder's loader)" if names_text_encoder(first) else ""
        raise LoraError(
            f"{lora.path} changes nothing of this model: none of its {len(lora.changes)} layers is in it, first "
            f"{first!r}; it was made for another model or component{hint}"
        )
    for key in unmatched:
        logger.debug("%s: lora key not used: %s", lora.path, key)
    if unmatched:
        logger.warning("%s: %d keys not used by this model, first %s", lora.path, len(unmatched), unmatched[0])
    return LoraReport(lora.path, tuple(matched.values()), unmatched)
