"""Guidance: how strongly each modality follows the prompt, itself and the other modality."""

from __future__ import annotations

from comfy_api.latest import io

from ...ltx_core_impl.guidance.perturbations import Perturbation, PerturbationConfig, PerturbationType
from ...ltx_core_impl.presets import HQ_PRESET, LTX_2_3_PRESET, LTX_2_5_PRESET, LTX_2_PRESET
from ..wires import sockets
from ..wires.checks import InputError, check_widgets, message_or_true, parse_blocks, require, require_context
from ..wires.handles import Guidance, GuidanceSchedule, Guider, PerturbationChoice
from ..wires.inputs import fraction_input, skip_step_input

CATEGORY = "LTX-2/guidance"
CUSTOM = "custom"
PRESETS = {
    f"{preset.name} {modality}": params
    for preset in (LTX_2_PRESET, LTX_2_3_PRESET, LTX_2_5_PRESET, HQ_PRESET)
    for modality, params in (("video", preset.video_guidance), ("audio", preset.audio_guidance))
}
_VIDEO, _AUDIO = LTX_2_3_PRESET.video_guidance, LTX_2_3_PRESET.audio_guidance
_BLOCKS = {preset.name: preset.video_guidance.stg_blocks[0] for preset in (LTX_2_PRESET, LTX_2_3_PRESET)}
KINDS = {kind.name.lower(): kind for kind in PerturbationType}


class LTX2GuidanceParameters(io.ComfyNode):
    """Parameters of one modality, from a preset or typed in."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2GuidanceParameters",
            display_name="LTX-2 Guidance Parameters",
            category=CATEGORY,
            description="Guidance of one modality (video or audio). Each scale away from its neutral value costs one "
            "more model pass per step, shared by both modalities.",
            inputs=[
                io.Combo.Input(
                    "preset",
                    options=[CUSTOM, *PRESETS],
                    default=CUSTOM,
                    tooltip="Values of the reference pipelines for a model version and modality. With anything but "
                    "'custom' the numbers below are ignored.",
                ),
                io.Float.Input(
                    "cfg",
                    default=_VIDEO.cfg_scale,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="Classifier-free guidance: how far to move from the negative prompt towards the prompt. "
                    f"1 = off. Full models: {_VIDEO.cfg_scale:g} for video, {_AUDIO.cfg_scale:g} for audio; distilled "
                    "models: 1.",
                ),
                io.Float.Input(
                    "stg_scale",
                    default=_VIDEO.stg_scale,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="Spatio-temporal guidance: moves away from a pass whose self-attention is skipped in the "
                    f"STG blocks; steadier structure and motion. 0 = off, usual value {_VIDEO.stg_scale:g}.",
                ),
                io.String.Input(
                    "stg_blocks",
                    default=str(_VIDEO.stg_blocks[0]),
                    tooltip="Transformer blocks whose self-attention the STG pass skips: numbers from 0 separated by "
                    f"commas, or 'all'. {', '.join(f'{name}: {block}' for name, block in _BLOCKS.items())}.",
                ),
                fraction_input(
                    "rescale",
                    _VIDEO.rescale_scale,
                    "Pulls the guided prediction back to the contrast of the unguided one. 0 = not, 1 = fully; "
                    f"{_VIDEO.rescale_scale:g} prevents over-saturation.",
                    step=0.05,
                ),
                io.Float.Input(
                    "modality_scale",
                    default=_VIDEO.modality_scale,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="How strongly this modality follows the other one (lip sync, sound effects in time): moves "
                    f"away from a pass without audio-video attention. 1 = off, usual value {_VIDEO.modality_scale:g}.",
                ),
                skip_step_input(),
            ],
            outputs=[sockets.Guidance.Output(display_name="guidance", tooltip="For 'LTX-2 Guider'.")],
        )

    @classmethod
    def validate_inputs(cls, stg_blocks) -> bool | str:
        return message_or_true(lambda: stg_blocks is None or parse_blocks(stg_blocks))

    @classmethod
    def execute(cls, preset, cfg, stg_scale, stg_blocks, rescale, modality_scale, skip_step) -> io.NodeOutput:
        check_widgets(cls, preset=preset)
        if preset != CUSTOM:
            return io.NodeOutput(Guidance(**vars(PRESETS[preset])))
        check_widgets(
            cls, cfg=cfg, stg_scale=stg_scale, rescale=rescale, modality_scale=modality_scale, skip_step=skip_step
        )
        guidance = Guidance(
            cfg_scale=cfg,
            stg_scale=stg_scale,
            stg_blocks=parse_blocks(stg_blocks),
            rescale_scale=rescale,
            modality_scale=modality_scale,
            skip_step=skip_step,
        )
        return io.NodeOutput(guidance)


def as_perturbation(choices: tuple[PerturbationChoice, ...]) -> PerturbationConfig | None:
    """What the perturbed pass skips in place of the STG blocks; None leaves it to the guidance."""
    if not choices:
        return None
    return PerturbationConfig(tuple(Perturbation(KINDS[choice.kind], blocks=choice.blocks) for choice in choices))


class LTX2Perturbation(io.ComfyNode):
    """One thing that the perturbed pass skips."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2Perturbation",
            display_name="LTX-2 Perturbation",
            category=CATEGORY,
            is_experimental=True,
            description="Chooses what the perturbed (STG) pass skips, in place of self-attention in the STG "
            "blocks. Chain several to combine them.",
            inputs=[
                io.Combo.Input(
                    "kind",
                    options=list(KINDS),
                    tooltip="Attention to skip: self-attention of video or audio, or the cross-attention that brings "
                    "audio into video (a2v) or video into audio (v2a).",
                ),
                io.String.Input(
                    "blocks",
                    default=str(_VIDEO.stg_blocks[0]),
                    tooltip="Transformer blocks to skip it in: numbers from 0 separated by commas, or 'all'.",
                ),
                sockets.Perturbation.Input("perturbation", optional=True, tooltip="Perturbations to add this one to."),
            ],
            outputs=[sockets.Perturbation.Output(display_name="perturbation", tooltip="For 'LTX-2 Guider'.")],
        )

    @classmethod
    def validate_inputs(cls, blocks) -> bool | str:
        return message_or_true(lambda: blocks is None or parse_blocks(blocks, "blocks"))

    @classmethod
    def execute(cls, kind, blocks, perturbation=()) -> io.NodeOutput:
        check_widgets(cls, kind=kind)
        parsed = parse_blocks(blocks, "blocks")
        if parsed == ():
            raise InputError("blocks is empty; write block numbers separated by commas, or all.")
        return io.NodeOutput((*perturbation, PerturbationChoice(kind=kind, blocks=parsed)))


class LTX2Guider(io.ComfyNode):
    """Prompts and guidance, ready for the sampler."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2Guider",
            display_name="LTX-2 Guider",
            category=CATEGORY,
            description="Joins the encoded prompts with the guidance of video and audio. Without guidance inputs the "
            "model runs once per step with the positive prompt, as distilled models want it.",
            inputs=[
                sockets.Context.Input("positive", tooltip="What the clip should show and sound like."),
                sockets.Context.Input(
                    "negative",
                    optional=True,
                    tooltip="What it should not. Needed when a cfg differs from 1, unused otherwise.",
                ),
                sockets.Guidance.Input(
                    "video_guidance", optional=True, tooltip="Guidance of the picture; empty = none (distilled)."
                ),
                sockets.Guidance.Input(
                    "audio_guidance", optional=True, tooltip="Guidance of the sound; empty = none (distilled)."
                ),
                sockets.Perturbation.Input(
                    "perturbation",
                    optional=True,
                    tooltip="Experiments: what the STG pass skips instead of the self-attention of the STG blocks.",
                ),
            ],
            outputs=[sockets.Guider.Output(display_name="guider", tooltip="For 'LTX-2 Sampler'.")],
        )

    @classmethod
    def execute(
        cls, positive, negative=None, video_guidance=None, audio_guidance=None, perturbation=()
    ) -> io.NodeOutput:
        require_context(positive, "positive")
        guidances = {"video_guidance": video_guidance, "audio_guidance": audio_guidance}
        for name, guidance in guidances.items():
            if guidance is None:
                continue
            require(
                guidance,
                Guidance | GuidanceSchedule,
                name,
                "'LTX-2 Guidance Parameters' or 'LTX-2 Guidance Schedule'",
            )
            if guidance.needs_negative and negative is None:
                raise InputError(
                    f"{name} has a cfg other than 1, which needs a negative prompt, and 'negative' is not "
                    "connected. Encode one with 'LTX-2 Text Encode' (an empty text will do), or set cfg to 1."
                )
        if negative is not None:
            require_context(negative, "negative")
            _check_same_model(positive, negative)
        guider = Guider(
            positive=positive,
            negative=negative,
            video=video_guidance or Guidance(),
            audio=audio_guidance or Guidance(),
            perturbations=tuple(perturbation),
        )
        return io.NodeOutput(guider)


def _check_same_model(positive, negative) -> None:
    if positive.version != negative.version or positive.video.shape[-1] != negative.video.shape[-1]:
        raise InputError(
            f"positive was encoded for LTX-{positive.version}, negative for LTX-{negative.version}. "
            "Encode both with the same text encoder node."
        )


NODES = [LTX2GuidanceParameters, LTX2Perturbation, LTX2Guider]
