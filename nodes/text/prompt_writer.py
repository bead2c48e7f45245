"""A Gemma that writes prompts and encodes none."""

from __future__ import annotations

from comfy_api.latest import io

from .. import host
from ..loading.judging import judge_writer
from ..wires import sockets
from ..wires.checks import check_widgets, message_or_true
from ..wires.handles import PromptWriterHandle
from ..wires.inputs import device_input


class LTX2PromptWriterLoader(io.ComfyNode):
    """A small Gemma 4 for 'LTX-2 Enhance Prompt'."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2PromptWriterLoader",
            display_name="LTX-2 Load Prompt Writer",
            category="LTX-2/loaders",
            description="Chooses a Gemma 4 that writes prompts, such as E2B, for 'LTX-2 Enhance Prompt'. It encodes no "
            "prompts: for that the model has its own text encoder. Needs transformers 5.8 or newer.",
            inputs=[
                io.Combo.Input(
                    "writer",
                    options=host.text_encoder_options(),
                    tooltip="A folder in models/text_encoders with gemma4_e2b_it_bf16.safetensors (or int8_convrot) "
                    "and, from the model's repository, config.json, chat_template.jinja and tokenizer.json.",
                ),
                device_input(host.device_options()),
            ],
            outputs=[
                sockets.TextEncoder.Output(
                    display_name="writer", tooltip="For the text_encoder input of 'LTX-2 Enhance Prompt'."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, writer) -> bool | str:
        return message_or_true(lambda: writer is None or judge_writer(host.find_text_encoder(writer, "writer")))

    @classmethod
    def fingerprint_inputs(cls, writer, **_) -> str:
        return repr(host.find_text_encoder(writer, "writer"))

    @classmethod
    def execute(cls, writer, device=host.DEFAULT_DEVICE) -> io.NodeOutput:
        check_widgets(cls, device=device)
        return io.NodeOutput(host.intern(PromptWriterHandle(host.find_text_encoder(writer, "writer"), device)))


NODES = [LTX2PromptWriterLoader]
