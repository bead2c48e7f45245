"""Loaders: they read headers, judge them, and hand out handles. Weights are read on first use."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from comfy_api.latest import io, ui

from ...ltx_core_impl import loader
from .. import host
from ..wires import sockets
from ..wires.checks import check_between, check_widgets, message_or_true, require_handle
from ..wires.handles import ComponentHandle, FileRef, LoraRef, MissingComponent, ModelHandle
from ..wires.inputs import device_input
from . import components
from .judging import judge_lora, judge_model, judge_parts

logger = logging.getLogger(__name__)
CATEGORY = "LTX-2/loaders"
MODEL_FOLDERS = ("checkpoints", "diffusion_models")
COMPONENT_FOLDERS = ("checkpoints", "vae", "diffusion_models", "text_encoders")
LORA_FOLDERS = ("loras",)

LORA_TOOLTIP = (
    "LoRA file in models/loras (LoRA, DoRA, LoHa, LoKr). Its shapes must fit the model; one that says it was made for "
    "another model version is used, and the node says so."
)
STRENGTH_TOOLTIP = "Factor on the change that the LoRA makes. 1 = as trained, 0 = none; negative inverts it."


def noted(outputs: Iterable[object], note: str) -> io.NodeOutput:
    """The outputs of a loader, with what the user should know: as a text on the node, and in the log."""
    if not note:
        return io.NodeOutput(*outputs)
    logger.warning("%s", note)
    return io.NodeOutput(*outputs, ui=ui.PreviewText(note))


def strength_input(name: str, default: float = 1.0, optional: bool = False) -> io.Float.Input:
    """A widget for the strength of a LoRA."""
    return io.Float.Input(
        name, default=default, min=-10.0, max=10.0, step=0.05, optional=optional, tooltip=STRENGTH_TOOLTIP
    )


def chosen_lora(name: str, strength: float, input_name: str) -> LoraRef | None:
    """The LoRA of a widget, None for none. Raises InputError for a strength or a name that is not to be had."""
    check_between("the LoRA strength", strength, -10.0, 10.0)
    if name == host.NONE:
        return None
    return LoraRef(file=host.find_file(name, *LORA_FOLDERS, input_name=input_name), strength=strength)


def _part_outputs() -> list[io.Output]:
    """The outputs for `_parts`."""
    return [
        sockets.VideoVAE.Output(display_name="video_vae", tooltip="Encodes and decodes pictures."),
        sockets.AudioVAE.Output(display_name="audio_vae", tooltip="Encodes and decodes sound."),
        sockets.Vocoder.Output(display_name="vocoder", tooltip="Makes sound of spectrograms."),
        sockets.TextProjection.Output(display_name="text_projection", tooltip="For 'LTX-2 Load Text Encoder'."),
    ]


def _parts(file: FileRef) -> list[ComponentHandle | MissingComponent]:
    """What a file holds besides the transformer."""
    opened = loader.open_checkpoint(file.path)
    kinds = ("video_vae", "audio_vae", "vocoder", "text_projection")
    return [components.component_or_missing(file, opened, kind) for kind in kinds]


def _placed(
    handles: Iterable[ComponentHandle | MissingComponent], device: str
) -> list[ComponentHandle | MissingComponent]:
    """The living handles of components that compute on ``device``."""
    return [
        host.intern(replace(handle, device=device) if isinstance(handle, ComponentHandle) else handle)
        for handle in handles
    ]


class LTX2CheckpointLoader(io.ComfyNode):
    """A combined checkpoint, or a transformer file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2CheckpointLoader",
            display_name="LTX-2 Load Checkpoint",
            category=CATEGORY,
            description="Chooses a model. A combined checkpoint gives everything but the text encoder; a transformer "
            "file gives the model, and 'LTX-2 Load Components' the rest.",
            inputs=[
                io.Combo.Input(
                    "checkpoint",
                    options=host.with_gguf_files(host.file_options(*MODEL_FOLDERS), *MODEL_FOLDERS),
                    tooltip="File in models/checkpoints (combined) or models/diffusion_models (transformer only), "
                    "for example ltx-2.3-22b-dev.safetensors.",
                ),
                io.Combo.Input(
                    "precision",
                    options=list(components.PRECISIONS),
                    default="auto",
                    tooltip="How the transformer's weights are kept. auto: as the file has them. bf16: 16 bit, fp8 "
                    "files are widened. fp8_cast: half the memory, computes in 16 bit. fp8_scaled_mm: half the memory, "
                    "multiplies in 8 bit where the GPU can (Ada, Hopper and newer).",
                ),
                io.Combo.Input(
                    "calibration",
                    options=host.calibration_options(),
                    default=host.NONE,
                    tooltip="For fp8_scaled_mm: JSON file beside the checkpoint with the largest input of each layer. "
                    "none: inputs are measured on the fly.",
                ),
                io.Combo.Input(
                    "lora",
                    options=host.file_options(*LORA_FOLDERS, optional=True),
                    default=host.NONE,
                    tooltip=LORA_TOOLTIP + " For more LoRAs chain 'LTX-2 Load LoRA'.",
                ),
                strength_input("lora_strength"),
                io.Boolean.Input(
                    "compile",
                    default=False,
                    optional=True,
                    tooltip="Compile the transformer's blocks with torch.compile. The first step takes longer by tens "
                    "of seconds, later steps and runs are faster; one compilation serves all sizes and lengths. Needs "
                    "a C compiler and Triton. Worth it for many runs or steps.",
                ),
                device_input(host.device_options()),
            ],
            outputs=[
                sockets.Model.Output(display_name="model", tooltip="Transformer, for the sampler."),
                *_part_outputs(),
            ],
        )

    @classmethod
    def validate_inputs(cls, checkpoint, precision, calibration, lora, lora_strength, compile=False) -> bool | str:
        if None in (checkpoint, precision, calibration, lora, lora_strength, compile):
            return True

        def check() -> None:
            judge_parts(cls._model(checkpoint, precision, calibration, lora, lora_strength, compile).file)

        return message_or_true(check)

    @classmethod
    def fingerprint_inputs(cls, checkpoint, precision, calibration, lora, lora_strength, compile=False, **_) -> str:
        return repr(cls._model(checkpoint, precision, calibration, lora, lora_strength, compile))

    @classmethod
    def _model(cls, checkpoint, precision, calibration, lora, lora_strength, compile=False) -> ModelHandle:
        check_widgets(cls, precision=precision)
        file = host.find_file(checkpoint, *MODEL_FOLDERS, input_name="checkpoint")
        handle = components.model_handle(file, precision, host.find_calibration(calibration), compiles=compile)
        chosen = chosen_lora(lora, lora_strength, "lora")
        if chosen is not None:
            handle = handle.with_lora(chosen)
        judge_model(handle)
        return handle

    @classmethod
    def execute(
        cls,
        checkpoint,
        precision,
        calibration,
        lora,
        lora_strength,
        compile=False,
        device=host.DEFAULT_DEVICE,
    ) -> io.NodeOutput:
        check_widgets(cls, device=device)
        handle = cls._model(checkpoint, precision, calibration, lora, lora_strength, compile)
        return noted(_placed((handle, *_parts(handle.file)), device), judge_model(handle))


class LTX2ComponentLoader(io.ComfyNode):
    """The components of split files."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2ComponentLoader",
            display_name="LTX-2 Load Components",
            category=CATEGORY,
            description="Chooses a file of a split set: video VAE, audio VAE with vocoder, or text projection. Outputs "
            "that the file does not hold stay empty.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=host.file_options(*COMPONENT_FOLDERS),
                    tooltip="File in models/vae, models/text_encoders, models/checkpoints or models/diffusion_models.",
                ),
                device_input(host.device_options()),
            ],
            outputs=_part_outputs(),
        )

    @classmethod
    def validate_inputs(cls, file) -> bool | str:
        def check() -> None:
            if file is not None:
                cls._components(file)
                judge_parts(host.find_file(file, *COMPONENT_FOLDERS, input_name="file"))

        return message_or_true(check)

    @classmethod
    def fingerprint_inputs(cls, file, **_) -> str:
        return repr(host.find_file(file, *COMPONENT_FOLDERS, input_name="file"))

    @staticmethod
    def _components(name: str) -> list[ComponentHandle | MissingComponent]:
        return _parts(host.find_file(name, *COMPONENT_FOLDERS, input_name="file"))

    @classmethod
    def execute(cls, file, device=host.DEFAULT_DEVICE) -> io.NodeOutput:
        check_widgets(cls, device=device)
        return io.NodeOutput(*_placed(cls._components(file), device))


class LTX2LoraLoader(io.ComfyNode):
    """One more LoRA."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2LoraLoader",
            display_name="LTX-2 Load LoRA",
            category=CATEGORY,
            description="Adds a LoRA to a model. LoRAs are fused into the weights when they are read, also into fp8; "
            "chain nodes for several.",
            inputs=[
                sockets.Model.Input("model", tooltip="Model, or the output of another LoRA node."),
                io.Combo.Input("lora", options=host.file_options(*LORA_FOLDERS, optional=True), tooltip=LORA_TOOLTIP),
                strength_input("strength"),
            ],
            outputs=[sockets.Model.Output(display_name="model", tooltip="The model with the LoRA.")],
        )

    @classmethod
    def validate_inputs(cls, lora, strength) -> bool | str:
        if lora is None or strength is None:
            return True

        def check() -> None:
            chosen = chosen_lora(lora, strength, "lora")
            if chosen is not None and strength != 0:  # of strength 0 it is never opened
                judge_lora(chosen.file)

        return message_or_true(check)

    @classmethod
    def fingerprint_inputs(cls, lora, strength, **_) -> str:
        return repr(chosen_lora(lora, strength, "lora"))

    @classmethod
    def execute(cls, model, lora, strength) -> io.NodeOutput:
        handle = require_handle(model, "transformer", "model")
        chosen = chosen_lora(lora, strength, "lora")
        if chosen is None:
            return io.NodeOutput(handle)
        handle = handle.with_lora(chosen)
        note = judge_model(handle)
        return noted([host.intern(handle)], note)


NODES = [LTX2CheckpointLoader, LTX2ComponentLoader, LTX2LoraLoader]
