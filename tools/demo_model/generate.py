"""Runs the finished files through the library, the way its README shows: prompts to pictures and sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ltx_core_impl.components.multimodal_guider import MultiModalGuider, MultiModalGuiderParams
from ltx_core_impl.components.noisers import GaussianNoiser, seeded_generators
from ltx_core_impl.components.schedulers import LTX2Scheduler
from ltx_core_impl.conditioning.item import ConditioningItem
from ltx_core_impl.conditioning.tools import AudioLatentTools, VideoLatentTools
from ltx_core_impl.loader import SingleGPUModelBuilder
from ltx_core_impl.model.audio_vae import (
    AudioDecoderConfigurator,
    AudioEncoderConfigurator,
    VocoderConfigurator,
    make_audio_processor,
)
from ltx_core_impl.model.transformer import LTXModelConfigurator, X0Model
from ltx_core_impl.model.video_vae import VideoDecoderConfigurator, VideoEncoderConfigurator
from ltx_core_impl.presets import DISTILLED_SIGMAS
from ltx_core_impl.sampling.denoisers import GuidedDenoiser
from ltx_core_impl.sampling.stage import StageModality, denoise_stage
from ltx_core_impl.text_encoders.gemma import (
    AVGemmaTextEncoderModel,
    EmbeddingsProcessorConfigurator,
    load_text_encoder,
)
from ltx_core_impl.types import AudioLatentShape, SpatioTemporalScaleFactors, VideoLatentShape, VideoPixelShape

from ..graphs import demo as demo_graphs
from .export import CHECKPOINT, GEMMA
from .settings import LATENT_CHANNELS, VIDEO_SCALE
from .world import FPS, FRAMES, SIZE

STG_BLOCK = 3
SECOND_STAGE = tuple(map(float, demo_graphs.SECOND_STAGE.split(",")))
"""The sigmas of a second stage in the demo graphs."""
SCALE = SpatioTemporalScaleFactors(*VIDEO_SCALE)


@dataclass(frozen=True)
class Settings:
    """How a clip is sampled; the defaults are those recommended for this model.

    Attributes:
        steps: of the model's own schedule; 0 takes the eight distilled sigmas.
        cfg: guidance scale of picture and sound; 1 is off.
        stg: scale of the guidance away from skipped self-attention (block :data:`STG_BLOCK`); 0 is off.
        modality: scale of the guidance away from not seeing the other modality; 1 is off.
        rescale: how far guided predictions are pulled back to the deviation of the others.
        negative: the negative prompt.
    """

    steps: int = 10
    cfg: float = 3.0
    stg: float = 0.0
    modality: float = 1.0
    rescale: float = 0.7
    negative: str = ""


class DemoPipeline:
    """All components of the demo model in float32.

    Args:
        folder: with the exported files.
        lora: file name of a LoRA to fuse, if any.
    """

    def __init__(self, folder: Path, lora: str | None = None) -> None:
        path = folder / CHECKPOINT

        def build(configurator: type) -> torch.nn.Module:
            return SingleGPUModelBuilder(configurator, path).build("cpu", torch.float32)

        builder = SingleGPUModelBuilder(LTXModelConfigurator, path)
        self.transformer = X0Model((builder.lora(folder / lora) if lora else builder).build("cpu", torch.float32))
        gemma = load_text_encoder(folder / GEMMA, dtype=torch.float32)
        self.text = AVGemmaTextEncoderModel(gemma, build(EmbeddingsProcessorConfigurator))
        self.video_encoder, self.video_decoder = build(VideoEncoderConfigurator), build(VideoDecoderConfigurator)
        self.audio_encoder, self.audio_decoder = build(AudioEncoderConfigurator), build(AudioDecoderConfigurator)
        self.vocoder = build(VocoderConfigurator)
        self.processor = make_audio_processor(self.audio_encoder)

    def sample(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        settings: Settings = Settings(),
        conditionings: Sequence[ConditioningItem] = (),
        given_video: Tensor | None = None,
        given_audio: Tensor | None = None,
        refined: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Latents ``(B, C, F, H, W)`` and ``(B, 8, T, 16)`` of one clip for every prompt.

        A given latent is kept as it is and only serves the other modality. ``refined`` latents of picture, of any
        size, and sound are noised and denoised again by :data:`SECOND_STAGE`.
        """
        height, width = (SIZE, SIZE) if refined is None else (s * VIDEO_SCALE[1] for s in refined[0].shape[-2:])
        pixels = VideoPixelShape(batch=len(prompts), frames=FRAMES, height=height, width=width, fps=FPS)
        contexts = self.text.encode([*prompts, settings.negative])
        video_context = torch.cat([one.video_encoding for one in contexts[:-1]])
        audio_context = torch.cat([one.audio_encoding for one in contexts[:-1]])
        params = MultiModalGuiderParams(
            cfg_scale=settings.cfg,
            stg_scale=settings.stg,
            stg_blocks=(STG_BLOCK,),
            rescale_scale=settings.rescale,
            modality_scale=settings.modality,
        )
        sigmas = LTX2Scheduler().execute(steps=settings.steps) if settings.steps else torch.tensor(DISTILLED_SIGMAS)
        if refined is not None:
            sigmas = torch.tensor(SECOND_STAGE)
        video, audio = denoise_stage(
            transformer=self.transformer,
            denoiser=GuidedDenoiser(
                video_context=video_context,
                audio_context=audio_context,
                video_guider=MultiModalGuider(params, contexts[-1].video_encoding),
                audio_guider=MultiModalGuider(params, contexts[-1].audio_encoding),
            ),
            sigmas=sigmas,
            noiser=GaussianNoiser(seeded_generators(list(seeds))),
            device="cpu",
            dtype=torch.float32,
            video=StageModality(
                VideoLatentTools(
                    VideoLatentShape.from_pixel_shape(pixels, LATENT_CHANNELS, SCALE), fps=FPS, scale_factors=SCALE
                ),
                conditionings=conditionings,
                noise_scale=float(sigmas[0]),
                frozen=given_video is not None,
                initial_latent=given_video if refined is None else refined[0],
            ),
            audio=StageModality(
                AudioLatentTools(AudioLatentShape.from_video_pixel_shape(pixels)),
                noise_scale=float(sigmas[0]),
                frozen=given_audio is not None,
                initial_latent=given_audio if refined is None else refined[1],
            ),
        )
        return video.latent, audio.latent

    @torch.no_grad()
    def frames(self, latent: Tensor) -> Tensor:
        """Pictures ``(B, F, H, W, 3)`` in [0, 1]."""
        return ((self.video_decoder(latent) + 1) / 2).clamp(0, 1).permute(0, 2, 3, 4, 1)

    @torch.no_grad()
    def sound(self, latent: Tensor) -> Tensor:
        """Waveforms ``(B, 2, samples)`` at the vocoder's rate."""
        return self.vocoder(self.audio_decoder(latent))
