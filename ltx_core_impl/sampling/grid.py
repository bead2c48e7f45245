"""Which sizes and lengths a model can generate (spec 07 §2.2, §2.12)."""

from __future__ import annotations

import math

from ..types import SpatioTemporalScaleFactors


def require_size(height: int, width: int, multiple: int) -> None:
    """Raise ValueError unless both sides are positive multiples of ``multiple``; the message names the nearest size.

    One-stage runs need the VAE's spatial factor, two-stage runs twice that.
    """
    if height > 0 and width > 0 and height % multiple == 0 and width % multiple == 0:
        return
    near_height, near_width = (max(multiple, round(size / multiple) * multiple) for size in (height, width))
    raise ValueError(
        f"Height {height} and width {width} must be multiples of {multiple}: use {near_height} x {near_width}, "
        "the nearest valid size."
    )


def require_frames(frames: int, time_factor: int) -> None:
    """Raise ValueError unless ``frames`` is a multiple of ``time_factor`` plus one; the message names neighbours."""
    if frames >= 1 and frames % time_factor == 1 % time_factor:
        return
    below = snap_frames(max(1, frames), time_factor)
    raise ValueError(
        f"A video has {time_factor}k + 1 frames; got {frames}. The nearest lengths are {below} and "
        f"{below + time_factor} frames."
    )


def snap_frames(frames: int, time_factor: int) -> int:
    """The longest valid length that is not above ``frames``."""
    return (frames - 1) // time_factor * time_factor + 1


def frames_for_duration(
    seconds: float,
    fps: float,
    scale_factors: SpatioTemporalScaleFactors,
    min_seconds: float = 1.0,
    max_seconds: float = 20.0,
) -> int:
    """Valid frame count for a predicted duration.

    The count is clamped to the limits and then snapped down, or up where that would fall below the minimum.

    Raises:
        ValueError: when the limits do not form a range, or the duration or the frame rate is no usable number.
    """
    if not 0 < min_seconds <= max_seconds:
        raise ValueError(
            f"The duration limits must be 0 < minimum <= maximum; got {min_seconds} s and {max_seconds} s."
        )
    if not (math.isfinite(seconds) and math.isfinite(fps) and fps > 0):
        raise ValueError(f"A duration of {seconds} s at {fps} frames per second has no frame count.")
    low, high, factor = round(min_seconds * fps), round(max_seconds * fps), scale_factors.time
    frames = snap_frames(min(max(round(seconds * fps), low), high), factor)
    if frames < low:
        frames = min(-(-(low - 1) // factor) * factor + 1, max(snap_frames(high, factor), 1))
    return frames
