"""Decoding a video latent clip by clip and chunk by chunk, as every node that shows or writes pictures needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...ltx_core_impl import components as ltx_components
from ...ltx_core_impl.model import video_vae as ltx_video_vae
from .. import host
from ..loading import components
from ..wires.checks import InputError, latent_samples, require_handle
from ..wires.geometry import video_geometry
from ..wires.handles import ComponentHandle
from ..wires.versions import check_latent_fits
from .vae_tiling import TileSizes, decode_plan


@dataclass(frozen=True)
class Clips:
    """The size of what a latent decodes to: ``count`` clips of ``frames`` pictures."""

    handle: ComponentHandle
    samples: Tensor
    count: int
    frames: int
    height: int
    width: int

    @classmethod
    def of(cls, video_latent: Any, video_vae: Any) -> Clips:
        """Raises `InputError` when the latent is none, or none of this VAE."""
        handle = require_handle(video_vae, "video_vae", "video_vae")
        samples = latent_samples(video_latent, "video", "video_latent")
        geometry = video_geometry(handle)
        if samples.shape[1] != geometry.channels:
            raise InputError(
                f"video_latent has {samples.shape[1]} channels; this video VAE decodes {geometry.channels}. "
                "Use the video VAE of the model that made the latent."
            )
        check_latent_fits(video_latent, handle, "video_latent")
        count, _, frames, height, width = samples.shape
        scale = geometry.scale
        return cls(handle, samples, count, geometry.pixel_frames(frames), height * scale.height, width * scale.width)

    @contextmanager
    def decoder(
        self,
        sizes: TileSizes,
        noise_seed: int,
        auto_tiles: bool = True,
        whole: bool = False,
        precise: bool = False,
        steps: int = 0,
    ) -> Iterator[Callable[[int, torch.dtype], Iterator[Tensor]]]:
        """Gives ``decode(clip number, dtype) -> chunks (f, H, W, 3)``: uint8, or [0, 1] for a floating dtype.

        ``whole`` lets auto_tiles decode a clip at once where that fits; ``precise`` computes in float32; ``steps`` of a
        diffusion decoder, 0 for its own. Raises ValueError when the tiles do not suit the decoder.
        """
        precise = precise or self.handle.float32
        plan = decode_plan(self.handle, tuple(self.samples.shape[2:]), sizes, auto_tiles, whole, precise)
        dtype = torch.float32 if precise else None
        with components.video_decoder(self.handle, plan.working_memory, dtype=dtype) as decoder:
            if steps and isinstance(decoder, ltx_video_vae.DiffusionVideoDecoder):
                decoder = decoder.with_steps(steps)

            def decode(clip: int, dtype: torch.dtype) -> Iterator[Tensor]:
                latent = components.like(self.samples[clip : clip + 1], decoder)
                generator = ltx_components.seeded_generators(noise_seed + clip)
                return ltx_video_vae.decode_video(latent, decoder, plan.tiling, generator=generator, dtype=dtype)

            yield decode

    def decoded(self, sizes: TileSizes, noise_seed: int, **options: Any) -> Iterator[tuple[slice, Tensor]]:
        """All clips, one after the other: float32 chunks ``(f, H, W, 3)``, each with its place among all frames.

        ``options`` are those of `decoder`. The node shows how far it is.
        """
        progress = host.Progress(self.count * self.frames, "Decoding", unit="frame")
        filled = 0
        with self.decoder(sizes, noise_seed, **options) as decode:
            for clip in range(self.count):
                for chunk in decode(clip, torch.float32):
                    yield slice(filled, filled + len(chunk)), chunk
                    filled += len(chunk)
                    progress(filled)
