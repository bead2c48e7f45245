"""Turning one planned tensor into what its layer keeps: read, dequantise, fuse LoRAs, cast or quantise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..quantization.formats import (
    FP8_DTYPES,
    INPUT_SCALE_NAMES,
    SCALE_NAMES,
    ComfyQuant,
    StoredFormat,
    check_description,
    parse_comfy_quant,
)
from ..quantization.fp8 import cast_to_fp8, dequantize, quantize_weight
from ..quantization.fp8_blocks import dequantize_blocks
from ..quantization.gguf_blocks import dequantize_gguf
from ..quantization.int8 import dequantize_int8
from ..quantization.linear import CastLinear, ScaledLinear
from ..quantization.mxfp8 import dequantize_mxfp8
from ..quantization.nvfp4 import dequantize_nvfp4
from ..quantization.packed import PackedLinear, to_unpacked_linear
from .dtypes import BYTES
from .errors import UnsupportedFormatError
from .fusion import delta_dtype, fuse_plain, fuse_scaled
from .parallel_read import ParallelReader
from .plan import KeyRules, Source, Step
from .state_dict import StateDict
from .tensor_file import TensorFile

DeltaReader = Callable[[str, torch.dtype, Callable[[], Tensor]], "Tensor | None"]
"""Gives a tensor's summed LoRA change, None when no LoRA changes it: its name (a weight's is that of its module), the
dtype of the change, and what gives the tensor without LoRAs, dequantised."""


class SourceReader:
    """Reads planned tensors from their files, each opened once; a context manager."""

    def __init__(
        self, rules: KeyRules, device: torch.device, keeps: Callable[[Source], bool], order: Iterable[Source] = ()
    ) -> None:
        """Prepare to read.

        Args:
            device: where tensors are read to.
            keeps: tells whether the model will hold a tensor on the CPU as the file does; such a tensor stays mapped.
            order: what will be read, in this order.
        """
        self._rules, self.device, self._keeps = rules, device, keeps
        self._files: dict[int, TensorFile] = {}
        self._stack = ExitStack()
        copied = ((source.header, source.key) for source in order if self._in_parallel(source))
        self._copies = self._stack.enter_context(ParallelReader(device, copied))

    def __enter__(self) -> SourceReader:
        return self

    def __exit__(self, *error: object) -> None:
        self._files.clear()
        self._stack.close()

    def _in_parallel(self, source: Source) -> bool:
        return source.header.tensors[source.key].dtype in BYTES and not self._keeps(source)

    def read(self, source: Source) -> Tensor:
        """The tensor on the device, after the key-value rules; a packed one as its bytes."""
        if self._in_parallel(source):
            value = self._copies.read(source.header, source.key)
            return self._rules.apply_to_key_value(source.renamed, value)[source.part].new_value
        file = self._files.get(id(source.header))
        if file is None:
            file = self._files[id(source.header)] = self._stack.enter_context(TensorFile(source.header))
        if source.stored.packing:
            return file.read_packed(source.key, self.device)
        read = file.read if self._keeps(source) else file.read_copy
        value = read(source.key, "cpu" if self._keeps(source) else self.device)
        return self._rules.apply_to_key_value(source.renamed, value)[source.part].new_value


@dataclass(frozen=True)
class CachedReader:
    """Takes planned tensors from a state dict that is already in memory; a context manager like ``SourceReader``."""

    state_dict: StateDict
    device: torch.device

    def __enter__(self) -> CachedReader:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def read(self, source: Source) -> Tensor:
        """The tensor on the device."""
        return self.state_dict.sd[source.name].to(self.device)


@dataclass(frozen=True)
class Materializer:
    """Fills layers one tensor at a time. What is computed is computed where the reader reads to.

    Attributes:
        home: where the layers' tensors will be.
        dtype: dtype of every floating tensor that is not kept in fp8; None keeps the file's.
        deltas: the LoRA changes.
        changes: whether a module has any, without reading it.
    """

    reader: SourceReader | CachedReader
    home: torch.device
    dtype: torch.dtype | None
    deltas: DeltaReader
    changes: Callable[[str], bool]

    def fill(self, module: nn.Module, step: Step) -> None:
        """Put the tensor of ``step`` into ``module``."""
        value = self._weight(module, step) if step.leaf == "weight" else self._other(module, step)
        if step.gate is not None:
            rows = self._decoded(step.gate, torch.float32).to(value.device).float()
            rows = rows.view(-1, *[1] * (value.ndim - 1))
            value = (value.float() * rows).to(value.dtype)
        value = value.to(self.home)
        if step.leaf in module._parameters:
            value = nn.Parameter(value, requires_grad=False)
        setattr(module, step.leaf, value)

    def _other(self, module: nn.Module, step: Step) -> Tensor:
        stored = self._dequantized(module, step, self.dtype or torch.bfloat16)
        value = self._other_as_kept(module, stored)
        delta = self.deltas(step.name, delta_dtype(value.dtype), lambda: stored)
        return value if delta is None else fuse_plain(stored, delta.float(), value.dtype)

    def _other_as_kept(self, module: nn.Module, value: Tensor) -> Tensor:
        if isinstance(module, CastLinear):
            if value.dtype in FP8_DTYPES:
                return value
            return cast_to_fp8(value) if module.casts_bias else self._cast(value)
        return value.to(self.dtype or torch.bfloat16) if value.dtype in FP8_DTYPES else self._cast(value)

    def _weight(self, module: nn.Module, step: Step) -> Tensor:
        if isinstance(module, PackedLinear):
            return self._packed_weight(module, step)
        if isinstance(module, ScaledLinear):
            return self._scaled_weight(module, step)
        if isinstance(module, CastLinear):
            return self._cast_weight(module, step)
        return self._wide_weight(module, step)

    def _wide_weight(self, module: nn.Module, step: Step) -> Tensor:
        value = self._dequantized(module, step, self.dtype or torch.bfloat16)
        target = self.dtype if self.dtype and value.is_floating_point() else value.dtype
        delta = self.deltas(step.module_name, target, lambda: value)
        return self._cast(value) if delta is None else fuse_plain(value, delta, target)

    def _packed_weight(self, layer: PackedLinear, step: Step) -> Tensor:
        """The codes as they are; a layer that a LoRA changes is widened, since a sum has no codes."""
        codes = None if self.changes(step.module_name) else self.reader.read(step.source)
        if codes is None or (step.source.stored.packing and codes.is_floating_point()):
            return self._wide_weight(to_unpacked_linear(layer), step)
        self._comfy_quant(step)  # for its checks
        layer.weight_scale = self._auxiliary(step, SCALE_NAMES)
        return codes

    def _scaled_weight(self, layer: ScaledLinear, step: Step) -> Tensor:
        scale, input_scale = self._auxiliary(step, SCALE_NAMES), self._auxiliary(step, INPUT_SCALE_NAMES)
        if step.format not in (StoredFormat.FP8, StoredFormat.SCALED_FP8):
            value = self._dequantized(layer, step, self.dtype or torch.bfloat16)
            delta = self.deltas(step.module_name, value.dtype, lambda: value)
            codes, scale = quantize_weight(value if delta is None else fuse_plain(value, delta, value.dtype))
        else:
            codes = self.reader.read(step.source)
            scale = torch.ones((), device=codes.device) if scale is None else scale.float().reshape(())
            plain = lambda: dequantize(codes, scale, torch.float32)  # noqa: E731
            delta = self.deltas(step.module_name, delta_dtype(codes.dtype), plain)
            if delta is not None:
                codes, scale = fuse_scaled(codes, scale, delta)
            elif codes.dtype != torch.float8_e4m3fn:  # e5m2 weights have no scaled multiplication with every input
                codes, scale = quantize_weight(dequantize(codes, scale, torch.float32))
        layer.set_scales(scale, input_scale)
        comfy = self._comfy_quant(step)
        layer.full_precision = comfy is not None and comfy.full_precision_matrix_mult
        return codes

    def _cast_weight(self, layer: CastLinear, step: Step) -> Tensor:
        if step.format is StoredFormat.FP8:
            value = self.reader.read(step.source)
        else:  # scales are folded in by way of bf16, whatever the build dtype
            value = cast_to_fp8(self._dequantized(layer, step, torch.bfloat16))
        delta = self.deltas(step.module_name, delta_dtype(value.dtype), lambda: value)
        return value if delta is None else fuse_plain(value, delta, value.dtype)

    def _dequantized(self, module: nn.Module, step: Step, wide: torch.dtype) -> Tensor:
        """The weight without scales: as stored when it is not quantised, else in dtype ``wide``."""
        if step.format is StoredFormat.GGUF:
            return self._decoded(step.source, wide)
        value = self.reader.read(step.source)
        if step.format is StoredFormat.SCALED_FP8:
            return dequantize(value, self._auxiliary(step, SCALE_NAMES), wide)
        if step.format is StoredFormat.FP8:
            return value.to(wide)
        if step.format is StoredFormat.BLOCKED_FP8:
            return dequantize_blocks(value, self._auxiliary(step, SCALE_NAMES), wide)
        if step.format is StoredFormat.MXFP8:
            return dequantize_mxfp8(value, self._auxiliary(step, SCALE_NAMES), tuple(module.weight.shape), wide)
        if step.format is StoredFormat.NVFP4:
            scales = (self._auxiliary(step, (name,)) for name in ("weight_scale", "weight_scale_2"))
            try:
                return dequantize_nvfp4(value, *scales, tuple(module.weight.shape), wide)
            except ValueError as error:
                raise UnsupportedFormatError(f"{step.source.header.path}: {step.name}: {error}") from error
        if step.format is StoredFormat.INT8:
            described = self._comfy_quant(step)
            try:
                return dequantize_int8(value, self._auxiliary(step, SCALE_NAMES), described.rotation, wide)
            except ValueError as error:
                raise UnsupportedFormatError(f"{step.source.header.path}: {step.name}: {error}") from error
        return value

    def _decoded(self, source: Source, wide: torch.dtype) -> Tensor:
        """A tensor as it is stored, GGUF blocks decoded; from a registry these are whole already."""
        value, stored = self.reader.read(source), source.stored
        packed = stored.packing and not value.is_floating_point()
        return dequantize_gguf(value, stored.packing, stored.shape, wide) if packed else value

    def _auxiliary(self, step: Step, names: tuple[str, ...]) -> Tensor | None:
        return next((self.reader.read(step.auxiliary[name]) for name in names if name in step.auxiliary), None)

    def _comfy_quant(self, step: Step) -> ComfyQuant | None:
        raw = self._auxiliary(step, ("comfy_quant",))
        if raw is None:
            return step.comfy
        try:
            described = parse_comfy_quant(raw.cpu().numpy().tobytes(), step.module_name)
            check_description(step.module_name, step.format, described)
            return described
        except ValueError as error:
            raise UnsupportedFormatError(f"{step.source.header.path}: {error}") from error

    def _cast(self, value: Tensor) -> Tensor:
        return value.to(self.dtype) if self.dtype and value.is_floating_point() else value
