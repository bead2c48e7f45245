"""No scale is overlooked: tensors that lie beside a weight and that nobody reads are refused by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ..quantization.formats import FP8_DTYPES, SCALE_NAMES, StoredFormat, StoredTensor, taken_names
from ..quantization.other_kinds import INSTEAD
from .errors import UnsupportedFormatError

if TYPE_CHECKING:
    from .plan import Source, Step

_SCALES_OF_WEIGHTS = (*SCALE_NAMES, "weight_scale_2")


def refuse_unread_companions(steps: Iterable[Step], sources: Mapping[str, Source]) -> None:
    """Raise ``UnsupportedFormatError`` for a companion that no step reads.

    A quantised weight may have none at all: without its scale a layer comes out some hundred times too large. A weight
    in 16 or 32 bit may have no scale, since nobody knows whether it is still to be multiplied.
    """
    steps = list(steps)
    beside = _by_owner(name for name in sources.keys() - {step.name for step in steps})
    for step in steps:
        stored = step.source.stored
        quantised = step.format is not StoredFormat.PLAIN or stored.dtype in FP8_DTYPES
        owner = step.module_name if step.leaf == "weight" else step.name
        taken = taken_names(step.format, step.auxiliary)
        for name in beside.get(owner, ()):
            sign, rest = name[len(owner)], name[len(owner) + 1 :]
            if sign == "_":  # perhaps another module, whose name only begins like this one's
                unread = quantised and "scale" in rest and "." not in rest
            else:
                unread = rest not in taken if quantised else rest in _SCALES_OF_WEIGHTS
            if unread:
                raise UnsupportedFormatError(
                    f"{step.source.header.path}: {step.name} is stored as {_readable(step.format, stored)}, and beside "
                    f"it lies {sources[name].key}, which is not known for that. Without it the layer would be wrong: "
                    f"{INSTEAD}"
                )


def _by_owner(names: Iterable[str]) -> dict[str, list[str]]:
    """Names by everything that may stand before one of their dots or underscores."""
    owners: dict[str, list[str]] = {}
    for name in names:
        for end in (index for index, sign in enumerate(name) if sign in "._"):
            owners.setdefault(name[:end], []).append(name)
    return owners


def _readable(form: StoredFormat, stored: StoredTensor) -> str:
    return stored.packing or (str(stored.dtype).removeprefix("torch.") if form is StoredFormat.PLAIN else form.value)
