"""Shots in tiled fusion: a tile reads the texts of its own part of the clip, on the tiny files of LTX-2.5."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch

from tests.nodes.test_ltx25 import GEMMA, projection, sample
from tests.unit.test_sampling_shots import Reading

Run = Callable[..., tuple[Any, ...]]
FPS, FRAMES = 24.0, 65  # 9 latent frames; the middle of number f > 0 lies at (8f - 3) / 24 s
CUT = 1.4  # between latent frames 4 and 5
BEFORE, AFTER = "a red circle", "a dog barks"


def module(name: str) -> ModuleType:
    return sys.modules[f"ltx2_pack.{name}"]


def timed(run: Run, prompt: str) -> Any:
    [encoder] = run("LTX2TextEncoderLoader", text_encoder=GEMMA, text_projection=projection(run))
    return run("LTX2TimedPrompt", text_encoder=encoder, prompt=prompt, frame_rate=FPS, border=0.0)[0]


def fused(run: Run, prompt: str, tile_frames: int) -> torch.Tensor:
    """One step, in which every cell depends on the tiles that hold it alone."""
    latent = run("LTX2EmptyLatents", width=96, height=64, length=FRAMES, frame_rate=FPS)[0]
    [windows] = run("LTX2TiledFusion", tile_width=64, tile_height=64, tile_frames=tile_frames)
    [guider] = run("LTX2Guider", positive=timed(run, prompt))
    wires = {"guider": guider, "windows": windows, "sigmas": torch.tensor([1.0, 0.0]), "solver": "euler"}
    return sample(run, video_latent=latent, **wires)[0]["samples"]


def test_tiles_within_a_shot_are_made_with_its_prompt_alone(run: Run) -> None:
    """Windows of 3 latent frames start at every latent frame: those from 0 to 2 lie in the first shot, 5 and 6 in the
    second, 3 and 4 in both."""
    found = fused(run, f"0-{CUT}s: {BEFORE}\n{CUT}s: {AFTER}", tile_frames=17)
    before, after = fused(run, BEFORE, tile_frames=17), fused(run, AFTER, tile_frames=17)
    assert torch.equal(found[:, :, :3], before[:, :, :3])
    assert torch.equal(found[:, :, 7:], after[:, :, 7:])
    for frame in range(9):
        assert not torch.equal(before[:, :, frame], after[:, :, frame])
    for frame in (4, 5):
        assert not torch.equal(found[:, :, frame], before[:, :, frame])
        assert not torch.equal(found[:, :, frame], after[:, :, frame])


@pytest.mark.parametrize(("tile_frames", "cycle"), [(17, 1), (33, 2), (0, 1), (0, 2)])
def test_every_token_reads_the_text_of_its_time(run: Run, tile_frames: int, cycle: int) -> None:
    """Whatever the tiles, picture and sound are told what the whole clip at once would be told."""
    handles, types = module("nodes.wires.handles"), module("ltx_core_impl.types")
    conditioning, stage = module("ltx_core_impl.conditioning.tools"), module("ltx_core_impl.sampling.stage")
    pixels = types.VideoPixelShape(batch=1, frames=FRAMES, height=64, width=96, fps=FPS)
    video = conditioning.VideoLatentTools(types.VideoLatentShape.from_pixel_shape(pixels), fps=FPS)
    audio = conditioning.AudioLatentTools(types.AudioLatentShape.from_video_pixel_shape(pixels))
    shots = module("ltx_core_impl.sampling.timed_text").Shots((0.5, CUT), 0.4)
    texts = torch.arange(3.0).repeat_interleave(2)[None, :, None].expand(1, 6, 4)
    made = module("nodes.sampling.denoising").Denoising(
        guider=handles.Guider(positive=handles.Context(texts, texts, "2.5", shots=shots)),
        sigmas=torch.tensor([1.0, 0.0]),
        windows=handles.Windows(fusion=handles.TiledFusion(64, 64, tile_frames, 0.5, cycle)),
        corrections=handles.Corrections(),
        force_uncond=False,
        rows_at_once=None,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    tools = module("nodes.sampling.denoising").Tools(video, audio)
    reader = Reading()
    noisers = module("ltx_core_impl.components.noisers")
    states = stage.denoise_stage(
        transformer=reader,
        denoiser=made.denoiser(tools),
        sigmas=made.sigmas,
        noiser=noisers.GaussianNoiser(noisers.seeded_generators(5)),
        device="cpu",
        dtype=torch.float32,
        video=stage.StageModality(video),
        audio=stage.StageModality(audio),
    )
    assert len(reader.calls) > 1
    for tool, state in zip(tools, states, strict=True):
        middles = tool.target_positions()[0, 0].mean(-1)
        expected = (shots.shares(middles) * torch.arange(3.0)[:, None]).sum(0).float()
        assert expected.unique().numel() > 3
        found = tool.patchifier.patchify(state.latent)[0]
        torch.testing.assert_close(found, expected[:, None].expand_as(found), rtol=0, atol=1e-5)
    if not tile_frames:
        grids = getattr(made.denoiser(tools), "denoisers", [])
        inner = [tile for grid in grids for tile in getattr(grid, "denoisers", [grid])]
        assert len(inner) == 2 * cycle
        assert all(one.video_context.shots == one.audio_context.shots == shots for one in inner)
