"""What a text encoder consists of on disk: one single file, or a Hugging Face folder (spec 05 §2, §15.1)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...loader.dtypes import torch_dtype
from ...loader.folders import resolve_files
from ...loader.header import Header, read_header
from ...loader.tensor_file import TensorFile
from ...quantization import formats
from ...quantization.formats import (
    ComfyQuant,
    StoredFormat,
    check_description,
    comfy_quant_layers,
    comfy_quant_of,
    parse_comfy_quant,
    stored_format,
)
from ...quantization.other_kinds import INSTEAD, other_kind_of_config, other_kind_of_tensors
from .config import GemmaConfig, TextEncoderFileError, gemma_config
from .config_schema import check_gemma_config
from .networks import check_transformers

_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors$")

# Spellings of the same modules: HF since transformers 4.52, HF before, ComfyUI. Order matters.
_PREFIXES = (
    ("model.language_model.", "language_model."),
    ("language_model.model.", "language_model."),
    ("model.vision_tower.vision_model.", "vision_tower."),
    ("model.vision_tower.", "vision_tower."),
    ("vision_tower.vision_model.", "vision_tower."),
    ("vision_tower.", "vision_tower."),
    ("vision_model.", "vision_tower."),
    ("model.multi_modal_projector.", "multi_modal_projector."),
    ("multi_modal_projector.", "multi_modal_projector."),
    ("text_embedding_projection.", "text_embedding_projection."),
    ("model.layers.", "language_model.layers."),
    ("model.embed_tokens.", "language_model.embed_tokens."),
    ("model.norm.", "language_model.norm."),
    ("model.embed_tokens_per_layer.", "language_model.embed_tokens_per_layer."),
    ("model.per_layer_", "language_model.per_layer_"),
)
_SCALE_SPELLINGS = ((".scale_weight", ".weight_scale"), (".weight_scale_inv", ".weight_scale"))
_BESIDE = {"weight", "bias", "weight_scale", "input_scale", "scale_input", "comfy_quant"}
_QUANTISED = {"F8_E4M3", "F8_E5M2", "U8", "I8"}
_OTHER_FILES = "Use the bf16, fp8 or fp4 version of this text encoder."
_READABLE_DTYPES = {"BF16", "F16", "F32", "F8_E4M3", "F8_E5M2", "U8", "I8"}


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies: the file, its name there, safetensors dtype name and shape."""

    file: Header
    key: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def described(self) -> formats.StoredTensor:
        """What the formats are told by."""
        return formats.StoredTensor(torch_dtype(self.dtype), self.shape)

    def read_bytes(self) -> bytes:
        """The content of a tensor that holds a file."""
        with TensorFile(self.file) as source:
            return source.read(self.key).numpy().tobytes()


@dataclass(frozen=True)
class TokenizerFiles:
    """The bytes a tokenizer is made of, and the side files that name its special tokens."""

    kind: str  # "tokenizers" (tokenizer.json) or "sentencepiece" (tokenizer.model)
    data: bytes
    config: Mapping


@dataclass(frozen=True)
class GemmaTensors:
    """What the headers of a Gemma tell: tensors by canonical name, tokenizer location.

    Canonical names start with ``language_model.``, ``vision_tower.``, ``multi_modal_projector.`` or
    ``text_embedding_projection.``; quantised layers carry ``weight_scale`` (and ``weight_scale_2``) beside ``weight``,
    and ``quantization`` holds what the file says of them, by canonical layer name.
    """

    path: Path
    tensors: Mapping[str, StoredTensor]
    raw: Mapping[str, StoredTensor]
    metadata: Mapping[str, str]
    quantization: Mapping[str, ComfyQuant]

    def logical_shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor once it is unpacked."""
        return _logical_shape(self.tensors[name], self.tensors)

    def tokenizer(self) -> TokenizerFiles:
        """Find the tokenizer: inside the single file, else beside the weights.

        Raises:
            TextEncoderFileError: there is none; says where one was looked for.
        """
        if "tokenizer_json" in self.raw:
            return TokenizerFiles(
                "tokenizers", self.raw["tokenizer_json"].read_bytes(), self._asset("tokenizer_config.json")
            )
        if "spiece_model" in self.raw:
            return TokenizerFiles("sentencepiece", self.raw["spiece_model"].read_bytes(), {})
        folder = self.path if self.path.is_dir() else self.path.parent
        for name, kind in (("tokenizer.json", "tokenizers"), ("tokenizer.model", "sentencepiece")):
            found = _first(folder, name)
            if found is not None:
                side = found.with_name("tokenizer_config.json")
                return TokenizerFiles(kind, found.read_bytes(), read_json(side) if side.is_file() else {})
        raise TextEncoderFileError(
            f"{self.path}: no tokenizer. Neither the tensor `spiece_model` in the file nor tokenizer.json or "
            f"tokenizer.model in {folder} was found; put the tokenizer files of the Gemma 3 repository there."
        )

    def _asset(self, name: str) -> dict:
        if f"hf_asset__{name}" in self.raw:
            return parse_json(self.raw[f"hf_asset__{name}"].read_bytes(), f"{name} inside {self.path}")
        if name in self.metadata:
            return parse_json(self.metadata[name], f"{name} in the metadata of {self.path}")
        raise TextEncoderFileError(f"{self.path}: the side file {name} is missing inside it. Download the file again.")


@dataclass(frozen=True)
class GemmaFiles(GemmaTensors):
    """A text encoder judged from its headers: with its architecture."""

    config: GemmaConfig

    @property
    def has_vision(self) -> bool:
        """Whether prompts can be enhanced from an image."""
        return self.config.vision is not None

    def image_processor(self) -> dict:
        """preprocessor_config.json of a folder; empty where there is none, as for single files."""
        found = _first(self.path, "preprocessor_config.json") if self.path.is_dir() else None
        return {} if found is None else read_json(found)


def open_gemma(path: str | Path) -> GemmaFiles:
    """Read the headers of a text encoder and find out what it is; no weights are read.

    Args:
        path: a Hugging Face folder, any of its shards, or a single ``.safetensors`` file.

    Raises:
        TextEncoderFileError: nothing usable there, or transformers is too old for it; the message says what to do.
    """
    opened = open_tensors(path)
    path, metadata, tensors = opened.path, opened.metadata, opened.tensors
    hf_config: dict = {}
    source = f"{path}: gemma_config"
    if "gemma_config" in metadata:
        hf_config = parse_json(metadata["gemma_config"], f"gemma_config in the metadata of {path}")
    elif path.is_dir():
        config_path = _first(path, "config.json")
        if config_path is None:
            raise TextEncoderFileError(f"{path}: config.json is missing. Copy it from the Gemma repository.")
        hf_config, source = read_json(config_path), str(config_path)
    check_gemma_config(hf_config, source)
    shapes = {name: _logical_shape(entry, tensors) for name, entry in tensors.items()}
    try:
        config = gemma_config(hf_config, shapes)
    except KeyError as error:
        raise TextEncoderFileError(f"{path}: tensor {error} is missing; the model is incomplete.") from error
    except TextEncoderFileError as error:
        raise TextEncoderFileError(f"{path}: {error}") from error
    check_transformers(config)
    return GemmaFiles(**vars(opened), config=config)


def open_tensors(path: str | Path) -> GemmaTensors:
    """Read the headers of a Gemma, whatever its architecture; no weights are read.

    Raises:
        TextEncoderFileError: nothing usable there; the message says what to do.
    """
    path = Path(path)
    if not path.exists():
        raise TextEncoderFileError(f"{path}: no such file or folder.")
    if path.is_file() and _SHARD.search(path.name):
        path = path.parent
    headers = _folder_headers(path) if path.is_dir() else [read_header(path)]
    raw = {
        key: StoredTensor(header, key, entry.dtype, entry.shape)
        for header in headers
        for key, entry in header.tensors.items()
    }
    metadata = {key: value for header in headers for key, value in header.metadata.items()}
    _refuse_other_kinds(path, raw)
    tensors = canonical_tensors(raw)
    quantization = _quantization(path, raw, metadata)
    _check_formats(path, tensors, quantization)
    _refuse_unread_companions(path, raw, tensors)
    return GemmaTensors(path=path, tensors=tensors, raw=raw, metadata=metadata, quantization=quantization)


def _refuse_other_kinds(path: Path, raw: Mapping[str, StoredTensor]) -> None:
    """Call a quantisation that is not read here by its name, from the tensors or the folder's ``config.json``."""
    if any(entry.file.format == "gguf" for entry in raw.values()):
        raise TextEncoderFileError(f"{path} is a GGUF file, which is read for the transformer only. {_OTHER_FILES}")
    kind = other_kind_of_tensors({name: entry.shape for name, entry in raw.items()})
    side = _first(path, "config.json") if path.is_dir() and kind is None else None
    if side is not None:
        with suppress(TextEncoderFileError):  # whether it is needed at all is judged later
            kind = other_kind_of_config(read_json(side))
    if kind is not None:
        raise TextEncoderFileError(f"{path} is quantised with {kind}, which is not read here: {INSTEAD}.")


def canonical_tensors(raw: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Rename tensors of any known layout to canonical names; tensors of no use here are left out."""
    unused = (".comfy_quant", ".input_scale", ".scale_input", ".lm_head.weight")
    named = ((_canonical_name(name), entry) for name, entry in raw.items())
    return {name: entry for name, entry in named if name is not None and not name.endswith(unused)}


def _canonical_name(name: str) -> str | None:
    """None for tensors that belong to none of the modules."""
    for old, new in _PREFIXES:
        if name.startswith(old):
            canonical = new + name[len(old) :]
            for spelling, scale in _SCALE_SPELLINGS:
                canonical = canonical.removesuffix(spelling) + scale if canonical.endswith(spelling) else canonical
            return canonical
    return None


def _first(folder: Path, pattern: str) -> Path | None:
    direct = folder / pattern
    if direct.is_file():
        return direct
    return min(folder.rglob(pattern), default=None, key=lambda found: (len(found.parts), found))


def _folder_headers(root: Path) -> list[Header]:
    index = _first(root, "model.safetensors.index.json")
    if index is not None:
        paths = resolve_files(index.parent)
    else:
        first = _first(root, "model*.safetensors")
        paths = tuple(sorted(first.parent.glob("model*.safetensors"))) if first is not None else ()
        paths = paths or tuple(root.glob("*.safetensors"))[:2]
        if first is None and len(paths) > 1:
            raise TextEncoderFileError(f"{root}: several weight files and none is named model*.safetensors. Keep one.")
    if not paths:
        raise TextEncoderFileError(f"{root}: no model*.safetensors in this folder; it needs the Gemma weights.")
    return [read_header(path) for path in paths]


def _logical_shape(entry: StoredTensor, tensors: Mapping[str, StoredTensor]) -> tuple[int, ...]:
    packed = entry.dtype == "U8" and len(entry.shape) == 2
    return (entry.shape[0], entry.shape[1] * 2) if packed else entry.shape


def _quantization(path: Path, raw: Mapping[str, StoredTensor], metadata: Mapping[str, str]) -> dict[str, ComfyQuant]:
    """What the file says of its quantised layers, by canonical name: in its metadata, or in tensors beside them."""
    described: dict[str, ComfyQuant] = {}
    where = f"_quantization_metadata of {path}"
    written = comfy_quant_layers(parse_json(metadata.get("_quantization_metadata", "{}"), where))
    try:
        for name, value in written.items():
            described[name] = comfy_quant_of(value, name)
        for name, entry in raw.items():
            if name.endswith(".comfy_quant"):
                layer = name.removesuffix(".comfy_quant")
                described[layer] = parse_comfy_quant(entry.read_bytes(), layer)
    except ValueError as error:
        raise TextEncoderFileError(f"{path}: {error}. {_OTHER_FILES}") from error
    named = ((_canonical_name(f"{layer}.weight"), value) for layer, value in described.items())
    return {name.removesuffix(".weight"): value for name, value in named if name is not None}


def _check_formats(path: Path, tensors: Mapping[str, StoredTensor], quantization: Mapping[str, ComfyQuant]) -> None:
    weights = {name: entry for name, entry in tensors.items() if name.endswith(".weight")}
    unknown = {entry.dtype for entry in weights.values()} - _READABLE_DTYPES
    if unknown:
        raise TextEncoderFileError(
            f"{path}: weights in the format {', '.join(sorted(unknown))} cannot be read. {_OTHER_FILES}"
        )
    for name, entry in weights.items():
        if entry.dtype == "U8" and not all(name + suffix in tensors for suffix in ("_scale", "_scale_2")):
            raise TextEncoderFileError(f"{path}: {name} is nvfp4 but its weight_scale or weight_scale_2 is missing.")
        _check_layer(path, name.removesuffix(".weight"), tensors, quantization)
        if entry.dtype == "I8":
            scale = tensors.get(f"{name}_scale")
            if scale is None or name.removesuffix(".weight") not in quantization:
                lacking = "weight_scale" if scale is None else "comfy_quant"
                raise TextEncoderFileError(f"{path}: {name} is int8 but its {lacking} is missing.")
            if scale.shape not in ((), (1,), entry.shape[:1], (*entry.shape[:1], 1)):
                raise TextEncoderFileError(
                    f"{path}: {name} is int8 with scales of shape {scale.shape}; one, or one per row, can be read. "
                    f"{_OTHER_FILES}"
                )


def stored_form(layer: str, tensors: Mapping[str, StoredTensor]) -> StoredFormat:
    """The format of a layer, given by its canonical name, whose weight is fp8.

    Raises:
        ValueError: scales that do not fit; the message names the layer.
    """
    beside = ("weight_scale", "weight_scale_2")
    auxiliary = {leaf: tensors[f"{layer}.{leaf}"].described for leaf in beside if f"{layer}.{leaf}" in tensors}
    return stored_format(layer, tensors[f"{layer}.weight"].described, auxiliary)


def _check_layer(
    path: Path, layer: str, tensors: Mapping[str, StoredTensor], quantization: Mapping[str, ComfyQuant]
) -> None:
    form = {"U8": StoredFormat.NVFP4, "I8": StoredFormat.INT8}.get(tensors[f"{layer}.weight"].dtype, StoredFormat.PLAIN)
    try:
        form = stored_form(layer, tensors) if tensors[f"{layer}.weight"].dtype.startswith("F8") else form
        check_description(layer, form, quantization.get(layer))
    except ValueError as error:
        raise TextEncoderFileError(f"{path}: {error}. {_OTHER_FILES}") from error


def _refuse_unread_companions(path: Path, raw: Mapping[str, StoredTensor], tensors: Mapping[str, StoredTensor]) -> None:
    """No scale is overlooked: a quantised weight may have nothing beside it that is not read."""
    for key in raw:
        name = _canonical_name(key)
        for end in (index for index, sign in enumerate(name or "") if sign == "."):
            weight = tensors.get(f"{name[:end]}.weight")
            allowed = weight is None or name[end + 1 :] in _BESIDE or weight.dtype not in _QUANTISED
            if not allowed and not (weight.dtype == "U8" and name[end + 1 :] == "weight_scale_2"):
                raise TextEncoderFileError(
                    f"{path}: beside {weight.key}, stored as {weight.dtype}, lies {key}, which is not known for that. "
                    f"Without it the layer would be wrong. {_OTHER_FILES}"
                )


def read_json(path: Path) -> dict:
    """The JSON object in a side file; errors as :func:`parse_json`."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise TextEncoderFileError(f"{path}: cannot be read ({error.strerror}).") from error
    return parse_json(raw, str(path))


def parse_json(raw: bytes | str, where: str) -> dict:
    """Parse a JSON object.

    Raises:
        TextEncoderFileError: invalid, truncated, or not an object; the message names ``where``.
    """
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise TextEncoderFileError(f"{where} is not valid JSON ({error}). Download the file again.") from error
    if not isinstance(value, dict):
        raise TextEncoderFileError(f"{where} holds a JSON {type(value).__name__}, an object was expected.")
    return value
