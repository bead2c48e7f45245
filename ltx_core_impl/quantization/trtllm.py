"""The fp8 kernels of TensorRT-LLM, used where that package is installed (spec 01 §9.3)."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging

import torch
from torch import Tensor

logger = logging.getLogger(__name__)


@functools.cache
def is_available() -> bool:
    """Whether ``tensorrt_llm`` can be imported and has registered its operators."""
    if importlib.util.find_spec("tensorrt_llm") is None:
        return False
    try:
        importlib.import_module("tensorrt_llm")
    except Exception as error:  # a broken optional package must not stop a model that runs without it
        logger.warning("tensorrt_llm is installed but cannot be imported (%s); using torch._scaled_mm", error)
        return False
    return hasattr(torch.ops.trtllm, "cublas_scaled_mm")


def scaled_mm(rows: Tensor, weight: Tensor, input_scale: Tensor, weight_scale: Tensor) -> Tensor:
    """``(M, K)`` times ``(N, K)`` transposed, quantising the input with ``input_scale``; dtype of ``rows``."""
    codes, _ = torch.ops.tensorrt_llm.static_quantize_e4m3_per_tensor(rows, input_scale)
    return torch.ops.trtllm.cublas_scaled_mm(
        codes, weight.t(), scale_a=input_scale, scale_b=weight_scale, bias=None, out_dtype=rows.dtype
    )
