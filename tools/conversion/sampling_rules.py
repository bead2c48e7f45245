"""Noise, sigmas, solvers, guiders and samplers: all become one sampler."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tools.conversion.converter import Conversion, rule
from tools.conversion.latent_rules import first_vae, with_reference_sound
from tools.conversion.reading import Item
from tools.conversion.values import Guidance, Guider, Latent, Model, Parameters, Prompt, Solver, Wire

SOLVERS = {
    "euler": "euler",
    "euler_ancestral": "euler_ancestral",
    "euler_cfg_pp": "euler_cfg_pp",
    "euler_ancestral_cfg_pp": "euler_ancestral_cfg_pp",
    "gradient_estimation": "gradient_estimating_euler",
    "res_2s": "res_2s",
}
SEED_LIMIT = 2**64


@rule("RandomNoise")
def noise(conversion: Conversion, item: Item) -> list[Any]:
    return [conversion.wire("LTX2LatentNoise", seed=conversion.get(item, "noise_seed", 0))]


@rule("ManualSigmas")
def typed_sigmas(conversion: Conversion, item: Item) -> list[Any]:
    return [conversion.wire("LTX2DistilledSigmas", typed=conversion.get(item, "sigmas", ""))]


@rule("LTXVScheduler")
def scheduler(conversion: Conversion, item: Item) -> list[Any]:
    latent = conversion.get(item, "latent")
    defaults = {"steps": 20, "max_shift": 2.05, "base_shift": 0.95, "stretch": True, "terminal": 0.1}
    values = {name: conversion.get(item, name, default) for name, default in defaults.items()}
    return [conversion.wire("LTX2Scheduler", latent=latent.video if isinstance(latent, Latent) else None, **values)]


def _schedule(conversion: Conversion, item: Item, name: Any, steps: Any) -> Wire:
    if name == "linear_quadratic":
        return conversion.wire("LTX2LinearQuadraticScheduler", steps=steps)
    if name == "beta":
        return conversion.wire("LTX2BetaScheduler", steps=steps)
    conversion.note(f"{item}: the schedule '{name}' is none of LTX-2's; it became the model's own with {steps} steps.")
    return conversion.wire("LTX2Scheduler", steps=steps)


@rule("BasicScheduler")
def basic_scheduler(conversion: Conversion, item: Item) -> list[Any] | None:
    if not isinstance(conversion.get(item, "model"), Model):
        return None
    _whole(conversion, item)
    return [_schedule(conversion, item, conversion.typed(item, "scheduler"), conversion.get(item, "steps", 20))]


def _whole(conversion: Conversion, item: Item) -> None:
    if conversion.typed(item, "denoise", 1.0) != 1.0:
        conversion.note(f"To do: {item} begins in the middle (denoise); cut the sigmas with 'SplitSigmasDenoise'.")


@rule("KSamplerSelect")
def solver(conversion: Conversion, item: Item) -> list[Any]:
    return [_solver(conversion, item, conversion.typed(item, "sampler_name", "euler"))]


def _solver(conversion: Conversion, item: Item, name: Any) -> Solver:
    if name not in SOLVERS:
        conversion.note(f"{item}: the solver '{name}' is not one of LTX-2's; it became euler.")
    return Solver(SOLVERS.get(name, "euler"))


@rule("SamplerEulerAncestral")
def ancestral(conversion: Conversion, item: Item) -> list[Any]:
    eta = conversion.typed(item, "eta", 1.0)
    return [Solver("euler") if eta == 0 else Solver("euler_ancestral", eta)]


@rule("ClownSampler_Beta")
def clown(conversion: Conversion, item: Item) -> list[Any]:
    conversion.note(f"{item} became res_2s, the solver of the published pipeline; its other settings are left out.")
    return [Solver("res_2s")]


# --- Guiders ----------------------------------------------------------------------------------------------------------


def _patched(model: Model, guidance: Guidance) -> Guidance:
    return replace(
        guidance, stg_scale=model.stg_scale, stg_blocks=model.stg_blocks, modality_scale=model.modality_scale
    )


def _guider(conversion: Conversion, item: Item, video_cfg: Any, audio_cfg: Any) -> list[Any]:
    model, positive = conversion.wanted(item, "model", Model), conversion.wanted(item, "positive", Prompt)
    negative = conversion.get(item, "negative")
    if model is None or positive is None:
        return []
    video, audio = (_patched(model, Guidance(cfg=float(cfg))) for cfg in (video_cfg, audio_cfg))
    return [Guider(model, positive, negative if isinstance(negative, Prompt) else None, video, audio)]


def _number(conversion: Conversion, item: Item, name: str, default: float) -> float:
    value = conversion.typed(item, name, default)
    if value is None:
        conversion.note(f"{item}: '{name}' is computed in the graph; it became {default:g}.")
    return default if value is None else value


@rule("CFGGuider")
def cfg_guider(conversion: Conversion, item: Item) -> list[Any] | None:
    if not isinstance(conversion.get(item, "model"), Model):
        return None
    cfg = _number(conversion, item, "cfg", 1.0)
    return _guider(conversion, item, cfg, cfg)


@rule("LTXVDualCFGGuider")
def dual_guider(conversion: Conversion, item: Item) -> list[Any]:
    video, audio = (_number(conversion, item, f"{kind}_cfg", value) for kind, value in (("video", 3), ("audio", 7)))
    return _guider(conversion, item, video, audio)


@rule("BasicGuider")
def basic_guider(conversion: Conversion, item: Item) -> list[Any] | None:
    model, positive = conversion.get(item, "model"), conversion.get(item, "conditioning")
    if not isinstance(model, Model):
        return None
    return [Guider(model, positive)] if isinstance(positive, Prompt) else []


@rule("STGGuider", "STGGuiderNode")
def stg_guider(conversion: Conversion, item: Item) -> list[Any]:
    [guider] = _guider(conversion, item, *[_number(conversion, item, "cfg", 1.0)] * 2) or [None]
    if guider is None:
        return []
    values = {"stg_scale": _number(conversion, item, "stg", 1.0), "rescale": _number(conversion, item, "rescale", 0.7)}
    return [replace(guider, video=replace(guider.video, **values), audio=replace(guider.audio, **values))]


@rule("GuiderParameters")
def guider_parameters(conversion: Conversion, item: Item) -> list[Any]:
    before = conversion.get(item, "parameters")
    before = before if isinstance(before, Parameters) else Parameters()
    perturbs, crosses = conversion.typed(item, "perturb_attn", True), conversion.typed(item, "cross_attn", True)
    guidance = Guidance(
        cfg=_number(conversion, item, "cfg", 1.0),
        stg_scale=_number(conversion, item, "stg", 1.0) if perturbs else 0.0,
        rescale=_number(conversion, item, "rescale", 0.7),
        modality_scale=_number(conversion, item, "modality_scale", 0.0) if crosses else 1.0,
        skip_step=int(_number(conversion, item, "skip_step", 0)),
    )
    is_audio = str(conversion.typed(item, "modality", "VIDEO")).upper() == "AUDIO"
    return [replace(before, audio=guidance) if is_audio else replace(before, video=guidance)]


@rule("MultimodalGuider")
def multimodal_guider(conversion: Conversion, item: Item) -> list[Any]:
    guider = (_guider(conversion, item, 1.0, 1.0) or [None])[0]
    parameters = conversion.wanted(item, "parameters", Parameters)
    if guider is None or parameters is None:
        return [guider]
    blocks = str(conversion.typed(item, "skip_blocks", "") or "")
    video, audio = (
        guidance and replace(guidance, stg_blocks=blocks) for guidance in (parameters.video, parameters.audio)
    )
    return [replace(guider, video=video or guider.video, audio=audio or guider.audio)]


# --- Samplers ---------------------------------------------------------------------------------------------------------


def _guidance(conversion: Conversion, guidance: Guidance, title: str) -> Wire | None:
    if guidance.is_off:
        return None
    stg = guidance if guidance.stg_scale and guidance.stg_blocks else replace(guidance, stg_scale=0.0, stg_blocks="")
    return conversion.wire(
        "LTX2GuidanceParameters",
        title=title,
        preset="custom",
        cfg=stg.cfg,
        stg_scale=stg.stg_scale,
        stg_blocks=stg.stg_blocks,
        rescale=stg.rescale,
        modality_scale=stg.modality_scale,
        skip_step=stg.skip_step,
    )


def _needs_negative(guider: Guider, solver: Solver) -> bool:
    return guider.video.cfg != 1 or guider.audio.cfg != 1 or solver.name.endswith("cfg_pp")


def _sample(
    conversion: Conversion, item: Item, guider: Guider, solver: Solver, sigmas: Any, noise: Any, latent: Latent
) -> list[Any]:
    negative = guider.negative.wire if guider.negative and _needs_negative(guider, solver) else None
    if _needs_negative(guider, solver) and negative is None and guider.negative is not None:
        conversion.note(f"To do: {item} needs a negative prompt in place of one that was zeroed out.")
    has_sound = latent.audio is not None
    wire = conversion.wire(
        "LTX2Guider",
        positive=guider.positive.wire,
        negative=negative,
        video_guidance=_guidance(conversion, guider.video, "Guidance of the picture") if latent.video else None,
        audio_guidance=_guidance(conversion, guider.audio, "Guidance of the sound") if has_sound else None,
    )
    node = conversion.add(
        "LTX2Sampler",
        item.title if item.title != item.type else None,
        model=guider.model.wire,
        guider=wire,
        sigmas=sigmas,
        noise=noise,
        solver=solver.name,
        video_latent=latent.video,
        audio_latent=latent.audio,
        guides=with_reference_sound(conversion, latent, guider.positive),
        video_vae=first_vae(conversion) if latent.video else None,
        eta=solver.eta,
    )
    return [Latent(Wire(node, 0) if latent.video else None, Wire(node, 1) if has_sound else None)] * 2


@rule("SamplerCustomAdvanced")
def sampler(conversion: Conversion, item: Item) -> list[Any] | None:
    guider = conversion.get(item, "guider")
    if not isinstance(guider, Guider):
        return None
    steps = conversion.get(item, "sampler")
    return _sample(
        conversion,
        item,
        guider,
        steps if isinstance(steps, Solver) else Solver("euler"),
        conversion.get(item, "sigmas"),
        conversion.get(item, "noise"),
        conversion.latent(item, "latent_image"),
    )


@rule("KSampler")
def k_sampler(conversion: Conversion, item: Item) -> list[Any] | None:
    if not isinstance(conversion.get(item, "model"), Model):
        return None
    cfg = _number(conversion, item, "cfg", 1.0)
    guider = (_guider(conversion, item, cfg, cfg) or [None])[0]
    if guider is None:
        return []
    _whole(conversion, item)
    return _sample(
        conversion,
        item,
        guider,
        _solver(conversion, item, conversion.typed(item, "sampler_name", "euler")),
        _schedule(conversion, item, conversion.typed(item, "scheduler"), conversion.get(item, "steps", 20)),
        conversion.wire("LTX2LatentNoise", seed=conversion.get(item, "seed", 0)),
        conversion.latent(item, "latent_image"),
    )


@rule("LTXVNormalizingSampler")
def normalizing_sampler(conversion: Conversion, item: Item) -> list[Any]:
    guider = conversion.wanted(item, "guider", Guider)
    if guider is None:
        return []
    solver = conversion.get(item, "sampler")
    conversion.note(f"{item}: its factors are typed into 'LTX-2 Step Correction', connected to the sampler.")
    return _sample(
        conversion,
        item,
        guider,
        solver if isinstance(solver, Solver) else Solver("euler"),
        conversion.get(item, "sigmas"),
        conversion.get(item, "noise"),
        conversion.latent(item, "latent_image"),
    )


@rule("LTXVLoopingSampler")
def looping_sampler(conversion: Conversion, item: Item) -> list[Any]:
    """Windows and tiles are inputs of the one sampler."""
    guider = conversion.wanted(item, "guider", Guider)
    if guider is None:
        return []
    latent = conversion.latent(item, "latents")
    reference = conversion.get(item, "optional_guiding_latents")
    if isinstance(reference, Latent) and reference.video:
        guides = conversion.wire(
            "LTX2ReferenceLatentGuide",
            reference=reference.video,
            model=guider.model.wire,
            video_latent=latent.video,
            strength=conversion.get(item, "guiding_strength", 1.0),
            guides=latent.guides,
        )
        latent = replace(latent, guides=guides)
    solver = conversion.get(item, "sampler")
    values = _sample(
        conversion,
        item,
        guider,
        solver if isinstance(solver, Solver) else Solver("euler"),
        conversion.get(item, "sigmas"),
        conversion.get(item, "noise"),
        latent,
    )
    windows = conversion.wire(
        "LTX2ContextWindows",
        window_length=(int(_number(conversion, item, "temporal_tile_size", 80)) // 8) * 8 + 1,
        overlap=int(_number(conversion, item, "temporal_overlap", 24)),
    )
    columns, rows = (int(_number(conversion, item, name, 1)) for name in ("horizontal_tiles", "vertical_tiles"))
    if columns * rows > 1:
        overlap = 32 * int(_number(conversion, item, "spatial_overlap", 1))
        windows = conversion.wire("LTX2SpatialTiles", columns=columns, rows=rows, overlap=overlap, windows=windows)
    conversion.nodes[values[0].video.node].inputs["windows"] = windows
    conversion.note(f"{item}: pictures per window and prompts per window are left out; see 'LTX-2 Segment Prompts'.")
    return values
