"""Generated keyframe slots: single pixel frames denoised along with the video (spec 06 §17.7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from ..types import GeneratedKeyframeLayout, LatentState, VideoLatentShape
from .item import ConditioningError, append_tokens, match_state
from .positions import frames_to_seconds, video_pixel_bounds
from .tools import VideoLatentTools


@dataclass(frozen=True, eq=False)
class VideoGeneratedKeyframeSlots:
    """Append one latent frame of tokens for each pixel frame of a list.

    Only models with a learned keyframe embedding (LTX-2.5) understand slots.

    Attributes:
        pixel_indices: pixel frames, strictly increasing, inside the target.
        initial_keyframes: content to start from, ``(1 or B, C, K, H, W)``; None starts from zeros.
    """

    pixel_indices: Sequence[int]
    initial_keyframes: Tensor | None = None

    def token_count(self, target_shape: VideoLatentShape) -> int:
        """Tokens that it appends to a target of this size."""
        return target_shape._replace(frames=len(self.pixel_indices)).token_count()

    def apply_to(self, latent_state: LatentState, latent_tools: VideoLatentTools) -> LatentState:
        """Raises ConditioningError for indices or content that do not fit, or for a second list of slots."""
        self._validate(latent_state, latent_tools)
        target, count = latent_tools.target_shape, len(self.pixel_indices)
        slots = target._replace(frames=count)
        bounds = video_pixel_bounds(slots, scale_factors=latent_tools.scale_factors, causal_fix=False)
        starts = torch.tensor(self.pixel_indices).repeat_interleave(target.height * target.width)
        bounds[:, 0] = torch.stack([starts, starts + 1], dim=-1)
        if self.initial_keyframes is None:
            tokens = latent_state.latent.new_zeros(
                latent_state.latent.shape[0], slots.token_count(), latent_state.latent.shape[-1]
            )
        else:
            content = match_state(self.initial_keyframes, latent_state, "The content of the keyframe slots")
            tokens = latent_tools.patchifier.patchify(content)
        layout = GeneratedKeyframeLayout(
            pixel_indices=tuple(self.pixel_indices),
            tokens_per_keyframe=target.height * target.width,
            first_token=latent_state.latent.shape[1],
        )
        appended = append_tokens(
            latent_state,
            latent_tokens=tokens,
            clean_tokens=torch.zeros_like(tokens),
            mask_value=1.0,
            positions=frames_to_seconds(bounds, fps=latent_tools.fps),
            target_tokens=target.token_count(),
            keyframe_mark=1.0,
        )
        return replace(appended, generated_keyframe_layout=layout)

    def _validate(self, latent_state: LatentState, latent_tools: VideoLatentTools) -> None:
        if latent_state.generated_keyframe_layout is not None:
            raise ConditioningError("This run already has generated keyframe slots: put all of them in one list.")
        target, indices = latent_tools.target_shape, list(self.pixel_indices)
        frames = target.upscale(latent_tools.scale_factors).frames
        increasing = all(a < b for a, b in pairwise(indices))
        if not indices or not increasing or indices[0] < 0 or indices[-1] >= frames:
            raise ConditioningError(
                f"Keyframe slots need strictly increasing pixel frames from 0 to {frames - 1}; got {indices}."
            )
        expected = (target.channels, len(indices), target.height, target.width)
        if self.initial_keyframes is not None and tuple(self.initial_keyframes.shape[1:]) != expected:
            raise ConditioningError(
                f"The content of {len(indices)} keyframe slots must have shape (batch, "
                f"{', '.join(map(str, expected))}); got {tuple(self.initial_keyframes.shape)}."
            )


def join_keyframes(keyframes: Sequence[Tensor]) -> Tensor:
    """Keyframes ``(B, C, 1, H, W)`` one after the other, ``(B, C, K, H, W)``, as slots start from them."""
    return torch.cat(tuple(keyframes), dim=2)


def keyframes_as_clips(keyframes: Sequence[Tensor]) -> Tensor:
    """Keyframes ``(B, C, 1, H, W)`` as a batch of clips of one frame ``(B·K, C, 1, H, W)``, as a VAE decodes them."""
    return torch.stack(tuple(keyframes), dim=1).flatten(0, 1)


def clips_as_keyframes(clips: Tensor, count: int) -> list[Tensor]:
    """Undo ``keyframes_as_clips`` for ``count`` keyframes.

    Raises:
        ValueError: not ``count`` clips of one frame for every sample.
    """
    if clips.shape[2] != 1 or clips.shape[0] % count:
        raise ValueError(
            f"{count} keyframes are a multiple of {count} clips of one latent frame; got {clips.shape[0]} clips of "
            f"{clips.shape[2]}."
        )
    return list(clips.unflatten(0, (-1, count)).unbind(1))


def spread_keyframes(count: int, frames: int) -> list[int]:
    """``count`` pixel frames spread evenly over the inside of a clip.

    Raises:
        ValueError: when the clip has too few frames for distinct ones.
    """
    indices = torch.linspace(0, frames - 1, count + 2, dtype=torch.float64).round().int().tolist()[1:-1]
    if len(set(indices)) != count or (count and not 0 < indices[0] <= indices[-1] < frames - 1):
        raise ValueError(f"{count} keyframes do not fit inside {frames} frames: use at most {max(0, frames - 2)}.")
    return indices
