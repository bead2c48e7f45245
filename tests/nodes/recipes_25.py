"""The official graphs of distilled LTX-2.5 as calls of the library (spec 08 §3.3 to §5.6); no nodes here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from ltx_core_impl.components.multimodal_guider import MultiModalGuider, MultiModalGuiderParams
from ltx_core_impl.components.noisers import GaussianNoiser, seeded_generators
from ltx_core_impl.components.schedulers import LTX2Scheduler
from ltx_core_impl.conditioning import (
    ConditioningItem,
    VideoConditionByKeyframeIndex,
    VideoConditionByLatentIndex,
    VideoConditionByReferenceLatent,
)
from ltx_core_impl.conditioning.rules import LTX_2_5_RULES
from ltx_core_impl.loader import SingleGPUModelBuilder
from ltx_core_impl.media import conditioning_image, conditioning_video, load_image, read_audio
from ltx_core_impl.model.audio_vae import AudioEncoderConfigurator, encode_audio
from ltx_core_impl.model.transformer import LTXModelConfigurator, X0Model
from ltx_core_impl.model.upsampler import LatentUpsamplerConfigurator, upsample_video
from ltx_core_impl.model.video_vae import VideoEncoderConfigurator
from ltx_core_impl.presets import ANCESTRAL_SEED_OFFSET, DISTILLED_SIGMAS, STAGE_2_DISTILLED_SIGMAS
from ltx_core_impl.sampling.denoisers import Denoiser, GuidedDenoiser, SimpleDenoiser
from ltx_core_impl.sampling.loops import euler_ancestral_denoising_loop
from ltx_core_impl.sampling.stage import StageModality, denoise_stage
from ltx_core_impl.sampling.timed_text import Shots, TimedText
from ltx_core_impl.types import Audio, VideoPixelShape
from tests.conftest import GOLDEN_25
from tests.pipeline_helpers import FPS, FRAMES, HEIGHT, SOUND_RATE, WIDTH
from tests.sampling_helpers import tools
from tests.text_helpers import TRANSFORMER_25, load_model

CRF = 18
SEED, FILL_SEED, FULL_SEED = 42, 43, 10
SIZE, TWICE, HALF = (HEIGHT, WIDTH), (2 * HEIGHT, 2 * WIDTH), (HEIGHT // 2, WIDTH // 2)
PLAIN, HALVING = "ltx-2.5-tiny-distilled-lora-bf16", "ltx-2.5-tiny-ic-lora-pixel-spatial-upscaler-x2-1.0"
"""LoRAs: one without wishes, one that wants references of half the size."""
SHOT_2 = "A blue square stands still, and a dog barks."
FILL_SIGMAS = (0.725, 0.421875, 0.0)
Latents = tuple[Tensor | None, Tensor | None]
Pictures = Callable[[str], Tensor]
"""What a node of the graph, by its title, makes of the inputs: the pictures of a reference."""


@dataclass(frozen=True)
class Recipes25:
    """Each returns the video and audio latents of a sampler of its graph, for the test inputs."""

    inputs: Path
    prompt: str

    # Parts

    @cached_property
    def _contexts(self) -> tuple:
        return tuple(load_model("2.5").encode([self.prompt, SHOT_2]))

    def _guided(self) -> GuidedDenoiser:
        """The full model's guidance, with the block of the tiny model; the second prompt is the negative one."""
        first, second = self._contexts
        common = {"stg_scale": 1.0, "stg_blocks": (2,), "rescale_scale": 0.7, "modality_scale": 3.0}

        def guider(cfg: float, negative: Tensor) -> MultiModalGuider:
            return MultiModalGuider(MultiModalGuiderParams(cfg_scale=cfg, **common), negative_context=negative)

        return GuidedDenoiser(
            video_context=first.video_encoding,
            audio_context=first.audio_encoding,
            video_guider=guider(3.0, second.video_encoding),
            audio_guider=guider(7.0, second.audio_encoding),
        )

    def _denoiser(self, shots: Shots | None) -> SimpleDenoiser:
        """The prompt; with shots, the prompt in the first and another one in the second."""
        first, second = self._contexts
        if shots is None:
            return SimpleDenoiser(first.video_encoding, first.audio_encoding)
        return SimpleDenoiser(
            TimedText((first.video_encoding, second.video_encoding), shots),
            TimedText((first.audio_encoding, second.audio_encoding), shots),
        )

    @cached_property
    def _transformer(self) -> Callable[[str | None], X0Model]:
        return cache(self._built_transformer)

    @staticmethod
    def _built_transformer(lora: str | None) -> X0Model:
        builder = SingleGPUModelBuilder(LTXModelConfigurator, TRANSFORMER_25)
        if lora is not None:
            builder = builder.lora(GOLDEN_25 / "loras" / f"{lora}.safetensors", strength=1.0)
        return X0Model(builder.build("cpu", torch.float32))

    @cached_property
    def _encoder(self) -> torch.nn.Module:
        path = GOLDEN_25 / "vae" / "ltx-2.5-tiny-video-vae-bf16.safetensors"
        return SingleGPUModelBuilder(VideoEncoderConfigurator, path).build("cpu", torch.float32)

    def _upscaled(self, video: Tensor) -> Tensor:
        name = "ltx-2.5-tiny-latent-spatial-upscaler-x2-bf16-1.0.safetensors"
        builder = SingleGPUModelBuilder(LatentUpsamplerConfigurator, GOLDEN_25 / "latent_upscale_models" / name)
        return upsample_video(video, self._encoder, builder.build("cpu", torch.float32))

    @cached_property
    def _audio_encoder(self) -> torch.nn.Module:
        path = GOLDEN_25 / "vae" / "ltx-2.5-tiny-audio-vae-bf16.safetensors"
        return SingleGPUModelBuilder(AudioEncoderConfigurator, path).build("cpu", torch.float32)

    def _sound(self, file: str, fps: float) -> Tensor:
        """The sound of a file for the length of the clip."""
        frames = tools(VideoPixelShape(1, FRAMES, *SIZE, fps), LTX_2_5_RULES)[1].target_shape.frames
        sound = read_audio(self.inputs / file)
        # A clip's sound is cut to its picture first.
        cut = round(FRAMES / fps * SOUND_RATE) if file.endswith("mp4") else sound.waveform.shape[-1]
        samples = min(-(-frames * SOUND_RATE // 25), cut)
        waveform = sound.waveform.reshape(1, -1, sound.waveform.shape[-1])[..., :samples]
        return encode_audio(Audio(waveform, sound.sampling_rate), self._audio_encoder)[:, :, :frames]

    def _image(self, size: tuple[int, int]) -> Tensor:
        return self._encoder(conditioning_image(load_image(self.inputs / "source.png"), *size, crf=CRF))

    def _first(self, size: tuple[int, int], strength: float) -> ConditioningItem:
        return VideoConditionByLatentIndex(self._image(size), strength=strength, latent_idx=0)

    def _reference(self, pictures: Tensor, size: tuple[int, int], factor: int = 1, frame: int = 0) -> ConditioningItem:
        frames = (pictures[:FRAMES] * 255).round().to(torch.uint8)
        latent = self._encoder(conditioning_video(frames, size[0] // factor, size[1] // factor))
        return VideoConditionByReferenceLatent(latent, downscale_factor=factor, strength=1.0, frame_idx=frame)

    def _stage(
        self,
        *items: ConditioningItem,
        size: tuple[int, int] = SIZE,
        fps: float = 24.0,
        lora: str | None = None,
        seed: int = SEED,
        sigmas: tuple[float, ...] = DISTILLED_SIGMAS,
        ancestral: bool = True,
        video: Tensor | bool | None = None,
        audio: Tensor | bool | None = None,
        frozen: bool = False,
        shots: Shots | None = None,
        denoiser: Denoiser | None = None,
    ) -> Latents:
        """One stage; False leaves a modality out, None starts it from noise."""
        video_tools, audio_tools = tools(VideoPixelShape(1, FRAMES, *size, fps), LTX_2_5_RULES)
        start = {"noise_scale": float(sigmas[0])}
        loop = {"loop": partial(euler_ancestral_denoising_loop, noise_seed=[seed + ANCESTRAL_SEED_OFFSET])}
        states = denoise_stage(
            transformer=self._transformer(lora),
            denoiser=denoiser or self._denoiser(shots),
            sigmas=sigmas,
            noiser=GaussianNoiser(seeded_generators([seed])),
            device="cpu",
            dtype=torch.float32,
            video=None if video is False else StageModality(video_tools, items, initial_latent=video, **start),
            audio=None if audio is False else StageModality(audio_tools, initial_latent=audio, frozen=frozen, **start),
            **(loop if ancestral else {}),
        )
        return tuple(None if state is None else state.latent for state in states)

    def _second_stage(
        self, first: Latents, *items: ConditioningItem, frozen: bool = False, seed: int = SEED
    ) -> Latents:
        larger = {"size": TWICE, "video": self._upscaled(first[0]), "audio": first[1], "frozen": frozen, "seed": seed}
        return self._stage(*items, **larger, sigmas=STAGE_2_DISTILLED_SIGMAS, ancestral=False)

    # Graphs

    def full_model(self, pictures: Pictures) -> Latents:
        """The full model in two steps from a first frame, guided (spec 07 §3.1)."""
        sigmas = LTX2Scheduler().execute(2)
        first = self._first(SIZE, 1.0)
        return self._stage(first, sigmas=sigmas, ancestral=False, seed=FULL_SEED, denoiser=self._guided())

    def two_stages_from_text(self, pictures: Pictures) -> Latents:
        """The distilled model without a picture (spec 07 §3.4)."""
        return self._second_stage(self._stage(seed=FULL_SEED), seed=FULL_SEED + 1)

    def single_stage(self, pictures: Pictures) -> Latents:
        """§4.2 in one stage: the first frame with strength 0.7."""
        return self._stage(self._first(SIZE, 0.7))

    def two_stages(self, pictures: Pictures) -> Latents:
        """§4.2: strength 0.7, then 1; the sound is refined."""
        return self._second_stage(self.single_stage(pictures), self._first(TWICE, 1.0))

    def first_last(self, pictures: Pictures) -> Latents:
        """§4.3: both with strength 0.7; ancestral with eta 0, which is plain Euler."""
        last = VideoConditionByKeyframeIndex(self._image(SIZE), FRAMES - 1, strength=0.7)
        return self._stage(self._first(SIZE, 0.7), last, ancestral=False)

    def audio_to_video(self, pictures: Pictures) -> Latents:
        """§5.2: the sound frozen in both stages."""
        sound = self._sound("source.wav", 24.0)
        first = self._stage(self._first(SIZE, 0.7), audio=sound, frozen=True)
        return self._second_stage((first[0], sound), self._first(TWICE, 1.0), frozen=True)

    def text_to_audio(self, pictures: Pictures) -> Latents:
        """§5.3: no picture."""
        return self._stage(video=False)

    def slow_motion(self, pictures: Pictures) -> Latents:
        """§7: 24 frames per second at a speed of 0.2; no sound."""
        return self._stage(fps=120.0, lora=PLAIN, audio=False)

    def union_control(self, pictures: Pictures) -> Latents:
        """§5.4: the picture before the outlines at half the size, the source's sound."""
        items = (self._first(SIZE, 1.0), self._reference(pictures("Edges"), SIZE, factor=2))
        return self._stage(*items, fps=FPS, lora=HALVING, audio=self._sound("source.mp4", FPS), frozen=True)

    def video_to_video(self, pictures: Pictures) -> Latents:
        """§5.1: the film at its whole size, the source's sound."""
        film = self._reference(pictures("LTX-2 Fit Video"), SIZE)
        return self._stage(film, fps=FPS, lora=PLAIN, audio=self._sound("source.mp4", FPS), frozen=True)

    def motion_tracks(self, pictures: Pictures) -> Latents:
        """§5.5: the still and the drawn tracks."""
        tracks = self._reference(pictures("LTX-2 Draw Tracks"), SIZE, factor=2)
        return self._stage(self._first(SIZE, 1.0), tracks, lora=HALVING)

    def ingredients(self, pictures: Pictures) -> Latents:
        """§5.6: the sheet as a film."""
        return self._stage(self._reference(pictures("LTX-2 Reference Sheet"), SIZE), lora=PLAIN)

    def layout_to_render(self, pictures: Pictures) -> Latents:
        """§5.7: layout and, before the clip, look, in both stages; no sound."""

        def items(size: tuple[int, int]) -> tuple[ConditioningItem, ...]:
            layout = self._reference(pictures("LTX-2 Fit Video"), size)
            return layout, self._reference(pictures("Look"), size, frame=-1)

        wires = {"fps": FPS, "lora": PLAIN, "audio": False}
        first = self._stage(*items(SIZE), **wires)
        larger = {"size": TWICE, "video": self._upscaled(first[0]), "sigmas": STAGE_2_DISTILLED_SIGMAS}
        return self._stage(*items(TWICE), **larger, **wires)

    def several_shots(self, pictures: Pictures) -> Latents:
        """Two prompts with a cut at 0.3 s."""
        return self._stage(shots=Shots((0.3,)))

    def fill(self, pictures: Pictures) -> Latents:
        """§3.3, first stage: the green film at half the size, the source's sound."""
        green = self._reference(pictures("Green, half the size"), HALF)
        sound = self._sound("source.mp4", FPS)
        return self._stage(green, size=HALF, fps=FPS, lora=PLAIN, seed=FILL_SEED, audio=sound, frozen=True)

    def refined_fill(self, pictures: Pictures) -> Latents:
        """§3.3, second stage: twice the blended pictures, without a reference but with the LoRA."""
        blended = pictures("Blend of stage 1").movedim(-1, 1)
        larger = torch.nn.functional.interpolate(blended, scale_factor=2, mode="bilinear").movedim(1, -1)
        video = self._encoder(larger.movedim(-1, 0)[None] * 2 - 1)
        sound = self._sound("source.mp4", FPS)
        refined = {"sigmas": FILL_SIGMAS, "ancestral": False, "video": video, "audio": sound, "frozen": True}
        return self._stage(fps=FPS, lora=PLAIN, **refined)
