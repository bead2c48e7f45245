"""The graphs of LTX-2.5 in a real ComfyUI server, on its tiny split files."""

from __future__ import annotations

import json
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ltx_core_impl.components.multimodal_guider import MultiModalGuider, MultiModalGuiderParams
from ltx_core_impl.components.noisers import GaussianNoiser, seeded_generators
from ltx_core_impl.components.schedulers import LTX2Scheduler
from ltx_core_impl.conditioning.rules import LTX_2_5_RULES
from ltx_core_impl.loader import SingleGPUModelBuilder
from ltx_core_impl.model.transformer import LTXModelConfigurator, X0Model
from ltx_core_impl.presets import DISTILLED_SIGMAS, LTX_2_5_PRESET
from ltx_core_impl.sampling.denoisers import GuidedDenoiser, SimpleDenoiser
from ltx_core_impl.sampling.loops import euler_ancestral_denoising_loop
from ltx_core_impl.sampling.stage import StageModality, denoise_stage
from ltx_core_impl.types import VideoPixelShape
from tests.conftest import assert_close
from tests.pipeline_helpers import with_inputs, write_inputs
from tests.sampling_helpers import tools
from tests.text_helpers import TRANSFORMER_25, load_model
from tools.graphs import ltx25
from tools.graphs.prompts import NEGATIVE_25, PROMPTS
from tools.graphs.tiny import with_tiny_split_files
from tools.provision import REPO
from tools.server import Event, Prompt, Server

SIZE = {"width": 64, "height": 64, "length": 17}
AUDIO_LATENT_SECONDS = 0.04


class Expected(NamedTuple):
    frames: int
    width: int = 64
    height: int = 64
    fps: int = 24


# The tiny duration head says about 2.5 s for the prompt of the graph: 57 frames are the nearest 8k + 1 below.
EXPECTED = {
    "ltx-2.5-text-to-video": Expected(17),
    "ltx-2.5-image-to-video": Expected(17),
    "ltx-2.5-two-stage-distilled": Expected(57, width=128, height=128),
    "ltx-2.5-dfr": Expected(81, width=128, height=128, fps=48),
}


@pytest.fixture(scope="module", autouse=True)
def inputs(server: Server) -> None:
    write_inputs(server.output.parent / "input")


def prompt_of(name: str, **size: int) -> Prompt:
    prompt = with_tiny_split_files(
        json.loads((REPO / "workflows" / "api" / f"{name}.json").read_text("utf-8")), **SIZE | size
    )
    for node in prompt.values():
        if node["class_type"] == "LoadImage":
            node["inputs"]["image"] = "source.png"
    return prompt


def files(server: Server, prompt: Prompt) -> list[Path]:
    done = server.client.run(prompt)
    assert done.status == "success", f"{done.error}\n{server.log_tail()}"
    return done.files


def saved_latents(server: Server, prompt: Prompt, sampler: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a prompt only up to a sampler, and get its video and audio latents."""
    [node_id] = [key for key, node in prompt.items() if node["_meta"]["title"] == sampler]
    kept = {key: node for key, node in prompt.items() if node["class_type"] not in ("SaveVideo", "SaveAudio")}
    for index, kind in enumerate(("video", "audio")):
        kept[kind] = {
            "class_type": "SaveLatent",
            "inputs": {"samples": [node_id, index], "filename_prefix": f"latents/{kind}"},
        }
    found = {path.name.split("_")[0]: load_file(path)["latent_tensor"] for path in files(server, kept)}
    return found["video"], found["audio"]


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(np.float32)


def test_every_graph_is_tested() -> None:
    assert {graph.name for graph in ltx25.GRAPHS} == EXPECTED.keys()


def test_the_negative_prompt_is_the_versions() -> None:
    assert NEGATIVE_25 == LTX_2_5_PRESET.negative_prompt


@pytest.mark.parametrize("name", EXPECTED)
def test_frames_size_rate_and_length_of_sound(server: Server, name: str) -> None:
    expected = EXPECTED[name]
    length = {"length": 41} if name == "ltx-2.5-dfr" else {}
    prompt = prompt_of(name, **length)
    if name == "ltx-2.5-two-stage-distilled":  # held to two seconds, whatever the duration head says
        prompt, expected = with_inputs(prompt, "LTX2DurationPredictor", max_seconds=2.1), expected._replace(frames=49)
    [path] = files(server, prompt)
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert video.average_rate == Fraction(expected.fps)
        assert (video.width, video.height) == (expected.width, expected.height)
        assert audio.codec_context.sample_rate == 48_000
        sound = float(audio.duration * audio.time_base)
    assert decode(path).shape == (expected.frames, expected.height, expected.width, 3)
    assert sound == pytest.approx(expected.frames / expected.fps, abs=AUDIO_LATENT_SECONDS)


def test_a_clip_of_one_segment_needs_no_second_tile(server: Server) -> None:
    [path] = files(server, prompt_of("ltx-2.5-dfr", length=17))
    assert decode(path).shape == (33, 128, 128, 3)


library_stage = partial(denoise_stage, device="cpu", dtype=torch.float32)


def library_transformer() -> X0Model:
    return X0Model(SingleGPUModelBuilder(LTXModelConfigurator, TRANSFORMER_25).build("cpu", torch.float32))


@torch.inference_mode()
def test_latents_of_the_full_model_are_the_librarys(server: Server) -> None:
    prompt = with_inputs(prompt_of("ltx-2.5-text-to-video"), "LTX2EmptyLatents", frame_rate=25.0)
    video, audio = saved_latents(server, prompt, "Sampling")

    positive, negative = load_model("2.5").encode([PROMPTS["ltx-2.5-text-to-video"], NEGATIVE_25])
    guidance = {
        title: node["inputs"]
        for node in prompt.values()
        if node["class_type"] == "LTX2GuidanceParameters"
        for title in [node["_meta"]["title"].split()[-1]]
    }

    def guider(of: str, context: torch.Tensor) -> MultiModalGuider:
        values = guidance[of]
        params = MultiModalGuiderParams(
            cfg_scale=values["cfg"],
            stg_scale=values["stg_scale"],
            stg_blocks=(int(values["stg_blocks"]),),
            rescale_scale=values["rescale"],
            modality_scale=values["modality_scale"],
        )
        return MultiModalGuider(params, negative_context=context)

    video_tools, audio_tools = tools(VideoPixelShape(1, 17, 64, 64, 25.0), LTX_2_5_RULES)
    expected_video, expected_audio = library_stage(
        transformer=library_transformer(),
        denoiser=GuidedDenoiser(
            video_context=positive.video_encoding,
            audio_context=positive.audio_encoding,
            video_guider=guider("picture", negative.video_encoding),
            audio_guider=guider("sound", negative.audio_encoding),
        ),
        sigmas=LTX2Scheduler().execute(2),
        noiser=GaussianNoiser(seeded_generators([10])),
        video=StageModality(video_tools),
        audio=StageModality(audio_tools),
    )
    assert_close(video, expected_video.latent, tolerance=1e-4)
    assert_close(audio, expected_audio.latent, tolerance=1e-4)


@torch.inference_mode()
def test_latents_of_the_distilled_first_stage_are_the_librarys(server: Server) -> None:
    video, audio = saved_latents(server, prompt_of("ltx-2.5-two-stage-distilled"), "Stage 1")
    frames = EXPECTED["ltx-2.5-two-stage-distilled"].frames

    [context] = load_model("2.5").encode([PROMPTS["ltx-2.5-two-stage-distilled"]])
    video_tools, audio_tools = tools(VideoPixelShape(1, frames, 64, 64, 24.0), LTX_2_5_RULES)
    expected_video, expected_audio = library_stage(
        transformer=library_transformer(),
        denoiser=SimpleDenoiser(context.video_encoding, context.audio_encoding),
        sigmas=DISTILLED_SIGMAS,
        noiser=GaussianNoiser(seeded_generators([10])),
        video=StageModality(video_tools),
        audio=StageModality(audio_tools),
        loop=partial(euler_ancestral_denoising_loop, noise_seed=[10 + 10000]),
    )
    assert_close(video, expected_video.latent, tolerance=1e-4)
    assert_close(audio, expected_audio.latent, tolerance=1e-4)


@pytest.mark.parametrize("vae", ["ltx-2.5-tiny-video-vae-bf16", "ltx-2.5-tiny-video-vae-conv-bf16"])
def test_either_video_vae_decodes(server: Server, vae: str) -> None:
    prompt = with_inputs(
        prompt_of("ltx-2.5-text-to-video"), "LTX2ComponentLoader", "Video VAE", file=f"{vae}.safetensors"
    )
    [path] = files(server, prompt)
    assert decode(path).shape == (17, 64, 64, 3)


def test_another_first_frame_gives_another_clip(server: Server) -> None:
    prompt = prompt_of("ltx-2.5-image-to-video")
    clips = [decode(files(server, one)[0]) for one in (prompt, with_inputs(prompt, "LoadImage", image="other.png"))]
    assert np.abs(clips[0] - clips[1]).mean() > 0.5


@pytest.mark.parametrize(
    ("type", "title", "inputs", "where", "words"),
    [
        (
            "LTX2ComponentLoader",
            "Video VAE",
            {"file": "ltx-2.3-tiny.safetensors"},
            "LTX2Sampler",
            ["ltx-2.3-tiny.safetensors", "LTX-2.3", "LTX-2.5", "Load the video vae"],
        ),
        (
            "LTX2TextEncoderLoader",
            None,
            {"text_encoder": "gemma-3-tiny"},
            "LTX2TextEncoderLoader",
            ["gemma4-12b-ltx-v1", "gemma3", "Use the text encoder file"],
        ),
        (
            "LTX2ComponentLoader",
            "Video VAE",
            {"file": "ltx-2.5-tiny-audio-vae-bf16.safetensors"},
            "LTX2Sampler",
            ["video_vae needs the video vae", "ltx-2.5-tiny-audio-vae-bf16.safetensors holds none"],
        ),
    ],
    ids=["2.3 VAE", "Gemma 3", "audio file as video VAE"],
)
def test_a_wrong_combination_of_files_is_refused_before_sampling(
    server: Server, type: str, title: str | None, inputs: dict[str, Any], where: str, words: list[str]
) -> None:
    prompt = with_inputs(prompt_of("ltx-2.5-text-to-video"), type, title, **inputs)
    done = server.client.run(prompt)
    assert done.status == "error"
    assert prompt[done.node_id]["class_type"] == where
    assert [word for word in words if word not in done.error] == [], done.error


def test_a_lora_of_another_model_is_used_and_said(server: Server) -> None:
    prompt = with_inputs(
        prompt_of("ltx-2.5-text-to-video"), "LTX2CheckpointLoader", lora="ltx-2.3-tiny-lora-a.safetensors"
    )
    texts: list[str] = []

    def note(event: Event) -> None:
        if event["type"] == "executed" and prompt[event["data"]["node"]]["class_type"] == "LTX2CheckpointLoader":
            texts.extend(event["data"]["output"]["text"])

    server.client.free()
    assert server.client.run(prompt, on_event=note).status == "success"
    [text] = texts
    assert "made for LTX-2.3" in text and "is LTX-2.5" in text
