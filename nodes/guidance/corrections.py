"""Correcting latents: their statistics between nodes, or the predictions of chosen steps while sampling."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...ltx_core_impl import components, sampling
from ..wires import sockets
from ..wires.checks import (
    any_latent_samples,
    check_widgets,
    latent_samples,
    message_or_true,
    parse_numbers,
    require,
)
from ..wires.handles import Corrections

CATEGORY = "LTX-2/latents"
VIDEO, AUDIO = "video", "audio"
SCALE_FACTORS = "1, 1, 0.25, 1, 1, 0.25, 1, 1"


class LTX2StepCorrection(io.ComfyNode):
    """A correction of the predictions of one modality."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2StepCorrection",
            display_name="LTX-2 Step Correction",
            category="LTX-2/sampling",
            is_experimental=True,
            description="Corrects what the model predicts in chosen steps: scales it (against sound that gets too "
            "loud), or pulls its statistics to those of another latent (against colours that run away).",
            inputs=[
                io.Combo.Input(
                    "modality", options=[VIDEO, AUDIO], default=AUDIO, tooltip="What to correct: picture or sound."
                ),
                io.String.Input(
                    "factors",
                    default=SCALE_FACTORS,
                    tooltip="One number for each step, separated by commas. Without a reference: the prediction is "
                    "multiplied by it, steps beyond the list are left alone. With a reference: how far the statistics "
                    "are pulled to it, 0 to 1; steps beyond the list are left alone.",
                ),
                io.Latent.Input(
                    "reference",
                    optional=True,
                    tooltip="A latent of the same modality, of any size: mean and deviation of its channels are the "
                    "goal.",
                ),
                sockets.Corrections.Input("corrections", optional=True, tooltip="Corrections to add this one to."),
            ],
            outputs=[sockets.Corrections.Output(display_name="corrections", tooltip="For 'LTX-2 Sampler'.")],
        )

    @classmethod
    def validate_inputs(cls, factors) -> bool | str:
        return message_or_true(lambda: factors is None or parse_numbers("factors", factors))

    @classmethod
    def execute(cls, modality, factors, reference=None, corrections=None) -> io.NodeOutput:
        check_widgets(cls, modality=modality)
        numbers = tuple(parse_numbers("factors", factors))
        so_far = require_corrections(corrections)
        if reference is None:
            rule = sampling.ScaleSteps(numbers)
        else:
            rule = sampling.AdainSteps(numbers, latent_samples(reference, modality, "reference"))
        return io.NodeOutput(so_far.with_one(modality, rule))


class LTX2AdainLatent(io.ComfyNode):
    """Statistics of another latent."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2AdainLatent",
            display_name="LTX-2 AdaIN Latent",
            category=CATEGORY,
            description="Gives every channel of a latent the mean and deviation of a reference: colours and contrast "
            "of one clip for another.",
            inputs=[
                io.Latent.Input("latent", tooltip="Video or audio latent."),
                io.Latent.Input("reference", tooltip="Latent of the same modality whose statistics are the goal."),
                io.Float.Input(
                    "factor",
                    default=1.0,
                    min=-10.0,
                    max=10.0,
                    step=0.05,
                    tooltip="0 = unchanged, 1 = the reference's statistics; between, a mixture.",
                ),
                io.Boolean.Input(
                    "per_frame",
                    default=False,
                    tooltip="Frame by frame; the reference then needs as many latent frames.",
                ),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="The changed latent.")],
        )

    @classmethod
    def execute(cls, latent, reference, factor, per_frame) -> io.NodeOutput:
        check_widgets(cls, factor=factor)
        samples, modality = any_latent_samples(latent, "latent")
        other = latent_samples(reference, modality, "reference").to(samples.device)
        return io.NodeOutput({**latent, "samples": components.adain(samples, other, factor, per_frame=per_frame)})


class LTX2StatNormLatent(io.ComfyNode):
    """Given statistics."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2StatNormLatent",
            display_name="LTX-2 Normalize Latent",
            category=CATEGORY,
            description="Gives every channel of a latent a chosen mean and deviation, measured without its outliers.",
            inputs=[
                io.Latent.Input("latent", tooltip="Video or audio latent."),
                io.Float.Input(
                    "mean", default=0.0, min=-10.0, max=10.0, step=0.01, tooltip="Mean of each channel; 0 is usual."
                ),
                io.Float.Input(
                    "deviation", default=1.0, min=0.01, max=10.0, step=0.01, tooltip="Standard deviation; 1 is usual."
                ),
                io.Float.Input(
                    "percentile",
                    default=95.0,
                    min=50.0,
                    max=100.0,
                    step=0.5,
                    tooltip="Share of the values that is measured, in percent; the outermost are left out. Good: 95.",
                ),
                io.Float.Input(
                    "factor",
                    default=1.0,
                    min=-10.0,
                    max=10.0,
                    step=0.05,
                    tooltip="0 = unchanged, 1 = the chosen statistics; between, a mixture.",
                ),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="The changed latent.")],
        )

    @classmethod
    def execute(cls, latent, mean, deviation, percentile, factor) -> io.NodeOutput:
        check_widgets(cls, mean=mean, deviation=deviation, percentile=percentile, factor=factor)
        samples, _ = any_latent_samples(latent, "latent")
        return io.NodeOutput(
            {**latent, "samples": components.normalize_statistics(samples, mean, deviation, percentile, factor)}
        )


def require_corrections(corrections: Any) -> Corrections:
    """The corrections on an optional input; none when nothing is connected."""
    if corrections is None:
        return Corrections()
    return require(corrections, Corrections, "corrections", "'LTX-2 Step Correction'")


NODES = [LTX2StepCorrection, LTX2AdainLatent, LTX2StatNormLatent]
