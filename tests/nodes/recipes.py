"""The published pipelines as calls of the library, in the order of their recipes (spec 07 §3); no nodes here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from ltx_core_impl.components.multimodal_guider import MultiModalGuider, MultiModalGuiderParams
from ltx_core_impl.components.noisers import GaussianNoiser
from ltx_core_impl.components.schedulers import LTX2Scheduler
from ltx_core_impl.conditioning import (
    AudioConditionByReferenceLatent,
    AudioLatentTools,
    ConditioningItem,
    TemporalRegionMask,
    VideoConditionByKeyframeIndex,
    VideoConditionByLatentIndex,
    VideoConditionByReferenceLatent,
    VideoLatentTools,
    positions_before_start,
)
from ltx_core_impl.loader import SingleGPUModelBuilder
from ltx_core_impl.media import conditioning_image, conditioning_video, load_image, read_audio, read_frames
from ltx_core_impl.model.audio_vae import AudioEncoderConfigurator, encode_audio
from ltx_core_impl.model.transformer import LTXModelConfigurator, X0Model
from ltx_core_impl.model.upsampler import LatentUpsamplerConfigurator, upsample_video
from ltx_core_impl.model.video_vae import VideoEncoderConfigurator
from ltx_core_impl.presets import ANCESTRAL_SEED_OFFSET, DISTILLED_SIGMAS, STAGE_2_DISTILLED_SIGMAS
from ltx_core_impl.sampling.denoisers import GuidedDenoiser, SimpleDenoiser
from ltx_core_impl.sampling.loops import euler_denoising_loop
from ltx_core_impl.sampling.res2s import res2s_denoising_loop
from ltx_core_impl.sampling.stage import StageModality, denoise_stage
from ltx_core_impl.text_encoders.gemma import (
    AVGemmaTextEncoderModel,
    EmbeddingsProcessorConfigurator,
    load_text_encoder,
)
from ltx_core_impl.types import Audio, AudioLatentShape, VideoLatentShape, VideoPixelShape
from tests.conftest import GOLDEN, checkpoint_path
from tests.pipeline_helpers import FPS, FRAMES, HEIGHT, SIZE, SOUND_RATE, WIDTH, WINDOW

CRF = 33
SEEDS = (10, 11)
Latents = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Recipes:
    """All pipelines of one model version on the test inputs; each returns the video and audio latents of its end."""

    version: str
    inputs: Path
    prompt: str
    negative_prompt: str

    # Parts

    @cached_property
    def _contexts(self) -> tuple:
        processor = self._build(EmbeddingsProcessorConfigurator)
        encoder = AVGemmaTextEncoderModel(load_text_encoder(GOLDEN / "gemma-tiny", dtype=torch.float32), processor)
        return tuple(encoder.encode([self.prompt, self.negative_prompt]))

    def _build(self, configurator: type) -> torch.nn.Module:
        return SingleGPUModelBuilder(configurator, checkpoint_path(self.version)).build("cpu", torch.float32)

    def _golden(self, name: str) -> Path:
        return GOLDEN / f"ltx-{self.version}-tiny.{name}.safetensors"

    @cached_property
    def _encoder(self) -> torch.nn.Module:
        return self._build(VideoEncoderConfigurator)

    def transformer(self, lora: str | None = None, strength: float = 1.0) -> X0Model:
        """The model, with one of the golden LoRAs fused."""
        builder = SingleGPUModelBuilder(LTXModelConfigurator, checkpoint_path(self.version))
        if lora is not None:
            builder = builder.lora(self._golden(lora), strength=strength)
        return X0Model(builder.build("cpu", torch.float32))

    @cached_property
    def _audio_encoder(self) -> torch.nn.Module:
        return self._build(AudioEncoderConfigurator)

    def _sound(self, file: str, samples: int) -> Tensor:
        """The start of a file's sound as a latent."""
        sound = read_audio(self.inputs / file)
        waveform = sound.waveform.reshape(1, -1, sound.waveform.shape[-1])[..., :samples]
        return encode_audio(Audio(waveform, sound.sampling_rate), self._audio_encoder)

    def _film(self, height: int, width: int) -> Tensor:
        """The test film as a latent."""
        frames = torch.cat(list(read_frames(self.inputs / "source.mp4")))[:FRAMES]
        return self._encoder(conditioning_video(frames, height, width))

    def image(self, height: int, width: int) -> Tensor:
        """The test picture as a latent."""
        return self._encoder(conditioning_image(load_image(self.inputs / "source.png"), height, width, crf=CRF))

    def _tools(self, height: int, width: int, fps: float) -> tuple[VideoLatentTools, AudioLatentTools]:
        pixels = VideoPixelShape(batch=1, frames=FRAMES, height=height, width=width, fps=fps)
        return (
            VideoLatentTools(VideoLatentShape.from_pixel_shape(pixels), fps=fps),
            AudioLatentTools(AudioLatentShape.from_video_pixel_shape(pixels)),
        )

    def upscaled(self, video: Tensor) -> Tensor:
        """Twice the size."""
        upsampler = SingleGPUModelBuilder(LatentUpsamplerConfigurator, self._golden("upscaler-x2"))
        return upsample_video(video, self._encoder, upsampler.build("cpu", torch.float32))

    def simple(self) -> SimpleDenoiser:
        """The positive prompt alone."""
        positive, _ = self._contexts
        return SimpleDenoiser(positive.video_encoding, positive.audio_encoding)

    def guided(self, video: dict, audio: dict | None) -> GuidedDenoiser:
        """Guidance by scale names; None is the neutral guider of a pipeline that does not guide the sound."""
        positive, negative = self._contexts

        def guider(scales: dict | None, context: Tensor) -> MultiModalGuider | None:
            return None if scales is None else MultiModalGuider(MultiModalGuiderParams(**scales), context)

        return GuidedDenoiser(
            video_context=positive.video_encoding,
            audio_context=positive.audio_encoding,
            video_guider=guider(video, negative.video_encoding),
            audio_guider=guider(audio, negative.audio_encoding),
        )

    def second_stage(
        self,
        first: Latents,
        model: X0Model,
        fps: float = 24.0,
        items: tuple[ConditioningItem, ...] = (),
        sound_items: tuple[ConditioningItem, ...] = (),
        loop=euler_denoising_loop,
        frozen_audio: bool = False,
    ) -> Latents:
        """Spec 07 §2.9."""
        video, audio = self._tools(2 * HEIGHT, 2 * WIDTH, fps)
        sigmas = torch.tensor(STAGE_2_DISTILLED_SIGMAS)
        start = sigmas[0].item()
        sound = StageModality(audio, sound_items, initial_latent=first[1], noise_scale=start, frozen=frozen_audio)
        return _latents(
            denoise_stage(
                transformer=model,
                denoiser=self.simple(),
                sigmas=sigmas,
                noiser=_noiser(SEEDS[1]),
                device="cpu",
                dtype=torch.float32,
                video=StageModality(video, items, initial_latent=self.upscaled(first[0]), noise_scale=start),
                audio=sound,
                loop=loop,
            )
        )

    # Pipelines

    def one_stage(self) -> Latents:
        """§3.1 with an image at frame 0."""
        image = VideoConditionByLatentIndex(self.image(HEIGHT, WIDTH), strength=1.0, latent_idx=0)
        return self._full_stage((image,))

    def two_stages(self) -> Latents:
        """§3.2 with an image at frame 0 of both stages."""
        first = self.one_stage()
        image = VideoConditionByLatentIndex(self.image(2 * HEIGHT, 2 * WIDTH), strength=1.0, latent_idx=0)
        return self.second_stage(first, self.transformer("lora-a"), items=(image,))

    def keyframes(self) -> Latents:
        """§3.6: every picture is appended, in both stages."""

        def items(scale: int) -> tuple[ConditioningItem, ...]:
            latent = self.image(scale * HEIGHT, scale * WIDTH)
            return tuple(VideoConditionByKeyframeIndex(latent, frame, strength=1.0) for frame in (0, 8, FRAMES - 1))

        return self.second_stage(self._full_stage(items(1)), self.transformer("lora-a"), items=items(2))

    def _full_stage(self, items: tuple[ConditioningItem, ...]) -> Latents:
        video, audio = self._tools(HEIGHT, WIDTH, fps=24.0)
        return _latents(
            denoise_stage(
                transformer=self.transformer(),
                denoiser=self.guided(GUIDANCE["video"], GUIDANCE["audio"]),
                sigmas=LTX2Scheduler().execute(steps=SIZE["steps"]),
                noiser=_noiser(SEEDS[0]),
                device="cpu",
                dtype=torch.float32,
                video=StageModality(video, items),
                audio=StageModality(audio),
            )
        )

    def two_stages_hq(self) -> Latents:
        """§3.3; the loop's own noise follows the user's seed, unlike the published pipeline's."""
        video, audio = self._tools(HEIGHT, WIDTH, fps=24.0)
        loops = [partial(res2s_denoising_loop, noise_seed=[seed + ANCESTRAL_SEED_OFFSET]) for seed in SEEDS]
        empty = torch.zeros(video.target_shape.to_torch_shape())
        first = denoise_stage(
            transformer=self.transformer("lora-a", 0.25),
            denoiser=self.guided(GUIDANCE["video"], GUIDANCE["audio"]),
            sigmas=LTX2Scheduler().execute(steps=SIZE["steps"], latent=empty),
            noiser=_noiser(SEEDS[0]),
            device="cpu",
            dtype=torch.float32,
            video=StageModality(video),
            audio=StageModality(audio),
            loop=loops[0],
        )
        return self.second_stage(_latents(first), self.transformer("lora-a", 0.5), loop=loops[1])

    def distilled(self) -> Latents:
        """§3.4."""
        return self.second_stage(self._distilled_stage(self.transformer()), self.transformer())

    def _distilled_stage(
        self,
        model: X0Model,
        items: tuple[ConditioningItem, ...] = (),
        sound_items: tuple[ConditioningItem, ...] = (),
        fps: float = 24.0,
        given: Latents | tuple[None, None] = (None, None),
    ) -> Latents:
        video, audio = self._tools(HEIGHT, WIDTH, fps)
        return _latents(
            denoise_stage(
                transformer=model,
                denoiser=self.simple(),
                sigmas=torch.tensor(DISTILLED_SIGMAS),
                noiser=_noiser(SEEDS[0]),
                device="cpu",
                dtype=torch.float32,
                video=StageModality(video, items, initial_latent=given[0]),
                audio=StageModality(audio, sound_items, initial_latent=given[1]),
            )
        )

    def _reference(self, scale: int = 1) -> VideoConditionByReferenceLatent:
        """The test film for a clip of ``scale`` times the size; the LoRA's file wants references of half the size."""
        latent = self._film(scale * HEIGHT // 2, scale * WIDTH // 2)
        return VideoConditionByReferenceLatent(latent, downscale_factor=2, strength=1.0)

    def ic_lora(self) -> Latents:
        """§3.5: the LoRA and the reference in stage 1 only."""
        first = self._distilled_stage(self.transformer("lora-b"), (self._reference(),), fps=FPS)
        return self.second_stage(first, self.transformer(), fps=FPS)

    def retake(self) -> Latents:
        """§3.8: one stage at the size of the source; tokens outside of the window are kept."""
        _, audio = self._tools(HEIGHT, WIDTH, FPS)
        frames = audio.target_shape.frames
        sound = self._sound("source.mp4", samples=-(-frames * SOUND_RATE // 25))[:, :, :frames]
        window = (TemporalRegionMask(*WINDOW),)
        return self._distilled_stage(self.transformer(), window, window, FPS, given=(self._film(HEIGHT, WIDTH), sound))

    def lipdub(self) -> Latents:
        """§3.11: the LoRA and both references in both stages; stage 2 hears the sound of stage 1 and keeps it."""
        _, audio = self._tools(HEIGHT, WIDTH, FPS)

        def voice(latent: Tensor) -> tuple[ConditioningItem, ...]:
            positions = positions_before_start(AudioLatentShape.from_torch_shape(latent.shape), audio.patchifier)
            return (AudioConditionByReferenceLatent(audio.patchifier.patchify(latent), positions, strength=1.0),)

        model = self.transformer("lora-b")
        recording = self._sound("source.mp4", samples=round(FRAMES / FPS * SOUND_RATE))
        first = self._distilled_stage(model, (self._reference(),), voice(recording), FPS)
        items, sound_items = (self._reference(scale=2),), voice(first[1])
        return self.second_stage(first, model, FPS, items, sound_items, frozen_audio=True)

    def audio_to_video(self) -> Latents:
        """§3.7: the sound frozen in both stages, guidance for the picture alone."""
        video, audio = self._tools(HEIGHT, WIDTH, fps=24.0)
        frames = audio.target_shape.frames
        given = self._sound("source.wav", samples=-(-frames * SOUND_RATE // 25))[:, :, :frames]
        first = denoise_stage(
            transformer=self.transformer(),
            denoiser=self.guided(GUIDANCE["video"], None),
            sigmas=LTX2Scheduler().execute(steps=SIZE["steps"]),
            noiser=_noiser(SEEDS[0]),
            device="cpu",
            dtype=torch.float32,
            video=StageModality(video),
            audio=StageModality(audio, initial_latent=given, frozen=True),
        )
        stage_1 = (_latents(first)[0], given)
        return self.second_stage(stage_1, self.transformer("lora-a"), frozen_audio=True)


# What the graphs' guidance nodes hold with the tiny models (custom numbers, block 2).
_COMMON = {"stg_scale": 1.0, "stg_blocks": (2,), "rescale_scale": 0.7, "modality_scale": 3.0}
GUIDANCE = {"video": {"cfg_scale": 3.0, **_COMMON}, "audio": {"cfg_scale": 7.0, **_COMMON}}


def _noiser(seed: int) -> GaussianNoiser:
    return GaussianNoiser(torch.Generator().manual_seed(seed))


def _latents(states: tuple) -> Latents:
    return states[0].latent, states[1].latent
