"""Conditioning a video on images, keyframes, reference videos and latent masks (spec 06 §12.1-12.3, §17.2, §17.3)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..types import LatentState, VideoLatentShape
from .item import ConditioningError, append_guide, match_state, require_strength
from .positions import frames_to_seconds, video_pixel_bounds
from .tools import VideoLatentTools


@dataclass(frozen=True, eq=False)
class VideoConditionByLatentIndex:
    """Replace whole latent frames of the target.

    Attributes:
        latent: content ``(1 or B, C, f, H, W)``, of the target's height and width.
        strength: 1 keeps the content, 0 ignores it.
        latent_idx: first latent frame that is replaced.
    """

    latent: Tensor
    strength: float
    latent_idx: int

    def apply_to(self, latent_state: LatentState, latent_tools: VideoLatentTools) -> LatentState:
        """Raises ConditioningError when the content does not fit the target."""
        require_strength(self.strength)
        target, shape = latent_tools.target_shape, VideoLatentShape.from_torch_shape(self.latent.shape)
        _require_same_grid(shape, target, "The latent to put in place")
        last = target.frames - shape.frames
        if not 0 <= self.latent_idx <= last:
            raise ConditioningError(
                f"Latent index {self.latent_idx} leaves no room for {shape.frames} of the {target.frames} latent "
                f"frames: use an index from 0 to {last}."
            )
        tokens = latent_tools.patchifier.patchify(match_state(self.latent, latent_state, "The latent to put in place"))
        start = self.latent_idx * target.height * target.width
        part = slice(start, start + tokens.shape[1])
        changed = {"clean_latent": _with_tokens(latent_state.clean_latent, part, tokens)}
        if latent_tools.rules.items_write_latent:
            changed["latent"] = _with_tokens(latent_state.latent, part, tokens)
        denoise_mask = _with_tokens(latent_state.denoise_mask, part, 1.0 - self.strength)
        return replace(latent_state, denoise_mask=denoise_mask, **changed)


@dataclass(frozen=True, eq=False)
class VideoConditionByKeyframeIndex:
    """Append a guide at a pixel frame.

    Attributes:
        keyframes: content ``(1 or B, C, f, h, w)``.
        frame_idx: pixel frame at which it starts; any integer.
        strength: 1 keeps the content, 0 ignores it.
        num_pixel_frames: pixel frames that the content shows; 1 gives every latent frame a span of one pixel frame.
    """

    keyframes: Tensor
    frame_idx: int
    strength: float
    num_pixel_frames: int = 1

    def token_count(self, target_shape: VideoLatentShape) -> int:
        """Tokens that it appends to any target."""
        return VideoLatentShape.from_torch_shape(self.keyframes.shape).token_count()

    def apply_to(self, latent_state: LatentState, latent_tools: VideoLatentTools) -> LatentState:
        """Raises ConditioningError when the channels or the batch do not fit the run."""
        require_strength(self.strength)
        shape = VideoLatentShape.from_torch_shape(self.keyframes.shape)
        _require_same_channels(shape, latent_tools.target_shape, "The keyframe latent")
        bounds = _bounds_from(self.frame_idx, shape, latent_tools, self.num_pixel_frames, latent_state.latent.device)
        return append_guide(
            latent_state,
            tokens=latent_tools.patchifier.patchify(match_state(self.keyframes, latent_state, "The keyframe latent")),
            strength=self.strength,
            positions=frames_to_seconds(bounds, fps=latent_tools.fps),
            latent_tools=latent_tools,
        )


@dataclass(frozen=True, eq=False)
class VideoConditionByReferenceLatent:
    """Append a whole reference video, as IC-LoRAs expect it.

    Attributes:
        latent: the reference ``(1 or B, C, f, h, w)``.
        downscale_factor: pixels of the target per reference pixel, along height and width.
        temporal_scale_factor: frames of the target per reference frame after the first one.
        strength: 1 keeps the content, 0 ignores it.
        frame_idx: pixel frame of the target at which it starts; any integer, below 0 before the clip (spec 08 §5.8).
        num_pixel_frames: as in :class:`VideoConditionByKeyframeIndex`; only read where it does not start at frame 0.
    """

    latent: Tensor
    downscale_factor: int = 1
    temporal_scale_factor: int = 1
    strength: float = 1.0
    frame_idx: int = 0
    num_pixel_frames: int = 1

    def token_count(self, target_shape: VideoLatentShape) -> int:
        """Tokens that it appends to any target."""
        return VideoLatentShape.from_torch_shape(self.latent.shape).token_count()

    def apply_to(self, latent_state: LatentState, latent_tools: VideoLatentTools) -> LatentState:
        """Raises ConditioningError when the channels or the batch do not fit the run."""
        require_strength(self.strength)
        if self.downscale_factor < 1 or self.temporal_scale_factor < 1:
            raise ValueError(
                "Reference scale factors are whole numbers from 1 on; got "
                f"{self.downscale_factor} in space and {self.temporal_scale_factor} in time."
            )
        if self.frame_idx and self.temporal_scale_factor != 1:
            raise ConditioningError(
                f"A reference that is {self.temporal_scale_factor} times sparser in time starts with the clip; this "
                f"one starts at frame {self.frame_idx}."
            )
        shape = VideoLatentShape.from_torch_shape(self.latent.shape)
        _require_same_channels(shape, latent_tools.target_shape, "The reference latent")
        pixel_frames = self.num_pixel_frames if self.frame_idx else None
        bounds = _bounds_from(self.frame_idx, shape, latent_tools, pixel_frames, latent_state.latent.device)
        positions = frames_to_seconds(bounds, fps=latent_tools.fps / self.temporal_scale_factor)
        if self.temporal_scale_factor != 1:
            first_frame_end = latent_state.positions[:1, 0, 0, 1]
            excess = (self.temporal_scale_factor - 1) * first_frame_end
            positions[:, 0] = (positions[:, 0] - excess).clamp(min=0)
        positions[:, 1:] *= self.downscale_factor
        return append_guide(
            latent_state,
            tokens=latent_tools.patchifier.patchify(match_state(self.latent, latent_state, "The reference latent")),
            strength=self.strength,
            positions=positions,
            latent_tools=latent_tools,
        )


@dataclass(frozen=True, eq=False)
class VideoConditionByMask:
    """Keep the parts of a latent that a mask marks (in- and outpainting).

    Attributes:
        latent: content of the target's shape ``(1 or B, C, F, H, W)``.
        mask: ``(1 or B, F, H, W)`` in [0, 1] on the latent grid; 1 takes the content.
        strength: 1 keeps the content where it is taken, 0 ignores it.
    """

    latent: Tensor
    mask: Tensor
    strength: float = 1.0

    def apply_to(self, latent_state: LatentState, latent_tools: VideoLatentTools) -> LatentState:
        """Raises ConditioningError when the content or the mask does not have the target's size."""
        require_strength(self.strength)
        target, shape = latent_tools.target_shape, VideoLatentShape.from_torch_shape(self.latent.shape)
        _require_same_grid(shape, target, "The masked latent")
        grid = (target.frames, target.height, target.width)
        if shape.frames != target.frames or self.mask.ndim != 4 or tuple(self.mask.shape[1:]) != grid:
            raise ConditioningError(
                f"The masked latent has {shape.frames} frames and its mask the shape {tuple(self.mask.shape)}; this "
                f"run needs {target.frames} frames and a mask (batch, {', '.join(map(str, grid))}) on the latent grid."
            )
        count = target.token_count()
        tokens = latent_tools.patchifier.patchify(match_state(self.latent, latent_state, "The masked latent"))
        mask = match_state(self.mask, latent_state, "The mask").flatten(start_dim=1)[..., None]
        clean, denoise = latent_state.clean_latent[:, :count], latent_state.denoise_mask[:, :count]
        kept = (1.0 - self.strength) * mask
        return replace(
            latent_state,
            clean_latent=_with_tokens(latent_state.clean_latent, slice(0, count), clean * (1 - mask) + tokens * mask),
            denoise_mask=_with_tokens(latent_state.denoise_mask, slice(0, count), denoise * (1 - mask) + kept),
        )


def _bounds_from(
    frame: int, shape: VideoLatentShape, tools: VideoLatentTools, pixel_frames: int | None, device: torch.device
) -> Tensor:
    """Pixel bounds of content that starts at a pixel frame; one pixel frame is one for every latent frame of it."""
    causal = tools.causal_fix and frame == 0
    bounds = video_pixel_bounds(shape, scale_factors=tools.scale_factors, causal_fix=causal, device=device)
    bounds[:, 0] += frame
    if pixel_frames == 1:
        bounds[:, 0, :, 1] = bounds[:, 0, :, 0] + 1
    return bounds


def _with_tokens(tensor: Tensor, part: slice, values: Tensor | float) -> Tensor:
    """A copy of ``tensor`` ``(B, N, D)`` with other values in some tokens."""
    changed = tensor.clone()
    changed[:, part] = values
    return changed


def _require_same_channels(shape: VideoLatentShape, target: VideoLatentShape, what: str) -> None:
    if shape.channels != target.channels:
        raise ConditioningError(
            f"{what} has {shape.channels} channels, this model's latents have {target.channels}: encode it with the "
            "model's own video VAE."
        )


def _require_same_grid(shape: VideoLatentShape, target: VideoLatentShape, what: str) -> None:
    _require_same_channels(shape, target, what)
    if (shape.height, shape.width) != (target.height, target.width):
        raise ConditioningError(
            f"{what} is {shape.height}x{shape.width} latent cells (height x width), this run "
            f"{target.height}x{target.width}: resize the picture to the size of the run before encoding it."
        )
