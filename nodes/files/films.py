"""The kinds of films that nodes write, by the names on their widgets."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from ...ltx_core_impl import media

MP4, PRORES, WEBM = "MP4 (H.264)", "MOV (ProRes 4444)", "WebM (VP9)"


class Film(NamedTuple):
    """What a kind of film is called, who writes it (called for the class), and whether its frames have alpha."""

    extension: str
    writer: Callable[[], type[media.VideoWriter]]
    has_alpha: bool


FILMS = {
    MP4: Film("mp4", lambda: media.VideoWriter, has_alpha=False),
    PRORES: Film("mov", lambda: media.ProResWriter, has_alpha=True),
    WEBM: Film("webm", lambda: media.VP9Writer, has_alpha=True),
}
FORMAT_TOOLTIP = (
    "MP4 (H.264): plays everywhere, without alpha. MOV (ProRes 4444): for editing, 10 bits, exact alpha, PCM sound, "
    "large. WebM (VP9): alpha for browsers, Opus sound; crf 0 keeps it exactly."
)


def alpha_of(mask: Tensor | None, first: int, frames: Tensor) -> Tensor | None:
    """The part ``(f, H, W)`` of a mask ``(1 or F, h, w)`` that belongs to frames ``(f, H, W, C)`` from ``first`` on, in
    their size; None without a mask."""
    if mask is None:
        return None
    part = mask if len(mask) == 1 else mask[first : first + len(frames)]
    if part.shape[1:] != frames.shape[1:3]:
        part = media.resize_mask(part, *frames.shape[1:3])
    return part.expand(len(frames), -1, -1)
