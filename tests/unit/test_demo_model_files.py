"""The demo model in the repository: complete, small, loadable like any other checkpoint, and it means something."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ltx_core_impl.loader import SingleGPUModelBuilder
from ltx_core_impl.model.audio_vae import AudioDecoderConfigurator, AudioEncoderConfigurator, VocoderConfigurator
from ltx_core_impl.model.transformer import LTXModelConfigurator
from ltx_core_impl.model.upsampler import LatentUpsamplerConfigurator
from ltx_core_impl.model.video_vae import VideoDecoderConfigurator, VideoEncoderConfigurator
from ltx_core_impl.text_encoders.gemma import EmbeddingsProcessorConfigurator
from tools.demo_model.evaluate import reconstruction
from tools.demo_model.export import CHECKPOINT, GEMMA, LORA, UPSCALER
from tools.demo_model.generate import DemoPipeline, Settings
from tools.demo_model.measure import measure_picture, measure_sound
from tools.demo_model.world import draw_scene

FOLDER = Path(__file__).parents[2] / "models" / "demo"
LIMIT = 25_000_000


def test_the_files_are_small_enough_for_the_repository() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert {CHECKPOINT, LORA, UPSCALER, "README.md"} <= {path.name for path in files}
    assert sum(path.stat().st_size for path in files) < LIMIT


@pytest.mark.parametrize(
    "configurator",
    [
        LTXModelConfigurator,
        EmbeddingsProcessorConfigurator,
        VideoEncoderConfigurator,
        VideoDecoderConfigurator,
        AudioEncoderConfigurator,
        AudioDecoderConfigurator,
        VocoderConfigurator,
    ],
)
def test_every_component_is_in_the_checkpoint(configurator: type) -> None:
    assert SingleGPUModelBuilder(configurator, FOLDER / CHECKPOINT).validate() == ()


def test_the_lora_fits_and_the_upscaler_loads() -> None:
    [report] = SingleGPUModelBuilder(LTXModelConfigurator, FOLDER / CHECKPOINT).lora(FOLDER / LORA).validate()
    assert report.matched
    assert not report.unmatched
    assert SingleGPUModelBuilder(LatentUpsamplerConfigurator, FOLDER / UPSCALER).validate() == ()


@pytest.fixture(scope="module")
def pipeline() -> DemoPipeline:
    torch.set_num_threads(1)
    assert (FOLDER / GEMMA / "tokenizer.json").is_file()
    return DemoPipeline(FOLDER)


def test_autoencoders_and_vocoder_give_back_what_they_get(pipeline: DemoPipeline) -> None:
    generator = torch.Generator().manual_seed(11)
    measured = reconstruction(pipeline, [draw_scene(generator) for _ in range(4)])
    assert measured["video PSNR, dB"] > 20
    assert measured["log-mel mean absolute error"] < 0.5
    assert measured["vocoder pitch right within 3 %"] == 1.0


def test_a_prompt_decides_what_is_seen_and_heard(pipeline: DemoPipeline) -> None:
    prompts = (
        "a red circle stands still on a black background with a low tone",
        "a blue square stands still on a white background with a high tone",
    )
    video, audio = pipeline.sample(prompts, [1, 2], Settings(steps=8))
    frames, sound = pipeline.frames(video), pipeline.sound(audio)
    grounds = [measure_picture(clip).ground for clip in frames]
    assert grounds == ["black", "white"]
    rate = pipeline.vocoder.output_sampling_rate
    assert [measure_sound(wave, rate).pitch for wave in sound] == ["low", "high"]
