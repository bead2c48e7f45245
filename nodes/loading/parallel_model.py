"""A model that several worker processes run, one for each card."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io

from ...ltx_core_impl import loader
from .. import host
from ..wires import sockets
from ..wires.checks import InputError, check_widgets, message_or_true, require_handle
from ..wires.handles import ModelHandle, Parallel
from .several_ranks import check_ranks

CATEGORY = "LTX-2/loaders"
SPLITS = ("auto", "passes", "tokens")
_WIDE = ("BF16", "F16", "F32")


class LTX2ParallelModel(io.ComfyNode):
    """One clip on several cards."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2ParallelModel",
            display_name="LTX-2 Parallel Model",
            category=CATEGORY,
            description="Lets several cards work on one clip: worker processes, one for each card, hold the model and "
            "share each step. The sampler shows progress and preview and can be cancelled as with one card.",
            inputs=[
                sockets.Model.Input("model", tooltip="From the checkpoint or LoRA loader."),
                io.Int.Input(
                    "ranks", default=2, min=1, max=64, tooltip="How many cards, the first ones that ComfyUI sees."
                ),
                io.Combo.Input(
                    "split",
                    options=list(SPLITS),
                    default="auto",
                    tooltip="What is shared out. passes: the guidance passes and clips of a batch, nearly without "
                    "traffic. tokens: the tokens of every pass, which needs a fast link between the cards. auto: "
                    "passes as far as they come out even, tokens for the rest.",
                ),
                io.Boolean.Input(
                    "shard_weights",
                    default=False,
                    tooltip="Each card keeps a part of the weights, for models that do not fit one. Not for fp8, int8 "
                    "or GGUF.",
                ),
            ],
            outputs=[sockets.Model.Output(display_name="model", tooltip="The model, for the sampler.")],
        )

    @classmethod
    def validate_inputs(cls, ranks, split) -> bool | str:
        def check() -> None:
            check_widgets(cls, ranks=ranks, split=split)
            if ranks is not None:
                check_ranks(ranks)

        return message_or_true(check)

    @classmethod
    def execute(cls, model, ranks, split, shard_weights) -> io.NodeOutput:
        check_widgets(cls, ranks=ranks, split=split)
        check_ranks(ranks)
        handle = require_handle(model, "transformer", "model")
        if ranks == 1:
            return io.NodeOutput(host.intern(replace(handle, parallel=None)))
        if shard_weights:
            _require_wide_weights(handle)
        return io.NodeOutput(host.intern(replace(handle, parallel=Parallel(ranks, split, shard_weights))))


def _require_wide_weights(handle: ModelHandle) -> None:
    """Raises `InputError` for weights that stay packed in memory."""
    kinds = {entry.dtype for _, entry in loader.open_checkpoint(handle.file.path).entries.values()}
    packed = handle.precision.startswith("fp8") or (handle.precision == "auto" and not kinds <= set(_WIDE))
    if packed:
        raise InputError(
            f"shard_weights is on, but the model's weights stay packed ({handle.file.name}, precision "
            f"'{handle.precision}'), and those cannot be sharded. Turn it off, or choose precision 'bf16' in the "
            "loader."
        )


NODES = [LTX2ParallelModel]
