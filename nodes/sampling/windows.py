"""Clips longer or larger than the model's: windows in time, tiles in space. Inputs of the one sampler."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from ...ltx_core_impl.presets import LTX_2_3_PRESET
from ..wires import sockets
from ..wires.checks import InputError, check_frames, check_multiple, check_widgets, message_or_true, require
from ..wires.handles import Segments, Windows
from ..wires.inputs import fraction_input

CATEGORY = "LTX-2/sampling"
FRAME_STEP, SIDE_STEP = 8, 32
MAX_WINDOW, MAX_OVERLAP, MAX_TILES, MAX_TILE_OVERLAP = 16385, 1024, 16, 2048
DEFAULT_OVERLAP, DEFAULT_TILE_OVERLAP = 24, 192


class LTX2ContextWindows(io.ComfyNode):
    """Windows in time."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2ContextWindows",
            display_name="LTX-2 Context Windows",
            category=CATEGORY,
            description="Lets the sampler make a long clip window by window, picture and sound together. Each window "
            "continues the one before from what they share; guides reach every window that they lie in.",
            inputs=[
                io.Int.Input(
                    "window_length",
                    default=LTX_2_3_PRESET.frames,
                    min=9,
                    max=MAX_WINDOW,
                    step=FRAME_STEP,
                    tooltip="Frames of a window, 8k + 1: as many as the model makes well at once. Good: 121 to 241.",
                ),
                io.Int.Input(
                    "overlap",
                    default=DEFAULT_OVERLAP,
                    min=FRAME_STEP,
                    max=MAX_OVERLAP,
                    step=FRAME_STEP,
                    tooltip="Frames that a window shares with the one before, a multiple of 8: what it learns the "
                    "motion and the sound from. Good: 16 to 40.",
                ),
                fraction_input(
                    "overlap_strength",
                    1.0,
                    "How firmly the shared frames are kept: 1 = exactly; less lets the window change them, and "
                    "cross-fades (0.5 eases a change of prompt).",
                    step=0.05,
                ),
                fraction_input(
                    "drift_control",
                    0.0,
                    "Pulls colours and contrast of every window to those of the first (AdaIN). 0 = not; 0.2 to "
                    "0.5 against colours that grow from window to window. It also resists wanted changes of light.",
                    step=0.05,
                ),
                sockets.Segments.Input(
                    "segments",
                    optional=True,
                    tooltip="A prompt for each window, from 'LTX-2 Segment Prompts'; without, the guider's prompt "
                    "serves all.",
                ),
                sockets.Windows.Input("windows", optional=True, tooltip="From 'LTX-2 Spatial Tiles', to have both."),
            ],
            outputs=[sockets.Windows.Output(display_name="windows", tooltip="For 'LTX-2 Sampler'.")],
        )

    @classmethod
    def validate_inputs(cls, window_length, overlap, overlap_strength, drift_control) -> bool | str:
        return message_or_true(lambda: cls._check(window_length, overlap, overlap_strength, drift_control))

    @classmethod
    def _check(
        cls, length: int | None, overlap: int | None, overlap_strength: float | None, drift_control: float | None
    ) -> None:
        check_widgets(
            cls,
            window_length=length,
            overlap=overlap,
            overlap_strength=overlap_strength,
            drift_control=drift_control,
        )
        if length is not None:
            check_frames(length, FRAME_STEP, "window_length")
        if overlap is not None:
            check_multiple("overlap", overlap, FRAME_STEP, "frames")
        if None not in (length, overlap) and overlap >= length:
            raise InputError(
                f"overlap is {overlap} frames, window_length {length}; a window must bring new frames. Use an overlap "
                f"of at most {length - 1}, better about {max(FRAME_STEP, length // 5 // FRAME_STEP * FRAME_STEP)}."
            )

    @classmethod
    def execute(
        cls, window_length, overlap, overlap_strength, drift_control, segments=None, windows=None
    ) -> io.NodeOutput:
        cls._check(window_length, overlap, overlap_strength, drift_control)
        if segments is not None:
            require(segments, Segments, "segments", "'LTX-2 Segment Prompts'")
        return io.NodeOutput(
            replace(
                require_windows(windows),
                length=window_length,
                overlap=overlap,
                overlap_strength=overlap_strength,
                drift_control=drift_control,
                segments=() if segments is None else segments.contexts,
            )
        )


class LTX2SpatialTiles(io.ComfyNode):
    """Tiles in space."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2SpatialTiles",
            display_name="LTX-2 Spatial Tiles",
            category=CATEGORY,
            description="Lets the sampler make pictures larger than the model's tile by tile. The tiles are blended in "
            "every step, so that no seams come up. Meant for second stages, which start from a picture; from pure "
            "noise every tile invents a picture of its own.",
            inputs=[
                io.Int.Input(
                    "columns",
                    default=2,
                    min=1,
                    max=MAX_TILES,
                    tooltip="Tiles side by side; 1 = the whole width. Time grows with the tiles.",
                ),
                io.Int.Input(
                    "rows", default=2, min=1, max=MAX_TILES, tooltip="Tiles one above the other; 1 = the whole height."
                ),
                io.Int.Input(
                    "overlap",
                    default=DEFAULT_TILE_OVERLAP,
                    min=0,
                    max=MAX_TILE_OVERLAP,
                    step=SIDE_STEP,
                    tooltip="Pixels that neighbours share, a multiple of 32; made smaller where the picture is too "
                    "small. Good: 192 (the HDR recipe), at least 64.",
                ),
                sockets.Windows.Input("windows", optional=True, tooltip="From 'LTX-2 Context Windows', to have both."),
            ],
            outputs=[sockets.Windows.Output(display_name="windows", tooltip="For 'LTX-2 Sampler'.")],
        )

    @classmethod
    def validate_inputs(cls, columns, rows, overlap) -> bool | str:
        return message_or_true(lambda: cls._check(columns, rows, overlap))

    @classmethod
    def _check(cls, columns: int | None, rows: int | None, overlap: int | None) -> None:
        check_widgets(cls, columns=columns, rows=rows, overlap=overlap)
        if overlap is not None:
            check_multiple("overlap", overlap, SIDE_STEP, "pixels")

    @classmethod
    def execute(cls, columns, rows, overlap, windows=None) -> io.NodeOutput:
        cls._check(columns, rows, overlap)
        before = require_windows(windows)
        if before.fusion is not None:
            raise InputError(
                "windows comes from 'LTX-2 Tiled Fusion', which divides the picture already. Use one of the two."
            )
        return io.NodeOutput(replace(before, columns=columns, rows=rows, tile_overlap=overlap))


def require_windows(windows: Any) -> Windows:
    """The windows on an optional input; one whole clip when nothing is connected."""
    if windows is None:
        return Windows()
    return require(
        windows, Windows, "windows", "'LTX-2 Context Windows', 'LTX-2 Spatial Tiles' or 'LTX-2 Tiled Fusion'"
    )


NODES = [LTX2ContextWindows, LTX2SpatialTiles]
