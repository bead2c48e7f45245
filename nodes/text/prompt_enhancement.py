"""Prompt enhancement: a short wish to a full description, written by Gemma."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ...ltx_core_impl.text_encoders import gemma
from ...ltx_core_impl.text_encoders.writing_settings import (
    DEFAULT_SEED,
    MAX_NEW_TOKENS,
    PUBLISHED_SETTINGS,
    Sampling,
)
from .. import host
from ..loading import components
from ..loading.writing import prompt_writer
from ..wires import sockets
from ..wires.checks import InputError, check_widgets, message_or_true, require_writer
from ..wires.handles import PromptWriterHandle
from ..wires.inputs import MAX_SEED
from ..wires.pictures import require_pictures

CATEGORY = "LTX-2/text"
MAX_TOKENS = 4096
CUSTOM = "custom"
_PLAIN = Sampling()


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
                    tooltip="From 'LTX-2 Load Text Encoder' (Gemma 3; the Gemma of LTX-2.5 cannot write), or from "
                    "'LTX-2 Load Prompt Writer' (Gemma 4 E2B).",
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
                io.Boolean.Input(
                    "enabled",
                    default=True,
                    optional=True,
                    tooltip="Off: the prompt goes through as it is, and Gemma is not read. Switch it off to compare "
                    "with published results.",
                ),
                io.Combo.Input(
                    "settings",
                    options=[CUSTOM, *PUBLISHED_SETTINGS],
                    default=CUSTOM,
                    optional=True,
                    tooltip="Values of the published LTX-2.5 graphs. With anything but 'custom' max_tokens and the "
                    "numbers below are ignored.",
                ),
                io.Float.Input(
                    "temperature",
                    default=_PLAIN.temperature,
                    min=0.01,
                    max=2.0,
                    step=0.01,
                    optional=True,
                    tooltip="How freely words are chosen: 0.01 = nearly always the likeliest, 1 = as the model thinks.",
                ),
                io.Int.Input(
                    "top_k",
                    default=_PLAIN.top_k,
                    min=0,
                    max=1000,
                    optional=True,
                    tooltip="Choose among so many of the likeliest tokens; 0 = among all.",
                ),
                io.Float.Input(
                    "top_p",
                    default=_PLAIN.top_p,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Choose among the likeliest tokens that together have this probability; 1 = among all.",
                ),
                io.Float.Input(
                    "min_p",
                    default=_PLAIN.min_p,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Leave out tokens less likely than this share of the likeliest; 0 = none.",
                ),
                io.Float.Input(
                    "repetition_penalty",
                    default=_PLAIN.repetition_penalty,
                    min=1.0,
                    max=2.0,
                    step=0.01,
                    optional=True,
                    tooltip="Makes tokens that were there already less likely; 1 = not, 1.15 in the published graphs.",
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
    def execute(
        cls,
        text_encoder,
        prompt,
        seed,
        max_tokens,
        image=None,
        system_prompt="",
        enabled=True,
        settings=CUSTOM,
        temperature=_PLAIN.temperature,
        top_k=_PLAIN.top_k,
        top_p=_PLAIN.top_p,
        min_p=_PLAIN.min_p,
        repetition_penalty=_PLAIN.repetition_penalty,
    ) -> io.NodeOutput:
        handle = require_writer(text_encoder)
        cls._check(prompt, max_tokens)
        check_widgets(cls, settings=settings, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
        check_widgets(cls, repetition_penalty=repetition_penalty)
        if not enabled:
            return io.NodeOutput(prompt, ui=ui.PreviewText(prompt))
        if settings == CUSTOM:
            sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty)
        else:
            max_tokens, sampling = PUBLISHED_SETTINGS[settings]
        picture = None if image is None else require_pictures(image, "image")[0]
        if isinstance(handle, PromptWriterHandle):
            writer = prompt_writer(handle)
        else:
            writer = components.gemma(handle, with_vision=picture is not None)
        progress = host.Progress(max_tokens, "Writing the prompt", unit="token")
        with writer as encoder:
            text = gemma.enhance_prompt(
                encoder,
                prompt,
                image=picture,
                system_prompt=system_prompt if system_prompt.strip() else None,
                max_new_tokens=max_tokens,
                seed=seed,
                sampling=sampling,
                callback=progress,
            )
        return io.NodeOutput(text, ui=ui.PreviewText(text))


NODES = [LTX2EnhancePrompt]
