"""Where DFR puts its keyframes and temporal tiles (spec 07 §3.12, 06 §17.8)."""

from __future__ import annotations

from dataclasses import dataclass

SEGMENT_LENGTHS = (24, 32)
MAX_CONDITIONING_FPS = 60.0


@dataclass(frozen=True)
class DfrCanvas:
    """Frames that are generated for a requested length.

    Attributes:
        frames: padded length in pixel frames.
        segment: pixel frames between keyframe slots.
        keyframes: pixel frames of the slots: every segment end.
    """

    frames: int
    segment: int
    keyframes: tuple[int, ...]


@dataclass(frozen=True)
class DfrTile:
    """One temporal tile of a round; pixel frames of the whole clip, both ends inclusive.

    Attributes:
        first, last: its pixel frames.
        anchors: carried keyframes inside it, as guides.
        slots: new keyframe slots inside it: the middle of every segment.
        dropped_latents: latent frames at its start that the previous tile already provides.
    """

    first: int
    last: int
    anchors: tuple[int, ...]
    slots: tuple[int, ...]
    dropped_latents: int


def dfr_canvas(frames: int) -> DfrCanvas:
    """The canvas with the least padding of 24 or 32 frames per segment; ties take 32.

    Raises:
        ValueError: for a clip without motion.
    """
    if frames < 2:
        raise ValueError(f"DFR needs at least 2 frames; got {frames}.")
    content = frames - 1
    segment = min(SEGMENT_LENGTHS, key=lambda length: (-content % length, -length))
    padded = content + -content % segment
    return DfrCanvas(padded + 1, segment, tuple(range(segment, padded + 1, segment)))


def dfr_tiles(canvas: DfrCanvas, temporal_round: int, time_factor: int) -> list[DfrTile]:
    """Tiles of a temporal round, which doubles the frames of the one before.

    Args:
        canvas: of the first stage.
        temporal_round: 1 or 2; the clip is cut into 2^round tiles (fewer when it has fewer segments).
        time_factor: pixel frames per latent frame.
    """
    if temporal_round < 1:
        raise ValueError(f"Temporal rounds count from 1; got {temporal_round}.")
    # The slots of a round halve the segments that the doubling has made longer: their length is the same every time.
    segment = 2 * canvas.segment
    segments = (canvas.frames - 1) * 2**temporal_round // segment
    count = min(2**temporal_round, segments)
    tiles, start = [], 0
    for index in range(count):
        end = start + segments // count + (index < segments % count)
        lead_in = 1 if index else 0
        first, last = (start - lead_in) * segment, end * segment
        tiles.append(
            DfrTile(
                first=first,
                last=last,
                anchors=tuple(range(first or segment, last + 1, segment)),
                slots=tuple(range(first + segment // 2, last, segment)),
                dropped_latents=segment // time_factor + 1 if index else 0,
            )
        )
        start = end
    return tiles
