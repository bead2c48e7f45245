"""Encoded prompts: saving, loading, and one for each window of a long clip."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ...ltx_core_impl.text_encoders.context_file import StoredContext, load_context, save_context
from .. import host
from ..host import host_files
from ..loading import components
from ..wires import sockets
from ..wires.checks import InputError, message_or_true, require_single_context, require_text_encoder
from ..wires.handles import Context, FileRef, Segments

CATEGORY = "LTX-2/text"
FOLDER, EXTENSION = "embeddings", "safetensors"
OUTPUT_FOLDER = "contexts"
SEPARATOR = "---"


class LTX2SaveContext(io.ComfyNode):
    """An encoded prompt to a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2SaveContext",
            display_name="LTX-2 Save Context",
            category=CATEGORY,
            description="Writes an encoded prompt as a file, with the model version that it is for, so that graphs can "
            "use it without the text encoder.",
            is_output_node=True,
            inputs=[
                sockets.Context.Input("context", tooltip="From 'LTX-2 Text Encode'."),
                io.String.Input(
                    "filename_prefix",
                    default=f"{OUTPUT_FOLDER}/LTX-2",
                    tooltip="Name of the file inside ComfyUI's output folder, without number and extension. 'LTX-2 "
                    "Load Context' finds it in the folder contexts, and in models/embeddings after you moved it there.",
                ),
            ],
            outputs=[io.String.Output(display_name="file", tooltip="Where the file is.")],
        )

    @classmethod
    def validate_inputs(cls, filename_prefix) -> bool | str:
        return message_or_true(lambda: filename_prefix is None or host_files.check_prefix(filename_prefix))

    @classmethod
    def execute(cls, context, filename_prefix) -> io.NodeOutput:
        context = require_single_context(context, "context", "a file keeps one prompt.")
        with host_files.new_output(filename_prefix, EXTENSION) as file:
            save_context(
                file.path,
                StoredContext(context.video, context.audio, version=context.version, prompt=context.prompt),
            )
        return io.NodeOutput(str(file.final), ui=ui.PreviewText(f"Saved as {file.final}"))


class LTX2LoadContext(io.ComfyNode):
    """An encoded prompt from a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2LoadContext",
            display_name="LTX-2 Load Context",
            category=CATEGORY,
            description="Reads an encoded prompt that 'LTX-2 Save Context' wrote, or a precomputed one of the HDR "
            "LoRA. The sampler refuses it for another model version.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=[
                        *host.file_options(FOLDER),
                        *host_files.output_files(OUTPUT_FOLDER, EXTENSION),
                    ],
                    tooltip="File in models/embeddings, or in the folder contexts of ComfyUI's output folder.",
                )
            ],
            outputs=[
                sockets.Context.Output(display_name="context", tooltip="For 'LTX-2 Guider'."),
                io.String.Output(display_name="prompt", tooltip="The text that was encoded, where the file tells."),
            ],
        )

    @classmethod
    def validate_inputs(cls, file) -> bool | str:
        return message_or_true(lambda: file is None or load_context(cls._file(file).path))

    @classmethod
    def fingerprint_inputs(cls, file) -> str:
        return repr(cls._file(file))

    @staticmethod
    def _file(name: str) -> FileRef:
        if name.endswith("[output]"):
            return host_files.find_input(name, "file")
        return host.find_file(name, FOLDER, input_name="file")

    @classmethod
    def execute(cls, file) -> io.NodeOutput:
        stored = load_context(cls._file(file).path)
        device = host.output_device()
        context = Context(stored.video.to(device), stored.audio.to(device), stored.version, stored.prompt)
        return io.NodeOutput(context, stored.prompt)


class LTX2SegmentPrompts(io.ComfyNode):
    """A prompt for each window."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2SegmentPrompts",
            display_name="LTX-2 Segment Prompts",
            category=CATEGORY,
            description="Encodes several prompts, one for each window of a long clip, in one go.",
            inputs=[
                sockets.TextEncoder.Input("text_encoder", tooltip="From 'LTX-2 Load Text Encoder'."),
                io.String.Input(
                    "prompts",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="Prompts in the order of the windows, separated by lines of three dashes (---). The last "
                    "one serves all further windows.",
                ),
            ],
            outputs=[sockets.Segments.Output(display_name="segments", tooltip="For 'LTX-2 Context Windows'.")],
        )

    @classmethod
    def validate_inputs(cls, prompts) -> bool | str:
        return message_or_true(lambda: prompts is None or split_prompts(prompts))

    @classmethod
    def execute(cls, text_encoder, prompts) -> io.NodeOutput:
        contexts = components.encode_prompts(require_text_encoder(text_encoder), split_prompts(prompts))
        return io.NodeOutput(Segments(tuple(contexts)))


def split_prompts(text: str) -> list[str]:
    """The prompts between separator lines. Raises `InputError` for an empty one."""
    parts: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.strip() == SEPARATOR:
            parts.append([])
        else:
            parts[-1].append(line)
    prompts = ["\n".join(part).strip() for part in parts]
    for number, prompt in enumerate(prompts, start=1):
        if not prompt:
            raise InputError(
                f"Prompt {number} of {len(prompts)} is empty. Write a prompt before, between and after the lines of "
                f"{SEPARATOR}."
            )
    return prompts


NODES = [LTX2SaveContext, LTX2LoadContext, LTX2SegmentPrompts]
