"""Quantization policies: what to do to a model on top of loading it (spec 01 §9)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from ..operations import KeyValueOperationResult, ModuleOps, SDOps
from .calibration import read_input_scales
from .formats import FP8_DTYPES
from .fp8 import cast_to_fp8
from .linear import to_cast_linear, to_scaled_linear, to_wide_linear

logger = logging.getLogger(__name__)

BLOCKS = "transformer_blocks."

CAST_SUFFIXES = (".to_q", ".to_k", ".to_v", ".to_out.0", "ff.net.0.proj", "ff.net.2")
"""Layers of a block that fp8_cast stores as fp8; the last two also match ``audio_ff``."""

UNSCALED_PARTS = (
    "patchify_proj",
    "adaln_single",
    "caption_projection",
    "proj_out",
    "transformer_blocks.0.",
    *(f"transformer_blocks.{index}." for index in range(43, 48)),
)
"""Parts of names that fp8_scaled_mm leaves alone when it quantises a file that is not quantised: the layers outside
the blocks, and the first and last blocks, which suffer most (the choice of the published LTX-2 fp8 file)."""


@dataclass(frozen=True)
class QuantizationPolicy:
    """``module_ops`` change the layers of a model without weights; the loader stores each weight as its layer keeps it.

    ``sd_ops`` are the rules of the same policy for loaders that only rename and convert tensors.
    """

    sd_ops: SDOps
    module_ops: tuple[ModuleOps, ...]

    @classmethod
    def fp8_cast(cls) -> QuantizationPolicy:
        """Attention and feed-forward layers of the blocks in e4m3 without scale, cast up on every call.

        Halves the memory of a bf16 file. A file with scaled fp8 weights has its scales folded in first.
        """
        sd_ops = SDOps("fp8_cast")
        for suffix in CAST_SUFFIXES:
            for leaf in ("weight", "bias"):
                sd_ops = sd_ops.with_kv_operation(_cast_tensor, key_prefix=BLOCKS, key_suffix=f"{suffix}.{leaf}")
        return cls(sd_ops=sd_ops, module_ops=(ModuleOps("fp8_cast", _has_blocks, _cast_blocks),))

    @classmethod
    def fp8_scaled_mm(cls, calibration_amax_path: str | os.PathLike[str] | None = None) -> QuantizationPolicy:
        """Layers of the blocks in e4m3 with one scale, multiplied in fp8 where the hardware can.

        A file that holds scaled fp8 weights decides itself which layers these are; any other file is quantised while
        it loads.

        Args:
            calibration_amax_path: JSON with the largest input of each layer, for static input scales; without it the
                file's own are used, else each call measures its input.

        Raises:
            FileNotFoundError, ValueError: the calibration file is missing or malformed.
        """
        scales = {} if calibration_amax_path is None else read_input_scales(calibration_amax_path)

        def scale_blocks(model: nn.Module) -> nn.Module:
            return _scale_blocks(model, scales)

        return cls(sd_ops=SDOps("fp8_scaled_mm"), module_ops=(ModuleOps("fp8_scaled_mm", _has_blocks, scale_blocks),))

    @classmethod
    def dequantize(cls) -> QuantizationPolicy:
        """No layer in fp8: weights that a file stores in fp8 are widened to the build dtype while it loads."""
        return cls(sd_ops=SDOps("dequantize"), module_ops=(ModuleOps("dequantize", _has_linears, _widen_linears),))


def _cast_tensor(key: str, value: Tensor) -> list[KeyValueOperationResult]:
    return [KeyValueOperationResult(key, value if value.dtype in FP8_DTYPES else cast_to_fp8(value))]


def _block_linears(model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """Every linear of the blocks, named from ``transformer_blocks.`` on, also below a wrapper."""
    for name, module in model.named_modules():
        start = name.find(BLOCKS)
        if isinstance(module, nn.Linear) and (start == 0 or (start > 0 and name[start - 1] == ".")):
            yield name[start:], module


def _has_linears(model: nn.Module) -> bool:
    return any(isinstance(module, nn.Linear) for module in model.modules())


def _widen_linears(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Linear):
            to_wide_linear(module)
    return model


def _has_blocks(model: nn.Module) -> bool:
    return next(_block_linears(model), None) is not None


def _cast_blocks(model: nn.Module) -> nn.Module:
    for name, linear in _block_linears(model):
        if name.endswith(CAST_SUFFIXES):
            to_cast_linear(linear, casts_bias=True)
    return model


def _scale_blocks(model: nn.Module, scales: Mapping[str, float]) -> nn.Module:
    linears = dict(_block_linears(model))
    for name, linear in linears.items():
        if name in scales:  # also on the others: a file that is already quantised may scale any layer
            linear.calibrated_scale = scales[name]
        if not any(part in name for part in UNSCALED_PARTS):
            to_scaled_linear(linear)
    unknown = [name for name in scales if name not in linears]
    if unknown:
        logger.warning("the calibration file names %d layers the model lacks, e.g. %s", len(unknown), unknown[0])
    return model
