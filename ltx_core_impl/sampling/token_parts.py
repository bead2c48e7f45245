"""Parts of a token state: the tokens of a window in time or a tile in space, with the conditioning that belongs to it.

A part keeps its cells of the target and those appended tokens that overlap it in time and space, or that lie before
the start (references of identity). Its positions start at 0, as in a clip of its own (spec 06 §15).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..conditioning.tools import AudioLatentTools, LatentTools, VideoLatentTools
from ..types import LatentState
from .fusion_plan import FusedTile
from .latent_tiles import Interval, LatentTile

Tile = LatentTile | FusedTile


@dataclass(frozen=True, eq=False)
class TokenPart:
    """Some tokens of a state.

    Attributes:
        indices: int64 ``(n)``, first the target's, then the appended ones, each in the state's order.
        tools: of the part alone.
        shift: what is taken from the positions, ``(axes)``.
        is_clip: the part is a clip of its own, whose first latent frame shows one pixel frame.
    """

    indices: Tensor
    tools: LatentTools
    shift: Tensor
    is_clip: bool = False

    @property
    def target_count(self) -> int:
        """How many of the tokens belong to the target."""
        return self.tools.target_shape.token_count()

    def take(self, state: LatentState) -> LatentState:
        """The part as a state of its own."""
        index = self.indices
        positions = state.positions[:, :, index]
        shift = self.shift.view(1, -1, 1, 1).expand_as(positions).clone()
        shift[:, 0].masked_fill_(positions[:, 0, :, :1] < 0, 0)
        mask, keyframes = state.attention_mask, state.keyframes_mask
        keyframes = None if keyframes is None else keyframes[:, index]
        moved = positions - shift
        if self.is_clip:
            moved[:, 0] = torch.where(positions[:, 0] < 0, moved[:, 0], moved[:, 0].clamp(min=0))
            if keyframes is not None:
                keyframes[:, : self.target_count // self.tools.target_shape.frames] = 1
        return replace(
            state,
            latent=state.latent[:, index],
            clean_latent=state.clean_latent[:, index],
            denoise_mask=state.denoise_mask[:, index],
            positions=moved,
            attention_mask=None if mask is None else mask[:, index][:, :, index],
            keyframes_mask=keyframes,
            windows=None,
            generated_keyframe_layout=None,
        )


class Parts(NamedTuple):
    """The parts of both modalities that run together; None for an absent modality."""

    video: TokenPart | None
    audio: TokenPart | None


def video_part(state: LatentState, tools: VideoLatentTools, tile: Tile) -> TokenPart:
    """The tokens of a tile of the video. One of a window in time that is a clip of its own starts at the last pixel
    frame of its first cell (spec 08 §6.2)."""
    shape = tools.target_shape
    grid = torch.arange(shape.token_count()).view(shape.frames, shape.height, shape.width)
    cells = grid[tuple(slice(axis.start, axis.end) for axis in (tile.frames, tile.height, tile.width))]
    size = shape._replace(**{name: cells.shape[axis] for axis, name in enumerate(("frames", "height", "width"))})
    window = window_of(tile)
    part = _part(state, tools, cells.flatten(), replace(tools, target_shape=size), window)
    if window is None:
        return part
    shift = part.shift.clone()
    shift[0] = window_start(tile, tools)
    return replace(part, shift=shift, is_clip=True)


def window_of(tile: Tile) -> int | None:
    """The number of the tile's window in time; None where it is no clip of its own."""
    return getattr(tile, "window", None)


def window_start(tile: Tile, tools: VideoLatentTools) -> float:
    """The second at which the tile's window in time starts as a clip of its own; 0 without windows."""
    if window_of(tile) is None:
        return 0.0
    return tile.frames.start * tools.scale_factors.time / tools.fps


def audio_part(state: LatentState, tools: AudioLatentTools, start: float, end: float, origin: float) -> TokenPart:
    """The tokens whose middle lies in ``[start, end)`` seconds; ``origin`` becomes time 0.

    Raises:
        ValueError: no token lies there.
    """
    count = tools.target_shape.token_count()
    middle = state.positions[0, 0, :count].mean(dim=-1).cpu()
    chosen = ((middle >= start) & (middle < end)).nonzero().flatten()
    if not len(chosen):
        last = state.positions[0, 0, count - 1, 1].item()
        raise ValueError(
            f"The sound ends at {last:.2f} s, before the window from {start:.2f} s to {end:.2f} s. Give sound and "
            "picture the same duration."
        )
    shape = tools.target_shape._replace(frames=len(chosen))
    part = _part(state, tools, chosen, replace(tools, target_shape=shape))
    return replace(part, shift=torch.full_like(part.shift, origin))


def whole_part(state: LatentState, tools: LatentTools) -> TokenPart:
    """All tokens."""
    index = torch.arange(state.latent.shape[1], device=state.latent.device)
    return TokenPart(index, tools, shift=torch.zeros(state.positions.shape[1], device=state.positions.device))


def _part(
    state: LatentState, tools: LatentTools, target: Tensor, part_tools: LatentTools, window: int | None = None
) -> TokenPart:
    device = state.positions.device
    target = target.to(device)
    positions = state.positions[0]
    starts, ends = positions[:, target, 0].amin(dim=1), positions[:, target, 1].amax(dim=1)
    appended = positions[:, tools.target_shape.token_count() :]
    overlaps = (appended[..., 0] < ends[:, None]) & (appended[..., 1] > starts[:, None])
    kept = overlaps.all(dim=0) | (appended[0, :, 0] < 0)
    if window is not None and state.windows is not None:
        marks = state.windows[tools.target_shape.token_count() :]
        kept &= (marks < 0) | (marks == window)
    indices = torch.cat([target, kept.nonzero().flatten() + tools.target_shape.token_count()])
    return TokenPart(indices, part_tools, shift=starts)


def temporal_windows(frames: int, size: int, overlap: int) -> list[Interval]:
    """Windows of ``size`` latent frames, each starting ``overlap`` before the end of the one before (spec 07 §6.1).

    The last one is as short as need be. The ramp of a window is its overlap with the one before.

    Raises:
        ValueError: an overlap below 1 or not below the size.
    """
    if not 1 <= overlap < size:
        raise ValueError(f"Windows of {size} latent frames need an overlap from 1 to {size - 1}; got {overlap}.")
    count = max(1, -(-(frames - overlap) // (size - overlap)))
    starts = [index * (size - overlap) for index in range(count)]
    return [Interval(start, min(start + size, frames), left_ramp=overlap if start else 0) for start in starts]


def window_parts(
    states: tuple[LatentState | None, LatentState | None],
    tools: tuple[VideoLatentTools | None, AudioLatentTools | None],
    windows: Sequence[Interval],
) -> list[Parts]:
    """Video and sound of every window.

    Raises:
        ValueError: there is no video, or its sound is shorter.
    """
    video_state, audio_state = states
    video_tools, audio_tools = tools
    if video_state is None:
        raise ValueError("Windows follow the frames of the video; this run has none.")
    shape = video_tools.target_shape
    rows, columns = Interval(0, shape.height), Interval(0, shape.width)
    parts = []
    for index, window in enumerate(windows):
        video = video_part(video_state, video_tools, LatentTile(window, rows, columns))
        if audio_state is None:
            parts.append(Parts(video, None))
            continue
        times = video_state.positions[0, 0, video.indices[: video.target_count]]
        start, end = times[:, 0].min().item(), times[:, 1].max().item()
        audio = audio_part(
            audio_state,
            audio_tools,
            start=start if index else -torch.inf,
            end=end if index + 1 < len(windows) else torch.inf,
            origin=start,
        )
        parts.append(Parts(video, audio))
    return parts
