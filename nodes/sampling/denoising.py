"""From guider, windows and corrections on the wires to the denoiser and the loop of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ...ltx_core_impl.components.multimodal_guider import (
    MultiModalGuider,
    MultiModalGuiderFactory,
    MultiModalGuiderParams,
)
from ...ltx_core_impl.conditioning.tools import AudioLatentTools, VideoLatentTools
from ...ltx_core_impl.sampling.denoisers import Denoiser, GuidedDenoiser
from ...ltx_core_impl.sampling.latent_tiles import AxisTiling, LatentTile, latent_tiles
from ...ltx_core_impl.sampling.loops import States
from ...ltx_core_impl.sampling.normalization import CorrectingDenoiser
from ...ltx_core_impl.sampling.stage import StageModality
from ...ltx_core_impl.sampling.tiled_denoiser import TiledDenoiser
from ...ltx_core_impl.sampling.timed_text import Shots, Text, TimedText
from ...ltx_core_impl.sampling.token_parts import Parts, temporal_windows
from ...ltx_core_impl.sampling.windowed_loop import WindowedLoop
from ..guidance.guidance import as_perturbation
from ..wires.handles import Context, Corrections, Guidance, GuidanceSchedule, Guider, Windows


class Tools(NamedTuple):
    """The latent tools of both modalities; None for an absent one."""

    video: VideoLatentTools | None
    audio: AudioLatentTools | None

    @classmethod
    def of(cls, video: StageModality | None, audio: StageModality | None) -> Tools:
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
        used = [one for part in (self.guider.video, self.guider.audio) for one in _guidances(part)]
        negative = self.force_uncond or any(one.cfg_scale != 1.0 for one in used)
        perturbed = any(one.stg_scale != 0.0 for one in used)
        isolated = any(one.modality_scale != 1.0 for one in used)
        return 1 + negative + perturbed + isolated

    def denoiser(self, tools: Tools, window: int = 0, origin: float = 0.0) -> Denoiser:
        """The denoiser of a window (of the whole run where there is one), whose sizes ``tools`` tell.

        ``origin`` is where the window starts, in seconds of the latents.
        """
        denoiser: Denoiser
        tiles = tiles_of(self.windows, tools.video)
        if len(tiles) > 1:
            inner = [self._guided(tools, window, origin) for _ in tiles]
            denoiser = TiledDenoiser(tiles=tiles, denoisers=inner, tools=tuple(tools))
        else:
            denoiser = self._guided(tools, window, origin)
        corrections = (self.corrections.video, self.corrections.audio)
        if not any(corrections):
            return denoiser
        return CorrectingDenoiser(denoiser, self.sigmas.tolist(), tools=tuple(tools), corrections=corrections)

    def loop(self, tools: Tools, loop_of: Callable[[int], Callable[..., States]]) -> Callable[..., States]:
        """The loop of the run; ``loop_of`` gives that of a window."""
        if not self.windows.length:
            return loop_of(0)
        scale = tools.video.scale_factors.time
        return WindowedLoop(
            windows=temporal_windows(
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

    def _guided(self, tools: Tools, window: int, origin: float) -> GuidedDenoiser:
        segments = self.windows.segments
        positive = segments[min(window, len(segments) - 1)] if segments else self.guider.positive
        return GuidedDenoiser(
            video_context=None if tools.video is None else self._context(positive, "video", origin),
            audio_context=None if tools.audio is None else self._context(positive, "audio", origin),
            video_guider=self._modality_guider(self.guider.video, "video", origin),
            audio_guider=self._modality_guider(self.guider.audio, "audio", origin),
            max_batch_size=self.rows_at_once,
            force_uncond=self.force_uncond,
            perturbation=as_perturbation(self.guider.perturbations),
        )

    def _context(self, of: Context | None, stream: str, origin: float) -> Text | None:
        if of is None:
            return None
        text = getattr(of, stream).to(device=self.device, dtype=self.dtype)
        return text if of.shots is None else TimedText.split(text, self._shots(of.shots, origin))

    def _shots(self, shots: Shots, origin: float) -> Shots:
        start, pace = self.clock
        return shots.seen_from(start, pace).seen_from(origin)

    def _modality_guider(
        self, guidance: Guidance | GuidanceSchedule, stream: str, origin: float
    ) -> MultiModalGuider | MultiModalGuiderFactory:
        # A stream without guidance hears the positive prompt in every pass, as sound does in audio to video.
        is_guided = self.force_uncond or guidance != Guidance()
        negative = self._context(self.guider.negative if is_guided else None, stream, origin)
        if isinstance(guidance, GuidanceSchedule):
            params = {bound: MultiModalGuiderParams(**vars(one)) for bound, one in guidance.ranges}
            return MultiModalGuiderFactory(params, negative_context=negative)
        return MultiModalGuider(MultiModalGuiderParams(**vars(guidance)), negative_context=negative)


def _guidances(part: Guidance | GuidanceSchedule) -> list[Guidance]:
    return [one for _, one in part.ranges] if isinstance(part, GuidanceSchedule) else [part]


def tiles_of(windows: Windows, tools: VideoLatentTools | None) -> list[LatentTile]:
    """The tiles of a picture; one, or none without a picture, where it is not divided."""
    if tools is None:
        return []
    shape, scale = tools.target_shape, tools.scale_factors
    tiling = (
        AxisTiling(),
        AxisTiling(windows.rows, windows.tile_overlap // scale.height),
        AxisTiling(windows.columns, windows.tile_overlap // scale.width),
    )
    return latent_tiles((shape.frames, shape.height, shape.width), tiling)


def largest_part(windows: Windows, video: StageModality | None) -> StageModality | None:
    """The video of the largest window and tile: what the memory must suffice for at once."""
    if video is None:
        return None
    tools = video.tools
    shape = tools.target_shape
    tile = max(tiles_of(windows, tools), key=lambda one: one.blend_mask().numel())
    frames = (windows.length - 1) // tools.scale_factors.time + 1 if windows.length else shape.frames
    size = shape._replace(
        frames=min(frames, shape.frames),
        height=tile.height.end - tile.height.start,
        width=tile.width.end - tile.width.start,
    )
    return StageModality(tools=replace(tools, target_shape=size), conditionings=video.conditionings)


def _tools_of(parts: Parts) -> Tools:
    return Tools(*(None if part is None else part.tools for part in parts))
