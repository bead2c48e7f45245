"""The two-stage graphs of tiled fusion in a real ComfyUI server, on the tiny files of LTX-2.5."""

from __future__ import annotations

import pytest
import torch

from ltx_core_impl.components.noisers import GaussianNoiser, seeded_generators
from ltx_core_impl.conditioning.rules import LTX_2_5_RULES
from ltx_core_impl.conditioning.video_items import VideoConditionByReferenceLatent
from ltx_core_impl.light.spaces import to_code
from ltx_core_impl.loader import SingleGPUModelBuilder
from ltx_core_impl.media import conditioning_video, probe_video, read_at_rate
from ltx_core_impl.media.display import WorkingCode
from ltx_core_impl.model.transformer import LTXModelConfigurator, X0Model
from ltx_core_impl.sampling.denoisers import SimpleDenoiser
from ltx_core_impl.sampling.stage import StageModality
from ltx_core_impl.types import VideoPixelShape
from tests.conftest import assert_close
from tests.hdr_inputs import light, write_hdr_inputs
from tests.pipeline_helpers import FPS, with_sizes, write_inputs
from tests.sampling_helpers import tools
from tests.text_helpers import TRANSFORMER_25
from tests.workflows.shared_server import SCENE
from tests.workflows.test_hdr_graphs import LORA, check_decoded, check_files, encoder, library_stage, run
from tests.workflows.test_ltx25 import files, prompt_of
from tools.graphs import ltx25_tiled
from tools.server import Prompt, Server

FRAMES, CANVAS, FIRST = 17, 128, 64
SIZES = (CANVAS, CANVAS, 64, 64, 9, FIRST, FIRST)
"""Nine tiles, in two windows or more in time."""


@pytest.fixture(scope="module", autouse=True)
def inputs(server: Server) -> None:
    folder = server.output.parent / "input"
    write_inputs(folder)
    write_hdr_inputs(folder)


def tiled(name: str) -> Prompt:
    return with_sizes(prompt_of(name), *SIZES)


def test_every_graph_is_tested() -> None:
    names = {"ltx-2.5-tiled-native", "ltx-2.5-tiled-sdr-to-hdr", "ltx-2.5-tiled-hdr-to-hdr"}
    assert {graph.name for graph in ltx25_tiled.GRAPHS} == names


def test_a_film_is_composed_and_rebuilt(server: Server) -> None:
    [path] = files(server, tiled("ltx-2.5-tiled-native"))
    info = probe_video(path)
    assert (info.width, info.height, info.frames, info.has_audio) == (CANVAS, CANVAS, FRAMES, True)


@torch.inference_mode()
def test_an_sdr_film_becomes_a_large_master(server: Server) -> None:
    result = run(server, tiled("ltx-2.5-tiled-sdr-to-hdr"), ["Stage 1", "Stage 2"])
    check_files(result, FRAMES, CANVAS, CANVAS, FPS)
    assert result.latents["Stage 2"].shape[-2:] == (CANVAS // 32, CANVAS // 32)

    path = server.output.parent / "input" / "source.mp4"
    code = torch.cat(list(read_at_rate(path, FPS, show=WorkingCode)))[:FRAMES]
    reference = encoder()(conditioning_video(code, FIRST, FIRST))
    builder = SingleGPUModelBuilder(LTXModelConfigurator, TRANSFORMER_25).lora(LORA, strength=1.0)
    video_tools, _ = tools(VideoPixelShape(1, FRAMES, FIRST, FIRST, FPS), LTX_2_5_RULES)
    expected, _ = library_stage(
        transformer=X0Model(builder.build("cpu", torch.float32)),
        denoiser=SimpleDenoiser(*(SCENE[name][None] for name in ("video_context", "audio_context"))),
        noiser=GaussianNoiser(seeded_generators([42])),
        video=StageModality(video_tools, [VideoConditionByReferenceLatent(reference)]),
    )
    assert_close(result.latents["Stage 1"], expected.latent, tolerance=1e-4)


@torch.inference_mode()
def test_a_sequence_is_refined_from_its_first_picture_on(server: Server) -> None:
    result = run(server, tiled("ltx-2.5-tiled-hdr-to-hdr"), ["Stage 1", "Stage 2"])
    check_files(result, FRAMES, CANVAS, CANVAS, 24)
    first = to_code(light(1), "srgb_linear")
    still = encoder()(conditioning_video(first, CANVAS, CANVAS))
    assert_close(result.latents["Stage 2"][:, :, :1], still, tolerance=1e-4)
    check_decoded(result, result.latents["Stage 2"])
