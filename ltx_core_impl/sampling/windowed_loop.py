"""Clips longer than the model's: windows in time, one after another, each continuing the one before.

Picture and sound of a window are denoised together. What a window shares with the one before is given to it as
conditioning, so that motion and sound go on; conditioning of the whole clip reaches every window that it overlaps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..components.latent_statistics import adain
from ..conditioning.tools import AudioLatentTools, VideoLatentTools
from ..types import LatentState
from .denoisers import Denoiser
from .latent_tiles import Interval
from .loops import States, StepCallback
from .passes import Transformer
from .token_parts import Parts, TokenPart, window_parts


@dataclass(frozen=True, eq=False)
class WindowedLoop:
    """A denoising loop for `denoise_stage` that runs another loop window by window.

    Attributes:
        windows: latent frames of each window, from `temporal_windows`.
        tools: of the whole video and sound; None for an absent modality.
        loop_of: the loop of a window, by its number.
        denoiser_of: the denoiser of a window, by its number and its tools: its prompt may differ.
        overlap_strength: how firmly a window keeps what it shares with the one before: 1 keeps it, 0 makes it anew.
        drift_control: how far the picture's colours and contrast are pulled back to the first window's, 0 to 1.
    """

    windows: Sequence[Interval]
    tools: tuple[VideoLatentTools | None, AudioLatentTools | None]
    loop_of: Callable[[int], Callable[..., States]]
    denoiser_of: Callable[[int, Parts], Denoiser]
    overlap_strength: float = 1.0
    drift_control: float = 0.0

    def __call__(
        self,
        sigmas: Tensor,
        video_state: LatentState | None,
        audio_state: LatentState | None,
        transformer: Transformer,
        denoiser: Denoiser,
        callback: StepCallback | None = None,
    ) -> States:
        """The states of the whole clip; ``denoiser`` is not used, every window has its own.

        Raises:
            ValueError: the run has no video, or its sound is shorter than the picture.
        """
        states = (video_state, audio_state)
        parts = window_parts(states, self.tools, self.windows)
        results = [None if state is None else state.latent.clone() for state in states]
        done = [None if state is None else torch.zeros(state.latent.shape[1], dtype=torch.bool) for state in states]
        first: Tensor | None = None
        for index, pair in enumerate(parts):
            shared = [
                None if part is None else covered[part.indices[: part.target_count].cpu()]
                for part, covered in zip(pair, done, strict=True)
            ]
            starts = tuple(
                None if state is None else self._start(part.take(state), result[:, part.indices], overlap)
                for state, part, result, overlap in zip(states, pair, results, shared, strict=True)
            )
            ends = self.loop_of(index)(
                sigmas=sigmas,
                video_state=starts[0],
                audio_state=starts[1],
                transformer=transformer,
                denoiser=self.denoiser_of(index, pair),
                callback=_in_whole_clip(callback, index, len(parts), states, pair, results),
            )
            tokens = [None if end is None else end.latent for end in ends]
            if first is None:
                first = _target_latent(tokens[0], pair.video)
            elif self.drift_control:
                tokens[0] = _without_drift(tokens[0], pair.video, first, self.drift_control)
            for result, part, new, overlap, covered in zip(results, pair, tokens, shared, done, strict=True):
                if part is not None:
                    result[:, part.indices] = _cross_faded(result[:, part.indices], new, overlap, part)
                    covered[part.indices[: part.target_count].cpu()] = True
        return tuple(
            None if state is None else replace(state, latent=result)
            for state, result in zip(states, results, strict=True)
        )

    def _start(self, state: LatentState, known: Tensor, shared: Tensor) -> LatentState:
        """The window's start: tokens shared with the window before hold its result, as conditioning."""
        if not shared.any():
            return state
        shared = _padded(shared, state.latent.shape[1]).to(known.device)[None, :, None]
        mask = torch.where(shared, state.denoise_mask.clamp(max=1.0 - self.overlap_strength), state.denoise_mask)
        latent = torch.where(shared, torch.lerp(known.float(), state.latent.float(), mask), state.latent.float())
        return replace(
            state,
            latent=latent.to(state.latent.dtype),
            clean_latent=torch.where(shared, known, state.clean_latent),
            denoise_mask=mask,
        )


def _padded(shared: Tensor, length: int) -> Tensor:
    """Appended tokens are not shared."""
    return torch.cat([shared, shared.new_zeros(length - len(shared))])


def _cross_faded(old: Tensor, new: Tensor, shared: Tensor, part: TokenPart) -> Tensor:
    """New tokens, faded in latent frame by latent frame over those that were known before."""
    per_frame = part.target_count // part.tools.target_shape.frames
    frames = int(shared.sum()) // per_frame
    if not frames:
        return new
    ramp = torch.arange(1, frames + 1) / (frames + 1)
    weights = torch.ones(new.shape[1])
    weights[: frames * per_frame] = ramp.repeat_interleave(per_frame)
    return torch.lerp(old.float(), new.float(), weights.to(new.device)[None, :, None]).to(new.dtype)


def _target_latent(tokens: Tensor, part: TokenPart) -> Tensor:
    return part.tools.patchifier.unpatchify(tokens[:, : part.target_count], part.tools.target_shape)


def _without_drift(tokens: Tensor, part: TokenPart, first: Tensor, strength: float) -> Tensor:
    corrected = adain(_target_latent(tokens, part), first, strength)
    target = part.tools.patchifier.patchify(corrected)
    return torch.cat([target, tokens[:, part.target_count :]], dim=1)


def _in_whole_clip(
    callback: StepCallback | None,
    window: int,
    windows: int,
    states: States,
    parts: Parts,
    results: Sequence[Tensor | None],
) -> StepCallback | None:
    """A callback of a window's loop that tells the caller about the whole clip."""
    if callback is None:
        return None

    def report(index: int, steps: int, *denoised: LatentState | None) -> None:
        shown = []
        for state, part, result, one in zip(states, parts, results, denoised, strict=True):
            if one is None:
                shown.append(None)
                continue
            latent = result.clone()
            latent[:, part.indices] = one.latent.to(latent.dtype)
            shown.append(replace(state, latent=latent))
        callback(window * steps + index, windows * steps, *shown)

    return report
