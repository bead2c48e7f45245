"""Clips longer or larger than the model's: windows in time, tiles in space. Inputs of the one sampler."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io

from ..ltx_core_impl.presets import LTX_2_3_PRESET
from . import sockets
from .checks import InputError, check_between, check_frames, message_or_true
from .handles import Segments, Windows, describe

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
                io.Float.Input(
                    "overlap_strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How firmly the shared frames are kept: 1 = exactly; less lets the window change them, and "
                    "cross-fades (0.5 eases a change of prompt).",
                ),
                io.Float.Input(
                    "drift_control",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Pulls colours and contrast of every window to those of the first (AdaIN). 0 = not; 0.2 to "
                    "0.5 against colours that grow from window to window. It also resists wanted changes of light.",
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
        return message_or_true(lambda: _check_windows(window_length, overlap, overlap_strength, drift_control))

    @classmethod
    def execute(
        cls, window_length, overlap, overlap_strength, drift_control, segments=None, windows=None
    ) -> io.NodeOutput:
        _check_windows(window_length, overlap, overlap_strength, drift_control)
        if segments is not None and not isinstance(segments, Segments):
            raise InputError(f"segments needs 'LTX-2 Segment Prompts'; it got {describe(segments)}.")
        return io.NodeOutput(
            replace(
                _windows(windows),
                length=window_length,
                overlap=overlap,
                overlap_strength=overlap_strength,
                drift_control=drift_control,
                segments=() if segments is None else segments.contexts,
            )
        )


def _check_windows(
    length: int | None, overlap: int | None, overlap_strength: float | None, drift_control: float | None
) -> None:
    if length is not None:
        check_between("window_length", length, 9, MAX_WINDOW)
        check_frames(length, FRAME_STEP, "window_length")
    if overlap is not None:
        check_between("overlap", overlap, FRAME_STEP, MAX_OVERLAP)
        if overlap % FRAME_STEP:
            raise InputError(f"overlap is {overlap} frames; it must be a multiple of {FRAME_STEP}.")
    if None not in (length, overlap) and overlap >= length:
        raise InputError(
            f"overlap is {overlap} frames, window_length {length}; a window must bring new frames. Use an overlap of "
            f"at most {length - 1}, better about {max(FRAME_STEP, length // 5 // FRAME_STEP * FRAME_STEP)}."
        )
    for name, value in (("overlap_strength", overlap_strength), ("drift_control", drift_control)):
        if value is not None:
            check_between(name, value, 0.0, 1.0)


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
                    "columns", default=2, min=1, max=MAX_TILES, tooltip="Tiles side by side. Time grows with the tiles."
                ),
                io.Int.Input("rows", default=2, min=1, max=MAX_TILES, tooltip="Tiles one above the other."),
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
        return message_or_true(lambda: _check_tiles(columns, rows, overlap))

    @classmethod
    def execute(cls, columns, rows, overlap, windows=None) -> io.NodeOutput:
        _check_tiles(columns, rows, overlap)
        return io.NodeOutput(replace(_windows(windows), columns=columns, rows=rows, tile_overlap=overlap))


def _check_tiles(columns: int | None, rows: int | None, overlap: int | None) -> None:
    for name, value in (("columns", columns), ("rows", rows)):
        if value is not None:
            check_between(name, value, 1, MAX_TILES)
    if overlap is not None:
        check_between("overlap", overlap, 0, MAX_TILE_OVERLAP)
        if overlap % SIDE_STEP:
            raise InputError(f"overlap is {overlap} pixels; it must be a multiple of {SIDE_STEP}.")


def _windows(windows: Windows | None) -> Windows:
    if windows is None:
        return Windows()
    if not isinstance(windows, Windows):
        raise InputError(f"windows needs 'LTX-2 Context Windows' or 'LTX-2 Spatial Tiles'; it got {describe(windows)}.")
    return windows


NODES = [LTX2ContextWindows, LTX2SpatialTiles]
