"""Plain measurements of a clip: colours, path, kind of motion, pitch, times of beeps and bounces."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .world import COLORS, GROUNDS, PITCHES

DIFFERENT = 0.22  # of full scale, root mean square over the three channels
MIN_AREA = 0.01
GROWN, MOVED, UNEVEN = 1.5, 0.2, 0.07
WINDOW_SECONDS = 0.01
# Share of its bounding box that a shape fills: a half, pi / 4 and all of it, less what soft edges take.
TRIANGLE_BELOW, SQUARE_ABOVE = 0.73, 0.86


class Picture(NamedTuple):
    """What is seen: words, centre of the shape ``(F, 2)`` in picture sides and its share of the picture ``(F,)``."""

    shape: str
    color: str
    ground: str
    motion: str
    center: Tensor
    area: Tensor


class Sound(NamedTuple):
    """What is heard: loudest frequency in Hz, its word, start of every separate sound in seconds."""

    frequency: float
    pitch: str
    onsets: list[float]


def measure_picture(frames: Tensor) -> Picture:
    """Measure ``(F, H, W, 3)`` in [0, 1]."""
    ring = torch.cat([frames[:, 0], frames[:, -1], frames[:, :, 0], frames[:, :, -1]], dim=1).flatten(0, 1)
    ground = ring.median(dim=0).values
    difference = (frames - ground).square().mean(dim=-1).sqrt()
    differs = difference > DIFFERENT
    area = differs.float().mean(dim=(1, 2))
    height, width = differs.shape[1:]
    weight = differs.float() / differs.float().sum(dim=(1, 2), keepdim=True).clamp(min=1)
    x = (weight.sum(dim=1) * (torch.arange(width) + 0.5) / width).sum(dim=1)
    y = (weight.sum(dim=2) * (torch.arange(height) + 0.5) / height).sum(dim=1)
    seen = area > MIN_AREA
    if int(seen.sum()) < len(frames) // 2:
        return Picture("nothing", "nothing", nearest(ground, GROUNDS), "nothing", torch.stack([x, y], dim=1), area)
    # The half that differs most: motion blur mixes the edges with the ground.
    color = frames[difference >= difference[differs].median()].median(dim=0).values
    center = torch.stack([x, y], dim=1)[seen]
    return Picture(
        shape=kind_of_shape(difference[seen]),
        color=nearest(color, COLORS),
        ground=nearest(ground, GROUNDS),
        motion=kind_of_motion(center, area[seen]),
        center=center,
        area=area[seen],
    )


def kind_of_shape(difference: Tensor) -> str:
    """One of the world's shapes, from how much every pixel ``(F, H, W)`` differs from the ground."""
    strongest = difference.flatten(1).quantile(0.98, dim=1)
    inside = difference > strongest[:, None, None] / 2
    sides = [extent(inside.any(dim=axis)) for axis in (1, 2)]
    filled = float((inside.sum(dim=(1, 2)) / (sides[0] * sides[1])).median())
    return "triangle" if filled < TRIANGLE_BELOW else "square" if filled > SQUARE_ABOVE else "circle"


def extent(marked: Tensor) -> Tensor:
    """Distance from the first to the last mark of every row of ``(F, N)``, both included."""
    places = torch.arange(marked.shape[1])
    last = torch.where(marked, places, -1).amax(dim=1)
    first = torch.where(marked, places, marked.shape[1]).amin(dim=1)
    return (last - first + 1).clamp(min=1)


def nearest(color: Tensor, table: dict[str, tuple[int, int, int]]) -> str:
    """The name of the closest colour of a table."""
    return min(table, key=lambda name: float((color * 255 - torch.tensor(table[name])).square().sum()))


def kind_of_motion(center: Tensor, area: Tensor) -> str:
    """One of the world's motions, from centres ``(F, 2)`` and areas ``(F,)``."""
    edge = max(1, len(area) // 6)
    (dx, dy) = (center[-edge:].mean(dim=0) - center[:edge].mean(dim=0)).tolist()
    time = torch.linspace(-1, 1, len(center))
    y = center[:, 1] - center[:, 1].mean()
    residual = (y - time * (time * y).sum() / (time * time).sum()).std().item()
    if residual > UNEVEN:
        return "bounce"
    if max(abs(dx), abs(dy)) > MOVED:
        if abs(dx) > abs(dy):
            return "left" if dx < 0 else "right"
        return "up" if dy < 0 else "down"
    if float(area[-edge:].mean() / area[:edge].mean()) > GROWN:
        return "grow"
    return "still"


def bounce_times(picture: Picture, fps: float) -> list[float]:
    """Seconds at which the shape is lowest: peaks of its height below the middle, refined by a parabola."""
    y = picture.center[:, 1].tolist()
    level = (max(y) + min(y)) / 2
    times = []
    for index, here in enumerate(y):
        # The first and the last frame count as peaks when they lie at the end of a fall.
        before = y[index - 1] if index else here - 1e-6
        after = y[index + 1] if index + 1 < len(y) else here - 1e-6
        if here > level and here >= before and here > after:
            curve = 0.0 if index in (0, len(y) - 1) else before - 2 * here + after
            times.append((index + (0.0 if curve == 0 else 0.5 * (before - after) / curve)) / fps)
    return times


def measure_sound(waveform: Tensor, rate: int) -> Sound:
    """Measure ``(channels, samples)``."""
    mono = waveform.mean(dim=0)
    spectrum = torch.fft.rfft(mono * torch.hann_window(len(mono))).abs()
    spectrum[: int(50 * len(mono) / rate)] = 0
    frequency = float(spectrum.argmax()) * rate / len(mono)
    pitch = min(PITCHES, key=lambda name: abs(math.log(PITCHES[name] / max(frequency, 1.0))))
    return Sound(frequency=frequency, pitch=pitch, onsets=onset_times(mono, rate))


def onset_times(mono: Tensor, rate: int, rise: float = 0.35, rest: float = 0.2) -> list[float]:
    """Seconds at which the loudness climbs over ``rise`` of its peak after having been below ``rest`` of it."""
    size = int(WINDOW_SECONDS * rate)
    loudness = mono[: len(mono) // size * size].view(-1, size).square().mean(dim=1).sqrt()
    loudness = torch.nn.functional.avg_pool1d(loudness[None], 3, stride=1, padding=1, count_include_pad=False)[0]
    peak = float(loudness.max())
    times, quiet = [], True
    for index, value in enumerate(loudness.tolist()):
        if quiet and value > rise * peak:
            times.append(index * WINDOW_SECONDS)
            quiet = False
        elif value < rest * peak:
            quiet = True
    return times


def beeps_match(onsets: list[float], bounces: list[float], tolerance: float) -> bool:
    """Whether there is a beep, and every beep has a bounce within ``tolerance`` seconds."""
    return bool(onsets) and bool(bounces) and all(min(abs(o - b) for b in bounces) <= tolerance for o in onsets)


def psnr(first: Tensor, second: Tensor, span: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB."""
    return 10 * math.log10(span**2 / max(float((first - second).square().mean()), 1e-12))
