"""Whole runs from given noise to latents, pixels and waveform, against the reference's."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch

from ltx_core_impl.components.multimodal_guider import MultiModalGuider, MultiModalGuiderParams
from ltx_core_impl.components.schedulers import LTX2Scheduler
from ltx_core_impl.model.audio_vae import VocoderConfigurator, decode_audio
from ltx_core_impl.model.transformer import X0Model
from ltx_core_impl.sampling.denoisers import GuidedDenoiser
from ltx_core_impl.sampling.stage import StageModality, denoise_stage
from ltx_core_impl.types import VideoPixelShape
from tests.conftest import assert_close, golden
from tests.golden_cases import test_audio, test_video_vae, test_video_vae_25
from tests.sampling_helpers import RULES, GivenNoise, tools
from tests.text_helpers import PROMPTS, load_model
from tests.transformer_helpers import load_transformer

ALL_VERSIONS = ("2.0", "2.3", "2.5")
PIXELS = VideoPixelShape(batch=1, frames=17, height=64, width=96, fps=25.0)
VIDEO = MultiModalGuiderParams(cfg_scale=3.0, stg_scale=1.0, stg_blocks=(2,), rescale_scale=0.7, modality_scale=3.0)
AUDIO = MultiModalGuiderParams(cfg_scale=7.0, stg_scale=1.0, stg_blocks=(2,), rescale_scale=0.7, modality_scale=3.0)


@lru_cache
def contexts(version: str) -> tuple[torch.Tensor, ...]:
    """(video, audio, negative video, negative audio) contexts."""
    model = load_model(version)
    outputs = [model(PROMPTS[case]) for case in ("text-pos", "text-neg")]
    return tuple(tensor for output in outputs for tensor in (output.video_encoding, output.audio_encoding))


@lru_cache
def latents(version: str, max_batch_size: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    case = golden(version, "text-to-video")
    video_tools, audio_tools = tools(PIXELS, RULES[version])
    positive_video, positive_audio, negative_video, negative_audio = contexts(version)
    with torch.inference_mode():
        video, audio = denoise_stage(
            transformer=X0Model(load_transformer(version)),
            denoiser=GuidedDenoiser(
                video_context=positive_video,
                audio_context=positive_audio,
                video_guider=MultiModalGuider(VIDEO, negative_context=negative_video),
                audio_guider=MultiModalGuider(AUDIO, negative_context=negative_audio),
                max_batch_size=max_batch_size,
            ),
            sigmas=LTX2Scheduler().execute(4),
            noiser=GivenNoise(
                [
                    video_tools.patchifier.patchify(case["noise_video"]),
                    audio_tools.patchifier.patchify(case["noise_audio"]),
                ]
            ),
            video=StageModality(video_tools),
            audio=StageModality(audio_tools),
            device="cpu",
            dtype=torch.float32,
        )
    return video.latent, audio.latent


@pytest.mark.parametrize("version", ALL_VERSIONS)
@pytest.mark.parametrize("max_batch_size", [None, 1, 3])
def test_latents(version: str, max_batch_size: int | None) -> None:
    case = golden(version, "text-to-video")
    assert torch.equal(LTX2Scheduler().execute(4), case["sigmas"])
    video, audio = latents(version, max_batch_size)
    assert_close(video, case["video_latents"], tolerance=1e-4)
    assert_close(audio, case["audio_latents"], tolerance=1e-4)


@torch.inference_mode()
def test_pixels(version: str) -> None:
    frames = test_video_vae.decoder(version)(latents(version)[0])
    assert_close(frames, golden(version, "text-to-video")["frames"], tolerance=1e-4)


@pytest.mark.parametrize("version", ALL_VERSIONS)
@torch.inference_mode()
def test_waveform(version: str) -> None:
    vocoder = test_audio.build(VocoderConfigurator, version, "vocoder.")
    audio = decode_audio(latents(version)[1], test_audio.decoder(version), vocoder)
    assert_close(audio.waveform, golden(version, "text-to-video")["waveform"][0], tolerance=1e-4)


@torch.inference_mode()
def test_pixels_of_both_decoders_of_25() -> None:
    case, video = golden("2.5", "text-to-video"), latents("2.5")[0]
    frames = test_video_vae_25.convolutional_decoder()(video)
    assert_close(frames, case["frames_conv"], tolerance=1e-4)
    frames = test_video_vae_25.diffusion_decoder()(video, generator=test_video_vae_25.generator())
    assert_close(frames, case["frames"], tolerance=1e-4)
