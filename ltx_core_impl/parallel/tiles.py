"""The tiles of the video decoders over ranks."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from ..model.video_vae import DiffusionVideoDecoder, VideoDecoder
from ..model.video_vae.blend import RunTile
from ..model.video_vae.tile_plan import Tile, TilePlan
from .exchange import Team


def spread_tiles(decoder: VideoDecoder | DiffusionVideoDecoder, team: Team) -> None:
    """Makes ``tiled_decode`` run every tile on one rank only; all ranks call it alike, and each gets all frames.

    Raises:
        ValueError: a decoder whose tiles draw noise of their own, one after the other from the same generator.
    """
    if decoder.draws_noise_per_tile:
        raise ValueError(
            "This video decoder draws noise tile by tile, in their order, so that its tiles cannot be shared out: "
            "decode on one rank, or without tiles."
        )
    decoder.spread = None if team.size == 1 else Spread(team)


class Spread:
    """Makes of the function that runs a tile one that lets the ranks take turns."""

    def __init__(self, team: Team) -> None:
        self.team = team

    def __call__(self, plan: TilePlan, run: RunTile, batch: int, channels: int, like: Tensor) -> RunTile:
        """Tiles must then be asked for in the plan's order; ``like`` tells dtype and device of their output."""
        tiles = [tile for time in plan.time for tile in plan.tiles_at(time)]
        team, state = self.team, {"done": 0, "own": None}

        def spread(tile: Tile) -> Tensor:
            number = state["done"]
            owner = number % team.size
            if owner == 0:
                own = number + team.rank
                state["own"] = run(tiles[own]) if own < len(tiles) else None
            if owner == team.rank:
                output = state["own"].to(like).contiguous()
            else:
                sizes = (axis.target[1] - axis.target[0] for axis in (tile.time, tile.height, tile.width))
                output = torch.empty((batch, channels, *sizes), dtype=like.dtype, device=like.device)
            dist.broadcast(output, dist.get_global_rank(team.group, owner), group=team.group)
            state["done"] = number + 1
            return output

        return spread
