"""The temporal rounds of DFR: what a tile starts from, what guides it, how tiles join (spec 07 §3.12, 06 §17.8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..conditioning.item import ConditioningError, ConditioningItem
from ..conditioning.keyframe_slots import VideoGeneratedKeyframeSlots
from ..conditioning.video_items import VideoConditionByKeyframeIndex, VideoConditionByLatentIndex
from .dfr_layout import DfrTile

ANCHOR_STRENGTH = 0.95
LOOP_ETA = 0.5
"""Share of fresh noise in the ancestral steps of a tile."""

Keyframes = Mapping[int, Tensor]
"""Latents ``(B, C, 1, H, W)`` of single pixel frames, by frame."""


def tile_latent(latent: Tensor, tile: DfrTile, time_factor: int) -> Tensor:
    """The part ``(B, C, f, H, W)`` of a round's latent ``(B, C, F, H, W)`` that a tile refines.

    Raises:
        ValueError: the latent is shorter than the tile.
    """
    first, last = tile.first // time_factor, tile.last // time_factor
    if last >= latent.shape[2]:
        raise ValueError(
            f"The tile covers latent frames {first} to {last}; the latent has {latent.shape[2]}. Upscale the latent in "
            "time before each round."
        )
    return latent[:, :, first : last + 1]


def tile_anchors(
    keyframes: Keyframes, tile: DfrTile, strength: float = ANCHOR_STRENGTH
) -> list[VideoConditionByKeyframeIndex]:
    """Guides for the carried keyframes inside a tile; ``keyframes`` by frame of the round.

    Raises:
        ValueError: an anchor of the tile is not among the keyframes.
    """
    missing = [frame for frame in tile.anchors if frame not in keyframes]
    if missing:
        raise ValueError(f"The tile needs keyframes at {list(tile.anchors)}; those at {missing} are not given.")
    return [
        VideoConditionByKeyframeIndex(keyframes=keyframes[frame], frame_idx=frame - tile.first, strength=strength)
        for frame in tile.anchors
    ]


def tile_slots(latent: Tensor, tile: DfrTile, time_factor: int) -> VideoGeneratedKeyframeSlots:
    """New slots of a tile, each starting from the nearest frame of the tile's latent ``(B, C, f, H, W)``."""
    frames = [frame - tile.first for frame in tile.slots]
    nearest = [round(frame / time_factor) for frame in frames]
    return VideoGeneratedKeyframeSlots(pixel_indices=frames, initial_keyframes=latent[:, :, nearest])


def tile_images(items: Iterable[ConditioningItem], tile: DfrTile, doublings: int) -> list[ConditioningItem]:
    """Image guides of the clip before the rounds, moved to where their frames are after ``doublings`` in a tile.

    Those outside the tile are left out. A picture at the tile's first frame replaces it, any other stands beside it.

    Raises:
        ConditioningError: an item that is no image guide.
    """
    moved: list[ConditioningItem] = []
    for item in items:
        if isinstance(item, VideoConditionByLatentIndex) and item.latent_idx == 0 and item.latent.shape[2] == 1:
            frame, latent = 0, item.latent
        elif isinstance(item, VideoConditionByKeyframeIndex) and item.keyframes.shape[2] == 1:
            frame, latent = item.frame_idx, item.keyframes
        else:
            raise ConditioningError(
                f"Only single images guide the temporal rounds of DFR; got {type(item).__name__}. Leave it out there."
            )
        local = frame * 2**doublings - tile.first
        if local == 0:
            moved.append(VideoConditionByLatentIndex(latent=latent, strength=item.strength, latent_idx=0))
        elif 0 < local <= tile.last - tile.first:
            moved.append(VideoConditionByKeyframeIndex(keyframes=latent, frame_idx=local, strength=item.strength))
    return moved


def doubled(keyframes: Keyframes) -> dict[int, Tensor]:
    """Keyframes where they are once the clip has twice the frame rate."""
    return {2 * frame: latent for frame, latent in keyframes.items()}


def join_tiles(latents: Sequence[Tensor], tiles: Sequence[DfrTile]) -> Tensor:
    """The clip ``(B, C, F, H, W)`` of refined tiles in order; what a tile shares with the one before is dropped.

    Raises:
        ValueError: tiles that do not follow one another.
    """
    for before, after in pairwise(tiles):
        if not before.first <= after.first <= before.last < after.last:
            raise ValueError(
                f"Tiles of frames {before.first}-{before.last} and {after.first}-{after.last} do not follow one another"
                ": give all tiles of one round in order."
            )
    return torch.cat([latent[:, :, tile.dropped_latents :] for latent, tile in zip(latents, tiles, strict=True)], dim=2)


def carried_keyframes(carried: Keyframes, generated: Iterable[tuple[DfrTile, Keyframes]]) -> dict[int, Tensor]:
    """All keyframes of a round, by frame: the carried ones and, of each tile, the new ones by local frame.

    Where two tiles made the same frame, the earlier one's is kept.
    """
    merged = dict(carried)
    for tile, keyframes in generated:
        for frame, latent in keyframes.items():
            merged.setdefault(tile.first + frame, latent)
    return dict(sorted(merged.items()))
