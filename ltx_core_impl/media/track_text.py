"""Point tracks as text: one track per line, points as ``x,y`` separated by spaces."""

from __future__ import annotations

import json
import math

from .tracks import Point

EXAMPLE = "100,200 300,220 500,180"


def parse_tracks(text: str) -> list[list[Point]]:
    """Tracks from a text.

    Either one track per line, ``x,y x,y ...`` in pixels, empty lines and lines that start with ``#`` left out; or
    the JSON that track editors write, ``[[{"x": 1, "y": 2}, ...], ...]``.

    Raises:
        ValueError: nothing in it, or a line that is not a track, named by its number.
    """
    if text.lstrip().startswith("["):
        tracks = _from_json(text)
    else:
        lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))
        tracks = [_from_line(number, line) for number, line in lines if line and not line.startswith("#")]
    if not tracks or not all(tracks):
        raise ValueError(f"There are no tracks, or empty ones. Write one track per line, for example: {EXAMPLE}")
    return tracks


def _from_line(number: int, line: str) -> list[Point]:
    points = []
    for word in line.split():
        parts = word.split(",")
        try:
            points.append(_point(*parts))
        except (TypeError, ValueError):
            raise ValueError(
                f"Line {number} has '{word}', which is not a point. Write points as x,y separated by spaces, for "
                f"example: {EXAMPLE}"
            ) from None
    return points


def _from_json(text: str) -> list[list[Point]]:
    try:
        return [[_point(point["x"], point["y"]) for point in track] for track in json.loads(text)]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(
            f'The tracks are not the JSON of a track editor, [[{{"x": 1, "y": 2}}, ...], ...]: {error}. Or write one '
            f"track per line, for example: {EXAMPLE}"
        ) from None


def _point(x: str | float, y: str | float) -> Point:
    if isinstance(x, bool) or isinstance(y, bool):
        raise TypeError("true and false are no coordinates")
    point = Point(float(x), float(y))
    if not all(map(math.isfinite, point)):
        raise ValueError("coordinates must be finite")
    return point
