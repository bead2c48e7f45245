"""One denoising stage: from text contexts and conditioning to clean latents (spec 06 §12.9, §14.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..components.noisers import Noiser
from ..conditioning.item import ConditioningItem
from ..conditioning.keyframe_slots import VideoGeneratedKeyframeSlots
from ..conditioning.tools import AudioLatentTools, LatentTools, VideoLatentTools
from ..types import LatentState
from .denoisers import Denoiser
from .loops import States, StepCallback, euler_denoising_loop
from .passes import Transformer
from .validation import checked_sigmas


@dataclass(frozen=True, eq=False)
class StageModality:
    """What one modality contributes to a stage.

    Attributes:
        tools: shape, positions and rules.
        conditionings: items, applied in this order.
        noise_scale: share of noise at the start: 1 for a full run, the first sigma for a refinement.
        frozen: the modality is context for the other one and stays as it is; it needs an ``initial_latent``.
        initial_latent: unpatchified start, in the target's shape; None starts from zeros.
        continues: ``initial_latent`` is what a run that stopped at the first sigma left, with its noise. No noise is
            added to it, only to appended conditioning.
    """

    tools: LatentTools
    conditionings: Sequence[ConditioningItem] = ()
    noise_scale: float = 1.0
    frozen: bool = False
    initial_latent: Tensor | None = None
    continues: bool = False

    def __post_init__(self) -> None:
        if (self.frozen or self.continues) and self.initial_latent is None:
            raise ValueError(
                "A frozen modality needs an initial latent, as does one that continues: there is nothing to keep "
                "otherwise."
            )
        if not 0.0 <= self.noise_scale <= 1.0:
            raise ValueError(f"noise_scale lies between 0 (no noise) and 1 (pure noise); got {self.noise_scale}.")


@torch.no_grad()
def denoise_stage(
    *,
    transformer: Transformer,
    denoiser: Denoiser,
    sigmas: Tensor | Sequence[float],
    noiser: Noiser,
    device: torch.device | str,
    dtype: torch.dtype,
    video: StageModality | None = None,
    audio: StageModality | None = None,
    loop: Callable[..., States] = euler_denoising_loop,
    callback: StepCallback | None = None,
) -> States:
    """Run one stage and return its clean, unpatchified states (None for an absent modality).

    The video state is built and noised first, then the audio state, so that a seed means the same draws everywhere.

    Args:
        transformer: X0 model.
        denoiser: holds contexts and guidance; one object for one stage.
        sigmas: descending schedule.
        noiser: adds the starting noise; use the same object for the next stage of a run.
        device, dtype: of the latents.
        video, audio: what to denoise; at least one of them.
        loop: denoising loop; bind its own options with ``functools.partial``.
        callback: told ``(step index, steps, video state, audio state)`` after each step, the states holding the
            unpatchified denoised latents. It may raise to stop.

    Raises:
        ValueError: for a bad schedule, shape or item, before the model runs.
    """
    if video is None and audio is None:
        raise ValueError("A stage needs a video or an audio modality; got neither.")
    sigmas = checked_sigmas(sigmas)
    if video is not None:
        _require_slot_support(video, transformer)
    states = tuple(
        None if one is None else _noised_state(one, noiser, device=device, dtype=dtype) for one in (video, audio)
    )
    tools = tuple(None if one is None else one.tools for one in (video, audio))

    def report_unpatchified(index: int, steps: int, *denoised: LatentState | None) -> None:
        callback(index, steps, *map(_finished, denoised, tools))

    states = loop(
        sigmas=sigmas,
        video_state=states[0],
        audio_state=states[1],
        transformer=transformer,
        denoiser=denoiser,
        callback=None if callback is None else report_unpatchified,
    )
    return tuple(map(_finished, states, tools))


def _noised_state(
    modality: StageModality, noiser: Noiser, device: torch.device | str, dtype: torch.dtype
) -> LatentState:
    tools = modality.tools
    state = tools.create_initial_state(device=device, dtype=dtype, initial_latent=modality.initial_latent)
    start = state.latent
    for item in modality.conditionings:
        state = item.apply_to(state, tools)
    # Frozen content is shown to the model as it is; noise is drawn all the same to keep the order of draws.
    state = noiser(state, 0.0 if modality.frozen else modality.noise_scale)
    if not modality.frozen:
        return _continued(state, start) if modality.continues else state
    return replace(state, denoise_mask=torch.zeros_like(state.denoise_mask), frozen=tools.rules.frozen_sigma_is_zero)


def _continued(state: LatentState, start: Tensor) -> LatentState:
    """The state with the target's tokens as they were given, except for what conditioning keeps."""
    count = start.shape[1]
    target = torch.where(state.denoise_mask[:, :count] > 0, start, state.latent[:, :count])
    return replace(state, latent=torch.cat([target, state.latent[:, count:]], dim=1))


def _finished(state: LatentState | None, tools: VideoLatentTools | AudioLatentTools | None) -> LatentState | None:
    return None if state is None else tools.unpatchify(tools.clear_conditioning(state))


def _require_slot_support(video: StageModality, transformer: Transformer) -> None:
    if not any(isinstance(item, VideoGeneratedKeyframeSlots) for item in video.conditionings):
        return
    model = getattr(transformer, "velocity_model", transformer)
    if getattr(model, "keyframes_abs_pos_embedding", None) is None:
        raise ValueError(
            "Generated keyframe slots need a model with a keyframe embedding (LTX-2.5); this one has none: "
            "remove the slots or load such a model."
        )
