"""Prompt enhancement: a short wish to a full description, written by Gemma."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ...ltx_core_impl.text_encoders.gemma.enhancement import DEFAULT_SEED, MAX_NEW_TOKENS, enhance_prompt
from .. import host
from ..loading import components
from ..wires import sockets
from ..wires.checks import InputError, check_widgets, message_or_true, require_text_encoder
from ..wires.inputs import MAX_SEED
from ..wires.pictures import require_pictures

CATEGORY = "LTX-2/text"
MAX_TOKENS = 4096


class LTX2EnhancePrompt(io.ComfyNode):
    """Rewrites a prompt."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2EnhancePrompt",
            display_name="LTX-2 Enhance Prompt",
            category=CATEGORY,
            description="Lets Gemma expand a short prompt into the detailed description of picture and sound that the "
            "model was trained on, from the text alone or with the first frame. An empty or unfinished answer is an "
            "error, so that nothing else than what you see is used.",
            inputs=[
                sockets.TextEncoder.Input(
                    "text_encoder",
                    tooltip="From 'LTX-2 Load Text Encoder'; Gemma 3. The Gemma of LTX-2.5 cannot write.",
                ),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="The wish in a few words or sentences. All that it names stays in the answer.",
                ),
                io.Int.Input(
                    "seed",
                    default=DEFAULT_SEED,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=True,
                    tooltip="Another seed gives another text.",
                ),
                io.Int.Input(
                    "max_tokens",
                    default=MAX_NEW_TOKENS,
                    min=1,
                    max=MAX_TOKENS,
                    tooltip="Longest answer in tokens (512 are about 350 words); one that needs more is an error.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="First frame of the clip: the text then describes what changes from it on. Needs a Gemma "
                    "with its vision tower.",
                ),
                io.String.Input(
                    "system_prompt",
                    optional=True,
                    multiline=True,
                    default="",
                    tooltip="Instructions to Gemma in place of the built-in ones (which differ for text and image); "
                    "empty = built-in.",
                ),
            ],
            outputs=[io.String.Output(display_name="prompt", tooltip="The enhanced prompt, for 'LTX-2 Text Encode'.")],
        )

    @classmethod
    def validate_inputs(cls, prompt, max_tokens) -> bool | str:
        return message_or_true(lambda: cls._check(prompt, max_tokens))

    @classmethod
    def _check(cls, prompt: str | None, max_tokens: int | None) -> None:
        if prompt is not None and not prompt.strip():
            raise InputError("prompt is empty; there is nothing to enhance. Write what should be seen and heard.")
        check_widgets(cls, max_tokens=max_tokens)

    @classmethod
    def execute(cls, text_encoder, prompt, seed, max_tokens, image=None, system_prompt="") -> io.NodeOutput:
        handle = require_text_encoder(text_encoder)
        cls._check(prompt, max_tokens)
        picture = None if image is None else require_pictures(image, "image")[0]
        progress = host.Progress(max_tokens, "Writing the prompt", unit="token")
        with components.gemma(handle, with_vision=picture is not None) as encoder:
            text = enhance_prompt(
                encoder,
                prompt,
                image=picture,
                system_prompt=system_prompt if system_prompt.strip() else None,
                max_new_tokens=max_tokens,
                seed=seed,
                callback=progress,
            )
        return io.NodeOutput(text, ui=ui.PreviewText(text))


NODES = [LTX2EnhancePrompt]
