"""Two exposures of one picture to high dynamic range."""

from __future__ import annotations

from comfy_api.latest import io

from ...ltx_core_impl.light.exposures import blend_exposures
from ..wires.checks import InputError, check_widgets, message_or_true
from ..wires.pictures import require_pictures

CATEGORY = "LTX-2/video"
MAX_STOPS = 20.0


class LTX2BlendExposures(io.ComfyNode):
    """A dark and a bright exposure to linear light."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2BlendExposures",
            display_name="LTX-2 Blend Exposures",
            category=CATEGORY,
            description="Makes one picture of high range from a dark and a bright exposure of it: highlights from the "
            "dark one, shadows from the bright one.",
            inputs=[
                io.Image.Input("dark", tooltip="The dark exposure, in linear light."),
                io.Image.Input("bright", tooltip="The bright exposure, in linear light, of the same size and number."),
                _stops("dark_stops", -2.0, "How many stops the dark exposure is brighter than it should be."),
                _stops("bright_stops", 2.0, "The same of the bright exposure."),
                io.Float.Input(
                    "smoothness",
                    default=0.3,
                    min=0.0,
                    max=10.0,
                    step=0.01,
                    tooltip="How soft the border between both is; 0 = hard.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="Linear light without an upper limit."),
                io.Mask.Output(display_name="weight", tooltip="White where the dark exposure was taken."),
            ],
        )

    @classmethod
    def validate_inputs(cls, dark_stops, bright_stops, smoothness) -> bool | str:
        values = {"dark_stops": dark_stops, "bright_stops": bright_stops, "smoothness": smoothness}
        return message_or_true(lambda: check_widgets(cls, **values))

    @classmethod
    def execute(cls, dark, bright, dark_stops, bright_stops, smoothness) -> io.NodeOutput:
        check_widgets(cls, dark_stops=dark_stops, bright_stops=bright_stops, smoothness=smoothness)
        low, high = require_pictures(dark, "dark"), require_pictures(bright, "bright")
        if low.shape != high.shape:
            raise InputError(
                f"dark holds {len(low)} pictures of {low.shape[2]} x {low.shape[1]}, bright {len(high)} of "
                f"{high.shape[2]} x {high.shape[1]}. Bring both to one size and number."
            )
        return io.NodeOutput(*blend_exposures(low.float(), high.float(), dark_stops, bright_stops, smoothness))


def _stops(name: str, default: float, tooltip: str) -> io.Input:
    return io.Float.Input(name, default=default, min=-MAX_STOPS, max=MAX_STOPS, step=0.1, tooltip=tooltip)


NODES = [LTX2BlendExposures]
