"""The two-stage distilled run of LTX-2.5 against the reference's."""

from __future__ import annotations

from functools import partial

import torch

from ltx_core_impl.conditioning.keyframe_slots import VideoGeneratedKeyframeSlots
from ltx_core_impl.conditioning.rules import LTX_2_5_RULES
from ltx_core_impl.conditioning.video_items import VideoConditionByKeyframeIndex, VideoConditionByLatentIndex
from ltx_core_impl.model.transformer import X0Model
from ltx_core_impl.sampling.denoisers import SimpleDenoiser
from ltx_core_impl.sampling.loops import euler_ancestral_denoising_loop
from ltx_core_impl.sampling.stage import StageModality, denoise_stage
from ltx_core_impl.types import VideoPixelShape
from tests.conftest import assert_close, golden
from tests.sampling_helpers import GivenNoise, given_loop_noise, tools
from tests.transformer_helpers import load_transformer

STAGE_1 = VideoPixelShape(batch=1, frames=17, height=64, width=64, fps=25.0)
STAGE_2 = STAGE_1._replace(height=128, width=128)


@torch.inference_mode()
def test_both_stages() -> None:
    case, text = golden("2.5", "distilled"), golden("2.5", "text-pos")
    transformer = X0Model(load_transformer("2.5"))

    def images(stage: int) -> list:
        return [
            VideoConditionByLatentIndex(case[f"image_{stage}"], strength=1.0, latent_idx=0),
            VideoConditionByKeyframeIndex(case[f"keyframe_{stage}"], frame_idx=16, strength=0.8),
        ]

    run = partial(denoise_stage, transformer=transformer, device="cpu", dtype=torch.float32)
    video_tools, audio_tools = tools(STAGE_1, LTX_2_5_RULES)
    with given_loop_noise(case[f"loop_{index:02d}"] for index in range(6)):
        video, audio = run(
            denoiser=SimpleDenoiser(text["video_context"], text["audio_context"]),
            sigmas=case["sigmas_1"],
            noiser=GivenNoise([case["stage1_noise_video"], case["stage1_noise_audio"]]),
            video=StageModality(video_tools, conditionings=[*images(1), VideoGeneratedKeyframeSlots([8])]),
            audio=StageModality(audio_tools),
            loop=euler_ancestral_denoising_loop,
        )
    assert_close(video.latent, case["stage1_video"], tolerance=1e-4)
    assert_close(audio.latent, case["stage1_audio"], tolerance=1e-4)
    assert_close(video.generated_keyframes, case["generated_keyframes"], tolerance=1e-4)

    video_tools, audio_tools = tools(STAGE_2, LTX_2_5_RULES)
    scale = case["sigmas_2"][0].item()
    video, audio = run(
        denoiser=SimpleDenoiser(text["video_context"], text["audio_context"]),
        sigmas=case["sigmas_2"],
        noiser=GivenNoise([case["stage2_noise_video"], case["stage2_noise_audio"]]),
        video=StageModality(video_tools, conditionings=images(2), noise_scale=scale, initial_latent=case["upscaled"]),
        audio=StageModality(audio_tools, noise_scale=scale, initial_latent=audio.latent),
    )
    assert_close(video.latent, case["stage2_video"], tolerance=1e-4)
    assert_close(audio.latent, case["stage2_audio"], tolerance=1e-4)
