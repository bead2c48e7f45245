"""What a latent on a wire contributes to a run: its shape, its rates, its start."""

from __future__ import annotations

from torch import Tensor

from ..ltx_core_impl.conditioning.rules import ReferenceRules
from ..ltx_core_impl.conditioning.tools import AudioLatentTools, VideoLatentTools
from ..ltx_core_impl.presets import preset_for_version
from ..ltx_core_impl.sampling.stage import StageModality
from ..ltx_core_impl.types import AudioLatentShape, VideoLatentShape
from .checks import InputError, check_frame_rate, latent_samples
from .components import transformer_options
from .geometry import audio_geometry, video_geometry
from .handles import ComponentHandle, ModelHandle


def video_modality(
    latent: dict | None, model: ModelHandle, vae: ComponentHandle | None, frame_rate: float | None, start_sigma: float
) -> StageModality | None:
    """The video stream of a run, None without a latent. Raises `InputError` when the latent does not fit the model."""
    if latent is None:
        return None
    samples = latent_samples(latent, "video", "video_latent")
    stream = transformer_options(model).video
    if stream is None:
        raise InputError(f"{model.file.name} has no video stream. Disconnect video_latent, or load another model.")
    _check_channels("video_latent", samples.shape[1], stream.in_channels, model)
    rate = latent.get("frame_rate", frame_rate) if frame_rate is None else frame_rate
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
    return _stage(tools, latent, samples, start_sigma)


def audio_modality(
    latent: dict | None, model: ModelHandle, vae: ComponentHandle | None, start_sigma: float
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
    return _stage(tools, latent, samples, start_sigma)


def _stage(tools, latent: dict, samples: Tensor, start_sigma: float) -> StageModality:
    """Zeros are an empty latent and start from pure noise; anything else is refined from the first sigma on."""
    if not samples.any():
        return StageModality(tools=tools)
    return StageModality(tools=tools, initial_latent=samples, noise_scale=start_sigma)


def _rules(model: ModelHandle) -> ReferenceRules:
    return preset_for_version(model.version).rules


def _check_channels(name: str, found: int, needed: int, model: ModelHandle) -> None:
    if found != needed:
        raise InputError(
            f"{name} has {found} channels per token; {model.file.name} takes {needed}. Make the latent with "
            "'LTX-2 Empty Latents' and the VAE of this model connected to it."
        )
