"""How long a clip of a prompt should be (LTX-2.5)."""

from __future__ import annotations

from comfy_api.latest import io

from ...ltx_core_impl import sampling
from .. import host
from ..loading import components
from ..loading.judging import judge_parts
from ..wires import sockets
from ..wires.checks import InputError, check_frame_rate, check_widgets, message_or_true, require_single_context
from ..wires.geometry import video_geometry
from ..wires.handles import ComponentHandle
from ..wires.inputs import frame_rate_input
from ..wires.versions import check_context_fits

CATEGORY = "LTX-2/text"
FOLDERS = ("model_patches", "checkpoints")
MAX_SECONDS = 60.0


class LTX2DurationPredictor(io.ComfyNode):
    """A length from the prompt."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        def seconds(name: str, default: float, tooltip: str) -> io.Float.Input:
            return io.Float.Input(name, default=default, min=0.1, max=MAX_SECONDS, step=0.1, tooltip=tooltip)

        return io.Schema(
            node_id="LTX2DurationPredictor",
            display_name="LTX-2 Duration Predictor",
            category=CATEGORY,
            description="Predicts from the prompt how long the clip should be: what happens and what is said needs its "
            "time. For LTX-2.5, which has a file for it.",
            inputs=[
                io.Combo.Input(
                    "duration_head",
                    options=host.file_options(*FOLDERS),
                    tooltip="File in models/model_patches: ltx-2.5-duration-head-bf16.safetensors.",
                ),
                sockets.Context.Input("context", tooltip="The encoded prompt, from 'LTX-2 Text Encode'."),
                frame_rate_input("Frames per second of the clip; the same as in 'LTX-2 Empty Latents'."),
                seconds("min_seconds", 1.0, "The clip is at least this long, in seconds."),
                seconds("max_seconds", 20.0, "The clip is at most this long, in seconds; 20 is what LTX-2.5 can do."),
            ],
            outputs=[
                io.Int.Output(display_name="length", tooltip="Frames, 8k + 1; for 'LTX-2 Empty Latents'."),
                io.Float.Output(display_name="seconds", tooltip="The prediction itself, not limited or rounded."),
            ],
        )

    @classmethod
    def validate_inputs(cls, duration_head, frame_rate, min_seconds, max_seconds) -> bool | str:
        def check() -> None:
            if duration_head is not None:
                judge_parts(cls._handle(duration_head).file)
            cls._check(frame_rate, min_seconds, max_seconds)

        return message_or_true(check)

    @classmethod
    def _check(cls, frame_rate: float | None, min_seconds: float | None, max_seconds: float | None) -> None:
        check_widgets(cls, min_seconds=min_seconds, max_seconds=max_seconds)
        if frame_rate is not None:
            check_frame_rate(frame_rate)
        if None not in (min_seconds, max_seconds) and min_seconds > max_seconds:
            raise InputError(
                f"min_seconds is {min_seconds}, max_seconds {max_seconds}; the minimum must not be above the maximum. "
                f"Set min_seconds to at most {max_seconds}."
            )

    @classmethod
    def fingerprint_inputs(cls, duration_head, **_) -> str:
        return repr(host.find_file(duration_head, *FOLDERS, input_name="duration_head"))

    @staticmethod
    def _handle(name: str) -> ComponentHandle:
        return components.describe_component(
            host.find_file(name, *FOLDERS, input_name="duration_head"), "duration_head"
        )

    @classmethod
    def execute(cls, duration_head, context, frame_rate, min_seconds, max_seconds) -> io.NodeOutput:
        handle = host.intern(cls._handle(duration_head))
        cls._check(frame_rate, min_seconds, max_seconds)
        context = require_single_context(context, "context", "their times say already how long the clip is.")
        check_context_fits(context, handle, "context")
        with components.duration_head(handle) as head:
            for name, width in (("video", head.video_width), ("audio", head.audio_width)):
                found = getattr(context, name).shape[-1]
                if found != width:
                    raise InputError(
                        f"context has {found} {name} channels; {handle.file.name} takes {width}. Encode the prompt "
                        "with the text projection of the model that the duration head belongs to."
                    )
            video, audio = (components.like(tensor[:1], head) for tensor in (context.video, context.audio))
            seconds = head(video, audio).item()
        scale = video_geometry(None).scale
        length = sampling.frames_for_duration(
            seconds, frame_rate, scale, min_seconds=min_seconds, max_seconds=max_seconds
        )
        return io.NodeOutput(length, seconds)


NODES = [LTX2DurationPredictor]
