"""Encoding a video that is read while it is encoded, so that it never exists as a whole (spec 03 §7.6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from .blend import blend_tiles
from .encoder import VideoEncoder
from .tile_plan import Tiling
from .tiling import TilingConfig


def encode_chunks(
    chunks: Iterable[Tensor],
    encoder: VideoEncoder,
    size: tuple[int, int, int],
    tiling_config: Tiling | None = None,
    callback: Callable[[int], None] | None = None,
) -> Tensor:
    """What ``encoder.tiled_encode`` gives for the whole video, from chunks of it.

    At most one temporal tile and one chunk are in memory.

    Args:
        chunks: consecutive parts ``(B, 3, f, H, W)`` in [-1, 1], on any device; frames beyond ``size`` are not read.
        size: (frames, height, width) of the video; frames ``8k + 1``, sides multiples of the spatial factor.
        tiling_config: the default tiling if none is given.
        callback: told the number of frames encoded so far; may raise to stop.

    Returns:
        Normalised latent ``(B, C, f, h, w)`` on the encoder's device, in its dtype.

    Raises:
        ValueError: the chunks end early, or the size or the tiles do not fit the encoder.
    """
    weight = encoder.conv_in.conv.weight
    plan = (tiling_config or TilingConfig.default()).encode_plan(size, encoder.scale_factors)
    window = _Window(iter(chunks), size)
    latent: Tensor | None = None
    for time in plan.time:
        start, end = time.source
        video = window.frames(start, end)
        if latent is None:
            latent = torch.zeros(
                video.shape[0], encoder.latent_channels, *plan.target_size, dtype=weight.dtype, device=weight.device
            )

        def run(tile, video: Tensor = video) -> Tensor:
            rows, columns = tile.source[3:]
            return encoder(video[..., rows, columns].to(weight))

        blend_tiles(latent, replace(plan, time=(time,)), run)
        if callback is not None:
            callback(end)
    return latent


class _Window:
    """The frames that one temporal tile needs, taken from chunks as they are needed."""

    def __init__(self, chunks: Iterator[Tensor], size: tuple[int, int, int]) -> None:
        self._chunks = chunks
        self._size = size
        self._parts: list[Tensor] = []
        self._first = 0
        self._end = 0

    def frames(self, start: int, end: int) -> Tensor:
        """Frames ``[start, end)``; earlier ones are forgotten."""
        while self._parts and self._first + self._parts[0].shape[2] <= start:
            self._first += self._parts.pop(0).shape[2]
        while self._end < end:
            part = next(self._chunks, None)
            if part is None:
                raise ValueError(
                    f"The video ended after {self._end} of {self._size[0]} frames. Choose fewer frames, or repair the "
                    "file."
                )
            if tuple(part.shape[3:]) != self._size[1:]:
                raise ValueError(f"Frames of {tuple(part.shape[3:])} came where {self._size[1:]} were announced.")
            self._parts.append(part)
            self._end += part.shape[2]
        video = torch.cat(self._parts, dim=2)[:, :, start - self._first : end - self._first]
        return video
