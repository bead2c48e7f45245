"""Pictures larger than the model's: overlapping tiles in space, blended in every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..conditioning.tools import LatentTools, VideoLatentTools
from ..types import LatentState
from .denoisers import Denoiser, Prediction, Predictions
from .passes import Transformer, counted
from .token_parts import Tile, TokenPart, video_part, whole_part


@dataclass(eq=False)
class TiledDenoiser:
    """Predicts tile by tile and blends the predictions, so that neighbours agree in every step.

    Every tile sees the whole sound; what the tiles predict for it, and for conditioning that several of them share,
    is averaged.

    Attributes:
        tiles: from ``latent_tiles``, or a grid of ``fusion_grids``.
        denoisers: one for each tile: they remember predictions of skipped steps.
        tools: of video and audio; None for absent audio.
    """

    tiles: Sequence[Tile]
    denoisers: Sequence[Denoiser]
    tools: tuple[VideoLatentTools, LatentTools | None]
    _parts: list[tuple[TokenPart, LatentState]] = field(default_factory=list, init=False, repr=False)
    _weights: list[Tensor] = field(default_factory=list, init=False, repr=False)
    _positions: list[Tensor] = field(default_factory=list, init=False, repr=False)

    def __call__(
        self,
        transformer: Transformer,
        video_state: LatentState | None,
        audio_state: LatentState | None,
        sigmas: Tensor,
        step_index: int,
    ) -> Predictions:
        """Raises ValueError when there is no video."""
        if video_state is None:
            raise ValueError("Tiles divide the picture; this run has no video.")
        if not self._parts:
            self._prepare(video_state)
        video, audio = _Sum(), _Sum()
        everything = None if audio_state is None else whole_part(audio_state, self.tools[1]).indices
        for (part, fixed), weights, denoiser in zip(self._parts, self._weights, self.denoisers, strict=True):
            state = replace(
                fixed,
                latent=video_state.latent[:, part.indices],
                clean_latent=video_state.clean_latent[:, part.indices],
            )
            predictions = denoiser(transformer, state, audio_state, sigmas, step_index)
            video.add(predictions[0], part.indices, weights, like=video_state.latent)
            if predictions[1] is not None:
                audio.add(predictions[1], everything, 1 / len(self.tiles), like=audio_state.latent)
        return video.total(), audio.total()

    def _prepare(self, state: LatentState) -> None:
        """Where the tiles' tokens lie and what they weigh; positions and masks stay the same objects in every step."""
        parts = [video_part(state, self.tools[0], tile) for tile in self.tiles]
        device = state.latent.device
        kept = torch.zeros(state.latent.shape[1], device=device)
        for part in parts:
            kept[part.indices[part.target_count :]] += 1
        for part, tile in zip(parts, self.tiles, strict=True):
            target = tile.blend_mask().flatten().to(device)
            shared = 1 / kept[part.indices[part.target_count :]]
            self._weights.append(torch.cat([target, shared])[None, :, None])
            self._parts.append((part, self._fixed(part.take(state))))

    def _fixed(self, state: LatentState) -> LatentState:
        """The state without its latents, which every step has new ones of: kept, those of all tiles would be a
        multiple of the picture. Tiles of equal positions share them, and with them the model's tables."""
        empty = state.latent.new_empty(0)
        same = next((one for one in self._positions if torch.equal(one, state.positions)), None)
        if same is None:
            same = counted(state.positions)
            self._positions.append(same)
        return replace(state, latent=empty, clean_latent=empty, positions=same)


@dataclass(eq=False)
class GridCycle:
    """Another grid of tiles in every step, so that no edge of a tile stays in one place.

    Attributes:
        denoisers: one for each grid.
    """

    denoisers: Sequence[Denoiser]

    def __call__(
        self,
        transformer: Transformer,
        video_state: LatentState | None,
        audio_state: LatentState | None,
        sigmas: Tensor,
        step_index: int,
    ) -> Predictions:
        """The predictions of the grid whose turn it is."""
        denoiser = self.denoisers[step_index % len(self.denoisers)]
        return denoiser(transformer, video_state, audio_state, sigmas, step_index)


class _Sum:
    """A weighted sum of predictions, in float32."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._like: Tensor | None = None

    def add(self, prediction: Prediction, indices: Tensor, weights: Tensor | float, like: Tensor) -> None:
        self._like = like
        for name, value in prediction._asdict().items():
            if value is not None:
                total = self._sums.setdefault(name, torch.zeros_like(like, dtype=torch.float32))
                total[:, indices] += value.float() * weights

    def total(self) -> Prediction | None:
        """In the dtype of the state; None when nothing was predicted."""
        if not self._sums:
            return None
        return Prediction(**{name: value.to(self._like.dtype) for name, value in self._sums.items()})
