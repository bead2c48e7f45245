"""Diffusion video decoder of LTX-2.5 (spec 03 §13)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..axis_tiling import PerAxisTiling
from ..blend import Spread, stream_tiles
from ..noise import draw_noise
from ..patchify import patchify, unpatchify
from ..statistics import PerChannelStatistics
from ..tile_plan import Tile, TilePlan
from ..time_embedding import sinusoid
from .blocks import NORM_EPS, DenoiserBlock, SharedModulation, TimestepMLP, TransformerBlock, Upsample
from .params import DiffusionDecoderParams, Size
from .sampling import denoise
from .state_dict import fold_gates, gate_of
from .tiles import diffusion_plan


@dataclass(frozen=True)
class Padding:
    """How far a latent was grown to the decoder's smallest size."""

    before: tuple[int, int]
    latent_size: Size


class DiffusionVideoDecoder(nn.Module):
    """Normalised latents -> pixels: four deterministic stages make a context, a fifth denoises pixels given it.

    All stages are neighbourhood-attention transformers on channels-last tensors ``(B, T, H, W, C)``.
    """

    row_gate = staticmethod(gate_of)

    def __init__(self, params: DiffusionDecoderParams):
        super().__init__()
        self.params = params
        self.scale_factors = params.scale_factors
        self.latent_channels = params.latent_channels
        self.spread: Spread | None = None
        self.per_channel_statistics = PerChannelStatistics(params.latent_channels)

        self.conv_in = nn.Linear(params.latent_channels, params.stage_channels[0])
        self.det_stages = nn.ModuleList(
            nn.ModuleList(TransformerBlock(channels, params.head_dim, kernel) for _ in range(depth))
            for channels, depth, kernel in zip(
                params.stage_channels, params.stage_depths, params.stage_kernels, strict=True
            )
        )
        self.upsamples = nn.ModuleList(
            Upsample(channels, upsampling)
            for channels, upsampling in zip(params.stage_channels, params.upsamplings, strict=True)
        )
        channels, patch_channels = params.denoiser_channels, params.out_channels * params.patch_size**2
        self.t_embedder = TimestepMLP(params.t_emb_dim)
        self.shared_adaln = SharedModulation(params.t_emb_dim, channels)
        self.conv_in_x_t = nn.Linear(patch_channels, channels)
        self.diff_blocks = nn.ModuleList(
            DenoiserBlock(channels, params.context_channels, params.head_dim, params.denoiser_kernel)
            for _ in range(params.denoiser_depth)
        )
        self.norm_out = nn.RMSNorm(channels, eps=NORM_EPS)
        self.conv_out = nn.Linear(channels, patch_channels)
        self.register_load_state_dict_pre_hook(lambda module, state, prefix, *_: fold_gates(state, prefix))

    @property
    def draws_noise_per_tile(self) -> bool:
        """Whether the result depends on the order of the tiles, each of which draws noise."""
        return self.params.single_step

    def with_steps(self, steps: int) -> DiffusionVideoDecoder:
        """The same decoder, its weights shared, with another number of denoising steps.

        Raises:
            ValueError: fewer than one step.
        """
        if steps < 1:
            raise ValueError(f"The diffusion decoder takes at least 1 step; got {steps}.")
        decoder = copy.copy(self)
        decoder.params = replace(self.params, num_inference_steps=steps)
        return decoder

    def forward(self, latent: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Decode ``(B, C, f, h, w)`` into ``(B, 3, 8(f-1)+1, 32h, 32w)`` in about [-1, 1], in the latent's dtype.

        ``generator`` gives the starting noise; its seed changes only fine detail.

        Raises:
            ValueError: not a latent of this decoder.
        """
        padded, padding = self._pad(latent)
        noise = self._shared_noise(padded, generator)
        video = self._decode_tile(self._features(padded), at_start=True, at_end=True, noise=noise, generator=generator)
        return self._crop(video, padding, first_frame=0).to(latent.dtype)

    def tiled_decode(
        self,
        latent: Tensor,
        tiling_config: PerAxisTiling | None = None,
        generator: torch.Generator | None = None,
    ) -> Iterator[Tensor]:
        """Decode tile by tile and yield blended chunks ``(B, 3, n, 32h, 32w)`` in order, in the latent's dtype.

        The first three stages run once on the whole latent, the rest per tile. With one step, each tile has noise
        of its own, so that the result differs from the untiled one in fine detail. Without a tiling config the
        whole clip is one chunk.

        Raises:
            ValueError: not a latent of this decoder, or tiles that do not suit it.
        """
        if tiling_config is None:
            return (self(whole, generator=generator) for whole in [latent])
        if not isinstance(tiling_config, PerAxisTiling):
            raise ValueError(
                f"The diffusion decoder needs a PerAxisTiling; got {type(tiling_config).__name__}. auto_tiling() "
                "makes one that fits the free memory."
            )
        padded, padding = self._pad(latent)
        # Checked here, before anything is computed.
        plan = diffusion_plan(tiling_config, self.params, tuple(padded.shape[2:]))
        return self._stream(padded, padding, plan, generator, like=latent)

    def _stream(
        self, padded: Tensor, padding: Padding, plan: TilePlan, generator: torch.Generator | None, like: Tensor
    ) -> Iterator[Tensor]:
        """Chunks of the padded latent's video, cropped."""
        features = self._features(padded)
        canvas = self._shared_noise(padded, generator)
        last_cell = plan.time[-1].source[1]

        def run(tile: Tile) -> Tensor:
            start, end = tile.time.source
            at_end = end == last_cell
            cells = slice(start, None if at_end else end)
            part = features[:, cells, slice(*tile.height.source), slice(*tile.width.source)].clone()
            noise = None
            frames = slice(tile.time.target[0], None if at_end else tile.time.target[1])
            if canvas is not None:
                noise = canvas[:, :, frames, slice(*tile.height.target), slice(*tile.width.target)]
            video = self._decode_tile(part, at_start=start == 0, at_end=at_end, noise=noise, generator=generator)
            return video[:, :, : tile.time.target[1] - tile.time.target[0]]

        first_frame = 0
        for chunk in stream_tiles(plan, run, padded.shape[0], self.params.out_channels, like, self.spread):
            yield self._crop(chunk, padding, first_frame)
            first_frame += chunk.shape[2]

    def _shared_noise(self, padded: Tensor, generator: torch.Generator | None) -> Tensor | None:
        """Noise for the whole picture in the latent's dtype; None where each tile draws its own."""
        if self.params.single_step:
            return None
        batch, _, frames, rows, columns = padded.shape
        scale = self.scale_factors
        frames = max((frames - 1) * scale.time + 1, self.params.denoiser_kernel[0])
        shape = (batch, self.params.out_channels, frames, rows * scale.height, columns * scale.width)
        return draw_noise(shape, like=padded, generator=generator)

    def _features(self, latent: Tensor) -> Tensor:
        """Stages 1-3 with ghost frames: ``(B, C, f, h, w)`` -> ``(B, cells, rows, columns, C4)``."""
        ghost = latent[:, :, -1:].expand(-1, -1, self.params.ghost_latents, -1, -1)
        z = torch.cat([latent, ghost], dim=2).to(self.conv_in.weight.dtype)
        x = self.conv_in(rearrange(self.per_channel_statistics.un_normalize(z), "b c f h w -> b f h w c"))
        for blocks, upsample in zip(self.det_stages[:-1], self.upsamples[:-1], strict=True):
            for block in blocks:
                x = block(x)
            x = upsample(x, drop_leading=True)
        return x

    def _decode_tile(
        self, x: Tensor, at_start: bool, at_end: bool, noise: Tensor | None, generator: torch.Generator | None
    ) -> Tensor:
        """Stages 4 and 5 on ``(B, cells, rows, columns, C4)``, which is overwritten -> pixels ``(B, 3, F, H, W)``.

        ``at_end`` says that ghost frames follow the content; they are removed.
        """
        params = self.params
        for block in self.det_stages[-1]:
            x = block(x)
        context = self.upsamples[-1](x, drop_leading=at_start)
        if at_end:
            ghost_frames = params.ghost_latents * params.scale_factors.time
            context = context[:, : max(context.shape[1] - ghost_frames, params.denoiser_kernel[0])]
        if noise is None:
            batch, frames, rows, columns, _ = context.shape
            size = (frames, rows * params.patch_size, columns * params.patch_size)
            noise = draw_noise((batch, params.out_channels, *size), like=context, generator=generator)
        return denoise(
            predict=lambda video, t: self._denoiser(video, t, context),
            noise=noise,
            num_steps=params.num_inference_steps,
            predicts_x0=params.predicts_x0,
        )

    def _denoiser(self, video: Tensor, t: float, context: Tensor) -> Tensor:
        """One evaluation of stage 5 on noisy pixels ``(B, 3, F, H, W)`` at time ``t``."""
        dtype = context.dtype
        timestep = torch.full((video.shape[0],), t, dtype=dtype, device=video.device)
        embedding = self.t_embedder(sinusoid(timestep * self.params.timestep_scale_multiplier).to(dtype))
        modulation = self.shared_adaln(embedding)
        patches = rearrange(patchify(video.to(dtype), self.params.patch_size), "b c f h w -> b f h w c")
        x = self.conv_in_x_t(patches)
        for block in self.diff_blocks:
            x = block(x, context, modulation)
        x = rearrange(self.conv_out(self.norm_out(x)), "b f h w c -> b c f h w")
        return unpatchify(x, self.params.patch_size)

    def _pad(self, latent: Tensor) -> tuple[Tensor, Padding]:
        """The latent grown to the smallest size by repeating its last frame and its edges."""
        if latent.ndim != 5 or latent.shape[1] != self.latent_channels or 0 in latent.shape:
            raise ValueError(
                f"The video decoder needs a latent (batch, {self.latent_channels}, frames, height, width); "
                f"this one has shape {tuple(latent.shape)}."
            )
        size = tuple(latent.shape[2:])
        frames, rows, columns = (
            max(0, minimum - length) for minimum, length in zip(self.params.min_latent_size, size, strict=True)
        )
        before = (rows // 2, columns // 2)
        pads = (before[1], columns - before[1], before[0], rows - before[0], 0, frames)
        if any(pads):
            latent = F.pad(latent, pads, mode="replicate")
        return latent, Padding(before=before, latent_size=size)

    def _crop(self, video: Tensor, padding: Padding, first_frame: int) -> Tensor:
        """Remove what :meth:`_pad` added from a chunk that starts at ``first_frame``."""
        scale = self.scale_factors
        frames, rows, columns = padding.latent_size
        total = (frames - 1) * scale.time + 1
        top, left = padding.before[0] * scale.height, padding.before[1] * scale.width
        return video[
            :,
            :,
            : max(0, total - first_frame),
            top : top + rows * scale.height,
            left : left + columns * scale.width,
        ]
