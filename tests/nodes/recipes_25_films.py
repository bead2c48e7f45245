"""The graphs of LTX-2.5 that lay results over films, and those that fuse tiles, as calls of the library (spec 08 §3
and §6); no nodes here, and no results of theirs."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ltx_core_impl.components.noisers import GaussianNoiser, seeded_generators
from ltx_core_impl.conditioning import (
    ConditioningItem,
    VideoConditionByLatentIndex,
    VideoConditionByReferenceLatent,
    VideoConditionByWindowedReference,
    grow_mask,
)
from ltx_core_impl.conditioning.rules import LTX_2_5_RULES
from ltx_core_impl.light.spaces import to_code
from ltx_core_impl.media import conditioning_image, conditioning_video, fill_masked, read_frames
from ltx_core_impl.media.blending import pyramid_blend, softly_grown
from ltx_core_impl.media.clips import INPAINT_GREEN
from ltx_core_impl.model.audio_vae import encode_audio
from ltx_core_impl.model.video_vae import decode_video
from ltx_core_impl.presets import DISTILLED_SIGMAS, STAGE_2_DISTILLED_SIGMAS
from ltx_core_impl.sampling import TiledDenoiser, axis_origins, fusion_grids
from ltx_core_impl.sampling.stage import StageModality, denoise_stage
from ltx_core_impl.types import Audio, VideoPixelShape
from tests.golden_cases.test_video_vae_25 import diffusion_decoder
from tests.hdr_inputs import FRAMES as HDR_FRAMES
from tests.hdr_inputs import light
from tests.nodes.recipes_25 import FILL_SEED, FILL_SIGMAS, PLAIN, SEED, SIZE, TWICE, Latents, Pictures, Recipes25
from tests.pipeline_helpers import FPS, FRAMES, HEIGHT, SOUND_RATE, WIDTH
from tests.sampling_helpers import tools

ADDED = 32
"""Pixels that out-painting adds at the left and at the right."""
HDR_RATE = 24.0
GROWN, LEVELS = 2, 1
TILE, WINDOW = 2, 2
"""Latent cells of a tile along each side, and latent frames of a window."""


class Painting(NamedTuple):
    """A film that a mask is filled in.

    Attributes:
        film: ``(F, H, W, 3)`` in [0, 1].
        mask: ``(1 or F, H, W)``, white is filled.
        grown: pixels by which the mask is made larger before the green.
        softly: 64ths of the picture by which it is made larger for the blends of the two stages.
        bits: the encoder sees 8 bits of what it is given.
        fps: of the film, whose name is that of its sound; None for silence.
    """

    film: Tensor
    mask: Tensor
    grown: int
    softly: tuple[int, int]
    bits: bool
    fps: float
    sound: str | None

    def halved(self) -> Painting:
        """At half the size."""
        return self._replace(
            film=F.avg_pool2d(self.film.movedim(-1, 1), 2).movedim(1, -1), mask=F.avg_pool2d(self.mask, 2)
        )

    def marked(self) -> Tensor:
        """The larger mask."""
        return grow_mask(self.mask, self.grown)


class FilmRecipes25(Recipes25):
    """Each returns the video and audio latents of a sampler of its graph, for the test inputs."""

    # In- and out-painting

    @cached_property
    def _widened(self) -> Painting:
        film = torch.cat(list(read_frames(self.inputs / "source.mp4")))[:FRAMES].float() / 255
        mask = torch.ones(1, HEIGHT, WIDTH + 2 * ADDED)
        mask[:, :, ADDED:-ADDED] = 0
        return Painting(F.pad(film, (0, 0, ADDED, ADDED), value=0.5), mask, 0, (0, 0), True, FPS, "source.mp4")

    @cached_property
    def _hdr(self) -> Painting:
        film = to_code(light(HDR_FRAMES), "srgb_linear")
        mask = torch.cat(list(read_frames(self.inputs / "mask.mp4")))[:HDR_FRAMES, ..., 0].float() / 255
        return Painting(film, mask, GROWN, (5, 6), False, HDR_RATE, None)

    def outpaint(self, pictures: Pictures) -> Latents:
        """§3.3, first stage, with a frame around the film."""
        return self._filled(self._widened)

    def refined_outpaint(self, pictures: Pictures) -> Latents:
        """§3.3, second stage."""
        return self._refined(self._widened, "bilinear")

    def hdr_inpaint(self, pictures: Pictures) -> Latents:
        """§3.4, first stage: in ACEScct code, which the encoder sees unrounded."""
        return self._filled(self._hdr)

    def refined_hdr_inpaint(self, pictures: Pictures) -> Latents:
        """§3.4, second stage."""
        return self._refined(self._hdr, "bicubic")

    def _filled(self, whole: Painting) -> Latents:
        half = whole.halved()
        green = fill_masked(half.film, half.marked())
        assert torch.equal(green[0, 0, 0], torch.tensor(INPAINT_GREEN)), "the corner is to be filled"
        if half.bits:
            green = (green * 255).round().to(torch.uint8)
        size = tuple(green.shape[1:3])
        reference = VideoConditionByReferenceLatent(self._encoder(conditioning_video(green, *size)))
        return self._stage(reference, size=size, seed=FILL_SEED, **self._painting_wires(half))

    def _refined(self, whole: Painting, upscale: str) -> Latents:
        half = whole.halved()
        made, _ = self._filled(whole)
        decoded = decode_video(made, diffusion_decoder(), None, generator=seeded_generators(0), dtype=torch.float32)
        mask = softly_grown(half.marked(), whole.softly[0])
        blended = pyramid_blend(torch.cat(list(decoded)), half.film, mask, LEVELS).movedim(-1, 1)
        larger = F.interpolate(blended, scale_factor=2, mode=upscale).movedim(1, -1)
        video = self._encoder(larger.movedim(-1, 0)[None] * 2 - 1)
        later = {"sigmas": FILL_SIGMAS, "ancestral": False, "video": video}
        return self._stage(size=tuple(whole.film.shape[1:3]), **later, **self._painting_wires(whole))

    def _painting_wires(self, painting: Painting) -> dict:
        sound = self._sound(painting.sound, painting.fps) if painting.sound else self._silence(painting.fps)
        return {"fps": painting.fps, "lora": PLAIN, "audio": sound, "frozen": True}

    def _silence(self, fps: float) -> Tensor:
        frames = tools(VideoPixelShape(1, FRAMES, *SIZE, fps), LTX_2_5_RULES)[1].target_shape.frames
        silent = Audio(torch.zeros(1, 2, -(-frames * SOUND_RATE // 25)), SOUND_RATE)
        return encode_audio(silent, self._audio_encoder)[:, :, :frames]

    # Tiles

    def tiled_native(self, pictures: Pictures) -> Latents:
        """§6.3: the film composed at half the size, then in tiles; it is the reference of both stages."""
        return self._composed_and_fused(self._film, FPS)

    def tiled_hdr_to_hdr(self, pictures: Pictures) -> Latents:
        """§6.3: the same with a film in ACEScct code, whose first picture is the first frame of both stages."""
        return self._composed_and_fused(to_code(light(HDR_FRAMES), "srgb_linear"), HDR_RATE, with_still=True)

    def tiled_fusion(self, pictures: Pictures) -> Latents:
        """§6.3: the canvas from noise, in tiles."""
        return self._fused(self._film, FPS, [], {}, DISTILLED_SIGMAS)

    def hdr_still(self, pictures: Pictures) -> Latents:
        """§3.1: two stages from a still in ACEScct code, each at its own size."""
        picture = to_code(light(1), "srgb_linear")[0]
        first = self._stage(self._still(picture, SIZE))
        return self._second_stage(first, self._still(picture, TWICE))

    def _still(self, picture: Tensor, size: tuple[int, int]) -> ConditioningItem:
        return VideoConditionByLatentIndex(self._encoder(conditioning_image(picture, *size, 0)), 1.0, 0)

    def _composed_and_fused(self, film: Tensor, fps: float, with_still: bool = False) -> Latents:
        small, large = ([self._still(film[0], size)] if with_still else [] for size in (SIZE, TWICE))
        whole = VideoConditionByReferenceLatent(self._encoder(conditioning_video(film, *SIZE)))
        first, _ = self._stage(*small, whole, fps=fps, lora=PLAIN, ancestral=False, audio=False)
        start = {"initial_latent": self._upscaled(first)}
        return self._fused(film, fps, large, start, STAGE_2_DISTILLED_SIGMAS)

    @cached_property
    def _film(self) -> Tensor:
        return torch.cat(list(read_frames(self.inputs / "source.mp4")))[:FRAMES]

    def _fused(
        self, film: Tensor, fps: float, items: list[ConditioningItem], start: dict, sigmas: tuple[float, ...]
    ) -> Latents:
        """A canvas of twice the size in tiles that half overlap, in space and in time."""
        video_tools, _ = tools(VideoPixelShape(1, FRAMES, *TWICE, fps), LTX_2_5_RULES)
        cells = video_tools.target_shape.to_torch_shape()[2:]
        [tiles] = fusion_grids(cells, (WINDOW, TILE, TILE))
        assert len(tiles) == 18, "three by three, in two windows"
        starts = axis_origins(cells[0], WINDOW)
        windows = [film[8 * start : 8 * (start + WINDOW) - 7] for start in starts]
        encoded = tuple(self._encoder(conditioning_video(frames, *TWICE)) for frames in windows)
        denoisers = [self._denoiser(None) for _ in tiles]
        state, _ = denoise_stage(
            transformer=self._transformer(PLAIN),
            denoiser=TiledDenoiser(tiles, denoisers, (video_tools, None)),
            sigmas=sigmas,
            noiser=GaussianNoiser(seeded_generators([SEED])),
            device="cpu",
            dtype=torch.float32,
            video=StageModality(
                video_tools,
                [*items, VideoConditionByWindowedReference(encoded, tuple(starts))],
                noise_scale=sigmas[0],
                **start,
            ),
        )
        return state.latent, None
