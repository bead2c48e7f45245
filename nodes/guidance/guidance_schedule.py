"""Guidance that changes with the noise level."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TypeVar

from comfy_api.latest import io

from ...ltx_core_impl.components.multimodal_guider import CFG_RULES
from ...ltx_core_impl.presets import LTX_2_3_PRESET
from ..wires import sockets
from ..wires.checks import InputError, check_between, check_widgets, message_or_true, parse_blocks, parse_numbers
from ..wires.handles import Guidance, GuidanceSchedule
from ..wires.inputs import skip_step_input

CATEGORY = "LTX-2/guidance"
_DEFAULT = LTX_2_3_PRESET.video_guidance
T = TypeVar("T")


def _list_input(name: str, default: str, tooltip: str) -> io.String.Input:
    return io.String.Input(name, default=default, tooltip=f"{tooltip} One number for each range, or one for all.")


class LTX2GuidanceSchedule(io.ComfyNode):
    """Parameters of one modality for ranges of sigma."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2GuidanceSchedule",
            display_name="LTX-2 Guidance Schedule",
            category=CATEGORY,
            description="Guidance of one modality that changes while the noise goes down: for example strong at the "
            "start, where the composition is decided, and none at the end, which then costs one pass per step.",
            inputs=[
                io.String.Input(
                    "sigmas",
                    default="1.0, 0.9, 0.5",
                    tooltip="Upper ends of the ranges of sigma, falling from 1, separated by commas. A range reaches "
                    "down to the next number, the last one to 0. '1.0, 0.9, 0.5' makes three ranges.",
                ),
                _list_input(
                    "cfg", f"{_DEFAULT.cfg_scale:g}, {_DEFAULT.cfg_scale:g}, 1", "Classifier-free guidance; 1 = off."
                ),
                _list_input("stg_scale", f"{_DEFAULT.stg_scale:g}, 0, 0", "Spatio-temporal guidance; 0 = off."),
                io.String.Input(
                    "stg_blocks",
                    default=str(_DEFAULT.stg_blocks[0]),
                    tooltip="Transformer blocks of the STG pass, for each range or one list for all: numbers separated "
                    "by commas, ranges by semicolons; 'all'. LTX-2: 29, LTX-2.3: 28. Example: 28; 28, 29; all.",
                ),
                _list_input("rescale", f"{_DEFAULT.rescale_scale:g}", "Pulls the contrast back, 0 to 1."),
                _list_input(
                    "modality_scale",
                    f"{_DEFAULT.modality_scale:g}, {_DEFAULT.modality_scale:g}, 1",
                    "How strongly this modality follows the other one; 1 = off.",
                ),
                io.Combo.Input(
                    "cfg_rule",
                    options=list(CFG_RULES),
                    default=CFG_RULES[0],
                    tooltip="cfg: as the pipelines. cfg_star: against the negative prediction scaled to fit best "
                    "(CFG-Zero*), calmer at high noise. apg: only the part of the guidance that does not merely "
                    "amplify (adaptive projected guidance), against over-saturation at high cfg.",
                ),
                io.Float.Input(
                    "apg_eta",
                    default=0.0,
                    min=-10.0,
                    max=10.0,
                    step=0.05,
                    tooltip="For apg: weight of the amplifying part. 0 = leave it out, 1 = as cfg.",
                ),
                io.Float.Input(
                    "apg_norm_threshold",
                    default=0.0,
                    min=0.0,
                    max=100000.0,
                    step=0.5,
                    tooltip="For apg: largest norm of the guidance of a clip; 0 = no limit.",
                ),
                skip_step_input(),
            ],
            outputs=[sockets.Guidance.Output(display_name="guidance", tooltip="For 'LTX-2 Guider'.")],
        )

    @classmethod
    def validate_inputs(cls, sigmas, cfg, stg_scale, stg_blocks, rescale, modality_scale, cfg_rule) -> bool | str:
        lists = (sigmas, cfg, stg_scale, stg_blocks, rescale, modality_scale)

        def check() -> None:
            check_widgets(cls, cfg_rule=cfg_rule)
            if None not in lists:
                _schedule(*lists, Guidance())

        return message_or_true(check)

    @classmethod
    def execute(
        cls,
        sigmas,
        cfg,
        stg_scale,
        stg_blocks,
        rescale,
        modality_scale,
        cfg_rule,
        apg_eta,
        apg_norm_threshold,
        skip_step,
    ) -> io.NodeOutput:
        same_everywhere = {
            "cfg_rule": cfg_rule,
            "apg_eta": apg_eta,
            "apg_norm_threshold": apg_norm_threshold,
            "skip_step": skip_step,
        }
        check_widgets(cls, **same_everywhere)
        common = Guidance(**same_everywhere)
        return io.NodeOutput(_schedule(sigmas, cfg, stg_scale, stg_blocks, rescale, modality_scale, common))


def _schedule(
    sigmas: str, cfg: str, stg_scale: str, stg_blocks: str, rescale: str, modality_scale: str, common: Guidance
) -> GuidanceSchedule:
    """The lists of the widgets, one `Guidance` for each range; ``common`` has what is the same in all of them."""
    bounds = _numbers("sigmas", sigmas, 0.0, 1.0)
    if any(later >= earlier for earlier, later in pairwise(bounds)):
        raise InputError(f"sigmas is '{sigmas}'; the ends of the ranges must fall, for example 1.0, 0.9, 0.5.")
    count = len(bounds)
    values = zip(
        _for_each("cfg", _numbers("cfg", cfg, 0.0, 100.0), count),
        _for_each("stg_scale", _numbers("stg_scale", stg_scale, 0.0, 100.0), count),
        _for_each("stg_blocks", [parse_blocks(part) for part in stg_blocks.split(";")], count),
        _for_each("rescale", _numbers("rescale", rescale, 0.0, 1.0), count),
        _for_each("modality_scale", _numbers("modality_scale", modality_scale, 0.0, 100.0), count),
        strict=True,
    )
    names = ("cfg_scale", "stg_scale", "stg_blocks", "rescale_scale", "modality_scale")
    ranges = (replace(common, **dict(zip(names, one, strict=True))) for one in values)
    return GuidanceSchedule(tuple(zip(bounds, ranges, strict=True)))


def _numbers(name: str, text: str, low: float, high: float) -> list[float]:
    numbers = parse_numbers(name, text)
    for number in numbers:
        check_between(name, number, low, high)
    return numbers


def _for_each(name: str, values: list[T], count: int) -> list[T]:
    if len(values) not in (1, count):
        raise InputError(
            f"{name} has {len(values)} values; sigmas makes {count} ranges. Give one value for all, or {count}."
        )
    return values * count if len(values) == 1 else values


NODES = [LTX2GuidanceSchedule]
