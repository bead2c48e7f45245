"""Finding functions of optional packages, one by one: a release may have one of them and lack the next."""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

HALF_PRECISION = (torch.bfloat16, torch.float16)


@functools.cache
def optional_function(module: str, name: str, parameters: tuple[str, ...]) -> Callable[..., Any] | None:
    """``module.name`` if it can be imported and takes ``parameters``, else ``None``.

    A package that is absent is normal and not mentioned; one that is broken or has another signature is logged once.
    """
    try:
        function = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            logger.warning("%s is installed but lacks %s; going on without it", module, error.name)
        return None
    except Exception as error:  # a broken optional package must not stop a model that runs without it
        logger.warning("%s is installed but cannot be imported (%s); going on without it", module, error)
        return None
    if function is None:
        return None
    try:
        known = inspect.signature(function).parameters
    except (TypeError, ValueError):  # a compiled function may not tell
        return function
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in known.values())
    if not takes_any and not set(parameters) <= known.keys():
        logger.warning("%s.%s does not take %s; going on without it", module, name, ", ".join(parameters))
        return None
    return function


def on_fast_device(tensor: Tensor) -> bool:
    """Whether a tensor is of the kind that the faster forms serve: half precision on an NVIDIA GPU."""
    return tensor.is_cuda and tensor.dtype in HALF_PRECISION and torch.version.hip is None


def records_gradients(*tensors: Tensor | None) -> bool:
    """Whether autograd would follow an operation on ``tensors``; the faster forms have no backward pass."""
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)


def is_fast(*tensors: Tensor | None) -> bool:
    """Whether a faster form may serve these operands, of which the first decides device and dtype."""
    return on_fast_device(tensors[0]) and not torch.compiler.is_compiling() and not records_gradients(*tensors)
