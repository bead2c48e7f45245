"""Plain English for a scene: many ways to say the same thing, and the words a tokenizer must know."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch

from .world import COLORS, GROUNDS, MOTIONS, PITCHES, SHAPES, Scene

UNSPECIFIED = "unspecified"
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "shape": (*SHAPES, UNSPECIFIED),
    "color": (*COLORS, UNSPECIFIED),
    "ground": (*GROUNDS, UNSPECIFIED),
    "motion": (*MOTIONS, UNSPECIFIED),
    "pitch": (*PITCHES, UNSPECIFIED),
}
"""What a prompt can say, by attribute."""

_SUBJECTS = ("a {color} {shape}", "one {color} {shape}", "a {shape} that is {color}", "a {color} colored {shape}")
_MOTIONS = {
    "left": (
        "moves to the left",
        "moves left",
        "slides to the left",
        "travels left",
        "glides from right to left",
        "moves slowly from the right to the left",
    ),
    "right": (
        "moves to the right",
        "moves right",
        "slides to the right",
        "travels right",
        "glides from left to right",
        "moves slowly from the left to the right",
    ),
    "up": ("moves up", "rises", "moves upwards", "climbs slowly to the top", "floats up"),
    "down": ("moves down", "sinks", "moves downwards", "falls slowly to the bottom", "glides down"),
    "still": ("stands still", "does not move", "stays in place", "rests in the middle", "is not moving"),
    "bounce": ("bounces", "is bouncing up and down", "jumps up and down", "bounces on the floor", "hops"),
    "grow": ("grows", "gets bigger", "is growing larger", "becomes bigger and bigger", "expands"),
}
_GROUNDS = (
    "on a {ground} background",
    "on a {ground} ground",
    "across a plain {ground} background",
    "in front of a {ground} background",
    "against {ground}",
)
_TONES = (
    "while a {pitch} tone plays",
    "with a {pitch} tone",
    "and a {pitch} tone sounds",
    "with a {pitch} pitched sound",
    "and a single {pitch} tone plays throughout",
)
_BEEPS = (
    "with a {pitch} beep at each bounce",
    "and a {pitch} beep at every bounce",
    "with {pitch} beeps",
    "while {pitch} beeps sound when it lands",
    *_TONES[:2],
)
_PITCH_WORDS = {"low": ("low", "deep"), "middle": ("middle", "medium"), "high": ("high", "shrill")}
_ORDERS = (
    "{subject} {motion} {ground} {sound}",
    "{subject} {ground} {motion} {sound}",
    "{sound}, {subject} {motion} {ground}",
    "{sound} {ground}, {subject} {motion}",
    "{ground} {sound}, {subject} {motion}",
)
_TAILS = ("", "", "", ", in a steady, even motion", ". The camera is static", ". The camera does not move")

HELD_OUT = ("{subject} {motion} {ground}, {sound}", "{ground}, {subject} {motion}, {sound}.")
"""Word orders that no training prompt has."""

EMPTY = ""
NEGATIVES = (
    "blurry, out of focus, overexposed, underexposed, low contrast, washed out colors, excessive noise",
    "blurry",
    "low quality, distorted, silent or muted audio, noise",
    "worst quality, inconsistent motion, blurry, jittery, distorted",
    "camera shake, background clutter, incorrect timing, flickering, motion blur",
)


def describe(scene: Scene, generator: torch.Generator, held_out: bool = False, omit: float = 0.0) -> str:
    """A prompt for a scene.

    Args:
        held_out: use a word order that training never saw.
        omit: probability that the ground, and that the sound, is not mentioned.
    """

    def pick(options: Sequence[str]) -> str:
        return options[int(torch.randint(len(options), (), generator=generator))]

    def omitted() -> bool:
        return float(torch.rand((), generator=generator)) < omit

    sounds = _BEEPS if scene.motion == "bounce" else _TONES
    text = pick(HELD_OUT if held_out else _ORDERS).format(
        subject=pick(_SUBJECTS).format(color=scene.color, shape=scene.shape),
        motion=pick(_MOTIONS[scene.motion]),
        ground="" if omitted() else pick(_GROUNDS).format(ground=scene.ground),
        sound="" if omitted() else pick(sounds).format(pitch=pick(_PITCH_WORDS[scene.pitch])),
    )
    text = re.sub(r"\s+", " ", text).replace(" ,", ",").strip(" ,") + pick(_TAILS)
    style = int(torch.randint(3, (), generator=generator))
    return text if style == 0 else text[0].upper() + text[1:] + ("." if style == 2 and not text.endswith(".") else "")


def spoken(scene: Scene, text: str) -> dict[str, int]:
    """Index into :data:`ATTRIBUTES` of what a prompt for ``scene`` says; what it leaves out is unspecified."""
    words = set(re.findall(r"[a-z]+", text.lower()))
    labels = {}
    for name, value in zip(ATTRIBUTES, scene.attributes, strict=True):
        options = ATTRIBUTES[name]
        said = True
        if name == "pitch":
            said = bool(words & set(_PITCH_WORDS[value]))
        elif name == "ground":
            said = any(
                re.search(f"{place} (a |plain |a plain )?{value}", text.lower())
                for place in ("on", "against", "across", "of")
            )
        labels[name] = options.index(value if said else UNSPECIFIED)
    return labels


def vocabulary() -> list[str]:
    """Every word and mark of the prompts above, sorted."""
    parts: list[str] = [*_SUBJECTS, *_GROUNDS, *_TONES, *_BEEPS, *_ORDERS, *HELD_OUT, *_TAILS, *NEGATIVES]
    parts += [phrase for phrases in _MOTIONS.values() for phrase in phrases]
    parts += [word for words in _PITCH_WORDS.values() for word in words]
    parts += [word for options in ATTRIBUTES.values() for word in options]
    text = re.sub(r"{\w+}", " ", " ".join(parts)).lower()
    return sorted(set(re.findall(r"[a-z]+|[^\sa-z]", text)))
