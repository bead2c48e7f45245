"""Latent tools: from an unpatchified latent to a token state and back, for one modality (spec 06 §3)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..components.patchifiers import AudioPatchifier, VideoLatentPatchifier
from ..types import AudioLatentShape, LatentState, SpatioTemporalScaleFactors, VideoLatentShape
from .positions import frames_to_seconds, video_pixel_bounds
from .rules import LTX_2_RULES, ReferenceRules


class _LatentTools:
    """What video and audio tools share; subclasses add positions."""

    target_shape: VideoLatentShape | AudioLatentShape
    patchifier: VideoLatentPatchifier | AudioPatchifier

    def create_initial_state(
        self, device: torch.device | str, dtype: torch.dtype, initial_latent: Tensor | None = None
    ) -> LatentState:
        """A state that generates everything, starting from zeros or from ``initial_latent``.

        Raises:
            ValueError: when the initial latent does not have exactly the target shape.
        """
        shape = self.target_shape.to_torch_shape()
        if initial_latent is None:
            latent = torch.zeros(shape, device=device, dtype=dtype)
        elif initial_latent.shape != shape:
            raise ValueError(
                f"The initial latent has shape {tuple(initial_latent.shape)}, this run needs {tuple(shape)}: "
                "cut or pad it, or change the size of the run."
            )
        else:
            latent = initial_latent.to(device=device, dtype=dtype)
        tokens = self.patchifier.patchify(latent)
        mask_shape = (tokens.shape[0], tokens.shape[1], 1)
        return LatentState(
            latent=tokens,
            denoise_mask=torch.ones(mask_shape, device=device, dtype=torch.float32),
            positions=self.target_positions(device=device),
            clean_latent=tokens.clone(),
            keyframes_mask=self._target_keyframes_mask(mask_shape, device=device),
        )

    def clear_conditioning(self, latent_state: LatentState) -> LatentState:
        """Drop appended tokens and masks; content of generated keyframe slots moves to ``generated_keyframes``."""
        count = self.target_shape.token_count()
        return replace(
            latent_state,
            latent=latent_state.latent[:, :count],
            clean_latent=latent_state.clean_latent[:, :count],
            positions=latent_state.positions[:, :, :count],
            denoise_mask=torch.ones_like(latent_state.denoise_mask[:, :count]),
            attention_mask=None,
            keyframes_mask=None,
            windows=None,
            generated_keyframes=self._generated_keyframes(latent_state),
        )

    def unpatchify(self, latent_state: LatentState) -> LatentState:
        """The state with latents ``(B, C, ...)`` and mask ``(B, 1, ...)``; call ``clear_conditioning`` before."""
        shape = self.target_shape
        return replace(
            latent_state,
            latent=self.patchifier.unpatchify(latent_state.latent, shape),
            clean_latent=self.patchifier.unpatchify(latent_state.clean_latent, shape),
            denoise_mask=self.patchifier.unpatchify(latent_state.denoise_mask, shape.mask_shape()),
        )

    def target_positions(self, device: torch.device | str | None = None) -> Tensor:
        """Positions of the target's tokens, float32 ``(B, axes, N, 2)``."""
        raise NotImplementedError

    def _target_keyframes_mask(self, shape: tuple[int, int, int], device: torch.device | str) -> Tensor | None:
        return None

    def _generated_keyframes(self, latent_state: LatentState) -> Tensor | None:
        return latent_state.generated_keyframes


@dataclass(frozen=True)
class VideoLatentTools(_LatentTools):
    """Tools of a video run.

    Attributes:
        target_shape: size of the generated latent, conditioning not counted.
        fps: frames per second of the positions.
        scale_factors: pixels per latent cell of the video VAE.
        causal_fix: the first latent frame covers one pixel frame.
        rules: reference generation.
    """

    target_shape: VideoLatentShape
    fps: float
    scale_factors: SpatioTemporalScaleFactors = field(default_factory=SpatioTemporalScaleFactors.default)
    causal_fix: bool = True
    rules: ReferenceRules = LTX_2_RULES
    patchifier: VideoLatentPatchifier = field(default_factory=VideoLatentPatchifier, repr=False)

    def __post_init__(self) -> None:
        if self.fps <= 0:
            raise ValueError(f"The frame rate must be positive; got {self.fps} frames per second.")

    def target_positions(self, device: torch.device | str | None = None) -> Tensor:
        """(seconds, pixel rows, pixel columns) of the target's tokens, float32 ``(B, 3, N, 2)``."""
        bounds = video_pixel_bounds(
            self.target_shape, scale_factors=self.scale_factors, causal_fix=self.causal_fix, device=device
        )
        return frames_to_seconds(bounds, fps=self.fps).expand(self.target_shape.batch, -1, -1, -1)

    def _target_keyframes_mask(self, shape: tuple[int, int, int], device: torch.device | str) -> Tensor:
        mask = torch.zeros(shape, device=device, dtype=torch.float32)
        mask[:, : self.target_shape.height * self.target_shape.width] = 1.0
        return mask

    def _generated_keyframes(self, latent_state: LatentState) -> Tensor | None:
        layout = latent_state.generated_keyframe_layout
        if layout is None:
            return latent_state.generated_keyframes
        tokens = latent_state.latent[:, layout.first_token : layout.first_token + layout.token_count]
        slots = self.target_shape._replace(frames=len(layout.pixel_indices))
        return self.patchifier.unpatchify(tokens, slots)


@dataclass(frozen=True)
class AudioLatentTools(_LatentTools):
    """Tools of an audio run.

    Attributes:
        target_shape: size of the generated latent, conditioning not counted.
        patchifier: token layout, with the rates of the audio VAE.
        rules: reference generation.
    """

    target_shape: AudioLatentShape
    patchifier: AudioPatchifier = field(default_factory=AudioPatchifier)
    rules: ReferenceRules = LTX_2_RULES

    def target_positions(self, device: torch.device | str | None = None) -> Tensor:
        """Seconds of the target's tokens, float32 ``(B, 1, T, 2)``."""
        return self.patchifier.bounds_seconds(self.target_shape, device=device)


LatentTools = VideoLatentTools | AudioLatentTools
