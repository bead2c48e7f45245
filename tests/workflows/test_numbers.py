"""What the server computes is what the library computes from the same files, prompts and seed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ltx_core_impl.components.multimodal_guider import MultiModalGuider, MultiModalGuiderParams
from ltx_core_impl.components.noisers import GaussianNoiser, seeded_generators
from ltx_core_impl.components.schedulers import LTX2Scheduler
from ltx_core_impl.model.transformer import X0Model
from ltx_core_impl.sampling.denoisers import GuidedDenoiser
from ltx_core_impl.sampling.stage import StageModality, denoise_stage
from ltx_core_impl.types import VideoPixelShape
from tests.conftest import assert_close
from tests.sampling_helpers import tools
from tests.text_helpers import PROMPTS, load_model
from tests.transformer_helpers import load_transformer
from tests.workflows.test_runs import load, run
from tools.graphs.tiny import STG_BLOCKS, VERSIONS
from tools.server import Prompt, Server

SEED, STEPS, FPS = 1234, 3, 25.0
CFG = {"Guidance of the picture": 3.0, "Guidance of the sound": 7.0}
LATENTS = ("video_latent", "audio_latent")


@pytest.mark.parametrize("version", VERSIONS)
def test_latents_equal_the_librarys(server: Server, version: str) -> None:
    files = run(server, _prompt(version)).files
    ours = [load_file(path)["latent_tensor"] for path in sorted(files) if path.suffix == ".latent"]
    for actual, expected in zip(ours, _library(version), strict=True):
        assert_close(actual, expected, tolerance=1e-5)


def test_worker_processes_give_the_same_latents(server: Server) -> None:
    """Its main file must not run again in a worker, and there the pack has a name that no process can import."""
    prompt = _prompt("2.3")
    sampler = next(node for node in prompt.values() if node["class_type"] == "LTX2Sampler")
    inputs = {"model": sampler["inputs"]["model"], "ranks": 2, "split": "auto", "shard_weights": False}
    prompt["parallel"] = {"class_type": "LTX2ParallelModel", "inputs": inputs}
    sampler["inputs"]["model"] = ["parallel", 0]
    files = run(server, prompt).files
    ours = [load_file(path)["latent_tensor"] for path in sorted(files) if path.suffix == ".latent"]
    for actual, expected in zip(ours, _library("2.3"), strict=True):
        assert_close(actual, expected, tolerance=1e-5)


def _prompt(version: str) -> Prompt:
    """The text-to-video graph with values of this test, its latents saved."""
    prompt = load("text-to-video", version, steps=STEPS)
    for node in prompt.values():
        title, inputs = node["_meta"]["title"], node["inputs"]
        if title in CFG:
            inputs["cfg"] = CFG[title]
        values: dict[str, dict[str, Any]] = {
            "Prompt": {"prompt": PROMPTS["text-pos"]},
            "Negative prompt": {"prompt": PROMPTS["text-neg"]},
            "LTX-2 Latent Noise": {"seed": SEED},
            "LTX-2 Empty Latents": {"frame_rate": FPS},
        }
        inputs |= values.get(title, {})
    sampler = next(key for key, node in prompt.items() if node["class_type"] == "LTX2Sampler")
    for slot, name in enumerate(LATENTS):
        inputs = {"samples": [sampler, slot], "filename_prefix": f"numbers/{version}-{slot}-{name}"}
        prompt[name] = {"class_type": "SaveLatent", "inputs": inputs}
    return prompt


@torch.inference_mode()
def _library(version: str) -> tuple[torch.Tensor, torch.Tensor]:
    text = load_model(version)
    positive, negative = (text(PROMPTS[case]) for case in ("text-pos", "text-neg"))
    video_tools, audio_tools = tools(VideoPixelShape(batch=1, frames=17, height=64, width=96, fps=FPS))
    video_cfg, audio_cfg = CFG.values()
    states = denoise_stage(
        transformer=X0Model(load_transformer(version)),
        denoiser=GuidedDenoiser(
            video_context=positive.video_encoding,
            audio_context=positive.audio_encoding,
            video_guider=MultiModalGuider(_params(video_cfg), negative_context=negative.video_encoding),
            audio_guider=MultiModalGuider(_params(audio_cfg), negative_context=negative.audio_encoding),
        ),
        sigmas=LTX2Scheduler().execute(STEPS),
        noiser=GaussianNoiser(seeded_generators([SEED])),
        video=StageModality(video_tools),
        audio=StageModality(audio_tools),
        device="cpu",
        dtype=torch.float32,
    )
    return states[0].latent, states[1].latent


def _params(cfg: float) -> MultiModalGuiderParams:
    return MultiModalGuiderParams(
        cfg_scale=cfg, stg_scale=1.0, stg_blocks=(int(STG_BLOCKS),), rescale_scale=0.7, modality_scale=3.0
    )
