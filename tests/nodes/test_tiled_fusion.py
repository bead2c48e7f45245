"""Tiled fusion and reference sheets as nodes, on the tiny files of LTX-2.5."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from ltx_core_impl.sampling.fusion_plan import axis_origins
from tests.nodes.test_ltx25 import context, model, sample, sigmas, video_vae

Run = Callable[..., tuple[Any, ...]]
FPS = 24.0


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def film(frames: int, height: int, width: int) -> torch.Tensor:
    """Smooth colours that move."""
    x, y = torch.linspace(0, 3, width), torch.linspace(0, 2, height)[:, None]
    shades = [torch.stack([x + y * 0 + t / 20, y + x * 0, x * y + t / 30], dim=-1) for t in range(frames)]
    return torch.stack(shades).sin().abs()


def empty(run: Run, width: int, height: int, length: int, **more: Any) -> tuple[dict, dict]:
    return run("LTX2EmptyLatents", width=width, height=height, length=length, frame_rate=FPS, **more)[:2]


def fused(run: Run, latent: dict, guides: Any = None, **inputs: Any) -> dict:
    names = ("tile_width", "tile_height", "tile_frames", "overlap", "grid_cycle", "windows")
    plan = {name: inputs.pop(name) for name in names if name in inputs}
    [windows] = run("LTX2TiledFusion", **plan)
    values = {"solver": "euler", "sigmas": torch.tensor([1.0, 0.7, 0.3, 0.0])}
    return sample(run, video_latent=latent, windows=windows, guides=guides, **(values | inputs))[0]


def reference(run: Run, images: torch.Tensor, latent: dict, **inputs: Any) -> Any:
    return run(
        "LTX2ReferenceVideoGuide",
        images=images,
        model=inputs.pop("model", None) or model(run),
        video_vae=video_vae(run),
        video_latent=latent,
        **inputs,
    )[0]


def decoded(run: Run, latent: dict, seed: int = 0) -> torch.Tensor:
    return run("LTX2VideoVAEDecode", video_latent=latent, video_vae=video_vae(run, "diffusion"), noise_seed=seed)[0]


def steps_between_cells(values: torch.Tensor, cell: int) -> torch.Tensor:
    """Mean change from column to column across the borders of latent cells, ``(borders)``."""
    changes = (values[..., 1:] - values[..., :-1]).abs()
    return changes.flatten(end_dim=-2).mean(dim=0)[cell - 1 :: cell]


def test_seams_are_below_the_noise_of_the_decoder(run: Run) -> None:
    """What tiles change of the picture that is made at once has no steps where tiles begin and end: none in the latent,
    where tiles without overlap have them, and in the picture less than another seed of the decoder changes."""
    latent, _ = empty(run, 384, 96, 9)
    images = film(9, 96, 384)
    wires = {"guides": reference(run, images, latent), "sigmas": sigmas(run, "stage 1 (8 steps)"), "solver": "euler"}
    whole = sample(run, video_latent=latent, **wires)[0]
    tiled = fused(run, latent, tile_width=128, tile_height=96, **wires)
    [side_by_side] = run("LTX2SpatialTiles", columns=3, rows=1, overlap=0)
    cut = sample(run, video_latent=latent, windows=side_by_side, **wires)[0]

    def ratio(result: dict, edges: set[int]) -> float:
        steps = steps_between_cells(result["samples"] - whole["samples"], cell=1)
        at_edges = torch.tensor([cell in edges for cell in range(1, 12)])
        return (steps[at_edges].mean() / steps[~at_edges].mean()).item()

    edges = {cell for start in axis_origins(12, 4) for cell in (start, start + 4)} - {0, 12}
    assert edges == {2, 4, 6, 8, 10}
    assert ratio(cut, {4, 8}) > 1.4, "a seam would be seen here"
    assert ratio(tiled, edges) < 1.1

    expected = decoded(run, whole)
    decoder_noise = (decoded(run, whole, seed=1) - expected).abs().mean()
    change = (decoded(run, tiled) - expected).movedim(-1, 0)
    assert change.abs().mean() < decoder_noise
    assert steps_between_cells(change, cell=32).max() < decoder_noise


def test_one_tile_is_the_plain_run(run: Run) -> None:
    latent, audio = empty(run, 96, 64, 17)
    values = {"audio_latent": audio, "solver": "euler_ancestral"}
    plain = sample(run, video_latent=latent, sigmas=torch.tensor([1.0, 0.7, 0.3, 0.0]), **values)[0]
    alone = fused(run, latent, tile_width=1024, tile_height=576, grid_cycle=4, **values)
    assert torch.equal(plain["samples"], alone["samples"])


def test_windows_in_time_take_a_reference_of_their_own(run: Run) -> None:
    latent, _ = empty(run, 96, 64, 33)
    images = film(33, 64, 96)
    guides = reference(run, images, latent, tile_frames=17)
    [item] = guides.video
    assert item.starts == (0, 1, 2)
    for start, part in zip(item.starts, item.latents, strict=True):
        [alone] = reference(run, images[8 * start : 8 * start + 17], empty(run, 96, 64, 17)[0]).video
        torch.testing.assert_close(part, alone.latent)
    result = fused(run, latent, guides, tile_width=64, tile_height=64, tile_frames=17, grid_cycle=2)
    assert result["samples"].shape == (1, 128, 5, 2, 3) and torch.isfinite(result["samples"]).all()
    whole = reference(run, images, latent, tile_frames=49).video[0]
    assert not hasattr(whole, "starts"), "one window is encoded as ever"


def test_the_memory_is_that_of_a_tile(run: Run, pack: Any) -> None:
    denoising, components = (
        sys.modules[f"ltx2_pack.nodes.{name}"] for name in ("sampling.denoising", "loading.components")
    )
    modalities, handles = (sys.modules[f"ltx2_pack.nodes.{name}"] for name in ("latents.modalities", "wires.handles"))
    handle = model(run)
    [windows] = run("LTX2TiledFusion", tile_width=128, tile_height=128, tile_frames=17)
    sizes = []
    for side in (256, 512):
        latent, _ = empty(run, side, side, side // 8 + 1)
        cells = latent["samples"].shape[2:]
        starts = tuple(sorted({tile.frames.start for tile in denoising.sampling.fusion_grids(cells, (3, 4, 4))[0]}))
        latents = tuple(torch.zeros(1, 128, 3, *cells[1:]) for _ in starts)
        item = sys.modules["ltx2_pack.ltx_core_impl.conditioning"].VideoConditionByWindowedReference(latents, starts)
        guides = handles.Guides((item,))
        video = modalities.video_modality(latent, handle, None, None, modalities.Start(1.0), guides)
        sizes.append(components.bytes_per_row(handle, denoising.largest_part(windows, video), None))
    assert sizes[0] == sizes[1]
    tokens = denoising.largest_part(windows, video)
    assert sys.modules["ltx2_pack.ltx_core_impl.sampling.memory"].token_count(tokens) == 2 * 3 * 4 * 4


REFUSALS = {
    "history": ({"solver": "gradient_estimating_euler"}, "goes by the step before"),
    "batch": ({"batch_size": 2}, "one clip at a time"),
    "time": ({"length": 41, "tile_frames": 17, "guide": True}, "each needs the reference encoded for it"),
    "sound": ({"length": 41, "tile_frames": 17, "sound": True}, "no sound is made"),
    "windows": (
        {"length": 41, "tile_frames": 17, "guide": True, "guide_frames": 25},
        "encoded for 2 windows in time, this run has 4",
    ),
    "skipped": ({"grid_cycle": 2, "skip": 1}, "Set skip_step to 0"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_fused_is_refused(run: Run, case: str) -> None:
    inputs, words = dict(REFUSALS[case][0]), REFUSALS[case][1]
    length = inputs.pop("length", 9)
    latent, audio = empty(run, 128, 96, length, batch_size=inputs.pop("batch_size", 1))
    frames = {"tile_frames": inputs.pop("guide_frames")} if "guide_frames" in inputs else {}
    guides = reference(run, film(length, 96, 128), latent, **frames) if inputs.pop("guide", False) else None
    if inputs.pop("sound", False):
        inputs["audio_latent"] = audio
    if skipped := inputs.pop("skip", 0):
        [guidance] = run("LTX2GuidanceParameters", preset="custom", cfg=1.0, stg_scale=0.0, skip_step=skipped)
        [inputs["guider"]] = run("LTX2Guider", positive=context(run), video_guidance=guidance)
    with pytest.raises(ValueError, match=words):
        fused(run, latent, guides, tile_width=96, tile_height=64, **inputs)


def test_a_smaller_reference_is_refused(run: Run) -> None:
    latent, _ = empty(run, 128, 128, 9)
    small = {"samples": noise(1, 128, 2, 2, 2), "frame_rate": FPS}
    handle = model(run, lora="ltx-2.5-tiny-ic-lora-pixel-spatial-upscaler-x2-1.0.safetensors")
    [guides] = run("LTX2ReferenceLatentGuide", reference=small, model=handle, video_latent=latent)
    with pytest.raises(ValueError, match="smaller than the canvas"):
        fused(run, latent, guides, model=handle, tile_width=96, tile_height=64)
    with pytest.raises(ValueError, match="2 times smaller"):
        reference(run, film(41, 128, 128), empty(run, 128, 128, 41)[0], model=handle, tile_frames=17)


def test_a_windowed_reference_needs_the_same_windows(run: Run) -> None:
    latent, _ = empty(run, 128, 96, 41)
    guides = reference(run, film(41, 96, 128), latent, tile_frames=17)
    with pytest.raises(ValueError, match="the same tile_frames"):
        sample(run, video_latent=latent, guides=guides)
    with pytest.raises(ValueError, match="images give 33 frames for a clip of 41"):
        reference(run, film(33, 96, 128), latent, tile_frames=17)
    with pytest.raises(ValueError, match="tile_frames is 17 and frame_index is 9: windows in time"):
        reference(run, film(41, 96, 128), latent, tile_frames=17, frame_index=9)
    with pytest.raises(ValueError, match="look at their whole reference"):
        reference(run, film(41, 96, 128), latent, tile_frames=17, attention_strength=0.5)


def test_plans_that_contradict_each_other_are_refused(run: Run) -> None:
    [tiles], [fusion] = run("LTX2SpatialTiles"), run("LTX2TiledFusion")
    [windows] = run("LTX2ContextWindows", window_length=17, overlap=8)
    for node, inputs, words in (
        ("LTX2TiledFusion", {"windows": tiles}, "Spatial Tiles"),
        ("LTX2SpatialTiles", {"windows": fusion}, "Tiled Fusion"),
        ("LTX2TiledFusion", {"windows": windows, "tile_frames": 17}, "Set tile_frames to 0"),
        ("LTX2TiledFusion", {"tile_frames": 20}, "17 or 25"),
        ("LTX2TiledFusion", {"tile_width": 100}, "96 or 128"),
        ("LTX2TiledFusion", {"grid_cycle": 5}, "grid_cycle is 5"),
    ):
        with pytest.raises(ValueError, match=words):
            run(node, **inputs)
    [both] = run("LTX2TiledFusion", windows=windows)
    assert (both.length, both.fusion.width) == (17, 1024)


def test_sizes_for_a_source(run: Run) -> None:
    assert run("LTX2TilingSizes", width=1920, height=1080, length=121) == (3840, 2176, 1280, 736, 121, 1920, 1088)
    assert run("LTX2TilingSizes", width=1920, height=1080, length=500, canvas="8K") == (
        7680, 4352, 1280, 736, 97, 1920, 1088,
    )  # fmt: skip
    assert run("LTX2TilingSizes", width=640, height=360, length=97, canvas="qHD", tile="FullHD")[:4] == (
        960, 544, 960, 544,
    )  # fmt: skip


# --- Reference sheets -------------------------------------------------------------------------------------------------


def test_a_sheet_stands_still_for_the_whole_clip(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    place, person = noise(1, 90, 160, 3), torch.cat([noise(2, 120, 60, 3), torch.ones(2, 120, 60, 1)], dim=-1)
    images, sheet = run("LTX2ReferenceSheet", image_1=place, image_2=person, length=17)
    assert images.shape == (17, 448, 768, 3) and sheet.shape == (1, 448, 768, 3)
    assert images.untyped_storage().nbytes() == sheet.untyped_storage().nbytes(), "one picture in memory"
    assert (sheet == 0).all(dim=-1).any() and sheet.max() > 0.5
    assert not caplog.records
    ordered = run("LTX2ReferenceSheet", image_1=place, image_2=person, length=17, layout="1\n2, 3")[1]
    assert not torch.equal(ordered, sheet)
    run("LTX2ReferenceSheet", image_1=noise(3, 32, 32, 3), length=9)
    assert "split screen" in caplog.text


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"layout": "1 x"}, "the line '1 x'"),
        ({"layout": "1 1"}, "twice"),
        ({"layout": "1 2"}, r"pictures \[2\]"),
        ({"width": 100}, "96 or 128"),
        ({"length": 120}, "113 or 121"),
        ({"gap": 300}, "no room"),
    ],
)
def test_sheets_that_make_no_sense_are_refused(run: Run, inputs: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        run("LTX2ReferenceSheet", image_1=noise(1, 16, 16, 3), **inputs)
