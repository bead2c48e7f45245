"""What a latent on a wire contributes to a run: its shape, its rates, its start."""

from __future__ import annotations

from math import prod

from torch import Tensor

from ..ltx_core_impl.conditioning.item import ConditioningItem
from ..ltx_core_impl.conditioning.rules import ReferenceRules
from ..ltx_core_impl.conditioning.tools import AudioLatentTools, LatentTools, VideoLatentTools
from ..ltx_core_impl.conditioning.video_items import VideoConditionByMask
from ..ltx_core_impl.presets import preset_for_version
from ..ltx_core_impl.sampling.stage import StageModality
from ..ltx_core_impl.types import AudioLatentShape, VideoLatentShape
from .checks import InputError, check_frame_rate, latent_samples
from .components import transformer_options
from .geometry import audio_geometry, video_geometry
from .handles import ComponentHandle, Guides, ModelHandle


def video_modality(
    latent: dict | None,
    model: ModelHandle,
    vae: ComponentHandle | None,
    frame_rate: float | None,
    start_sigma: float,
    guides: Guides,
) -> StageModality | None:
    """The video stream of a run, None without a latent. Raises `InputError` when the latent does not fit the model."""
    if latent is None:
        return None
    samples = latent_samples(latent, "video", "video_latent")
    stream = transformer_options(model).video
    if stream is None:
        raise InputError(f"{model.file.name} has no video stream. Disconnect video_latent, or load another model.")
    _check_channels("video_latent", samples.shape[1], stream.in_channels, model)
    rate = latent.get("frame_rate") if frame_rate is None else frame_rate
    if rate is None:
        raise InputError(
            "The frame rate is not known: video_latent does not carry one. Connect frame_rate, for example from "
            "'LTX-2 Empty Latents'."
        )
    check_frame_rate(rate)
    tools = VideoLatentTools(
        target_shape=VideoLatentShape.from_torch_shape(samples.shape),
        fps=rate,
        scale_factors=video_geometry(vae).scale,
        rules=_rules(model),
    )
    return _stage(tools, samples, start_sigma, guides.video, latent.get("noise_mask"))


def audio_modality(
    latent: dict | None, model: ModelHandle, vae: ComponentHandle | None, start_sigma: float, guides: Guides
) -> StageModality | None:
    """The audio stream of a run, None without a latent. Raises `InputError` when the latent does not fit the model."""
    if latent is None:
        return None
    samples = latent_samples(latent, "audio", "audio_latent")
    stream = transformer_options(model).audio
    if stream is None:
        raise InputError(f"{model.file.name} has no audio stream. Disconnect audio_latent, or load another model.")
    _check_channels("audio_latent", samples.shape[1] * samples.shape[3], stream.in_channels, model)
    tools = AudioLatentTools(
        target_shape=AudioLatentShape.from_torch_shape(samples.shape),
        patchifier=audio_geometry(vae).patchifier,
        rules=_rules(model),
    )
    return _stage(tools, samples, start_sigma, guides.audio, latent.get("noise_mask"))


def _stage(
    tools: LatentTools, samples: Tensor, start_sigma: float, items: tuple[ConditioningItem, ...], mask: Tensor | None
) -> StageModality:
    """Zeros are an empty latent and start from pure noise; anything else is refined from the first sigma on.

    A noise mask (1 = generate) of zeros freezes the stream, any other one keeps parts of it.
    """
    if mask is not None and not mask.any():
        return StageModality(tools=tools, conditionings=items, initial_latent=samples, frozen=True)
    if mask is not None and not bool((mask == 1).all()):
        items = (_kept_by_mask(tools, samples, mask), *items)
    if not samples.any():
        return StageModality(tools=tools, conditionings=items)
    return StageModality(tools=tools, conditionings=items, initial_latent=samples, noise_scale=start_sigma)


def _kept_by_mask(tools: LatentTools, samples: Tensor, mask: Tensor) -> VideoConditionByMask:
    target = tools.target_shape
    if not isinstance(target, VideoLatentShape):
        raise InputError("audio_latent has a partial noise mask; sound is kept or generated as a whole, or by time.")
    grid = (target.frames, target.height, target.width)
    if mask.numel() not in (prod(grid), target.batch * prod(grid)):
        raise InputError(
            f"The noise mask of video_latent has shape {tuple(mask.shape)}; it needs one value per latent cell, "
            f"{grid} (frames, height, width)."
        )
    return VideoConditionByMask(latent=samples, mask=1 - mask.reshape(-1, *grid).float())


def _rules(model: ModelHandle) -> ReferenceRules:
    return preset_for_version(model.version).rules


def _check_channels(name: str, found: int, needed: int, model: ModelHandle) -> None:
    if found != needed:
        raise InputError(
            f"{name} has {found} channels per token; {model.file.name} takes {needed}. Make the latent with "
            "'LTX-2 Empty Latents' and the VAE of this model connected to it."
        )
