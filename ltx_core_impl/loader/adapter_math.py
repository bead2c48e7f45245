"""What the tensors of an adapter do to a weight ``(out, in)``: LoRA, LoHa, LoKr, DoRA. Pure functions.

LoRA (arXiv:2106.09685), LoHa and LoKr (LyCORIS, arXiv:2309.14859), DoRA (arXiv:2402.09353). Parts are named by role:
``down`` ``(r, in)``, ``mid`` ``(r, r)``, ``up`` ``(out, r)``; ``hada_w1_a``, ``lokr_w2`` and so on as in LyCORIS.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ..quantization.formats import FP8_DTYPES

Parts = Mapping[str, Tensor]

LOW_RANK = frozenset({"down", "up"})
DIFFERENCES = frozenset({"diff", "w_norm"})
LOHA = frozenset({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"})
_LOKR_HALVES = (
    (frozenset({"lokr_w1"}), frozenset({"lokr_w1_a", "lokr_w1_b"})),
    (frozenset({"lokr_w2"}), frozenset({"lokr_w2_a", "lokr_w2_b"})),
)


class Kind(NamedTuple):
    """A kind of change: the roles it needs, those it may have besides, and the role that tells its rank."""

    name: str
    needed: frozenset[str]
    optional: frozenset[str] = frozenset()
    ranked_by: str | None = None


KINDS = (
    Kind("LoRA", LOW_RANK, frozenset({"mid"}), "down"),
    Kind("LoHa", LOHA, frozenset({"hada_t1", "hada_t2"}), "hada_w1_b"),
    Kind("LoKr", _LOKR_HALVES[0][0] | _LOKR_HALVES[1][0]),
    # Both halves whole: the scale is 1 whatever alpha says. Else the rank is that of the half that is decomposed.
    Kind("LoKr", _LOKR_HALVES[0][1] | _LOKR_HALVES[1][0], ranked_by="lokr_w1_b"),
    Kind("LoKr", _LOKR_HALVES[0][0] | _LOKR_HALVES[1][1], frozenset({"lokr_t2"}), "lokr_w2_b"),
    Kind("LoKr", _LOKR_HALVES[0][1] | _LOKR_HALVES[1][1], frozenset({"lokr_t2"}), "lokr_w2_b"),
    Kind("difference", frozenset({"diff"})),
    Kind("difference", frozenset({"w_norm"})),
)


def kind_of(roles: frozenset[str]) -> Kind | None:
    """The kind whose needed roles are all there; None when there is none."""
    return next((kind for kind in KINDS if kind.needed <= roles), None)


def rank_of(kind: Kind, shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """The number that alpha is divided by; None for a kind that has no alpha.

    ``shapes``: of the parts by role. With a Tucker core the factors are stored ``(r, ...)`` too, so one rule serves.
    """
    return None if kind.ranked_by is None else shapes[kind.ranked_by][0]


def weight_change(parts: Parts, factor: float) -> Tensor:
    """``factor · ΔW`` of one module, ``(out, in)`` (a difference keeps its own shape).

    A plain LoRA is multiplied in the dtype of its matrices, all else in float32.

    Raises:
        RuntimeError: shapes of parts that do not fit one another, in torch's words.
        KeyError: parts of no kind.
    """
    if "down" in parts:
        down, mid, up = (_matrix(parts.get(role)) for role in ("down", "mid", "up"))
        if mid is not None:
            down = torch.matmul(mid.float(), down.float())
        return lora_product(down, up, factor)
    if "hada_w1_a" in parts:
        first, second = (_tucker(parts, f"hada_w{i}_a", f"hada_w{i}_b", f"hada_t{i}") for i in (1, 2))
        return first.mul(second).mul(factor)
    if "lokr_w1" in parts or "lokr_w1_a" in parts:
        halves = (
            _matrix(parts[f"lokr_w{i}"]).float()
            if f"lokr_w{i}" in parts
            else _tucker(parts, f"lokr_w{i}_a", f"lokr_w{i}_b", f"lokr_t{i}")
            for i in (1, 2)
        )
        return torch.kron(*halves).mul(factor)
    return parts["diff" if "diff" in parts else "w_norm"].float().mul(factor)


def lora_product(down: Tensor, up: Tensor, strength: float) -> Tensor:
    """``(up · strength) @ down`` in the dtype of the matrices; fp8 ones are cast to bf16 first.

    The strength multiplies *before* the product and is rounded to that dtype, as the reference does (spec 01 §7.2).
    """
    down, up = (m.to(torch.bfloat16) if m.dtype in FP8_DTYPES else m for m in (down, up))
    dtype = torch.promote_types(down.dtype, up.dtype)
    return torch.matmul(up.to(dtype) * strength, down.to(dtype))


def decomposed(weight: Tensor, change: Tensor, magnitude: Tensor) -> Tensor:
    """``m · (W + ΔW) / ‖W + ΔW‖`` in float32: DoRA.

    Args:
        weight: ``(out, in)``.
        change: ``(out, in)``, alpha included, strength not.
        magnitude: ``(1, in)`` is a length for every column; ``(out,)`` and ``(out, 1)`` (also with more dimensions of
            size 1) for every row.
    """
    merged = weight.float() + change.float()
    columns = by_columns(tuple(magnitude.shape), tuple(weight.shape))
    length = torch.linalg.vector_norm(merged, dim=0 if columns else 1, keepdim=True)
    return merged * (magnitude.float().reshape(length.shape) / length.clamp_min(torch.finfo(torch.float32).tiny))


def by_columns(magnitude: tuple[int, ...], weight: tuple[int, ...]) -> bool:
    """Whether a magnitude of this shape belongs to the columns of a weight ``(out, in)``, not to its rows.

    Raises:
        ValueError: it fits neither; the message gives the shapes.
    """
    rows, columns = weight
    if magnitude == (1, columns):
        return True
    if math.prod(magnitude) == rows and max(magnitude, default=1) == rows:
        return False
    raise ValueError(f"a magnitude of shape {magnitude}; ({rows},), ({rows}, 1) or (1, {columns}) is needed")


def _tucker(parts: Parts, first: str, second: str, core: str) -> Tensor:
    """``a @ b``, or with a core ``aᵀ @ t @ b``: LyCORIS stores both factors as ``(r, ...)`` then."""
    a, b = (_matrix(parts[role]).float() for role in (first, second))
    t = _matrix(parts.get(core))
    return torch.matmul(a, b) if t is None else torch.matmul(a.t(), torch.matmul(t.float(), b))


def _matrix(tensor: Tensor | None) -> Tensor | None:
    """A 1 x 1 convolution's weight as the matrix that it is."""
    return tensor if tensor is None or tensor.ndim <= 2 else tensor.reshape(tensor.shape[0], -1)
