"""Tiled fusion: canvases up to 8K, tile by tile in every step. Sizes, the plan for the sampler, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io

from ...ltx_core_impl import conditioning, sampling
from ...ltx_core_impl.sampling.fusion_plan import LONG_EDGES, MAX_CYCLE, OVERLAP, SIZES, size_ladder, window_frames
from ..wires import sockets
from ..wires.checks import InputError, check_frames, check_grid, check_widgets, message_or_true
from ..wires.handles import Guider, TiledFusion, Windows
from ..wires.inputs import MAX_LENGTH, MAX_SIDE
from .denoising import grids_of, guidances
from .windows import CATEGORY, FRAME_STEP, MAX_WINDOW, SIDE_STEP, require_windows

WITH_HISTORY = ("gradient_estimating_euler",)
FIRST_STAGE = "FullHD"


class LTX2TilingSizes(io.ComfyNode):
    """What a source becomes at qHD to 8K."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2TilingSizes",
            display_name="LTX-2 Tiling Sizes",
            category=CATEGORY,
            description="Sizes for 'LTX-2 Tiled Fusion': the canvas and the tile that suit a source, of its shape, "
            "with sides that are multiples of 32. A source that is within 200 pixels of a size keeps its own.",
            inputs=[
                io.Int.Input("width", default=1920, min=1, max=MAX_SIDE, tooltip="Width of the source in pixels."),
                io.Int.Input("height", default=1080, min=1, max=MAX_SIDE, tooltip="Height of the source in pixels."),
                io.Int.Input("length", default=97, min=1, max=MAX_LENGTH, tooltip="Frames of the clip."),
                io.Combo.Input(
                    "canvas",
                    options=list(SIZES),
                    default="4K",
                    tooltip="What is made. Long edges: qHD 960, HD 1280, FullHD 1920, 4K and 8K twice and four times "
                    "FullHD.",
                ),
                io.Combo.Input(
                    "tile",
                    options=list(LONG_EDGES),
                    default="HD",
                    tooltip="What the model makes at once. HD: the refine LoRA of LTX-2.5. Never larger than the first "
                    "stage.",
                ),
            ],
            outputs=[
                io.Int.Output(display_name="width", tooltip="Width of the canvas in pixels."),
                io.Int.Output(display_name="height", tooltip="Height of the canvas in pixels."),
                io.Int.Output(display_name="tile_width", tooltip="Width of a tile in pixels."),
                io.Int.Output(display_name="tile_height", tooltip="Height of a tile in pixels."),
                io.Int.Output(
                    display_name="tile_frames",
                    tooltip="Frames of a window in time: all up to 121 frames, 97 for longer clips.",
                ),
                io.Int.Output(
                    display_name="first_width",
                    tooltip="Width of a first stage whose latent is doubled to the canvas: FullHD for 4K (once) and 8K "
                    "(twice); the canvas itself otherwise.",
                ),
                io.Int.Output(display_name="first_height", tooltip="Height of that first stage in pixels."),
            ],
        )

    @classmethod
    def validate_inputs(cls, width, height, length, canvas, tile) -> bool | str:
        return message_or_true(
            lambda: check_widgets(cls, width=width, height=height, length=length, canvas=canvas, tile=tile)
        )

    @classmethod
    def execute(cls, width, height, length, canvas, tile) -> io.NodeOutput:
        check_widgets(cls, width=width, height=height, length=length, canvas=canvas, tile=tile)
        sizes = size_ladder(width, height)
        first = sizes[canvas if canvas in LONG_EDGES else FIRST_STAGE]
        within = (min(side, limit) for side, limit in zip(sizes[tile], first, strict=True))
        return io.NodeOutput(*sizes[canvas], *within, window_frames(length), *first)


class LTX2TiledFusion(io.ComfyNode):
    """Overlapping tiles in space and time, fused in every step."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2TiledFusion",
            display_name="LTX-2 Tiled Fusion",
            category=CATEGORY,
            description="Lets the sampler fill a canvas of any size, up to 8K, in tiles of the size that the model "
            "makes well. Every step of every tile goes into one canvas, weighted by how near its middle a cell is: no "
            "seams. The memory is that of a tile. Needs a reference that fills the canvas, as IC-LoRAs take it.",
            inputs=[
                io.Int.Input(
                    "tile_width",
                    default=1024,
                    min=SIDE_STEP,
                    max=MAX_SIDE,
                    step=SIDE_STEP,
                    tooltip="Width of a tile in pixels: what the LoRA was trained for, or from 'LTX-2 Tiling Sizes'. "
                    "The refine LoRA of LTX-2.5: 1024 x 576.",
                ),
                io.Int.Input(
                    "tile_height",
                    default=576,
                    min=SIDE_STEP,
                    max=MAX_SIDE,
                    step=SIDE_STEP,
                    tooltip="Height of a tile in pixels.",
                ),
                io.Int.Input(
                    "tile_frames",
                    default=0,
                    min=0,
                    max=MAX_WINDOW,
                    tooltip="Frames of a window in time, 8k + 1 (97); 0 = the whole clip at once. Longer clips need a "
                    "reference with the same tile_frames.",
                ),
                io.Float.Input(
                    "overlap",
                    default=OVERLAP,
                    min=0.0,
                    max=0.9,
                    step=0.05,
                    tooltip="Share of a tile that neighbours have in common at least. Less is faster. Good: 0.5.",
                ),
                io.Int.Input(
                    "grid_cycle",
                    default=1,
                    min=1,
                    max=MAX_CYCLE,
                    tooltip="1 = the tiles stay where they are. 2 to 4 = they move by up to 128 pixels from step to "
                    "step, where the overlap allows, against patterns that repeat with the tiles.",
                ),
                sockets.Windows.Input(
                    "windows",
                    optional=True,
                    tooltip="From 'LTX-2 Context Windows', in place of tile_frames.",
                ),
            ],
            outputs=[sockets.Windows.Output(display_name="windows", tooltip="For 'LTX-2 Sampler'.")],
        )

    @classmethod
    def validate_inputs(cls, tile_width, tile_height, tile_frames, overlap, grid_cycle) -> bool | str:
        return message_or_true(lambda: cls._check(tile_width, tile_height, tile_frames, overlap, grid_cycle))

    @classmethod
    def _check(
        cls, width: int | None, height: int | None, frames: int | None, overlap: float | None, cycle: int | None
    ) -> None:
        check_widgets(cls, tile_width=width, tile_height=height, tile_frames=frames, overlap=overlap, grid_cycle=cycle)
        for name, side in (("tile_width", width), ("tile_height", height)):
            if side is not None:
                check_grid(name, side, SIDE_STEP)
        if frames:
            check_frames(frames, FRAME_STEP, "tile_frames")

    @classmethod
    def execute(cls, tile_width, tile_height, tile_frames, overlap, grid_cycle, windows=None) -> io.NodeOutput:
        cls._check(tile_width, tile_height, tile_frames, overlap, grid_cycle)
        before = require_windows(windows)
        if before.rows * before.columns > 1:
            raise InputError(
                "windows comes from 'LTX-2 Spatial Tiles', which divides the picture already. Use one of the two."
            )
        if before.length and tile_frames:
            raise InputError(
                f"tile_frames is {tile_frames}, and windows divides the clip in time already. Set tile_frames to 0, or "
                "disconnect windows."
            )
        fusion = TiledFusion(tile_width, tile_height, tile_frames, overlap, grid_cycle)
        return io.NodeOutput(replace(before, fusion=fusion))


def check_fusion(
    windows: Windows,
    video: sampling.StageModality | None,
    audio: sampling.StageModality | None,
    guider: Guider,
    solver: str,
) -> None:
    """Raise `InputError` for a run that tiled fusion cannot do, and for windowed references without it."""
    items = [] if video is None else [getattr(item, "conditioning", item) for item in video.conditionings]
    windowed = [item for item in items if isinstance(item, conditioning.VideoConditionByWindowedReference)]
    starts = _window_starts(windows, video)
    for item in windowed:
        if item.starts != starts:
            raise InputError(
                f"A reference was encoded for {len(item.starts)} windows in time, this run has {len(starts)}. Give "
                "'LTX-2 Reference Video Guide' and 'LTX-2 Tiled Fusion' the same tile_frames."
            )
    if windows.fusion is None or video is None:
        return
    if solver in WITH_HISTORY:
        raise InputError(
            f"solver is {solver}, which goes by the step before; tiled fusion mixes tiles after every step. Use euler."
        )
    if video.tools.target_shape.batch > 1:
        raise InputError(
            f"video_latent has a batch of {video.tools.target_shape.batch}; tiled fusion makes one clip at a time."
        )
    if windows.fusion.grid_cycle > 1 and any(
        one.skip_step for part in (guider.video, guider.audio) for one in guidances(part)
    ):
        raise InputError("grid_cycle moves the tiles in every step, so no step can be skipped. Set skip_step to 0.")
    references = [item for item in items if isinstance(item, conditioning.VideoConditionByReferenceLatent)]
    if any(item.downscale_factor > 1 for item in references):
        raise InputError(
            "A reference is smaller than the canvas (its factor is above 1), so it cannot be cut into tiles. Use "
            "a LoRA whose references have the clip's size, such as the refine LoRA."
        )
    if len(starts) == 1:
        return
    if references:
        raise InputError(
            f"The clip has {len(starts)} windows in time, and each needs the reference encoded for it. Set tile_frames "
            f"of 'LTX-2 Reference Video Guide' to {windows.fusion.frames}."
        )
    if audio is not None:
        raise InputError(
            f"The clip has {len(starts)} windows in time, in which no sound is made. Disconnect audio_latent and give "
            "the film the source's sound, or set tile_frames to 0."
        )


def _window_starts(windows: Windows, video: sampling.StageModality | None) -> tuple[int, ...]:
    if windows.fusion is None or video is None:
        return (0,)
    return tuple(sorted({tile.frames.start for tile in grids_of(windows, video.tools)[0]}))


NODES = [LTX2TilingSizes, LTX2TiledFusion]
