"""A reference video for windows in time, encoded anew for each of them (spec 08 §6.2)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..types import LatentState, VideoLatentShape
from .item import ConditioningError, append_guide, match_state, require_strength
from .positions import frames_to_seconds, video_pixel_bounds
from .tools import VideoLatentTools


@dataclass(frozen=True, eq=False)
class VideoConditionByWindowedReference:
    """Append the references of all windows; each is seen by the tokens of its own window alone.

    A latent from the middle of a clip is no start latent, so every window's part is encoded as a clip of its own.

    Attributes:
        latents: the reference of each window ``(1 or B, C, f, H, W)``, at the size of the target.
        starts: latent frame of the target at which each window starts; its first pixel frame is that times the time
            factor.
        strength: 1 keeps the content, 0 ignores it.
    """

    latents: tuple[Tensor, ...]
    starts: tuple[int, ...]
    strength: float = 1.0

    def token_count(self, target_shape: VideoLatentShape) -> int:
        """Tokens that it appends to any target."""
        return sum(VideoLatentShape.from_torch_shape(latent.shape).token_count() for latent in self.latents)

    def apply_to(self, latent_state: LatentState, latent_tools: VideoLatentTools) -> LatentState:
        """Raises ConditioningError when the channels or the batch do not fit the run."""
        require_strength(self.strength)
        for number, (latent, start) in enumerate(zip(self.latents, self.starts, strict=True)):
            shape = VideoLatentShape.from_torch_shape(latent.shape)
            if shape.channels != latent_tools.target_shape.channels:
                raise ConditioningError(
                    f"The reference latent has {shape.channels} channels, this model's latents have "
                    f"{latent_tools.target_shape.channels}: encode it with the model's own video VAE."
                )
            bounds = video_pixel_bounds(
                shape,
                scale_factors=latent_tools.scale_factors,
                causal_fix=latent_tools.causal_fix,
                device=latent_state.latent.device,
            )
            bounds[:, 0] += start * latent_tools.scale_factors.time
            latent_state = append_guide(
                latent_state,
                tokens=latent_tools.patchifier.patchify(match_state(latent, latent_state, "The reference latent")),
                strength=self.strength,
                positions=frames_to_seconds(bounds, fps=latent_tools.fps),
                latent_tools=latent_tools,
                window=number,
            )
        return latent_state
