"""The world of the demo model: one coloured shape on a plain ground, and the tone that goes with it.

Everything is a function of a :class:`Scene`; pictures and sound are rendered, never stored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

FPS = 8.0
FRAMES = 17
SIZE = 64
SAMPLE_RATE = 16000

SHAPES = ("circle", "square", "triangle")
COLORS = {
    "red": (220, 40, 40),
    "green": (40, 180, 70),
    "blue": (50, 90, 230),
    "yellow": (240, 210, 50),
    "purple": (160, 60, 200),
    "white": (240, 240, 240),
}
GROUNDS = {
    "black": (16, 16, 16),
    "white": (240, 240, 240),
    "gray": (128, 128, 128),
    "blue": (50, 90, 230),
    "green": (40, 180, 70),
}
MOTIONS = ("left", "right", "up", "down", "still", "bounce", "grow")
# Multiples of the 100 mel frames per second: a vocoder that sees a steady spectrogram can only repeat itself once a
# frame, so these are the tones it can hold in phase.
PITCHES = {"low": 200.0, "middle": 500.0, "high": 1200.0}

FLOOR, JUMP = 0.84, 0.42
LOUDNESS, BEEP_DECAY, ATTACK = 0.4, 0.05, 0.005
FADE = 0.02


@dataclass(frozen=True)
class Scene:
    """What happens in a clip.

    Attributes:
        shape, color, ground, motion, pitch: words of the tables above.
        x, y: middle of the path (for a bounce only ``x`` counts), in picture sides from the upper left corner.
        radius: half the size of the shape, in picture sides.
        distance: length of a straight path, or by which factor (1 + distance) the shape grows.
        first_bounce, period: seconds.
    """

    shape: str
    color: str
    ground: str
    motion: str
    pitch: str
    x: float = 0.5
    y: float = 0.5
    radius: float = 0.17
    distance: float = 0.45
    first_bounce: float = 0.5
    period: float = 1.0

    @property
    def attributes(self) -> tuple[str, str, str, str, str]:
        """The words a prompt tells."""
        return self.shape, self.color, self.ground, self.motion, self.pitch

    def bounces(self, seconds: float) -> list[float]:
        """Times at which the shape hits the floor; none unless it bounces."""
        if self.motion != "bounce":
            return []
        count = max(0, math.ceil((seconds - self.first_bounce) / self.period))
        return [self.first_bounce + k * self.period for k in range(count)]


def draw_scene(generator: torch.Generator, **fixed: str) -> Scene:
    """A random scene; words given in ``fixed`` are kept, the ground always differs from the shape."""

    def choose(name: str, options: Sequence[str]) -> str:
        return fixed.get(name) or options[int(torch.randint(len(options), (), generator=generator))]

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    color = choose("color", list(COLORS))
    ground = choose("ground", [name for name in GROUNDS if name != color])
    return Scene(
        shape=choose("shape", SHAPES),
        color=color,
        ground=ground,
        motion=choose("motion", MOTIONS),
        pitch=choose("pitch", list(PITCHES)),
        x=between(0.42, 0.58),
        y=between(0.42, 0.58),
        radius=between(0.16, 0.18),
        distance=between(0.44, 0.48),
        first_bounce=between(0.35, 0.7),
        period=between(0.95, 1.05),
    )


def render_video(
    scenes: Sequence[Scene],
    frames: int = FRAMES,
    fps: float = FPS,
    size: int = SIZE,
    start: float = 0.0,
    outline: bool = False,
) -> Tensor:
    """Clips ``(B, 3, F, size, size)`` in [-1, 1].

    Args:
        start: seconds at which the clip begins.
        outline: a white contour on black in place of the picture (reference of the control LoRA).
    """
    time = start + torch.arange(frames) / fps
    seconds = FRAMES / FPS
    centers, radii = zip(*(_path(scene, time, seconds) for scene in scenes), strict=True)
    center, radius = torch.stack(centers), torch.stack(radii)  # (B, F, 2), (B, F)
    pixels = (torch.arange(size) + 0.5) / size
    dx = pixels - center[..., 0, None, None]
    dy = pixels[:, None] - center[..., 1, None, None]
    distance = torch.stack([_distance(s.shape, x, y, r) for s, x, y, r in zip(scenes, dx, dy, radius, strict=True)])
    if outline:
        cover = (1.5 - (distance * size).abs()).clamp(0, 1)
        return (2 * cover - 1).unsqueeze(1).expand(-1, 3, -1, -1, -1).clone()
    cover = (0.5 - distance * size).clamp(0, 1).unsqueeze(1)
    front = torch.tensor([COLORS[scene.color] for scene in scenes]).view(-1, 3, 1, 1, 1)
    back = torch.tensor([GROUNDS[scene.ground] for scene in scenes]).view(-1, 3, 1, 1, 1)
    return (back + (front - back) * cover) / 127.5 - 1


def render_audio(scenes: Sequence[Scene], seconds: float = FRAMES / FPS, rate: int = SAMPLE_RATE) -> Tensor:
    """Stereo sound ``(B, 2, samples)``: a steady tone, or a beep at each bounce; phase 0 at time 0."""
    time = torch.arange(round(seconds * rate)) / rate
    waves = [_envelope(scene, time, seconds) * torch.sin(2 * math.pi * PITCHES[scene.pitch] * time) for scene in scenes]
    return LOUDNESS * torch.stack(waves).unsqueeze(1).expand(-1, 2, -1).clone()


def with_words(scene: Scene, **words: str) -> Scene:
    """The scene with other words."""
    return replace(scene, **words)


def _path(scene: Scene, time: Tensor, seconds: float) -> tuple[Tensor, Tensor]:
    """Centres ``(F, 2)`` and radii ``(F,)``."""
    x, y = torch.full_like(time, scene.x), torch.full_like(time, scene.y)
    radius = torch.full_like(time, scene.radius)
    travel = (time / seconds - 0.5) * scene.distance
    if scene.motion == "left":
        x = 0.5 - travel
    elif scene.motion == "right":
        x = 0.5 + travel
    elif scene.motion == "up":
        y = 0.5 - travel
    elif scene.motion == "down":
        y = 0.5 + travel
    elif scene.motion == "grow":
        radius = scene.radius * (0.7 + (0.6 + scene.distance) * time / seconds)
    elif scene.motion == "bounce":
        phase = ((time - scene.first_bounce) / scene.period).remainder(1.0)
        y = FLOOR - scene.radius - JUMP * 4 * phase * (1 - phase)
    return torch.stack([x, y], dim=-1), radius


def _distance(shape: str, dx: Tensor, dy: Tensor, radius: Tensor) -> Tensor:
    """Signed distance to the shape's edge, negative inside, ``(F, H, W)``."""
    radius = radius[:, None, None]
    if shape == "circle":
        return (dx**2 + dy**2).sqrt() - radius
    if shape == "square":
        return torch.maximum(dx.abs(), dy.abs()) - 0.88 * radius
    half, slope = math.sqrt(3) / 2, 0.5
    return torch.maximum(dy - 0.6 * radius, half * dx.abs() - slope * dy - 0.5 * radius)


def _envelope(scene: Scene, time: Tensor, seconds: float) -> Tensor:
    if scene.motion != "bounce":
        return (time / FADE).clamp(max=1) * ((seconds - time) / FADE).clamp(0, 1)
    envelope = torch.zeros_like(time)
    for bounce in scene.bounces(seconds):
        since = time - bounce
        beep = (since / ATTACK).clamp(0, 1) * torch.exp(-(since - ATTACK).clamp(min=0) / BEEP_DECAY)
        envelope = torch.maximum(envelope, beep)
    return envelope
