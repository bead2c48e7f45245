"""What a latent on a wire contributes to a run: its shape, its rates, its start."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from torch import Tensor

from ...ltx_core_impl import conditioning, sampling
from ...ltx_core_impl.presets import preset_for_version
from ...ltx_core_impl.types import AudioLatentShape, VideoLatentShape
from ..loading.components import transformer_options
from ..wires.checks import InputError, check_frame_rate, latent_samples
from ..wires.geometry import audio_geometry, video_geometry
from ..wires.handles import ComponentHandle, Guides, ModelHandle
from ..wires.versions import check_latent_fits


class Start(NamedTuple):
    """How a run begins: its first sigma, and whether the latents still hold the noise of that sigma."""

    sigma: float
    continues: bool = False


def video_modality(
    latent: dict | None,
    model: ModelHandle,
    vae: ComponentHandle | None,
    frame_rate: float | None,
    start: Start,
    guides: Guides,
) -> sampling.StageModality | None:
    """The video stream of a run, None without a latent. Raises `InputError` when the latent does not fit the model."""
    if latent is None:
        return None
    samples = latent_samples(latent, "video", "video_latent")
    stream = transformer_options(model).video
    if stream is None:
        raise InputError(f"{model.file.name} has no video stream. Disconnect video_latent, or load another model.")
    _check_channels("video_latent", samples.shape[1], stream.in_channels, model)
    check_latent_fits(latent, model, "video_latent")
    has_slots = any(isinstance(one, conditioning.VideoGeneratedKeyframeSlots) for one in guides.video)
    if has_slots and not stream.keyframe_embedding:
        raise InputError(
            f"guides holds keyframe slots, which {model.file.name} does not know: they came with LTX-2.5. Remove "
            "'LTX-2 Keyframe Slots', or load LTX-2.5."
        )
    if has_slots and start.continues:
        raise InputError(
            "guides holds keyframe slots, which start from noise, but noise is switched off (DisableNoise). Use slots "
            "in a run of its own."
        )
    rate = latent.get("frame_rate") if frame_rate is None else frame_rate
    if rate is None:
        raise InputError(
            "The frame rate is not known: video_latent does not carry one. Connect frame_rate, for example from "
            "'LTX-2 Empty Latents'."
        )
    check_frame_rate(rate)
    tools = conditioning.VideoLatentTools(
        target_shape=VideoLatentShape.from_torch_shape(samples.shape),
        fps=rate,
        scale_factors=video_geometry(vae).scale,
        rules=_rules(model),
    )
    _check_guides(guides.video, tools)
    return _stage(tools, samples, start, guides.video, noise_mask_of(latent, "video_latent"), "video_latent")


def audio_modality(
    latent: dict | None, model: ModelHandle, vae: ComponentHandle | None, start: Start, guides: Guides
) -> sampling.StageModality | None:
    """The audio stream of a run, None without a latent. Raises `InputError` when the latent does not fit the model."""
    if latent is None:
        return None
    samples = latent_samples(latent, "audio", "audio_latent")
    stream = transformer_options(model).audio
    if stream is None:
        raise InputError(f"{model.file.name} has no audio stream. Disconnect audio_latent, or load another model.")
    _check_channels("audio_latent", samples.shape[1] * samples.shape[3], stream.in_channels, model)
    check_latent_fits(latent, model, "audio_latent")
    tools = conditioning.AudioLatentTools(
        target_shape=AudioLatentShape.from_torch_shape(samples.shape),
        patchifier=audio_geometry(vae).patchifier,
        rules=_rules(model),
    )
    return _stage(tools, samples, start, guides.audio, noise_mask_of(latent, "audio_latent"), "audio_latent")


def _stage(
    tools: conditioning.LatentTools,
    samples: Tensor,
    start: Start,
    items: tuple[conditioning.ConditioningItem, ...],
    mask: Tensor | None,
    input_name: str,
) -> sampling.StageModality:
    """Zeros are an empty latent and start from pure noise; anything else is refined from the first sigma on.

    A noise mask (1 = generate) of zeros freezes the stream, any other one keeps parts of it.
    """
    if mask is not None and not mask.any():
        return sampling.StageModality(tools=tools, conditionings=items, initial_latent=samples, frozen=True)
    if start.continues:
        _check_continued(samples, mask, input_name)
    if mask is not None and not bool((mask == 1).all()):
        items = (conditioning.LatentNoiseMask(mask), *items)
    if not samples.any():
        return sampling.StageModality(tools=tools, conditionings=items)
    return sampling.StageModality(
        tools=tools,
        conditionings=items,
        initial_latent=samples,
        noise_scale=start.sigma,
        continues=start.continues,
    )


def _check_continued(samples: Tensor, mask: Tensor | None, input_name: str) -> None:
    """Without new noise a run goes on from what another one left."""
    if not samples.any():
        raise InputError(
            f"noise is switched off (DisableNoise), and {input_name} is empty: there is no noise to start from. "
            "Connect what a sampler with the sigmas before these left, or use 'LTX-2 Latent Noise'."
        )
    if mask is not None and bool(((mask > 0) & (mask < 1)).any()):
        raise InputError(
            f"The noise mask of {input_name} mixes given with new content, but noise is switched off (DisableNoise) "
            "and the given content is not there any more. Use a mask of 0 and 1 (no ramp), or one run."
        )


def noise_mask_of(latent: dict, input_name: str) -> Tensor | None:
    """The noise mask of a LATENT with one value per cell: ``(1 or B, 1, F, H, W)``, for sound ``(1 or B, 1, T, 1)``.

    None without a mask. Raises `InputError` for a mask of another size.
    """
    mask, samples = latent.get("noise_mask"), latent["samples"]
    if mask is None:
        return None
    batch, grid = samples.shape[0], tuple(samples.shape[2:])
    if samples.ndim == 4:
        grid = (grid[0], 1)
        if mask.shape[-1] == samples.shape[3] > 1:  # one value per mel bin, as core nodes make them
            mask = mask.amax(dim=-1)
    if mask.numel() not in (prod(grid), batch * prod(grid)):
        names = "(frames, height, width)" if samples.ndim == 5 else "(frames, 1)"
        raise InputError(
            f"The noise mask of {input_name} has shape {tuple(mask.shape)}; it needs one value per latent cell, "
            f"{grid} {names}. Make it with 'LTX-2 Retake Region' or 'LTX-2 Inpaint Region'."
        )
    return mask.reshape(-1, 1, *grid).float()


def with_kept_parts(
    samples: Tensor, latent: dict, items: tuple[conditioning.ConditioningItem, ...], input_name: str
) -> Tensor:
    """The result of a run with what its noise mask kept exactly as it was given.

    Guides that replace parts of the latent win over its mask, so their results stay.
    """
    mask = noise_mask_of(latent, input_name)
    if mask is None or any(
        isinstance(item, (conditioning.VideoConditionByLatentIndex, conditioning.VideoConditionByMask))
        for item in items
    ):
        return samples
    return conditioning.restore_kept(samples, latent["samples"], mask)


def _check_guides(items: tuple[conditioning.ConditioningItem, ...], tools: conditioning.VideoLatentTools) -> None:
    """Guides made for a clip of another size are refused; where they would land is nobody's intention."""
    target, scale = tools.target_shape, tools.scale_factors
    size = (target.height, target.width)
    frames = target.upscale(scale).frames
    for item in (getattr(item, "conditioning", item) for item in items):
        if isinstance(item, conditioning.VideoConditionByKeyframeIndex):
            latent, factor = item.keyframes, 1
            if item.frame_idx >= frames:
                raise InputError(
                    f"A guide stands at frame {item.frame_idx}; the clip has frames 0 to {frames - 1}. Connect the "
                    "latent that is sampled to the guide node."
                )
        elif isinstance(item, conditioning.VideoConditionByReferenceLatent):
            latent, factor = item.latent, item.downscale_factor
        elif isinstance(item, conditioning.VideoConditionByWindowedReference):
            latent, factor = item.latents[0], 1
        elif isinstance(item, conditioning.VideoConditionByLatentIndex):
            latent, factor = item.latent, 1
        else:
            continue
        covered = (latent.shape[-2] * factor, latent.shape[-1] * factor)
        if covered != size:
            height, width = (cells * pixels for cells, pixels in zip(covered, scale[1:], strict=True))
            raise InputError(
                f"A guide was made for pictures of {width} x {height}; video_latent is {size[1] * scale.width} x "
                f"{size[0] * scale.height}. Give each stage guides of its own, made with the latent of that stage."
            )


def _rules(model: ModelHandle) -> conditioning.ReferenceRules:
    return preset_for_version(model.version).rules


def _check_channels(name: str, found: int, needed: int, model: ModelHandle) -> None:
    if found != needed:
        raise InputError(
            f"{name} has {found} channels per token; {model.file.name} takes {needed}. Make the latent with "
            "'LTX-2 Empty Latents' and the VAE of this model connected to it."
        )
