"""Reference sheets: several pictures laid out as panels of one, on pure black (spec 08 §5.6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

MOST_PANELS = 12
_CLEAR = 1 / 255
_ROUNDING = 1e-6


class Box(NamedTuple):
    """Where a panel lies, in pixels."""

    left: int
    top: int
    width: int
    height: int


def trimmed(picture: Tensor) -> Tensor:
    """A picture ``(H, W, 3)``, or a cut-out ``(H, W, 4)`` without its clear border, over black: ``(h, w, 3)``."""
    if picture.shape[-1] == 3:
        return picture
    seen = picture[..., 3] > _CLEAR
    if not seen.any():
        raise ValueError("A picture of the sheet is all clear: its alpha is 0 everywhere. Check its mask.")
    rows, columns = (seen.any(dim=axis).nonzero().flatten() for axis in (1, 0))
    part = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return part[..., :3] * part[..., 3:]


def reference_sheet(
    pictures: Sequence[Tensor], height: int, width: int, gap: int, rows: Sequence[Sequence[int]] | None = None
) -> Tensor:
    """One picture ``(height, width, 3)`` float32 with all pictures on it, whole and with their own shapes.

    Args:
        pictures: ``(H, W, 3)`` or cut-outs with alpha ``(H, W, 4)``, in [0, 1].
        gap: black pixels around panels, at least.
        rows: numbers of the pictures in each row, from 0 on. None: the rows, in order, that make the panels largest.

    Raises:
        ValueError: more than `MOST_PANELS` pictures, numbers that are not there, or no room left by the gaps.
    """
    panels = [trimmed(picture.float()) for picture in pictures]
    if not 1 <= len(panels) <= MOST_PANELS:
        raise ValueError(f"A sheet has 1 to {MOST_PANELS} panels; got {len(panels)}. Leave some out.")
    aspects = [panel.shape[1] / panel.shape[0] for panel in panels]
    sheet = torch.zeros(height, width, 3, device=panels[0].device)
    for number, box in panel_boxes(aspects, height, width, gap, rows).items():
        size = (box.height, box.width)
        planes = F.interpolate(
            panels[number].movedim(-1, 0)[None], size=size, mode="bilinear", align_corners=False, antialias=True
        )
        placed = planes[0].movedim(0, -1).clamp(0.0, 1.0)
        sheet[box.top : box.top + box.height, box.left : box.left + box.width] = placed.to(sheet)
    return sheet


def panel_boxes(
    aspects: Sequence[float], height: int, width: int, gap: int, rows: Sequence[Sequence[int]] | None = None
) -> dict[int, Box]:
    """Where panels of these shapes (width / height) lie; see `reference_sheet`."""
    if rows is not None:
        unknown = sorted({number + 1 for row in rows for number in row if not 0 <= number < len(aspects)})
        if unknown:
            raise ValueError(f"The layout names the pictures {unknown}; there are 1 to {len(aspects)}.")
        return _laid_out(aspects, height, width, gap, rows)
    found = []
    for one in _partitions(len(aspects)):
        try:
            boxes = _laid_out(aspects, height, width, gap, one)
        except ValueError:
            continue
        found.append((sum(box.width * box.height for box in boxes.values()), -len(found), boxes))
    if not found:
        raise ValueError(f"Gaps of {gap} pixels leave no room for {len(aspects)} panels on {width} x {height}.")
    return max(found, key=lambda one: one[:2])[2]


def _partitions(count: int) -> Iterator[list[list[int]]]:
    """All ways to break a sequence into rows."""
    for breaks in range(2 ** (count - 1)):
        rows = [[0]]
        for number in range(1, count):
            if breaks >> (number - 1) & 1:
                rows.append([])
            rows[-1].append(number)
        yield rows


def _laid_out(
    aspects: Sequence[float], height: int, width: int, gap: int, rows: Sequence[Sequence[int]]
) -> dict[int, Box]:
    """Rows that would each fill the width, made smaller together where they are too high; all of it centred."""
    free = height - gap * (len(rows) + 1)
    tall = [(width - gap * (len(row) + 1)) / sum(aspects[number] for number in row) for row in rows]
    if free < len(rows) or min(tall) < 1:
        raise ValueError(f"Gaps of {gap} pixels leave no room for this layout on {width} x {height}. Use smaller ones.")
    scale = min(1.0, free / sum(tall))
    boxes = {}
    top = gap + (free - scale * sum(tall)) / 2
    for row, full in zip(rows, tall, strict=True):
        side = max(1, int(full * scale))
        widths = [max(1, int(aspects[number] * side)) for number in row]
        left = (width - sum(widths) - gap * (len(row) - 1)) // 2
        for number, wide in zip(row, widths, strict=True):
            boxes[number] = Box(left, int(top + _ROUNDING), wide, side)
            left += wide + gap
        top += full * scale + gap
    return boxes
