"""Sparse point tracks, drawn as the control video of the motion-track IC-LoRA (spec 07 §6.6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

TAIL = 50
"""A frame shows the current position of a point and this many earlier ones."""
DRAWING_SIDE = 1080
OLDEST_RADIUS, RADIUS_GROWTH = 2.0, 6.0
# Age from oldest to newest, in RGB.
COLOURS = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 1.0, 0.0), (1.0, 0.0, 0.0))


class Point(NamedTuple):
    """Pixels from the left and from the top."""

    x: float
    y: float


Track = Sequence[Point]


def spline(points: Track, samples: int) -> list[Point]:
    """``samples`` whole-pixel points of a Catmull-Rom curve through ``points``, evenly spaced in the segment number.

    One point stands still, two points make a straight line.

    Raises:
        ValueError: no points, or fewer than one sample.
    """
    if not points or samples < 1:
        raise ValueError(f"A track needs at least one point and one sample; got {len(points)} and {samples}.")
    if len(points) == 1 or samples == 1:
        return [Point(*(round(value) for value in points[0]))] * samples
    control = torch.tensor([points[0], *points, points[-1]], dtype=torch.float64)
    position = torch.arange(samples, dtype=torch.float64) * (len(points) - 1) / (samples - 1)
    segment = position.floor().long().clamp_(max=len(points) - 2)
    t = (position - segment)[:, None]
    before, start, end, after = (control[segment + offset] for offset in range(4))
    if len(points) == 2:
        curve = torch.lerp(start, end, t)
    else:
        curve = start + 0.5 * t * (
            end - before + t * (2 * before - 5 * start + 4 * end - after + t * (3 * (start - end) + after - before))
        )
    return [Point(round(x), round(y)) for x, y in curve.tolist()]


def draw_tracks(tracks: Sequence[Track], height: int, width: int) -> Tensor:
    """The control video ``(frames, height, width, 3)``, float32 in [0, 1], channels in the order blue, green, red.

    Every frame shows the last 51 positions of each track as dots that shrink with age and turn from red (newest) over
    yellow and green to blue. Dots are drawn at a short side of 1080 and scaled down without antialiasing, as the
    LoRA was trained; half precision like there.

    Args:
        tracks: one point per frame, all of the same length, in pixels of ``width`` x ``height``.

    Raises:
        ValueError: no tracks, or tracks of different lengths.
    """
    lengths = sorted({len(track) for track in tracks})
    if len(lengths) != 1 or lengths[0] == 0:
        raise ValueError(f"Tracks must have one point per frame, all the same number; got lengths {lengths}.")
    canvas_height, canvas_width = _canvas_size(height, width)
    video = torch.empty(lengths[0], height, width, 3)
    for frame in range(lengths[0]):
        canvas = torch.zeros(canvas_height, canvas_width, 3)
        for age in range(min(TAIL, frame), -1, -1):
            freshness = 1.0 - age / TAIL
            for track in tracks:
                point = track[frame - age]
                centre = (round(point.y * canvas_height / height), round(point.x * canvas_width / width))
                _dot(canvas, centre, OLDEST_RADIUS + RADIUS_GROWTH * freshness, _colour(freshness))
        picture = F.interpolate(canvas.permute(2, 0, 1)[None], size=(height, width), mode="bilinear")[0]
        video[frame] = picture.flip(0).permute(1, 2, 0).half()
    return video


def _canvas_size(height: int, width: int) -> tuple[int, int]:
    """The drawing's size: the short side brought to 1080."""
    if height <= width:
        return DRAWING_SIDE, int(width * DRAWING_SIDE / height)
    return int(height * DRAWING_SIDE / width), DRAWING_SIDE


def _colour(freshness: float) -> Tensor:
    steps = len(COLOURS) - 1
    index = min(int(freshness * steps), steps - 1)
    start, end = torch.tensor(COLOURS[index]), torch.tensor(COLOURS[index + 1])
    return torch.lerp(start, end, freshness * steps - index)


def _dot(canvas: Tensor, centre: tuple[int, int], radius: float, colour: Tensor) -> None:
    """Fill a circle, as far as it lies on the canvas."""
    reach = int(radius)
    (top, bottom), (left, right) = (
        (max(0, middle - reach), min(side, middle + reach + 1))
        for middle, side in zip(centre, canvas.shape[:2], strict=True)
    )
    if top >= bottom or left >= right:
        return
    rows = torch.arange(top, bottom)[:, None] - centre[0]
    columns = torch.arange(left, right)[None] - centre[1]
    canvas[top:bottom, left:right][rows**2 + columns**2 <= radius**2] = colour
