"""Compares clips with the scenes that they should show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .measure import beeps_match, bounce_times, measure_picture, measure_sound
from .world import FPS, PITCHES, Scene

BEEP_TOLERANCE = 2 / FPS
Results = dict[str, Any]


def judge(scenes: Sequence[Scene], frames: Tensor, sound: Tensor, rate: int) -> Results:
    """Shares of clips that are what their scene says."""
    counts: dict[str, list[bool]] = {}
    offsets: list[float] = []

    def note(name: str, right: bool) -> None:
        counts.setdefault(name, []).append(right)

    for scene, clip, waveform in zip(scenes, frames, sound, strict=True):
        picture, heard = measure_picture(clip), measure_sound(waveform, rate)
        note("shape", picture.shape == scene.shape)
        note("color", picture.color == scene.color)
        note("ground", picture.ground == scene.ground)
        note("motion", picture.motion == scene.motion)
        if scene.motion in ("left", "right", "up", "down"):
            note("direction", picture.motion == scene.motion)
        note("pitch", heard.pitch == scene.pitch and abs(heard.frequency / PITCHES[scene.pitch] - 1) < 0.06)
        if scene.motion == "bounce":
            bounces = bounce_times(picture, FPS)
            seen = picture.motion == "bounce"
            note("beep within two frames of a bounce", seen and beeps_match(heard.onsets, bounces, BEEP_TOLERANCE))
            note("beep within one frame of a bounce", seen and beeps_match(heard.onsets, bounces, BEEP_TOLERANCE / 2))
            offsets += [min(abs(onset - bounce) for bounce in bounces) for onset in heard.onsets if bounces]
    shares: Results = {name: round(sum(values) / len(values), 3) for name, values in counts.items()}
    shares |= {f"clips judged by {name}": len(values) for name, values in counts.items()}
    if offsets:
        shares["mean distance of beep and bounce, seconds"] = round(sum(offsets) / len(offsets), 3)
    return shares
