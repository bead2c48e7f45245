"""Text encoder: prompts to contexts."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io

from .. import host
from ..loading import components
from ..loading.judging import judge_gemma
from ..loading.loaders import LORA_FOLDERS, chosen_lora, noted, strength_input
from ..loading.text_files import check_text_encoder, text_encoder_handle
from ..wires import sockets
from ..wires.checks import check_widgets, message_or_true, require_handle, require_text_encoder
from ..wires.handles import FileRef, LoraRef
from ..wires.inputs import device_input

CATEGORY = "LTX-2/text"


class LTX2TextEncoderLoader(io.ComfyNode):
    """Gemma with the projection of a checkpoint."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2TextEncoderLoader",
            display_name="LTX-2 Load Text Encoder",
            category="LTX-2/loaders",
            description="Chooses the Gemma text encoder and joins it with the text projection of a checkpoint. Gemma "
            "is read when a prompt is encoded, and can be freed afterwards.",
            inputs=[
                io.Combo.Input(
                    "text_encoder",
                    options=host.text_encoder_options(),
                    tooltip="Folder (Hugging Face layout with config.json) or single file in models/text_encoders. "
                    "LTX-2 and LTX-2.3 need Gemma 3 12B, LTX-2.5 its own Gemma 4 "
                    "(gemma4-12b-with-proj-ltx-2.5).",
                ),
                sockets.TextProjection.Input(
                    "text_projection",
                    tooltip="From the checkpoint loader. For LTX-2.5 these are the connectors in the transformer file; "
                    "the projection in the text encoder's own file is joined with them.",
                ),
                sockets.TextProjection.Input(
                    "more_text_projection",
                    optional=True,
                    tooltip="Only for repacked LTX-2.3 sets whose connectors and projection lie in two files: the "
                    "other one, from 'LTX-2 Load Components'.",
                ),
                io.Combo.Input(
                    "lora",
                    options=host.file_options(*LORA_FOLDERS, optional=True),
                    default=host.NONE,
                    optional=True,
                    tooltip="LoRA of the text encoder in models/loras. LoRAs of the model go into 'LTX-2 Load LoRA'.",
                ),
                strength_input("lora_strength", optional=True),
                device_input(host.device_options()),
            ],
            outputs=[sockets.TextEncoder.Output(display_name="text_encoder", tooltip="For 'LTX-2 Text Encode'.")],
        )

    @classmethod
    def validate_inputs(cls, text_encoder, lora=host.NONE, lora_strength=1.0) -> bool | str:
        if None in (text_encoder, lora, lora_strength):
            return True

        def check() -> None:
            gemma, _, _ = cls._gemma(text_encoder, lora, lora_strength)
            judge_gemma(gemma)

        return message_or_true(check)

    @staticmethod
    def _gemma(text_encoder: str, lora: str, lora_strength: float) -> tuple[FileRef, tuple[LoraRef, ...], str]:
        """Gemma, its LoRAs, and what should be said of them; judged from headers."""
        gemma = host.find_text_encoder(text_encoder, "text_encoder")
        chosen = chosen_lora(lora, lora_strength, "lora")
        loras = () if chosen is None else (chosen,)
        return gemma, loras, check_text_encoder(gemma, loras)

    @classmethod
    def fingerprint_inputs(cls, text_encoder, lora=host.NONE, lora_strength=1.0, **_) -> str:
        chosen = chosen_lora(lora, lora_strength, "lora")
        gemma = host.find_text_encoder(text_encoder, "text_encoder")
        return repr(gemma if chosen is None else (gemma, chosen))

    @classmethod
    def execute(
        cls,
        text_encoder,
        text_projection,
        more_text_projection=None,
        lora=host.NONE,
        lora_strength=1.0,
        device=host.DEFAULT_DEVICE,
    ) -> io.NodeOutput:
        check_widgets(cls, device=device)
        parts = [require_handle(text_projection, "text_projection", "text_projection")]
        if more_text_projection is not None:
            parts.append(require_handle(more_text_projection, "text_projection", "more_text_projection"))
        gemma, loras, note = cls._gemma(text_encoder, lora, lora_strength)
        handle = replace(text_encoder_handle(gemma, parts, loras), device=device)
        return noted([host.intern(handle)], note)


class LTX2TextEncode(io.ComfyNode):
    """A prompt to its contexts."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2TextEncode",
            display_name="LTX-2 Text Encode",
            category=CATEGORY,
            description="Encodes a prompt for picture and sound.",
            inputs=[
                sockets.TextEncoder.Input("text_encoder", tooltip="From 'LTX-2 Load Text Encoder'."),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="What is seen and heard, in plain sentences: subject, motion, camera, light, speech in "
                    "quotes, sounds. Up to 1024 tokens (about 700 words); more is cut off.",
                ),
            ],
            outputs=[sockets.Context.Output(display_name="context", tooltip="For 'LTX-2 Guider'.")],
        )

    @classmethod
    def execute(cls, text_encoder, prompt) -> io.NodeOutput:
        [context] = components.encode_prompts(require_text_encoder(text_encoder), [prompt])
        return io.NodeOutput(context)


NODES = [LTX2TextEncoderLoader, LTX2TextEncode]
