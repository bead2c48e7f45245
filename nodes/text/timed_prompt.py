"""Several shots in one clip: a prompt with times."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui

from ...ltx_core_impl import sampling
from ...ltx_core_impl.text_encoders.timed_prompt import TimedPrompt, parse_timed_prompt
from ..loading import components
from ..wires import sockets
from ..wires.checks import check_frame_rate, check_widgets, message_or_true, require_text_encoder
from ..wires.geometry import video_geometry
from ..wires.handles import Context
from ..wires.inputs import MAX_LENGTH, frame_rate_input

CATEGORY = "LTX-2/text"
MAX_BORDER = 10.0


class LTX2TimedPrompt(io.ComfyNode):
    """A prompt for each shot of a clip."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2TimedPrompt",
            display_name="LTX-2 Timed Prompt",
            category=CATEGORY,
            description="Encodes a prompt with times, for several shots in one clip: the frames and the sound of each "
            "shot read its own text and no other. A prompt without times is a plain one.",
            inputs=[
                sockets.TextEncoder.Input("text_encoder", tooltip="From 'LTX-2 Load Text Encoder'."),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="A line for each shot: '0-2s: ...', '2-5s: ...'; also 0:02-0:05, 48-120f (frames), 5s (up "
                    "to the next shot) or +3s (for 3 seconds). The text before the first time is said of all shots: "
                    "style, place, people.",
                ),
                frame_rate_input("Frames per second of the clip; the same as in 'LTX-2 Empty Latents'."),
                io.Float.Input(
                    "border",
                    default=0.5,
                    min=0.0,
                    max=MAX_BORDER,
                    step=0.05,
                    tooltip="Seconds in which one text goes over into the next, half of them before the cut. 0 = a "
                    "hard cut; 0.5 to 1 for a change within one scene.",
                ),
                io.Int.Input(
                    "length",
                    default=0,
                    min=0,
                    max=MAX_LENGTH,
                    optional=True,
                    tooltip="Frames of the clip: shots that do not fill it are refused. 0 = not checked; the last shot "
                    "then lasts to the end.",
                ),
            ],
            outputs=[sockets.Context.Output(display_name="context", tooltip="For 'LTX-2 Guider'.")],
        )

    @classmethod
    def validate_inputs(cls, prompt, frame_rate, border, length=0) -> bool | str:
        return message_or_true(lambda: cls._parsed(prompt, frame_rate, border, length))

    @classmethod
    def _parsed(
        cls, prompt: str | None, frame_rate: float | None, border: float | None, length: int | None
    ) -> TimedPrompt | None:
        """The shots; None where the prompt or the frame rate is linked and not known yet."""
        check_widgets(cls, border=border, length=length)
        if frame_rate is not None:
            check_frame_rate(frame_rate)
        if prompt is None or frame_rate is None:
            return None
        parsed = parse_timed_prompt(prompt, frame_rate)
        if length:
            parsed.check_length(length, frame_rate, video_geometry(None).scale.time)
        return parsed

    @classmethod
    def execute(cls, text_encoder, prompt, frame_rate, border, length=0) -> io.NodeOutput:
        handle = require_text_encoder(text_encoder)
        parsed = cls._parsed(prompt, frame_rate, border, length)
        contexts = components.encode_prompts(handle, parsed.texts)
        if len(contexts) == 1:
            return io.NodeOutput(contexts[0])
        shots = sampling.Shots(parsed.cuts, border)
        joined = Context(
            video=_joined([context.video for context in contexts]),
            audio=_joined([context.audio for context in contexts]),
            version=contexts[0].version,
            prompt=prompt,
            shots=shots,
        )
        return io.NodeOutput(joined, ui=ui.PreviewText(_told(parsed)))


def _joined(texts: list[torch.Tensor]) -> torch.Tensor:
    """``(1, S, D)`` of each shot as ``(1, shots * S, D)``."""
    return torch.cat(texts, dim=1)


def _told(parsed: TimedPrompt) -> str:
    """What each shot reads, to look at."""
    times = [f"{shot.start:g} s to {'the end' if shot.end is None else f'{shot.end:g} s'}" for shot in parsed.shots]
    return "\n\n".join(f"{time}: {text}" for time, text in zip(times, parsed.texts, strict=True))


NODES = [LTX2TimedPrompt]
