"""Scales of quantised weights by their values: what is zero, negative or not finite makes noise or nothing of a layer.

Names and shapes say nothing of this, so the scales themselves are read: some thousand single numbers, in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from ..quantization.formats import INPUT_SCALE_NAMES, SCALE_NAMES
from .dtypes import torch_dtype
from .errors import UnsupportedFormatError
from .plan import Source, Step

_NAMES = (*SCALE_NAMES, "weight_scale_2", *INPUT_SCALE_NAMES)
_WIDE = ("F64", "F32", "BF16", "F16")
MAX_VALUES = 1 << 16
"""Larger sets of scales (one for each block of a large weight) are not read here."""


def check_scale_values(steps: Iterable[Step]) -> None:
    """Refuse scales that no quantiser writes.

    Raises:
        UnsupportedFormatError: a single scale that is not above 0, a negative one among many, or one that is not
            finite; names file and tensor.
    """
    by_file: dict[str, list[Source]] = {}
    for step in steps:
        for name, source in step.auxiliary.items():
            if name in _NAMES and _entry(source).dtype in _WIDE and 0 < _count(source) <= MAX_VALUES:
                by_file.setdefault(str(source.header.path), []).append(source)
    for path, sources in by_file.items():
        with open(path, "rb") as file:
            for source in sources:
                entry = _entry(source)
                file.seek(source.header.data_start + entry.begin)
                raw = bytearray(file.read(entry.nbytes))
                if len(raw) == entry.nbytes:  # a file that is cut off is refused when it is read
                    _check(path, source, torch.frombuffer(raw, dtype=torch_dtype(entry.dtype)))


def _entry(source: Source):
    return source.header.tensors[source.key]


def _count(source: Source) -> int:
    count = 1
    for size in _entry(source).shape:
        count *= size
    return count


def _check(path: str, source: Source, values: torch.Tensor) -> None:
    single = values.numel() == 1
    wrong = ~values.isfinite() | ((values <= 0) if single else (values < 0))
    if wrong.any():
        found = values[wrong][0].item()
        raise UnsupportedFormatError(
            f"{path}: the scale {source.key} holds {found:g}; a finite number above 0 is needed. The file is damaged "
            "or was quantised wrongly; use another one"
        )
