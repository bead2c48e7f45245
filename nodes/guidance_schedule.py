"""Guidance that changes with the noise level."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TypeVar

from comfy_api.latest import io

from ..ltx_core_impl.components.multimodal_guider import CFG_RULES
from ..ltx_core_impl.presets import LTX_2_3_PRESET
from . import sockets
from .checks import InputError, check_between, check_choice, message_or_true, parse_blocks
from .handles import Guidance, GuidanceSchedule

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
                io.Int.Input(
                    "skip_step",
                    default=0,
                    min=0,
                    max=100,
                    tooltip="Reuse the last prediction of this modality for this many steps after each computed one. "
                    "0 = compute every step.",
                ),
            ],
            outputs=[sockets.Guidance.Output(display_name="guidance", tooltip="For 'LTX-2 Guider'.")],
        )

    @classmethod
    def validate_inputs(cls, sigmas, cfg, stg_scale, stg_blocks, rescale, modality_scale, cfg_rule) -> bool | str:
        lists = (sigmas, cfg, stg_scale, stg_blocks, rescale, modality_scale, cfg_rule)
        if None in lists:
            return True
        return message_or_true(lambda: cls._schedule(*lists, apg_eta=0.0, apg_norm_threshold=0.0, skip_step=0))

    @staticmethod
    def _schedule(
        sigmas: str,
        cfg: str,
        stg_scale: str,
        stg_blocks: str,
        rescale: str,
        modality_scale: str,
        cfg_rule: str,
        apg_eta: float,
        apg_norm_threshold: float,
        skip_step: int,
    ) -> GuidanceSchedule:
        bounds = _numbers("sigmas", sigmas, 0.0, 1.0)
        if any(later >= earlier for earlier, later in pairwise(bounds)):
            raise InputError(f"sigmas is '{sigmas}'; the ends of the ranges must fall, for example 1.0, 0.9, 0.5.")
        count = len(bounds)
        check_choice("cfg_rule", cfg_rule, list(CFG_RULES))
        scales = _for_each("cfg", _numbers("cfg", cfg, 0.0, 100.0), count)
        stg_scales = _for_each("stg_scale", _numbers("stg_scale", stg_scale, 0.0, 100.0), count)
        rescales = _for_each("rescale", _numbers("rescale", rescale, 0.0, 1.0), count)
        modality_scales = _for_each("modality_scale", _numbers("modality_scale", modality_scale, 0.0, 100.0), count)
        blocks = _for_each("stg_blocks", [parse_blocks(part) for part in stg_blocks.split(";")], count)
        return GuidanceSchedule(
            tuple(
                (
                    bounds[index],
                    Guidance(
                        cfg_scale=scales[index],
                        stg_scale=stg_scales[index],
                        stg_blocks=blocks[index],
                        rescale_scale=rescales[index],
                        modality_scale=modality_scales[index],
                        skip_step=skip_step,
                        cfg_rule=cfg_rule,
                        apg_eta=apg_eta,
                        apg_norm_threshold=apg_norm_threshold,
                    ),
                )
                for index in range(count)
            )
        )

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
        check_between("skip_step", skip_step, 0, 100)
        return io.NodeOutput(
            cls._schedule(
                sigmas,
                cfg,
                stg_scale,
                stg_blocks,
                rescale,
                modality_scale,
                cfg_rule,
                apg_eta=apg_eta,
                apg_norm_threshold=apg_norm_threshold,
                skip_step=skip_step,
            )
        )


def parse_numbers(name: str, text: str) -> list[float]:
    """Numbers from a widget, separated by commas. Raises `InputError` for anything else."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(map(math.isfinite, numbers)):
        raise InputError(f"{name} is '{text}'; write numbers separated by commas, for example 1, 0.5.")
    return numbers


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
