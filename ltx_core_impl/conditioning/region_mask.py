"""Regenerating a time window (spec 06 §12.7)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from ..types import LatentState
from .tools import LatentTools


@dataclass(frozen=True)
class TemporalRegionMask:
    """Generate the target's tokens that overlap a time window, keep the others.

    Works for video and for audio; appended tokens are left as they are.

    Attributes:
        start_time, end_time: the window in seconds.
    """

    start_time: float
    end_time: float

    def __post_init__(self) -> None:
        if not self.start_time < self.end_time:
            raise ValueError(f"A time window must end after it starts; got {self.start_time} s to {self.end_time} s.")

    def apply_to(self, latent_state: LatentState, latent_tools: LatentTools) -> LatentState:
        """The state with mask 1 inside the window and 0 outside, for the target's tokens."""
        count = latent_tools.target_shape.token_count()
        start, end = latent_state.positions[:, 0, :count].unbind(dim=-1)
        inside = (end > self.start_time) & (start < self.end_time)
        mask = torch.cat([inside[..., None].float(), latent_state.denoise_mask[:, count:]], dim=1)
        return replace(latent_state, denoise_mask=mask)
