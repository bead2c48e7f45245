"""The graphs of the alpha LoRA and of tiled fusion in a real ComfyUI server, on the tiny files of LTX-2.5."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from ltx_core_impl.components.noisers import GaussianNoiser, seeded_generators
from ltx_core_impl.conditioning.rules import LTX_2_5_RULES
from ltx_core_impl.conditioning.video_items import VideoConditionByReferenceLatent
from ltx_core_impl.loader import SingleGPUModelBuilder
from ltx_core_impl.media import conditioning_video, probe_video, read_at_rate, read_audio
from ltx_core_impl.model.transformer import LTXModelConfigurator, X0Model
from ltx_core_impl.sampling.denoisers import SimpleDenoiser
from ltx_core_impl.sampling.loops import euler_ancestral_denoising_loop, euler_denoising_loop
from ltx_core_impl.sampling.stage import StageModality
from ltx_core_impl.types import VideoPixelShape
from tests.conftest import assert_close
from tests.pipeline_helpers import FPS, HEIGHT, WIDTH, with_sizes, write_inputs
from tests.sampling_helpers import tools
from tests.text_helpers import TRANSFORMER_25, load_model
from tests.workflows.test_hdr_graphs import LORA, encoder, library_stage, run
from tests.workflows.test_ltx25 import decode, files, prompt_of
from tools.graphs import ltx25_mattes
from tools.server import Server

FRAMES = 17


@pytest.fixture(scope="module", autouse=True)
def inputs(server: Server) -> None:
    write_inputs(server.output.parent / "input")


def test_every_graph_is_tested() -> None:
    assert {graph.name for graph in ltx25_mattes.GRAPHS} == {"ltx-2.5-alpha", "ltx-2.5-tiled-fusion"}


def test_a_clip_gets_its_matte_as_a_film_with_alpha(server: Server) -> None:
    [preview] = files(server, prompt_of("ltx-2.5-alpha"))
    assert preview.suffix == ".mp4"
    film = max((server.output / "video").glob("ltx-2.5-alpha*.mov"), key=lambda path: path.stat().st_mtime)
    info = probe_video(film)
    assert (info.width, info.height, info.frames, info.has_alpha) == (WIDTH, HEIGHT, FRAMES, True)
    assert read_audio(film).waveform.shape[-1] == pytest.approx(FRAMES / FPS * 44100, abs=2)
    alpha = torch.cat(list(read_at_rate(film, FPS, alpha=True)))
    over, colours = (torch.cat(list(read_at_rate(path, FPS))).float() for path in (preview, film))
    # The preview is the clip times the matte, over black, in 8 bits and with loss.
    assert (over / 255 - colours * alpha[..., None]).abs().mean() < 0.05
    assert 0 < alpha.std()


def test_a_canvas_is_filled_in_tiles_and_windows(server: Server) -> None:
    path: Path
    [path] = files(server, with_sizes(prompt_of("ltx-2.5-tiled-fusion"), 128, 128, 64, 64, 9, 128, 128))
    info = probe_video(path)
    assert (info.width, info.height, info.frames, info.has_audio) == (128, 128, FRAMES, True)


@pytest.mark.parametrize("name", ["ltx-2.5-alpha", "ltx-2.5-tiled-fusion"])
@torch.inference_mode()
def test_latents_are_the_librarys(server: Server, name: str) -> None:
    """The tiles of a canvas that is one tile are the plain run."""
    prompt, text, loop = prompt_of(name), "", partial(euler_ancestral_denoising_loop, noise_seed=[42 + 10000])
    if name == "ltx-2.5-tiled-fusion":
        prompt, text, loop = with_sizes(prompt, *[64] * 4, FRAMES, 64, 64), ltx25_mattes.LOOK, euler_denoising_loop
    latent = run(server, prompt, ["Sampling"]).latents["Sampling"]

    film = torch.from_numpy(decode(server.output.parent / "input" / "source.mp4")[:FRAMES]).to(torch.uint8)
    [context] = load_model("2.5").encode([text])
    builder = SingleGPUModelBuilder(LTXModelConfigurator, TRANSFORMER_25).lora(LORA, strength=1.0)
    video_tools, _ = tools(VideoPixelShape(1, FRAMES, HEIGHT, WIDTH, FPS), LTX_2_5_RULES)
    reference = VideoConditionByReferenceLatent(encoder()(conditioning_video(film, HEIGHT, WIDTH)))
    expected, _ = library_stage(
        transformer=X0Model(builder.build("cpu", torch.float32)),
        denoiser=SimpleDenoiser(context.video_encoding, context.audio_encoding),
        noiser=GaussianNoiser(seeded_generators([42])),
        video=StageModality(video_tools, [reference]),
        loop=loop,
    )
    assert_close(latent, expected.latent, tolerance=1e-4)
