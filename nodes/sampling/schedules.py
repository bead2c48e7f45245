"""Sigma schedules."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ...ltx_core_impl import components, sampling
from ...ltx_core_impl.presets import (
    DFR_TEMPORAL_SIGMAS,
    DISTILLED_SIGMAS,
    HDR_STAGE_2_SIGMAS,
    LTX_2_3_PRESET,
    LTX_2_PRESET,
    STAGE_2_DISTILLED_SIGMAS,
)
from ..wires.checks import InputError, check_widgets, latent_samples, message_or_true, parse_numbers

CATEGORY = "LTX-2/sampling"
MAX_STEPS = 1000
SIGMA_LISTS = {
    "stage 1 (8 steps)": DISTILLED_SIGMAS,
    "stage 2 (3 steps)": STAGE_2_DISTILLED_SIGMAS,
    "HDR stage 2 (2 steps)": HDR_STAGE_2_SIGMAS,
    "temporal upscale (4 steps)": DFR_TEMPORAL_SIGMAS,
}


def _steps_input(default: int) -> io.Int.Input:
    return io.Int.Input(
        "steps",
        default=default,
        min=1,
        max=MAX_STEPS,
        tooltip=f"Number of denoising steps. Full models: {LTX_2_PRESET.steps} for LTX-2, {LTX_2_3_PRESET.steps} for "
        "LTX-2.3. More steps cost time in proportion. For distilled models use 'LTX-2 Distilled Sigmas' instead.",
    )


class LTX2SchedulerNode(io.ComfyNode):
    """The schedule of the full models."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2Scheduler",
            display_name="LTX-2 Scheduler",
            category=CATEGORY,
            description="Sigmas for the full (dev) models: a shifted linear schedule whose last value before 0 is "
            "stretched to a chosen level.",
            inputs=[
                _steps_input(LTX_2_3_PRESET.steps),
                io.Float.Input(
                    "max_shift",
                    default=2.05,
                    min=0.0,
                    max=100.0,
                    step=0.01,
                    tooltip="Shift for 4096 latent tokens. Higher spends more steps at high noise (composition, "
                    "motion). The model was tuned with 2.05.",
                ),
                io.Float.Input(
                    "base_shift",
                    default=0.95,
                    min=0.0,
                    max=100.0,
                    step=0.01,
                    tooltip="Shift for 1024 latent tokens. The model was tuned with 0.95.",
                ),
                io.Boolean.Input(
                    "stretch",
                    default=True,
                    tooltip="Stretch the schedule so that the last step starts at 'terminal'. Leave it on.",
                ),
                io.Float.Input(
                    "terminal",
                    default=0.1,
                    min=0.0,
                    max=0.99,
                    step=0.01,
                    tooltip="Noise level at which the last step starts (0 to 1). The pipelines use 0.1.",
                ),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="Video latent whose size sets the shift. Leave it empty for what the one-stage and "
                    "two-stage pipelines do (4096 tokens whatever the size); connect it for the HQ recipe.",
                ),
            ],
            outputs=[io.Sigmas.Output(display_name="sigmas", tooltip="steps + 1 noise levels from 1 down to 0.")],
        )

    @classmethod
    def validate_inputs(cls, steps, stretch) -> bool | str:
        return message_or_true(lambda: cls._check(steps, stretch))

    @classmethod
    def _check(cls, steps: int | None, stretch: bool | None) -> None:
        check_widgets(cls, steps=steps)
        if steps == 1 and stretch:
            raise InputError(
                "steps is 1; the stretched schedule would start at its last noise level. Set steps to 2 or more, or "
                "turn stretch off."
            )

    @classmethod
    def execute(cls, steps, max_shift, base_shift, stretch, terminal, latent=None) -> io.NodeOutput:
        cls._check(steps, stretch)
        check_widgets(cls, max_shift=max_shift, base_shift=base_shift, terminal=terminal)
        samples = None if latent is None else latent_samples(latent, "video", "latent")
        sigmas = components.LTX2Scheduler().execute(
            steps=steps,
            latent=samples,
            max_shift=max_shift,
            base_shift=base_shift,
            stretch=stretch,
            terminal=terminal,
        )
        return io.NodeOutput(sigmas)


class LTX2LinearQuadraticSchedulerNode(io.ComfyNode):
    """Linear, then quadratic."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2LinearQuadraticScheduler",
            display_name="LTX-2 Linear-Quadratic Scheduler",
            category=CATEGORY,
            description="Sigmas that fall linearly to a threshold and quadratically from there. With 8 steps this is "
            "the distilled schedule.",
            inputs=[
                _steps_input(8),
                io.Float.Input(
                    "threshold",
                    default=0.025,
                    min=0.0001,
                    max=0.99,
                    step=0.001,
                    tooltip="How much noise the linear part removes in all (0 to 1). Default 0.025.",
                ),
                io.Int.Input(
                    "linear_steps",
                    default=0,
                    min=0,
                    max=MAX_STEPS,
                    tooltip="Steps in the linear part; 0 means half of all steps.",
                ),
            ],
            outputs=[io.Sigmas.Output(display_name="sigmas", tooltip="steps + 1 noise levels from 1 down to 0.")],
        )

    @classmethod
    def validate_inputs(cls, steps, linear_steps) -> bool | str:
        return message_or_true(lambda: cls._check(steps, linear_steps))

    @classmethod
    def _check(cls, steps: int | None, linear_steps: int | None) -> None:
        check_widgets(cls, steps=steps, linear_steps=linear_steps)
        if steps is not None and linear_steps is not None and linear_steps > steps:
            raise InputError(f"linear_steps is {linear_steps}, more than the {steps} steps. Use {steps} or fewer.")

    @classmethod
    def execute(cls, steps, threshold, linear_steps) -> io.NodeOutput:
        cls._check(steps, linear_steps)
        check_widgets(cls, threshold=threshold)
        sigmas = components.LinearQuadraticScheduler().execute(
            steps=steps, threshold_noise=threshold, linear_steps=linear_steps or None
        )
        return io.NodeOutput(sigmas)


class LTX2BetaSchedulerNode(io.ComfyNode):
    """Quantiles of a beta distribution."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        tooltip = "Shape of the beta distribution at the {} end. 0.6 on both sides spends steps at both ends."
        return io.Schema(
            node_id="LTX2BetaScheduler",
            display_name="LTX-2 Beta Scheduler",
            category=CATEGORY,
            description="Sigmas at the quantiles of a beta distribution. Duplicate levels are dropped, so there may be "
            "fewer steps than asked.",
            inputs=[
                _steps_input(LTX_2_3_PRESET.steps),
                io.Float.Input(
                    "alpha", default=0.6, min=0.05, max=50.0, step=0.05, tooltip=tooltip.format("low-noise")
                ),
                io.Float.Input(
                    "beta", default=0.6, min=0.05, max=50.0, step=0.05, tooltip=tooltip.format("high-noise")
                ),
            ],
            outputs=[io.Sigmas.Output(display_name="sigmas", tooltip="Noise levels from 1 down to 0.")],
        )

    @classmethod
    def execute(cls, steps, alpha, beta) -> io.NodeOutput:
        check_widgets(cls, steps=steps, alpha=alpha, beta=beta)
        return io.NodeOutput(components.BetaScheduler().execute(steps=steps, alpha=alpha, beta=beta))


class LTX2DistilledSigmas(io.ComfyNode):
    """The fixed lists of the distilled models."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2DistilledSigmas",
            display_name="LTX-2 Distilled Sigmas",
            category=CATEGORY,
            description="The noise levels that the distilled models were trained for.",
            inputs=[
                io.Combo.Input(
                    "schedule",
                    options=list(SIGMA_LISTS),
                    default=next(iter(SIGMA_LISTS)),
                    tooltip="Stage 1 denoises from pure noise in 8 steps; stage 2 refines an upscaled latent in 3 "
                    "steps from sigma 0.909375.",
                ),
                io.String.Input(
                    "typed",
                    default="",
                    optional=True,
                    tooltip="A list of your own in place of the schedule: falling numbers from 1 to 0, separated by "
                    "commas. Published graphs for LTX-2.3 have 0.85, 0.725, 0.4219, 0 in stage 2.",
                ),
            ],
            outputs=[io.Sigmas.Output(display_name="sigmas", tooltip="The list, ending in 0.")],
        )

    @classmethod
    def validate_inputs(cls, schedule, typed="") -> bool | str:
        return message_or_true(lambda: cls._check(schedule, typed))

    @classmethod
    def _check(cls, schedule: str | None, typed: str | None) -> torch.Tensor | None:
        """The typed list; None without."""
        check_widgets(cls, schedule=schedule)
        return sampling.checked_sigmas(parse_numbers("typed", typed)) if typed and typed.strip() else None

    @classmethod
    def execute(cls, schedule, typed="") -> io.NodeOutput:
        own = cls._check(schedule, typed)
        return io.NodeOutput(torch.tensor(SIGMA_LISTS[schedule]) if own is None else own)


NODES = [LTX2SchedulerNode, LTX2LinearQuadraticSchedulerNode, LTX2BetaSchedulerNode, LTX2DistilledSigmas]
