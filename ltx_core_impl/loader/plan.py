"""Deciding, from headers and a model without weights, what will be read for each of its tensors.

Everything that can be wrong with a checkpoint is found here, before a single tensor is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import nn

from ..operations import KeyValueOperationResult
from ..quantization.formats import (
    AUXILIARY_NAMES,
    ComfyQuant,
    StoredFormat,
    StoredTensor,
    check_description,
    comfy_quant_layers,
    comfy_quant_of,
    comfy_quant_of_marker,
    logical_shape,
    packing_of,
    padded_shape,
    stored_format,
)
from ..quantization.gguf_blocks import BLOCK_TYPES, decodes_in_torch, require_decoder
from ..quantization.linear import (
    CastLinear,
    ScaledLinear,
    WideLinear,
    to_cast_linear,
    to_plain_linear,
    to_scaled_linear,
)
from ..quantization.packed import to_packed_linear
from .checkpoint import Checkpoint
from .companions import refuse_unread_companions
from .dtypes import torch_dtype
from .errors import MissingTensorsError, ShapeMismatchError, UnsupportedFormatError
from .header import Header
from .key_maps.layouts import COMPONENTS, TRANSFORMER_PREFIXES

_SHOWN = 5


class KeyRules(Protocol):
    """``SDOps`` or a ``KeyMap``."""

    @property
    def name(self) -> str: ...

    def apply_to_key(self, key: str) -> str | None: ...

    def apply_to_key_value(self, key: str, value: torch.Tensor) -> list[KeyValueOperationResult]: ...


@dataclass(frozen=True)
class Source:
    """Where the model's tensor ``name`` comes from.

    It is the ``part``-th result of the key-value rules for the tensor that is ``key`` in the file, then ``renamed``.
    """

    header: Header
    key: str
    name: str
    renamed: str
    part: int
    stored: StoredTensor


@dataclass(frozen=True)
class Step:
    """One tensor of the model, what it is read from, the scales beside it by leaf name, and a gate of its rows."""

    module_name: str
    leaf: str
    source: Source
    format: StoredFormat
    auxiliary: Mapping[str, Source]
    comfy: ComfyQuant | None = None
    gate: Source | None = None

    @property
    def name(self) -> str:
        """The tensor's name in the model's state dict."""
        return f"{self.module_name}.{self.leaf}" if self.module_name else self.leaf


@dataclass(frozen=True)
class LoadPlan:
    """Everything decided before a tensor is read."""

    checkpoint: Checkpoint
    rules: KeyRules
    model: nn.Module
    steps: list[Step]


def plan_sources(checkpoint: Checkpoint, rules: KeyRules) -> dict[str, Source]:
    """Source of every tensor the rules take, by its name in the model."""
    sources: dict[str, Source] = {}
    for key, (header, entry) in checkpoint.entries.items():
        renamed = rules.apply_to_key(key)
        if renamed is None:
            continue
        packed = entry.dtype in BLOCK_TYPES
        try:
            if packed:
                require_decoder(entry.dtype)
            dtype = torch.float32 if packed else torch_dtype(entry.dtype)
            meta = torch.empty(entry.shape, dtype=dtype, device="meta")
        except (ValueError, RuntimeError) as error:
            raise UnsupportedFormatError(f"{header.path}: tensor {key!r}: {error}") from error
        for part, (name, value) in enumerate(rules.apply_to_key_value(renamed, meta)):
            if packed and value is meta:  # no rule changes it, so it need not be decoded
                stored = StoredTensor(torch.uint8, entry.shape, entry.dtype)
            else:
                stored = StoredTensor(value.dtype, tuple(value.shape))
            sources[name] = Source(header, key, name, renamed, part, stored)
    return sources


def require_component(checkpoint: Checkpoint, component: str | None) -> None:
    """Refuse a file that has nothing of ``component``; ``MissingTensorsError`` says what it has."""
    if component in COMPONENTS and component not in checkpoint.components:
        raise _missing(checkpoint, component, missing=[], total=0)


def plan_load(model: nn.Module, checkpoint: Checkpoint, sources: Mapping[str, Source], component: str) -> list[Step]:
    """Match the tensors of ``model`` (on ``meta``) with those of ``checkpoint``; fp8 layers take their classes here.

    Raises:
        MissingTensorsError: names the component, how many are missing, and the first of them.
        ShapeMismatchError: names the first tensor of another shape, and both shapes.
        UnsupportedFormatError: a weight format that cannot be read.
    """
    model.requires_grad_(False)
    expected = list(_persistent_tensors(model))
    missing = [f"{path}.{leaf}" if path else leaf for path, leaf in expected]
    missing = [name for name in missing if name not in sources]
    if set(missing) - {*zero_when_absent(model), *_computed_buffers(model)}:
        raise _missing(checkpoint, component, missing, len(expected))
    expected = [(path, leaf) for path, leaf in expected if (f"{path}.{leaf}" if path else leaf) not in missing]
    comfy = _comfy_layers(checkpoint)
    steps = [_step(path, leaf, sources, comfy, checkpoint) for path, leaf in expected]
    refuse_unread_companions(steps, sources)
    steps = [replace(step, gate=_gate(model, step, sources)) for step in steps]
    marked = _marked(checkpoint)
    if marked is not None:
        steps = [replace(step, comfy=marked) if step.format is StoredFormat.SCALED_FP8 else step for step in steps]
    _check_shapes(model, steps, checkpoint, component)
    choose_layer_classes(model, steps)
    return steps


def zero_when_absent(model: nn.Module) -> tuple[str, ...]:
    """Names of the parameters that are zero where a file lacks them; no other tensor may be missing."""
    return getattr(model, "zero_when_absent", ())


def _computed_buffers(model: nn.Module) -> Iterator[str]:
    """Names of the buffers that were computed when the model was made; a file need not hold them."""
    return (name for name, value in model.named_buffers() if not value.is_meta)


def _gate(model: nn.Module, step: Step, sources: Mapping[str, Source]) -> Source | None:
    """The vector that the rows of a tensor are multiplied by, for a model that says so and a file that has it."""
    gate_of = getattr(model, "row_gate", None)
    name = None if gate_of is None else gate_of(step.name)
    return None if name is None else sources.get(name)


def _persistent_tensors(model: nn.Module) -> Iterator[tuple[str, str]]:
    """``(module name, leaf)`` of every parameter and persistent buffer."""
    for path, module in model.named_modules():
        yield from ((path, leaf) for leaf, value in module._parameters.items() if value is not None)
        kept = (leaf for leaf in module._buffers if leaf not in module._non_persistent_buffers_set)
        yield from ((path, leaf) for leaf in kept if module._buffers[leaf] is not None)


def _step(
    path: str, leaf: str, sources: Mapping[str, Source], comfy: Mapping[str, object], checkpoint: Checkpoint
) -> Step:
    source = sources[f"{path}.{leaf}" if path else leaf]
    if leaf != "weight":
        return Step(path, leaf, source, StoredFormat.GGUF if source.stored.packing else StoredFormat.PLAIN, {})
    auxiliary = {name: sources[f"{path}.{name}"] for name in AUXILIARY_NAMES if f"{path}.{name}" in sources}
    try:
        layer = next((name for name in (path, source.key.removesuffix(".weight")) if name in comfy), None)
        described = None if layer is None else comfy_quant_of(comfy[layer], path)
        form = stored_format(path, source.stored, {name: aux.stored for name, aux in auxiliary.items()})
        check_description(path, form, described)
        if form is StoredFormat.INT8 and described is None and "comfy_quant" not in auxiliary:
            raise ValueError(f"{path} is stored as int8 without comfy_quant, which says how; use the file as published")
    except ValueError as error:
        raise UnsupportedFormatError(f"{checkpoint.path}: {error}") from error
    return Step(path, leaf, source, form, auxiliary, described)


def _comfy_layers(checkpoint: Checkpoint) -> Mapping[str, object]:
    """ComfyUI's layer descriptions, also under their names without a prefix: some files name layers without it."""
    try:
        layers = comfy_quant_layers(checkpoint.json_metadata("_quantization_metadata"))
    except ValueError as error:
        raise UnsupportedFormatError(f"{checkpoint.path}: {error}") from error
    return {
        layer.removeprefix(prefix): description
        for layer, description in layers.items()
        for prefix in TRANSFORMER_PREFIXES
        if layer.startswith(prefix)
    }


def _marked(checkpoint: Checkpoint) -> ComfyQuant | None:
    """What the marker tensor of ComfyUI's older scaled files says; the newer metadata come first."""
    if checkpoint.json_metadata("_quantization_metadata"):
        return None
    markers = (shape for key, shape in checkpoint.shapes.items() if key.rpartition(".")[2] == "scaled_fp8")
    return next(filter(None, (comfy_quant_of_marker(math.prod(shape)) for shape in markers)), None)


def _missing(checkpoint: Checkpoint, component: str, missing: list[str], total: int) -> MissingTensorsError:
    listed = ", ".join(missing[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
    if len(missing) == total:
        held = ", ".join(checkpoint.components) or "no component of LTX-2"
        message = f"{checkpoint.path} has no {component}; it holds: {held}. Choose a file with the {component}"
    else:
        message = (
            f"{checkpoint.path}: {len(missing)} of {total} tensors of the {component} are missing: {listed}. "
            "The file is incomplete or of another model version; download it again"
        )
    return MissingTensorsError(message, component=component, keys=missing)


def _check_shapes(model: nn.Module, steps: list[Step], checkpoint: Checkpoint, component: str) -> None:
    """Compare the shapes; where they differ, modules that adopt a stored size are first allowed to do so."""
    wrong = _wrong_shapes(model, steps)
    if not wrong:
        return
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    shapes |= {step.name: _shape(step) for step, _ in wrong}
    stored = {step.name: torch.empty(shapes[step.name], dtype=torch.bfloat16, device="meta") for step in steps}
    try:
        model.load_state_dict(stored, strict=False, assign=True)
    except RuntimeError:  # a size mismatch in torch's words; ours follow
        wrong = _wrong_shapes(model, steps)
    else:
        return
    step, needed = wrong[0]
    raise ShapeMismatchError(
        f"{checkpoint.path}: size mismatch for {step.name} of the {component}: the file ({step.source.key}) has "
        f"{_shape(step)}, the config needs {needed}. Config and tensors are of different model versions"
    )


def _shape(step: Step) -> tuple[int, ...]:
    return logical_shape(step.source.stored, step.format)


def _fits(step: Step, needed: tuple[int, ...]) -> bool:
    """Whether the stored shape is the needed one; nvfp4 and mxfp8 may be padded."""
    return _shape(step) in (needed, padded_shape(needed, step.format) if len(needed) == 2 else needed)


def _wrong_shapes(model: nn.Module, steps: list[Step]) -> list[tuple[Step, tuple[int, ...]]]:
    """Steps whose stored shape is not the model's, with the model's."""
    modules = dict(model.named_modules())
    pairs = ((step, tuple(getattr(modules[step.module_name], step.leaf).shape)) for step in steps)
    return [(step, needed) for step, needed in pairs if not _fits(step, needed)]


def choose_layer_classes(model: nn.Module, steps: list[Step]) -> None:
    """Linears stored packed or in fp8 keep it; in a file with scaled layers, the file decides which are scaled."""
    modules = dict(model.named_modules())
    weights = [(step, modules[step.module_name]) for step in steps if step.leaf == "weight"]
    prequantized = any(step.format is StoredFormat.SCALED_FP8 for step, _ in weights)
    for step, module in weights:
        if not isinstance(module, nn.Linear) or isinstance(module, (CastLinear, WideLinear)):
            continue
        if step.format is StoredFormat.SCALED_FP8 and not isinstance(module, ScaledLinear):
            to_scaled_linear(module)
        elif step.format is StoredFormat.FP8 and not isinstance(module, ScaledLinear):
            to_cast_linear(module)
        elif step.format is StoredFormat.PLAIN and isinstance(module, ScaledLinear) and prequantized:
            to_plain_linear(module)
        elif not isinstance(module, ScaledLinear) and _stays_packed(step):
            to_packed_linear(module, packing_of(step.format, step.source.stored))


def _stays_packed(step: Step) -> bool:
    """GGUF types that only a package decodes are widened once, and so are rows that a gate multiplies."""
    packing = step.source.stored.packing
    kept = packing_of(step.format, step.source.stored) is not None and step.gate is None
    return kept and (not packing or decodes_in_torch(packing))
