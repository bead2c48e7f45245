"""Official defaults by model version: the one place for sizes, steps, guidance, schedules and prompts (spec 07 §2)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .components.multimodal_guider import MultiModalGuiderParams
from .conditioning.rules import LTX_2_5_RULES, LTX_2_RULES, ReferenceRules

DISTILLED_SIGMAS = (1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0)
"""Eight steps of the distilled models."""

STAGE_2_DISTILLED_SIGMAS = (0.909375, 0.725, 0.421875, 0.0)
"""Three steps of every second stage."""

HDR_STAGE_2_SIGMAS = (0.909375, 0.725, 0.0)
"""Two steps of the tiled second stage of the HDR IC-LoRA."""

DFR_TEMPORAL_SIGMAS = (0.975, 0.909375, 0.725, 0.421875, 0.0)
"""Four steps of the temporal rounds of DFR."""

ANCESTRAL_SEED_OFFSET = 10000
"""Distilled LTX-2.5 seeds its ancestral noise with the user's seed plus this."""

_DFR_LOOP_OFFSET = 1000
_DFR_START_OFFSET = 20000


def dfr_tile_seeds(seed: int, temporal_round: int, tile: int) -> tuple[int, int]:
    """Seeds of a DFR tile's starting noise and of the noise that its steps add.

    The second is the reference's. The reference draws the first from the generator of the whole run; here every tile
    has a seed of its own, apart from all others, so that tiles can be made one by one.
    """
    loop = seed + _DFR_LOOP_OFFSET * temporal_round + tile
    return loop + _DFR_START_OFFSET, loop


_NEGATIVE_TERMS = (
    "blurry, out of focus, overexposed, underexposed, low contrast, washed out colors, excessive noise, "
    "grainy texture, poor lighting, flickering, motion blur, distorted proportions, unnatural skin tones, "
    "deformed facial features, asymmetrical face, missing facial features, extra limbs, disfigured hands, "
    "wrong hand count, artifacts around text, inconsistent perspective, camera shake, incorrect depth of field, "
    "background too sharp, background clutter, distracting reflections, harsh shadows, "
    "inconsistent lighting direction, color banding, cartoonish rendering, 3D CGI look, unrealistic materials, "
    "uncanny valley effect, incorrect ethnicity, wrong gender, exaggerated expressions, wrong gaze direction, "
    "mismatched lip sync, silent or muted audio, distorted voice, robotic voice, echo, background noise, "
    "off-sync audio, incorrect dialogue, added dialogue, repetitive speech, jittery movement, awkward pauses, "
    "incorrect timing, unnatural transitions, inconsistent framing, tilted camera, flat lighting, "
    "inconsistent tone, cinematic oversaturation, stylized filters, or AI artifacts."
)
_NEGATIVE_TAGS = "has_subtitles, has_blurbox, transition from black, transition to black, speech_ending_short, "


@dataclass(frozen=True)
class GenerationPreset:
    """Defaults of one model generation.

    Attributes:
        name: for people.
        video_guidance, audio_guidance: guidance of the full (not distilled) model.
        steps: steps of the full schedule.
        height, width: pixels of a one-stage run and of the first of two stages; the second doubles them.
        image_crf: H.264 quality that conditioning images are degraded to.
        negative_prompt: default negative prompt.
        ancestral_distilled: the distilled model's first stage uses ancestral Euler (eta 1) in place of Euler.
        rules: reference generation for conditioning.
        distilled_lora: strength of the distilled LoRA in the first and in the second of two stages; 0 is without it.
        frames, fps, seed: length, frames per second and seed.
    """

    name: str
    video_guidance: MultiModalGuiderParams
    audio_guidance: MultiModalGuiderParams
    steps: int
    height: int = 512
    width: int = 768
    image_crf: int = 33
    negative_prompt: str = _NEGATIVE_TERMS
    ancestral_distilled: bool = False
    rules: ReferenceRules = LTX_2_RULES
    distilled_lora: tuple[float, float] = (0.0, 1.0)
    frames: int = 121
    fps: float = 24.0
    seed: int = 10


def _guidance(cfg_scale: float, block: int) -> MultiModalGuiderParams:
    return MultiModalGuiderParams(
        cfg_scale=cfg_scale, stg_scale=1.0, stg_blocks=(block,), rescale_scale=0.7, modality_scale=3.0
    )


LTX_2_PRESET = GenerationPreset(
    name="LTX-2", video_guidance=_guidance(3.0, block=29), audio_guidance=_guidance(7.0, block=29), steps=40
)
LTX_2_3_PRESET = GenerationPreset(
    name="LTX-2.3", video_guidance=_guidance(3.0, block=28), audio_guidance=_guidance(7.0, block=28), steps=30
)
LTX_2_4_PRESET = replace(
    LTX_2_3_PRESET,
    name="LTX-2.4",
    image_crf=18,
    negative_prompt=_NEGATIVE_TAGS + _NEGATIVE_TERMS,
    rules=LTX_2_5_RULES,
)
LTX_2_5_PRESET = replace(LTX_2_4_PRESET, name="LTX-2.5", ancestral_distilled=True)

HQ_PRESET = replace(
    LTX_2_3_PRESET,
    name="LTX-2.3 HQ",
    video_guidance=MultiModalGuiderParams(cfg_scale=3.0, rescale_scale=0.45, modality_scale=3.0),
    audio_guidance=MultiModalGuiderParams(cfg_scale=7.0, rescale_scale=1.0, modality_scale=3.0),
    steps=15,
    height=544,
    width=960,
    distilled_lora=(0.25, 0.5),
)
"""The two-stage res_2s run; its schedule uses the token count of the first-stage latent."""

_BY_VERSION = (((2, 5), LTX_2_5_PRESET), ((2, 4), LTX_2_4_PRESET), ((2, 3), LTX_2_3_PRESET))


def preset_for_version(model_version: str | None) -> GenerationPreset:
    """Defaults for the ``model_version`` in a file's metadata; LTX-2's when it is missing or unreadable."""
    version = _version_numbers(model_version or "")
    return next((preset for oldest, preset in _BY_VERSION if version >= oldest), LTX_2_PRESET)


def _version_numbers(text: str) -> tuple[int, ...]:
    """The leading whole numbers of a version such as "2.3.1-rc"."""
    numbers: list[int] = []
    for part in text.replace("-", ".").split("."):
        if not (part.isascii() and part.isdigit()):
            break
        numbers.append(int(part))
    return tuple(numbers)
