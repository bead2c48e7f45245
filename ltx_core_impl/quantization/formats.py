"""In which low-precision form a layer's weight is stored (spec 01 §5.3, §8)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import NamedTuple

import torch

from .fp8_blocks import block_shape
from .gguf_blocks import BLOCK_TYPES
from .int8 import DEFAULT_GROUP, rotation_matrix
from .mxfp8 import BLOCK as MX_BLOCK
from .mxfp8 import PADDING as MX_PADDING
from .mxfp8 import scales_are_tiled
from .nvfp4 import BLOCK
from .packed import BlockedFp8, GgufBlocks, MxFp8, Packing

FP8_DTYPES = (torch.float8_e4m3fn, torch.float8_e5m2)

SCALE_NAMES = ("weight_scale", "scale_weight", "weight_scale_inv")
INPUT_SCALE_NAMES = ("input_scale", "scale_input")
AUXILIARY_NAMES = (*SCALE_NAMES, *INPUT_SCALE_NAMES, "weight_scale_2", "comfy_quant", "pre_quant_scale")
"""Leaf names that stand beside a quantised ``weight``; ``scale_…`` are the legacy ComfyUI spellings, and
``weight_scale_inv``, in spite of its name, is multiplied too."""

MAX_COMFY_QUANT_BYTES = 4096
MAX_GROUP = 1024
COMFY_FORMATS = ("float8_e4m3fn", "float8_e5m2", "mxfp8", "nvfp4", "int8_tensorwise")

_SCALAR = ((), (1,), (1, 1))
_E8M0 = (torch.uint8, getattr(torch, "float8_e8m0fnu", torch.uint8))


class StoredFormat(Enum):
    """How a weight is stored."""

    PLAIN = "plain"
    FP8 = "fp8 without scale"
    SCALED_FP8 = "fp8 with a scale"
    BLOCKED_FP8 = "fp8 with a scale per row or block"
    MXFP8 = "mxfp8"
    NVFP4 = "nvfp4"
    INT8 = "int8 with scales"
    GGUF = "GGUF blocks"


class ComfyQuant(NamedTuple):
    """A ComfyUI per-layer description; ``rotation`` is the number of inputs per rotated group, 0 for none."""

    format: str
    full_precision_matrix_mult: bool = False
    rotation: int = 0


class StoredTensor(NamedTuple):
    """What is known of a tensor before it is read; ``packing`` is the GGUF type of packed bytes, ``shape`` logical."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    packing: str = ""


def stored_format(layer: str, weight: StoredTensor, auxiliary: Mapping[str, StoredTensor]) -> StoredFormat:
    """The format of ``layer.weight``, given the tensors beside it by leaf name.

    Raises:
        ValueError: a format that is not supported, or an incomplete one; the message names layer and format.
    """
    if "pre_quant_scale" in auxiliary:
        raise ValueError(f"{layer} scales its inputs first (pre_quant_scale), which is not supported")
    if weight.packing in BLOCK_TYPES:
        return StoredFormat.GGUF
    scale = next((auxiliary[name] for name in SCALE_NAMES if name in auxiliary), None)
    for name in (*INPUT_SCALE_NAMES, "weight_scale_2"):
        if name in auxiliary and auxiliary[name].shape not in _SCALAR:
            raise ValueError(f"{layer} has a {name} of shape {auxiliary[name].shape}; a single number is supported")
    if weight.dtype in FP8_DTYPES:
        if scale is None:
            return StoredFormat.FP8
        return _scaled_fp8(layer, weight, scale)
    if weight.dtype == torch.uint8 and len(weight.shape) == 2:
        if scale is None or "weight_scale_2" not in auxiliary:
            lacking = "weight_scale" if scale is None else "weight_scale_2"
            raise ValueError(f"{layer} is stored as packed 4-bit values without its {lacking}; only nvfp4 is supported")
        if scale.dtype not in (torch.float8_e4m3fn, torch.uint8):
            raise ValueError(f"{layer} is packed in 4 bits with scales in {scale.dtype}; only nvfp4 is supported")
        return StoredFormat.NVFP4
    if weight.dtype == torch.int8 and len(weight.shape) == 2:
        rows = weight.shape[0]
        if scale is None or scale.shape not in (*_SCALAR, (rows,), (rows, 1)):
            found = "none" if scale is None else f"scales of shape {scale.shape}"
            raise ValueError(
                f"{layer} is stored as int8 and needs one scale, or one per row ({rows}); it has {found}. Use the "
                "bf16, fp8 or nvfp4 file"
            )
        return StoredFormat.INT8
    if not weight.dtype.is_floating_point:
        raise ValueError(f"{layer}.weight is stored as {weight.dtype}, which is no known weight format")
    return StoredFormat.PLAIN


def _scaled_fp8(layer: str, weight: StoredTensor, scale: StoredTensor) -> StoredFormat:
    if scale.dtype in _E8M0:
        if weight.dtype != torch.float8_e4m3fn or scales_are_tiled(weight.shape, scale.shape) is None:
            raise ValueError(
                f"{layer} is mxfp8 of shape {weight.shape} in {weight.dtype} with scales of shape {scale.shape}; one "
                f"per {MX_BLOCK} inputs is needed, row by row or tiled to 128 x 4. Download the file again"
            )
        return StoredFormat.MXFP8
    if not scale.dtype.is_floating_point:
        raise ValueError(f"{layer} is fp8 with scales in {scale.dtype}; numbers in 16 or 32 bit are needed")
    if scale.shape in _SCALAR:
        return StoredFormat.SCALED_FP8
    if block_shape(weight.shape, scale.shape) is None:
        raise ValueError(
            f"{layer} is fp8 of shape {weight.shape} with scales of shape {scale.shape}; one scale per tensor, per "
            "row, or per equal block is supported"
        )
    return StoredFormat.BLOCKED_FP8


def packing_of(form: StoredFormat, weight: StoredTensor) -> Packing | None:
    """How a layer decodes a weight that it keeps as stored; None for formats that are not kept packed."""
    if form is StoredFormat.GGUF:
        return GgufBlocks(weight.packing)
    return {StoredFormat.BLOCKED_FP8: BlockedFp8(), StoredFormat.MXFP8: MxFp8()}.get(form)


def taken_names(form: StoredFormat, auxiliary: Iterable[str]) -> frozenset[str]:
    """Which of the tensors beside a weight its format reads, or may leave out without changing the weight."""
    harmless = {*INPUT_SCALE_NAMES, "comfy_quant"}
    if form in (StoredFormat.PLAIN, StoredFormat.FP8, StoredFormat.GGUF):
        return frozenset(harmless)
    scale = next((name for name in SCALE_NAMES if name in auxiliary), None)
    return frozenset({*harmless, scale, *(("weight_scale_2",) if form is StoredFormat.NVFP4 else ())} - {None})


def logical_shape(weight: StoredTensor, form: StoredFormat) -> tuple[int, ...]:
    """Shape after dequantisation, padding included; nvfp4 packs two inputs per byte."""
    if form is StoredFormat.NVFP4:
        rows, half = weight.shape
        return rows, 2 * half
    return weight.shape


def padded_shape(shape: tuple[int, ...], form: StoredFormat) -> tuple[int, ...]:
    """Shape of a weight as it is stored: nvfp4 and mxfp8 fill rows and columns up (spec 05 §2.4)."""
    multiple = {StoredFormat.NVFP4: BLOCK, StoredFormat.MXFP8: MX_PADDING}.get(form, 1)
    return tuple(-(-size // multiple) * multiple for size in shape)


def parse_comfy_quant(raw: bytes, layer: str) -> ComfyQuant:
    """The JSON of a ``comfy_quant`` tensor; ``ValueError`` when it is none, or of a format that is not supported."""
    if len(raw) > MAX_COMFY_QUANT_BYTES:
        raise ValueError(f"{layer}.comfy_quant has {len(raw)} bytes, at most {MAX_COMFY_QUANT_BYTES} are read")
    try:
        return comfy_quant_of(json.loads(raw.decode("utf-8")), layer)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{layer}.comfy_quant is not JSON ({error})") from error


def comfy_quant_of(value: object, layer: str) -> ComfyQuant:
    """A layer's description, given as an object or (as ComfyUI's guide shows it) as the bare format name."""
    if isinstance(value, str):
        value = {"format": value}
    if not isinstance(value, dict) or not isinstance(value.get("format"), str):
        raise ValueError(f"the quantisation of {layer} is {value!r:.200}; an object with 'format' is needed")
    if value["format"] == "int8_convrot":
        value = {**value, "format": "int8_tensorwise", "convrot": True}
    if value["format"] not in COMFY_FORMATS:
        known = ", ".join(COMFY_FORMATS)
        raise ValueError(f"{layer} is quantised as {value['format']!r:.100}, which is not supported; known are {known}")
    return ComfyQuant(value["format"], value.get("full_precision_matrix_mult") is True, _rotation(value, layer))


def check_description(layer: str, form: StoredFormat, described: ComfyQuant | None) -> None:
    """Raise ``ValueError`` for a layer that is said to be mxfp8 and is not, or the other way round."""
    if described is not None and (described.format == "mxfp8") is not (form is StoredFormat.MXFP8):
        raise ValueError(
            f"{layer} is quantised as {described.format!r}, which is not supported for a weight stored as "
            f"{form.value}: the file contradicts itself; use another one"
        )


def _rotation(value: Mapping[str, object], layer: str) -> int:
    if value.get("convrot") is not True:
        return 0
    size = value.get("convrot_groupsize", DEFAULT_GROUP)
    if not isinstance(size, int) or isinstance(size, bool) or not 4 <= size <= MAX_GROUP:
        raise ValueError(f"{layer} is rotated in groups of {size!r:.100}; a power of 4 up to {MAX_GROUP} is needed")
    rotation_matrix(size)
    return size


def comfy_quant_of_marker(elements: int) -> ComfyQuant | None:
    """What the ``scaled_fp8`` tensor of ComfyUI's older files says of every scaled layer, by its number of values."""
    return ComfyQuant("float8_e4m3fn", full_precision_matrix_mult=True) if elements == 2 else None


def comfy_quant_layers(metadata: Mapping[str, object]) -> Mapping[str, object]:
    """Layer descriptions, unparsed, of a parsed ``_quantization_metadata`` entry (spec 01 §8.2)."""
    layers = metadata.get("layers", {})
    if not isinstance(layers, Mapping):
        raise ValueError(f"_quantization_metadata has layers of type {type(layers).__name__}; an object is needed")
    return layers
