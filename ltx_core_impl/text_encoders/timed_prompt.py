"""A prompt with times: one text for each shot of a clip."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

EXAMPLE = "0-2s: a man sits down / 2-5s: he reads"

_NUMBER = r"\d+(?:\.\d+)?"
_CLOCK = r"\d+:[0-5]\d(?:\.\d+)?"
_UNIT = r"(?:s|secs?|seconds?|f|frames?)"
_TIME = rf"(?:{_CLOCK}|{_NUMBER}\s*{_UNIT}?)"
_HEADER = re.compile(
    rf"\s*(?P<open>[\[(])?\s*(?:(?P<start>{_TIME})(?P<range>\s*(?:-|–|—|to\b)\s*(?P<end>{_TIME})?)?|\+\s*(?P<length>{_TIME}))"
    rf"\s*(?P<close>[\])])?\s*:(?P<text>.*)",
    re.IGNORECASE | re.ASCII,
)
_INSIDE = re.compile(
    rf"(?<![\s;|/,])[\s;|/,]+(?=[\[(]?(?:{_TIME}\s*(?:-|–|—|to\b)\s*(?:{_CLOCK}|{_NUMBER}\s*{_UNIT})|\+\s*{_NUMBER}\s*{_UNIT})[\])]?\s*:)",
    re.IGNORECASE | re.ASCII,
)
"""A shot that starts inside a line, with what parts it from the one before."""


class TimedPromptError(ValueError):
    """Times that are not those of shots one after another."""


@dataclass(frozen=True)
class Shot:
    """A part of the clip and what is said of it; times in seconds, ``end`` None where the clip ends."""

    start: float
    end: float | None
    text: str


@dataclass(frozen=True)
class TimedPrompt:
    """A prompt as it was parsed.

    Attributes:
        common: what is said of the whole clip: the text before the first time.
        shots: one after another from 0 on; none in a prompt without times.
    """

    common: str
    shots: tuple[Shot, ...]

    @property
    def cuts(self) -> tuple[float, ...]:
        """Where shots meet, in seconds."""
        return tuple(shot.start for shot in self.shots[1:])

    @property
    def texts(self) -> list[str]:
        """The whole text of each shot; that of the clip where it has no shots."""
        return [" ".join(filter(None, (self.common, shot.text))) for shot in self.shots] or [self.common]

    def check_length(self, frames: int, fps: float, step: int = 8) -> None:
        """Raises TimedPromptError unless the shots fill a clip of so many frames, but for a step of its length."""
        if not self.shots:
            return
        seconds, last = frames / fps, self.shots[-1]
        if last.start >= seconds:
            raise TimedPromptError(
                f"The last shot starts at {last.start:g} s, but the clip lasts {seconds:.4g} s ({frames} frames). Make "
                "the clip longer, or leave the shot out."
            )
        if last.end is not None and abs(last.end - seconds) > (step + 0.5) / fps:
            raise TimedPromptError(
                f"The shots end at {last.end:g} s, but the clip lasts {seconds:.4g} s ({frames} frames). End the last "
                f"shot there, or write {last.start:g}s: without an end."
            )


def parse_timed_prompt(text: str, fps: float) -> TimedPrompt:
    """Shots from a text.

    A line that begins with a time and a colon starts a shot: ``0-2s: ...`` from 0 to 2 seconds, ``0:02-0:05: ...`` in
    minutes and seconds, ``48-120f: ...`` in frames, ``2s: ...`` from 2 seconds to the next shot, ``+3s: ...`` for 3
    seconds after the shot before. Its text may go on in further lines; where a span or a length has a unit, the next
    shot may also follow on the same line. What stands before the first shot is said of all of them. A text without such
    times has no shots.

    Args:
        text: the prompt.
        fps: frames per second, for times in frames.

    Raises:
        TimedPromptError: gaps, overlaps, shots without length or text.
    """
    common: list[str] = []
    found: list[tuple[re.Match[str], list[str]]] = []
    for line in _INSIDE.sub("\n", text).splitlines():
        header = _HEADER.fullmatch(line)
        if header is not None and _is_header(header):
            found.append((header, [header["text"]]))
        else:
            (found[-1][1] if found else common).append(line)
    shots: list[Shot] = []
    for number, (header, lines) in enumerate(found, start=1):
        shot = replace(_timed(header, shots, fps), text=_joined(lines))
        if not shot.text:
            raise TimedPromptError(f"Shot {number} of {len(found)} has no text. Write after its colon what is seen.")
        shots.append(shot)
    return TimedPrompt(_joined(common), _one_after_another(shots, fps))


def _is_header(match: re.Match[str]) -> bool:
    """A single number needs a unit or brackets: '3: the magic number' is text."""
    paired = {None: None, "[": "]", "(": ")"}
    if paired[match["open"]] != match["close"]:
        return False
    single = match["start"] is not None and match["range"] is None
    return not single or match["open"] is not None or re.fullmatch(_NUMBER, match["start"].strip()) is None


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(line.rstrip() for line in lines).strip()


def _timed(header: re.Match[str], before: Sequence[Shot], fps: float) -> Shot:
    """The times of a shot as they are written; those of a length follow the shot before."""
    if header["length"] is not None:
        start = 0.0
        if before:
            if before[-1].end is None:
                raise TimedPromptError(
                    f"Shot {len(before) + 1} follows one that has no end, so it is not known where it starts. Write "
                    f"when the shot at {before[-1].start:g} s ends, for example {before[-1].start:g}-5s."
                )
            start = before[-1].end
        return Shot(start, start + _seconds(header["length"], fps), "")
    unit = _unit(header["end"] or "") or _unit(header["start"])
    end = None if header["end"] is None else _seconds(header["end"], fps, unit)
    return Shot(_seconds(header["start"], fps, unit), end, "")


def _unit(time: str) -> str:
    return time.lstrip("0123456789. ").lower()[:1] if ":" not in time else ""


def _seconds(time: str, fps: float, unit: str = "") -> float:
    """A time as seconds; one without a unit has the given one, or is in seconds."""
    if ":" in time:
        minutes, seconds = time.split(":")
        return 60 * int(minutes) + float(seconds)
    value = float(re.match(_NUMBER, time)[0])
    return value / fps if (_unit(time) or unit) == "f" else value


def _one_after_another(shots: Sequence[Shot], fps: float) -> tuple[Shot, ...]:
    """The shots with all ends but the last. Half a frame more or less is how times are rounded."""
    if not shots:
        return ()
    slack = 0.5 / fps
    if shots[0].start > slack:
        raise TimedPromptError(
            f"The first shot starts at {shots[0].start:g} s; nothing is said of what is before. Start it at 0, for "
            f"example: {EXAMPLE}"
        )
    made = [replace(shots[0], start=0.0)]
    for number, shot in enumerate(shots[1:], start=2):
        last = made[-1]
        end = shot.start if last.end is None else last.end
        if abs(shot.start - end) > slack:
            what = "a gap" if shot.start > end else "an overlap"
            raise TimedPromptError(
                f"Shot {number - 1} ends at {end:g} s and shot {number} starts at {shot.start:g} s, which leaves "
                f"{what}. Start each shot where the one before ends, for example: {EXAMPLE}"
            )
        made[-1] = replace(last, end=shot.start)
        made.append(shot)
    for number, shot in enumerate(made, start=1):
        if shot.end is not None and shot.end - shot.start < slack:
            raise TimedPromptError(
                f"Shot {number} would last from {shot.start:g} s to {shot.end:g} s. A shot ends after it starts, for "
                f"example: {EXAMPLE}"
            )
    return tuple(made)
