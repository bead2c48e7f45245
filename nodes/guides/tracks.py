"""Motion tracks: paths of points, drawn as a control video."""

from __future__ import annotations

from comfy_api.latest import io

from ...ltx_core_impl import media
from ...ltx_core_impl.media.track_text import EXAMPLE
from ...ltx_core_impl.presets import LTX_2_3_PRESET
from .. import host
from ..wires.checks import InputError, check_widgets, message_or_true
from ..wires.inputs import MAX_LENGTH

CATEGORY = "LTX-2/guides"
CURVE, PER_FRAME = "control points", "one per frame"
MAX_SIDE = 8192


class LTX2DrawTracks(io.ComfyNode):
    """The control video of the motion-track IC-LoRA."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2DrawTracks",
            display_name="LTX-2 Draw Tracks",
            category=CATEGORY,
            description="Draws the paths of a few points as the control video that the motion-track IC-LoRA follows: "
            "give it to 'LTX-2 Reference Video Guide'.",
            inputs=[
                io.String.Input(
                    "tracks",
                    multiline=True,
                    default=EXAMPLE,
                    tooltip="One track per line: points x,y in pixels from the top left corner, separated by spaces. A "
                    "single point stands still. The JSON of track editors is read as well.",
                ),
                io.Combo.Input(
                    "points",
                    options=[CURVE, PER_FRAME],
                    default=CURVE,
                    tooltip="control points: a smooth curve is laid through the points of each track. one per frame: "
                    "every track has exactly one point for each frame.",
                ),
                io.Int.Input(
                    "width",
                    default=LTX_2_3_PRESET.width,
                    min=8,
                    max=MAX_SIDE,
                    step=8,
                    tooltip="Width in pixels of the clip that the tracks are drawn for.",
                ),
                io.Int.Input(
                    "height",
                    default=LTX_2_3_PRESET.height,
                    min=8,
                    max=MAX_SIDE,
                    step=8,
                    tooltip="Height of the clip in pixels.",
                ),
                io.Int.Input(
                    "length",
                    default=LTX_2_3_PRESET.frames,
                    min=1,
                    max=MAX_LENGTH,
                    tooltip="Frames of the clip, 8k + 1: 97, 121, 241.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="images", tooltip="Dots on black, the newest red (stored blue first, as trained)."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, tracks) -> bool | str:
        return message_or_true(lambda: tracks is None or media.parse_tracks(tracks))

    @classmethod
    def execute(cls, tracks, points, width, height, length) -> io.NodeOutput:
        check_widgets(cls, points=points, width=width, height=height, length=length)
        parsed = media.parse_tracks(tracks)
        if points == CURVE:
            parsed = [media.spline(track, length) for track in parsed]
        for number, track in enumerate(parsed, start=1):
            if len(track) != length:
                raise InputError(
                    f"Track {number} has {len(track)} points; with points '{PER_FRAME}' it needs length = {length}. "
                    f"Choose '{CURVE}' to lay a curve through them."
                )
        return io.NodeOutput(media.draw_tracks(parsed, height, width).to(host.output_device()))


NODES = [LTX2DrawTracks]
