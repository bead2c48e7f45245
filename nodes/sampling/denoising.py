"""From guider, windows and corrections on the wires to the denoiser and the loop of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import NamedTuple

import torch
from torch import Tensor

from ...ltx_core_impl import components, conditioning, sampling
from ...ltx_core_impl.sampling.latent_tiles import latent_tiles
from ...ltx_core_impl.types import VideoLatentShape
from ..guidance.guidance import as_perturbation
from ..wires.handles import Context, Corrections, Guidance, GuidanceSchedule, Guider, Windows


class Tools(NamedTuple):
    """The latent tools of both modalities; None for an absent one."""

    video: conditioning.VideoLatentTools | None
    audio: conditioning.AudioLatentTools | None

    @classmethod
    def of(cls, video: sampling.StageModality | None, audio: sampling.StageModality | None) -> Tools:
        """Of the modalities of a run."""
        return cls(video and video.tools, audio and audio.tools)


@dataclass(frozen=True, eq=False)
class Denoising:
    """Everything that predictions depend on besides the model and the latents.

    ``force_uncond`` runs the negative prompt even at scale 1; ``rows_at_once`` limits the batch of a model call.
    ``clock`` is the second of the clip at which the latents start, and their seconds per second of it, for shots.
    """

    guider: Guider
    sigmas: Tensor
    windows: Windows
    corrections: Corrections
    force_uncond: bool
    rows_at_once: int | None
    device: torch.device
    dtype: torch.dtype
    clock: tuple[float, float] = (0.0, 1.0)

    @property
    def passes(self) -> int:
        """Forward passes of the costliest step."""
        used = [one for part in (self.guider.video, self.guider.audio) for one in guidances(part)]
        negative = self.force_uncond or any(one.cfg_scale != 1.0 for one in used)
        perturbed = any(one.stg_scale != 0.0 for one in used)
        isolated = any(one.modality_scale != 1.0 for one in used)
        return 1 + negative + perturbed + isolated

    def denoiser(self, tools: Tools, window: int = 0, origin: float = 0.0) -> sampling.Denoiser:
        """The denoiser of a window (of the whole run where there is one), whose sizes ``tools`` tell.

        ``origin`` is where the window starts, in seconds of the latents.
        """
        grids = grids_of(self.windows, tools.video)
        denoiser: sampling.Denoiser
        if not grids or len(grids[0]) == 1:
            denoiser = self._guided(tools, window, origin)
        else:
            tiled = [self._tiled(tiles, tools, window, origin) for tiles in grids]
            denoiser = tiled[0] if len(tiled) == 1 else sampling.GridCycle(tiled)
        corrections = (self.corrections.video, self.corrections.audio)
        if not any(corrections):
            return denoiser
        return sampling.CorrectingDenoiser(denoiser, self.sigmas.tolist(), tools=tuple(tools), corrections=corrections)

    def loop(
        self, tools: Tools, loop_of: Callable[[int], Callable[..., sampling.States]]
    ) -> Callable[..., sampling.States]:
        """The loop of the run; ``loop_of`` gives that of a window."""
        if not self.windows.length:
            return loop_of(0)
        scale = tools.video.scale_factors.time
        return sampling.WindowedLoop(
            windows=sampling.temporal_windows(
                tools.video.target_shape.frames,
                size=(self.windows.length - 1) // scale + 1,
                overlap=max(1, self.windows.overlap // scale),
            ),
            tools=tuple(tools),
            loop_of=loop_of,
            denoiser_of=lambda index, parts: self.denoiser(_tools_of(parts), index, parts.video.shift[0].item()),
            overlap_strength=self.windows.overlap_strength,
            drift_control=self.windows.drift_control,
        )

    def _tiled(
        self, tiles: Sequence[sampling.Tile], tools: Tools, window: int, origin: float
    ) -> sampling.TiledDenoiser:
        starts = [origin + sampling.window_start(tile, tools.video) for tile in tiles]
        return sampling.TiledDenoiser(
            tiles, [self._guided(tools, window, origin, start) for start in starts], tuple(tools)
        )

    def _guided(
        self, tools: Tools, window: int, origin: float, tile_start: float | None = None
    ) -> sampling.GuidedDenoiser:
        segments = self.windows.segments
        positive = segments[min(window, len(segments) - 1)] if segments else self.guider.positive
        # A tile sees its part of the picture from its own time 0, and the sound whole.
        seen = origin if tile_start is None else tile_start
        return sampling.GuidedDenoiser(
            video_context=None if tools.video is None else self._context(positive, "video", seen),
            audio_context=None if tools.audio is None else self._context(positive, "audio", origin),
            video_guider=self._modality_guider(self.guider.video, "video", seen),
            audio_guider=self._modality_guider(self.guider.audio, "audio", origin),
            max_batch_size=self.rows_at_once,
            force_uncond=self.force_uncond,
            perturbation=as_perturbation(self.guider.perturbations),
        )

    def _context(self, of: Context | None, stream: str, origin: float) -> sampling.Text | None:
        if of is None:
            return None
        text = getattr(of, stream).to(device=self.device, dtype=self.dtype)
        return text if of.shots is None else sampling.TimedText.split(text, self._shots(of.shots, origin))

    def _shots(self, shots: sampling.Shots, origin: float) -> sampling.Shots:
        start, pace = self.clock
        return shots.seen_from(start, pace).seen_from(origin)

    def _modality_guider(
        self, guidance: Guidance | GuidanceSchedule, stream: str, origin: float
    ) -> components.MultiModalGuider | components.MultiModalGuiderFactory:
        # A stream without guidance hears the positive prompt in every pass, as sound does in audio to video.
        is_guided = self.force_uncond or guidance != Guidance()
        negative = self._context(self.guider.negative if is_guided else None, stream, origin)
        if isinstance(guidance, GuidanceSchedule):
            params = {bound: components.MultiModalGuiderParams(**vars(one)) for bound, one in guidance.ranges}
            return components.MultiModalGuiderFactory(params, negative_context=negative)
        return components.MultiModalGuider(
            components.MultiModalGuiderParams(**vars(guidance)), negative_context=negative
        )


def guidances(part: Guidance | GuidanceSchedule) -> list[Guidance]:
    """The guidance of a modality; several where it changes with the noise."""
    return [one for _, one in part.ranges] if isinstance(part, GuidanceSchedule) else [part]


def grids_of(windows: Windows, tools: conditioning.VideoLatentTools | None) -> list[list[sampling.Tile]]:
    """The grids of tiles that take turns, mostly one: of one tile where the picture is not divided. None without a
    picture."""
    if tools is None:
        return []
    shape, scale, fusion = tools.target_shape, tools.scale_factors, windows.fusion
    size = (shape.frames, shape.height, shape.width)
    if fusion is not None:
        tile = (latent_frames(fusion.frames, scale.time) or shape.frames, fusion.height, fusion.width)
        tile = (tile[0], tile[1] // scale.height, tile[2] // scale.width)
        return sampling.fusion_grids(size, tile, fusion.overlap, fusion.grid_cycle)
    tiling = (
        sampling.AxisTiling(),
        sampling.AxisTiling(windows.rows, windows.tile_overlap // scale.height),
        sampling.AxisTiling(windows.columns, windows.tile_overlap // scale.width),
    )
    return [latent_tiles(size, tiling)]


def latent_frames(frames: int, scale: int) -> int:
    """Latent frames of a window of pixel frames; 0 for 0."""
    return (frames - 1) // scale + 1 if frames else 0


@dataclass(frozen=True)
class _Share:
    """A guide of which a tile sees its part alone, for what the memory must suffice for."""

    whole: conditioning.ConditioningItem
    part: float

    def token_count(self, target_shape: VideoLatentShape) -> int:
        """Tokens in the largest tile."""
        return ceil(conditioning.appended_tokens(self.whole, target_shape) * self.part)


def largest_part(windows: Windows, video: sampling.StageModality | None) -> sampling.StageModality | None:
    """The video of the largest window and tile: what the memory must suffice for at once."""
    if video is None:
        return None
    tools = video.tools
    shape = tools.target_shape
    tiles = [tile for grid in grids_of(windows, tools) for tile in grid]
    frames, height, width = max((tuple(tile.blend_mask().shape) for tile in tiles), key=prod)
    within = latent_frames(windows.length, tools.scale_factors.time) or shape.frames
    size = shape._replace(frames=min(frames, within, shape.frames), height=height, width=width)
    items = video.conditionings
    if windows.fusion is not None:
        items = [_Share(one, _part_seen(one, size, shape)) for one in items]
    return sampling.StageModality(tools=replace(tools, target_shape=size), conditionings=items)


def _part_seen(item: conditioning.ConditioningItem, tile: VideoLatentShape, whole: VideoLatentShape) -> float:
    """How much of a guide's tokens a tile sees at most."""
    area = tile.height * tile.width / (whole.height * whole.width)
    item = getattr(item, "conditioning", item)
    return area / len(item.latents) if isinstance(item, conditioning.VideoConditionByWindowedReference) else area


def _tools_of(parts: sampling.Parts) -> Tools:
    return Tools(*(None if part is None else part.tools for part in parts))
