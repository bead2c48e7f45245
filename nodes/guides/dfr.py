"""DFR, detail-fidelity rendering of LTX-2.5: the canvas, and the tiles of its temporal rounds (spec 07 §3.12)."""

from __future__ import annotations

from dataclasses import dataclass

from comfy_api.latest import io
from torch import Tensor

from ...ltx_core_impl import sampling
from ...ltx_core_impl.presets import dfr_tile_seeds
from ...ltx_core_impl.sampling.dfr_rounds import (
    ANCHOR_STRENGTH,
    carried_keyframes,
    doubled,
    join_tiles,
    tile_anchors,
    tile_images,
    tile_latent,
    tile_slots,
)
from ..latents.latents import SeededNoise, require_seed
from ..wires import sockets
from ..wires.checks import InputError, check_frames, check_widgets, latent_samples, message_or_true, optional_handle
from ..wires.geometry import video_geometry
from ..wires.handles import Guides, describe
from ..wires.inputs import MAX_LENGTH, fraction_input, unusual_video_vae_input
from ..wires.pictures import clip_of, frame_rate_of
from .keyframes import keyframes_by_frame, keyframes_latent

CATEGORY = "LTX-2/DFR"
MAX_ROUNDS, MAX_TILES = 2, 4
PLACE = "dfr_tile"
"""Key of a LATENT dict: the place of a tile in its round."""


@dataclass(frozen=True)
class Place:
    """Where a tile belongs: its frames, its number in the round, and the playback rate of the round's clip.

    A clip too short for all tiles of a graph gives spare ones, without a place (None), which joining leaves out.
    """

    tile: sampling.DfrTile | None
    number: int
    count: int
    frame_rate: float


def clock_of(latent: dict | None) -> tuple[float, float]:
    """When a LATENT starts in the clip it is a part of, in seconds, and its seconds per second of that clip.

    Tiles of DFR are conditioned as if they had a lower frame rate than they have.
    """
    place = None if latent is None else latent.get(PLACE)
    if place is None or place.tile is None:
        return 0.0, 1.0
    return place.tile.first / place.frame_rate, place.frame_rate / latent["frame_rate"]


class LTX2DFRCanvas(io.ComfyNode):
    """The length that DFR works with."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2DFRCanvas",
            display_name="LTX-2 DFR Canvas",
            category=CATEGORY,
            description="Pads the length of a clip to whole segments of 24 or 32 frames, and says where the keyframes "
            "between them are.",
            inputs=[
                io.Int.Input(
                    "length",
                    default=121,
                    min=9,
                    max=MAX_LENGTH,
                    step=8,
                    tooltip="Frames wanted, 8k + 1 (121), before the temporal rounds double their number.",
                ),
                io.Int.Input(
                    "temporal_rounds",
                    default=0,
                    min=0,
                    max=MAX_ROUNDS,
                    tooltip="How often the frame rate is doubled afterwards, 0 to 2; only decides output_length.",
                ),
            ],
            outputs=[
                io.Int.Output(display_name="length", tooltip="Frames to generate; for 'LTX-2 Empty Latents'."),
                io.String.Output(display_name="keyframes", tooltip="For the frames of 'LTX-2 Keyframe Slots'."),
                io.Int.Output(
                    display_name="output_length",
                    tooltip="Frames to keep of the decoded clip; for the length of 'ImageFromBatch'.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, length, temporal_rounds) -> bool | str:
        return message_or_true(lambda: cls._check(length, temporal_rounds))

    @classmethod
    def _check(cls, length: int | None, temporal_rounds: int | None) -> None:
        check_widgets(cls, length=length, temporal_rounds=temporal_rounds)
        if length is not None:
            check_frames(length, video_geometry(None).scale.time)

    @classmethod
    def execute(cls, length, temporal_rounds) -> io.NodeOutput:
        cls._check(length, temporal_rounds)
        canvas = sampling.dfr_canvas(length)
        output_length = (length - 1) * 2**temporal_rounds + 1
        return io.NodeOutput(canvas.frames, ", ".join(map(str, canvas.keyframes)), output_length)


class LTX2DFRTile(io.ComfyNode):
    """One tile of a temporal round."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2DFRTile",
            display_name="LTX-2 DFR Tile",
            category=CATEGORY,
            description="Cuts one tile out of a clip whose frame rate was doubled, with what guides it: the keyframes "
            "so far, new slots between them, and the images. Sample it without audio, with the distilled sigmas "
            "'temporal upscale', solver euler_ancestral and eta 0.5, then join the tiles.",
            inputs=[
                io.Latent.Input("video_latent", tooltip="The clip after the temporal upscaler."),
                io.Latent.Input("keyframes", tooltip="Keyframes of the stage or round before."),
                io.Noise.Input("noise", tooltip="From 'LTX-2 Latent Noise'; each tile makes its own noise of it."),
                io.Int.Input(
                    "temporal_round",
                    default=1,
                    min=1,
                    max=MAX_ROUNDS,
                    tooltip="1 = the first doubling of the frame rate, 2 = the second.",
                ),
                io.Int.Input(
                    "tile",
                    default=0,
                    min=0,
                    max=MAX_TILES - 1,
                    tooltip="Number of the tile, from 0: two in round 1, four in round 2. Of a clip too short for "
                    "so many, the last ones are spare: a single frame that 'LTX-2 DFR Join' leaves out.",
                ),
                fraction_input(
                    "anchor_strength",
                    ANCHOR_STRENGTH,
                    "How strongly the keyframes hold the clip. 0.95 as in the reference.",
                ),
                sockets.Guides.Input(
                    "guides", optional=True, tooltip="Image guides of the second stage; they move with their frames."
                ),
                unusual_video_vae_input(),
            ],
            outputs=[
                io.Latent.Output(display_name="video_latent", tooltip="The tile, for 'LTX-2 Sampler'."),
                sockets.Guides.Output(display_name="guides", tooltip="For 'LTX-2 Sampler'."),
                io.Noise.Output(display_name="noise", tooltip="For 'LTX-2 Sampler'."),
            ],
        )

    @classmethod
    def validate_inputs(cls, temporal_round, tile, anchor_strength) -> bool | str:
        return message_or_true(lambda: cls._check(temporal_round, tile, anchor_strength))

    @classmethod
    def _check(cls, temporal_round: int | None, tile: int | None, anchor_strength: float | None) -> None:
        check_widgets(cls, temporal_round=temporal_round, tile=tile, anchor_strength=anchor_strength)
        if None not in (temporal_round, tile) and tile >= 2**temporal_round:
            raise InputError(
                f"tile is {tile}; round {temporal_round} has {2**temporal_round} tiles, 0 to {2**temporal_round - 1}."
            )

    @classmethod
    def execute(
        cls, video_latent, keyframes, noise, temporal_round, tile, anchor_strength, guides=None, video_vae=None
    ) -> io.NodeOutput:
        cls._check(temporal_round, tile, anchor_strength)
        seed = require_seed(noise)
        clip = clip_of(video_latent, optional_handle(video_vae, "video_vae"))
        rate = frame_rate_of(video_latent)
        anchors = doubled(keyframes_by_frame(keyframes, "keyframes"))
        tiles = sampling.dfr_tiles(_canvas(clip.frames, anchors, temporal_round), temporal_round, clip.scale.time)
        chosen = tiles[tile] if tile < len(tiles) else None
        if chosen is None:
            part, items = video_latent["samples"][:, :, :1], ()
        else:
            part = tile_latent(video_latent["samples"], chosen, clip.scale.time)
            items = (
                *tile_images((guides or Guides()).video, chosen, temporal_round),
                *tile_anchors(anchors, chosen, anchor_strength),
                tile_slots(part, chosen, clip.scale.time),
            )
        place = Place(chosen, number=tile, count=len(tiles), frame_rate=rate)
        latent = {**video_latent, "samples": part, "frame_rate": min(rate, sampling.MAX_CONDITIONING_FPS), PLACE: place}
        start, loop = dfr_tile_seeds(seed, temporal_round, tile)
        return io.NodeOutput(latent, Guides(video=items), SeededNoise(seed=start, loop_seed=loop))


class LTX2DFRJoin(io.ComfyNode):
    """The clip of a round."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        def number(index: int) -> list[io.Input]:
            optional = index > 1
            return [
                io.Latent.Input(f"tile_{index}", optional=optional, tooltip=f"Sampled tile {index - 1}."),
                io.Latent.Input(
                    f"keyframes_{index}", optional=optional, tooltip="Its keyframes, from the same 'LTX-2 Sampler'."
                ),
            ]

        return io.Schema(
            node_id="LTX2DFRJoin",
            display_name="LTX-2 DFR Join",
            category=CATEGORY,
            description="Joins the sampled tiles of a temporal round to one clip and gathers all keyframes.",
            inputs=[
                io.Latent.Input("keyframes", tooltip="The keyframes that the tiles of this round were given."),
                *(socket for index in range(1, MAX_TILES + 1) for socket in number(index)),
            ],
            outputs=[
                io.Latent.Output(display_name="video_latent", tooltip="The clip at its doubled frame rate."),
                io.Latent.Output(display_name="keyframes", tooltip="All keyframes so far, for the next round."),
                io.Float.Output(display_name="frame_rate", tooltip="Frames per second of the clip."),
            ],
        )

    @classmethod
    def execute(cls, keyframes, **wires) -> io.NodeOutput:
        pieces = []
        for index in range(1, MAX_TILES + 1):
            latent, made = wires.get(f"tile_{index}"), wires.get(f"keyframes_{index}")
            if latent is None:
                continue
            latent_samples(latent, "video", f"tile_{index}")
            place = latent.get(PLACE)
            if not isinstance(place, Place):
                raise InputError(f"tile_{index} needs a sampled 'LTX-2 DFR Tile'; it got {describe(latent)}.")
            if place.tile is None:
                continue
            pieces.append((place, latent, {} if made is None else keyframes_by_frame(made, f"keyframes_{index}")))
        _check_all_there([place for place, _, _ in pieces])
        samples = join_tiles([latent["samples"] for _, latent, _ in pieces], [place.tile for place, _, _ in pieces])
        carried = carried_keyframes(
            doubled(keyframes_by_frame(keyframes, "keyframes")), [(place.tile, made) for place, _, made in pieces]
        )
        place, latent, _ = pieces[0]
        clip = {key: value for key, value in latent.items() if key != PLACE}
        clip |= {"samples": samples, "frame_rate": place.frame_rate}
        return io.NodeOutput(clip, keyframes_latent(carried, clip), place.frame_rate)


def _canvas(frames: int, anchors: dict[int, Tensor], temporal_round: int) -> sampling.DfrCanvas:
    """The canvas of the first stage, seen from a round's clip and the keyframes that it carries."""
    first, last = min(anchors), max(anchors)
    segment, canvas_frames = first // 2, (frames - 1) // 2**temporal_round + 1
    canvas = sampling.DfrCanvas(canvas_frames, segment, tuple(range(segment, canvas_frames, segment)))
    if last != frames - 1 or (canvas_frames - 1) % segment or (frames - 1) % 2**temporal_round:
        raise InputError(
            f"video_latent has {frames} frames and the doubled keyframes are at {first} to {last}; in round "
            f"{temporal_round} the last keyframe must be the last frame. Upscale the clip in time once before each "
            "round, with the keyframes of the stage or round before it, made at the frames of 'LTX-2 DFR Canvas'."
        )
    return canvas


def _check_all_there(places: list[Place]) -> None:
    found = [place.number for place in places]
    if not places or found != list(range(places[0].count)):
        needed = places[0].count if places else 1
        raise InputError(
            f"Tiles {found} are connected; this round has {needed} tiles, 0 to {needed - 1}. Connect all, in order."
        )


NODES = [LTX2DFRCanvas, LTX2DFRTile, LTX2DFRJoin]
