"""Building Gemma on the meta device and filling it, tensor by tensor, straight on the target device."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from ...loader.errors import MissingTensorsError, ShapeMismatchError
from ...loader.fusion import delta_dtype, fuse_plain, fuse_scaled
from ...loader.parallel_read import ParallelReader
from ...loader.tensor_file import TensorFile
from ...quantization.formats import ComfyQuant, packing_of
from ...quantization.fp8 import dequantize
from ...quantization.fp8_blocks import dequantize_blocks
from ...quantization.int8 import dequantize_int8
from ...quantization.mxfp8 import dequantize_mxfp8
from ...quantization.nvfp4 import dequantize_nvfp4
from ...quantization.packed import to_packed_linear
from .adapters import GemmaDeltas
from .config import GemmaConfig, TextEncoderFileError
from .files import GemmaFiles, GemmaTensors, StoredTensor, stored_form
from .hidden_states import accept_batches, all_hidden_states
from .linear import Fp8Linear, Int8Linear, Nvfp4Linear, dequantize_fp8
from .networks import fill_buffers, new_network

_FP8 = {"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}
_KEPT = (torch.uint8, torch.int8, *_FP8.values())
_E8M0 = (torch.uint8, getattr(torch, "float8_e8m0fnu", torch.uint8))
_SHOWN = 8


class Gemma(nn.Module):
    """The language model and, for prompts enhanced from an image, Gemma 3's vision tower and projector.

    They are transformers' modules, under the names that the files' tensors have here.
    """

    def __init__(self, config: GemmaConfig, with_vision: bool = False):
        super().__init__()
        network = new_network(config, with_vision)
        self.config = config
        self.language_model = network.language_model
        self.vision_tower = network.vision_tower
        self.multi_modal_projector = network.multi_modal_projector
        accept_batches(self.language_model.layers)
        # Holds the modules above: in a tuple, so that they are not registered (and moved, and listed) twice.
        self._writer = (network.writer,)

    def hidden_states(self, prompts: Sequence[Tensor], first_positions: Sequence[int]) -> list[Tensor]:
        """All hidden states of several prompts; see :func:`all_hidden_states`."""
        return all_hidden_states(self.language_model, prompts, first_positions)

    @property
    def writer(self) -> nn.Module | None:
        """transformers' model that generates text, on the weights of the modules here; ``None`` for Gemma 4."""
        (writer,) = self._writer
        if writer is not None:
            writer.eval()
            writer.get_output_embeddings().weight = self.language_model.embed_tokens.weight
        return writer


def load_gemma(
    files: GemmaFiles,
    dtype: torch.dtype = torch.bfloat16,
    device: torch.device | str = "cpu",
    with_vision: bool = False,
    progress: Callable[[int, int], None] | None = None,
    deltas: GemmaDeltas | None = None,
) -> Gemma:
    """Build Gemma and read its weights.

    Args:
        files: from :func:`open_gemma`.
        dtype: compute dtype. Weights stored in 16 or 32 bits are converted to it; quantised linear weights stay as
            they are and are widened when used.
        with_vision: also read the vision tower, needed only to enhance prompts from images.
        progress: called with (tensors done, tensors in all) after every tensor; it may raise to stop.
        deltas: LoRA changes, added while reading. Changed fp8 layers stay fp8, changed 4-bit and int8 ones are widened.

    Raises:
        MissingTensorsError, ShapeMismatchError: tensors are missing or have another shape (both list them).
        TextEncoderFileError: ``with_vision`` and there is no vision tower.
    """
    if with_vision and not files.has_vision:
        raise TextEncoderFileError(
            f"{files.path}: no vision tower in this text encoder, so prompts cannot be enhanced from an image. "
            "Use a complete Gemma 3 12B file or folder, or enhance from the text alone."
        )
    with torch.device("meta"):
        model = Gemma(files.config, with_vision=with_vision)
        install_quantized_linears(model, files, keeps_wide=deltas.changes if deltas else None)
    model.requires_grad_(False)
    wanted = model.state_dict()
    widened = {name for name in wanted if deltas and deltas.changes(name) and files.tensors[name].dtype == "U8"}
    check_complete(files.path, {name: value for name, value in wanted.items() if name not in widened}, files.tensors)
    model.load_state_dict(read_tensors(wanted, files, dtype, device, progress, deltas), assign=True)
    fill_buffers(model, device)
    return model.requires_grad_(False).eval()


def install_quantized_linears(
    model: nn.Module, files: GemmaTensors, keeps_wide: Callable[[str], bool] | None = None
) -> None:
    """Replace every ``nn.Linear`` whose stored weight is fp8, mxfp8, nvfp4 or int8 by the layer that keeps it so.

    ``keeps_wide``: whether a weight, by name, must stay wide unless it is fp8 with one scale or none.
    """
    tensors = files.tensors
    for name, module in list(model.named_modules()):
        entry = tensors.get(f"{name}.weight")
        if not isinstance(module, nn.Linear) or entry is None:
            continue
        packing = packing_of(stored_form(name, tensors), entry.described) if entry.dtype in _FP8 else None
        is_simple = entry.dtype in _FP8 and packing is None
        if keeps_wide is not None and keeps_wide(f"{name}.weight") and not is_simple:
            continue
        if entry.dtype in _FP8:
            if packing is not None:
                scale = tensors[f"{name}.weight_scale"].described
                packed = to_packed_linear(module, packing)
                packed.weight = nn.Parameter(module.weight.to(_FP8[entry.dtype]), requires_grad=False)
                packed.weight_scale = torch.empty(scale.shape, dtype=scale.dtype, device=module.weight.device)
                continue
            scaled = f"{name}.weight_scale" in tensors
            bias = module.bias is not None
            quantized = Fp8Linear(module.in_features, module.out_features, bias, _FP8[entry.dtype], scaled)
        elif entry.dtype == "U8":
            shape, scales = (module.out_features, module.in_features), tensors[f"{name}.weight_scale"]
            quantized = Nvfp4Linear(shape, packed_shape=entry.shape, scale_shape=scales.shape)
        elif entry.dtype == "I8":
            shape, scales = (module.out_features, module.in_features), tensors[f"{name}.weight_scale"]
            quantized = Int8Linear(shape, scale_shape=scales.shape, rotation=files.quantization[name].rotation)
        else:
            continue
        model.set_submodule(name, quantized)


def check_complete(path: Path, wanted: Mapping[str, Tensor], tensors: Mapping[str, StoredTensor]) -> None:
    """Every wanted tensor must be in the files with its shape (scales may be ``()`` or ``(1,)``).

    Raises:
        MissingTensorsError, ShapeMismatchError: with the list of what is missing or does not fit.
    """
    missing = [name for name in wanted if name not in tensors]
    if missing:
        raise MissingTensorsError(
            f"{path}: {len(missing)} of {len(wanted)} tensors of the text encoder are missing: {_listed(missing)}. "
            "The download is incomplete or this is another model.",
            component="text_encoder",
            keys=missing,
        )
    wrong = [
        f"{name} {tensors[name].shape} instead of {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if tensors[name].shape != tuple(tensor.shape) and not _both_scalars(tensors[name].shape, tensor)
    ]
    if wrong:
        raise ShapeMismatchError(f"{path}: tensors of unexpected shape: {_listed(wrong)}.")


def read_tensors(
    wanted: Mapping[str, Tensor],
    files: GemmaTensors,
    dtype: torch.dtype,
    device: torch.device | str,
    progress: Callable[[int, int], None] | None = None,
    deltas: GemmaDeltas | None = None,
) -> dict[str, Tensor]:
    """Read the wanted tensors, file by file, onto ``device``; wide floats are converted to ``dtype``."""
    tensors = files.tensors
    by_file: dict[Path, list[str]] = defaultdict(list)
    for name in wanted:
        by_file[tensors[name].file.path].append(name)
    loaded, new_scales = {}, {}
    for names in by_file.values():
        header = tensors[names[0]].file
        order = ((header, tensors[name].key) for name in names)
        with TensorFile(header) as source, ParallelReader(device, order) as copies:
            # On the CPU tensors stay mapped; to another device they are read, without a page of them left behind.
            mapped = torch.device(device).type == "cpu" or header.format != "safetensors"
            read = partial(source.read, device=device) if mapped else partial(copies.read, header)
            for name in names:
                keep = wanted[name].dtype in _KEPT or "weight_scale" in name
                stored = read(tensors[name].key)
                scale = tensors.get(f"{name}_scale")
                if tensors[name].shape != files.logical_shape(name) and not keep:  # 4 bits that a LoRA changes
                    scales = (read(tensors[name + suffix].key) for suffix in ("_scale", "_scale_2"))
                    stored, scale = dequantize_nvfp4(stored, *scales, tuple(wanted[name].shape), dtype), None
                stored = stored.reshape(wanted[name].shape)
                if keep:
                    loaded[name] = _reinterpreted(stored, wanted[name].dtype)
                elif scale is not None:  # a quantised embedding
                    described = files.quantization.get(name.removesuffix(".weight"))
                    loaded[name] = _widened(stored, read(scale.key), dtype, described)
                else:
                    loaded[name] = stored.to(dtype)
                if deltas and deltas.changes(name):
                    scale_tensor = read(scale.key) if keep and scale is not None else None
                    loaded[name], new_scales[f"{name}_scale"] = _fused(name, loaded[name], scale_tensor, deltas)
                if progress:
                    progress(len(loaded), len(wanted))
    return loaded | {name: scale for name, scale in new_scales.items() if scale is not None}


def _fused(name: str, weight: Tensor, scale: Tensor | None, deltas: GemmaDeltas) -> tuple[Tensor, Tensor | None]:
    """A weight with its LoRA changes, and its new scale where it has one."""
    if scale is None:
        delta = deltas(name, delta_dtype(weight.dtype), lambda: weight)
        return fuse_plain(weight, delta, weight.dtype), None
    delta = deltas(name, torch.bfloat16, lambda: dequantize(weight, scale, torch.float32))
    return fuse_scaled(weight, scale, delta)


def _widened(stored: Tensor, scale: Tensor, dtype: torch.dtype, described: ComfyQuant | None) -> Tensor:
    if stored.dtype == torch.int8:
        return dequantize_int8(stored, scale, described.rotation, dtype)
    if scale.dtype in _E8M0:
        return dequantize_mxfp8(stored, scale, tuple(stored.shape), dtype)
    if scale.numel() > 1:
        return dequantize_blocks(stored, scale, dtype)
    return dequantize_fp8(stored, scale, dtype)


def _reinterpreted(stored: Tensor, dtype: torch.dtype) -> Tensor:
    """Block scales may be stored as raw bytes; scalar scales of any float dtype are float32 here."""
    return stored.view(dtype) if stored.dtype.itemsize == dtype.itemsize else stored.to(dtype)


def _both_scalars(shape: tuple[int, ...], tensor: Tensor) -> bool:
    return tensor.dim() == 0 and shape == (1,)


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
