"""The HDR graphs of LTX-2.5 in a real ComfyUI server: what their files hold, and the library's numbers.

Each graph runs once; the latents that it makes are saved beside its files.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import NamedTuple

import av
import pytest
import torch
from safetensors.torch import load_file

from ltx_core_impl.components.noisers import GaussianNoiser, seeded_generators
from ltx_core_impl.conditioning.rules import LTX_2_5_RULES
from ltx_core_impl.conditioning.video_items import VideoConditionByLatentIndex, VideoConditionByReferenceLatent
from ltx_core_impl.light.hlg import hlg_codes
from ltx_core_impl.light.primaries import AP1
from ltx_core_impl.light.spaces import delivered, to_code
from ltx_core_impl.loader import SingleGPUModelBuilder
from ltx_core_impl.media import conditioning_image, probe_video, read_at_rate, read_audio
from ltx_core_impl.media.display import WorkingCode
from ltx_core_impl.media.exr_reader import exr_info, read_exr
from ltx_core_impl.media.resize import FITS, PAD, to_encoder_range
from ltx_core_impl.model.transformer import LTXModelConfigurator, X0Model
from ltx_core_impl.model.video_vae import VideoEncoderConfigurator, decode_video
from ltx_core_impl.presets import DISTILLED_SIGMAS
from ltx_core_impl.sampling.denoisers import SimpleDenoiser
from ltx_core_impl.sampling.loops import euler_ancestral_denoising_loop
from ltx_core_impl.sampling.stage import StageModality, denoise_stage
from ltx_core_impl.types import VideoPixelShape
from tests.conftest import GOLDEN_25, assert_close
from tests.golden_cases.test_video_vae_25 import DIFFUSION, diffusion_decoder, load
from tests.hdr_inputs import FRAMES, MASKED, SDR_HEIGHT, SDR_RATE, SDR_WIDTH, SIDE, light, write_hdr_inputs
from tests.pipeline_helpers import with_inputs, write_inputs
from tests.sampling_helpers import tools
from tests.text_helpers import TRANSFORMER_25, load_model
from tests.workflows.shared_server import SCENE
from tests.workflows.test_ltx25 import files, prompt_of
from tools.graphs import ltx25_hdr
from tools.server import Prompt, Server

HALF = 2.0**-11
LORA = GOLDEN_25 / "loras" / "ltx-2.5-tiny-distilled-lora-bf16.safetensors"
library_stage = partial(denoise_stage, device="cpu", dtype=torch.float32, sigmas=DISTILLED_SIGMAS)


@pytest.fixture(scope="module", autouse=True)
def inputs(server: Server) -> None:
    folder = server.output.parent / "input"
    write_inputs(folder)
    write_hdr_inputs(folder)


class Result(NamedTuple):
    """What a graph wrote."""

    folder: Path
    latents: dict[str, torch.Tensor]

    @property
    def exr(self) -> list[Path]:
        return sorted(self.folder.glob("*.exr"))

    @property
    def master(self) -> Path:
        return self.folder / "master_hlg.mp4"


def run(server: Server, prompt: Prompt, samplers: Iterable[str]) -> Result:
    """Run a prompt with the picture of each sampler saved."""
    by_title = {node["_meta"]["title"]: key for key, node in prompt.items()}
    saving = {
        f"latents/hdr{number}": {"class_type": "SaveLatent", "inputs": {"samples": [by_title[title], 0]}}
        for number, title in enumerate(samplers)
    }
    for name, node in saving.items():
        node["inputs"]["filename_prefix"] = name
    written = files(server, {**prompt, **saving})
    [preview] = [path for path in written if path.suffix == ".mp4"]
    saved = [load_file(path)["latent_tensor"] for path in sorted(written) if path.suffix == ".latent"]
    return Result(preview.parent, dict(zip(samplers, saved, strict=True)))


def check_files(result: Result, frames: int, width: int, height: int, rate: int) -> None:
    """All frames, the same in all files, tagged, with sound."""
    assert len(result.exr) == frames
    header = exr_info(result.exr[0])
    assert header.color_space == "ACEScg" and header.chromaticities == pytest.approx(AP1.numbers, abs=1e-5)
    assert read_exr(result.exr[-1]).shape == (height, width, 3)
    preview = probe_video(result.folder / "preview.mp4")
    assert (preview.frames, preview.width, preview.height, preview.fps) == (frames, width, height, rate)
    with av.open(str(result.master)) as film:
        video = film.streams.video[0]
        assert (video.frames, video.average_rate) == (frames, Fraction(rate))
        assert (video.width, video.height, video.codec_context.pix_fmt) == (width, height, "yuv420p10le")
        codec = video.codec_context
        assert (codec.color_primaries, codec.color_trc, codec.colorspace) == (9, 18, 9)
    for path in (result.master, result.folder / "preview.mp4"):
        sound = read_audio(path)
        assert sound.waveform.shape[-1] / sound.sampling_rate == pytest.approx(frames / rate, abs=0.03)


def check_master(result: Result) -> None:
    """The master shows the light of the EXR files."""
    with av.open(str(result.master)) as film:
        shown = next(film.decode(video=0)).to_ndarray()
    picture = read_exr(result.exr[0])
    wanted = hlg_codes(picture[None], AP1).luma[0].float()
    height, width = wanted.shape
    assert (torch.from_numpy(shown[:height, :width].astype("float32")) - wanted).abs().mean() < 8  # of 876, lossy


def check_decoded(result: Result, latent: torch.Tensor) -> None:
    """The EXR files hold what the library's decoder gives for the latent, rounded to half."""
    decoded = decode_video(latent, diffusion_decoder(), None, generator=seeded_generators(0), dtype=torch.float32)
    code = torch.cat(list(decoded))
    for index in (0, len(code) // 2, len(code) - 1):
        found = read_exr(result.exr[index])
        height, width = found.shape[:2]
        expected = delivered(code[index, :height, :width], "ACEScct", "acescg")
        torch.testing.assert_close(found, expected, rtol=HALF + 1e-3, atol=1e-4)


def encoder() -> torch.nn.Module:
    return load(VideoEncoderConfigurator, DIFFUSION, "encoder")


def test_every_graph_is_tested() -> None:
    names = {"ltx-2.5-hdr-image-to-video", "ltx-2.5-sdr-to-hdr", "ltx-2.5-hdr-inpaint"}
    assert {graph.name for graph in ltx25_hdr.GRAPHS} == names


@torch.inference_mode()
def test_a_still_becomes_a_clip(server: Server) -> None:
    prompt = prompt_of("ltx-2.5-hdr-image-to-video", length=9, width=32, height=32)
    result = run(server, prompt, ["Stage 1", "Stage 2"])
    check_files(result, 9, 64, 64, 24)
    check_master(result)
    check_decoded(result, result.latents["Stage 2"])

    code = to_code(light(1), "srgb_linear")[0]
    first = encoder()(conditioning_image(code, 32, 32, 0))
    [context] = load_model("2.5").encode([ltx25_hdr.STILL])
    video_tools, audio_tools = tools(VideoPixelShape(1, 9, 32, 32, 24.0), LTX_2_5_RULES)
    expected, _ = library_stage(
        transformer=X0Model(SingleGPUModelBuilder(LTXModelConfigurator, TRANSFORMER_25).build("cpu", torch.float32)),
        denoiser=SimpleDenoiser(context.video_encoding, context.audio_encoding),
        noiser=GaussianNoiser(seeded_generators([42])),
        video=StageModality(video_tools, [VideoConditionByLatentIndex(first, 1.0, 0)]),
        audio=StageModality(audio_tools),
        loop=partial(euler_ancestral_denoising_loop, noise_seed=[42 + 10000]),
    )
    assert_close(result.latents["Stage 1"], expected.latent, tolerance=1e-4)


@torch.inference_mode()
def test_an_sdr_film_becomes_a_master_at_its_own_rate(server: Server) -> None:
    prompt = with_inputs(prompt_of("ltx-2.5-sdr-to-hdr"), "LTX2EncodeVideoFile", file="sdr.mp4")
    result = run(server, prompt, ["Sampling"])
    check_files(result, FRAMES, SDR_WIDTH, SDR_HEIGHT, SDR_RATE)
    check_decoded(result, result.latents["Sampling"])
    heard = read_audio(result.master).waveform
    assert heard.abs().max() > 0.3, "the film's own sound"

    path = server.output.parent / "input" / "sdr.mp4"
    code = torch.cat(list(read_at_rate(path, SDR_RATE, show=WorkingCode)))
    padded = to_encoder_range(FITS[PAD](code, 64, 128), code.dtype).transpose(0, 1)[None]
    builder = SingleGPUModelBuilder(LTXModelConfigurator, TRANSFORMER_25).lora(LORA, strength=1.0)
    told = VideoPixelShape(1, FRAMES, 64, 128, 30.0)  # though the film plays at 50
    video_tools, audio_tools = tools(told, LTX_2_5_RULES)
    expected, _ = library_stage(
        transformer=X0Model(builder.build("cpu", torch.float32)),
        denoiser=SimpleDenoiser(*(SCENE[name][None] for name in ("video_context", "audio_context"))),
        noiser=GaussianNoiser(seeded_generators([42])),
        video=StageModality(video_tools, [VideoConditionByReferenceLatent(encoder()(padded))]),
        audio=StageModality(audio_tools),
    )
    assert_close(result.latents["Sampling"], expected.latent, tolerance=1e-4)


def test_a_masked_part_is_filled_and_the_rest_stays(server: Server) -> None:
    frames = 9
    prompt = with_inputs(prompt_of("ltx-2.5-hdr-inpaint"), "LTX2LoadHDR", width=SIDE, height=SIDE, length=frames)
    result = run(server, with_inputs(prompt, "LTX2InpaintFill", grow=4), ["Stage 1", "Stage 2"])
    assert result.latents["Stage 1"].shape[-2:] == (2, 2) and result.latents["Stage 2"].shape[-2:] == (4, 4)
    check_files(result, frames, SIDE, SIDE, 24)
    source = delivered(to_code(light(frames), "srgb_linear"), "ACEScct", "acescg")
    for index in (0, 4, frames - 1):
        found = read_exr(result.exr[index])
        change = (found - source[index]).abs() / source[index].clamp_min(0.05)
        assert change[MASKED + 64 :, MASKED + 64 :].mean() < 0.02, "far from the mask it is the source"
        assert change[:MASKED, :MASKED].mean() > 0.1, "and inside it is not"
