"""Alpha from end to end: padding, refining, writing, reading back as a mask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ltx_core_impl.media import probe_video, read_at_rate, read_audio
from ltx_core_impl.media.matte import MatteSettings, composited, refined_matte, unmixed

Run = Callable[..., tuple[Any, ...]]
PRORES, WEBM, PNG = "MOV (ProRes 4444)", "WebM (VP9)", "PNG files"


@pytest.fixture
def folders(pack: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """ComfyUI's input and output folder, empty."""
    import folder_paths

    found = SimpleNamespace(input=tmp_path / "input", output=tmp_path / "output")
    for name, path in vars(found).items():
        path.mkdir()
        monkeypatch.setattr(folder_paths, f"{name}_directory", str(path))
    return found


@pytest.fixture(scope="module")
def video_vae(nodes: dict[str, Any]) -> Any:
    with torch.inference_mode():
        return nodes["LTX2CheckpointLoader"].execute("ltx-2.3-tiny.safetensors", "auto", "none", "none", 1.0).args[1]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def edge(frames: int, height: int, width: int) -> torch.Tensor:
    """A matte with a soft edge that moves."""
    x = torch.arange(width).expand(height, -1)
    return torch.stack([((x - 20 - frame) / 8).clamp(0, 1) for frame in range(frames)])


def read_alpha(path: str) -> torch.Tensor:
    return torch.cat(list(read_at_rate(path, 24, alpha=True)))


SOUND = {"waveform": torch.sin(torch.arange(48000) / 20)[None, None] / 2, "sample_rate": 48000}


# --- Padding and refining ---------------------------------------------------------------------------------------------


def test_padding_mirrors_and_is_cut_back(run: Run) -> None:
    pictures = noise(10, 50, 70, 3)
    fitted = run("LTX2FitVideo", images=pictures, frame_rate=24.0, fit="pad")
    images, _, width, height, length, _, source_width, source_height = fitted
    assert images.shape == (9, 64, 96, 3) == (length, height, width, 3)
    assert (source_width, source_height) == (70, 50)
    assert torch.equal(images[:, :50, :70], pictures[:9])
    assert torch.equal(images[:, 50:, :70], pictures[:9, 35:49].flip(1))
    assert torch.equal(images[:, :50, 70:], pictures[:9, :, 43:69].flip(2))
    refined = run("LTX2RefineMatte", matte=images, images=pictures)
    assert torch.equal(refined[2], pictures[:9, ..., 0]) and torch.equal(refined[3], pictures[:9])


def test_the_node_does_the_steps_of_the_library(run: Run) -> None:
    matte, pictures, plate = edge(3, 32, 48), noise(3, 32, 48, 3), noise(2, 16, 16, 3, seed=1)
    shown = matte[..., None].expand(-1, -1, -1, 3)
    values = {"expand": -1, "black_clip": 0.1, "white_clip": 0.05, "feather": 0.7, "mix": 0.9}
    over, rgba, mask, images = run(
        "LTX2RefineMatte", matte=shown, images=pictures, plate=plate, unmix=0.8, unmix_radius=4, plate_end="loop",
        invert=True, **values,
    )  # fmt: skip
    expected = refined_matte(matte, MatteSettings(invert=True, **values))
    assert torch.equal(mask, expected)
    assert torch.equal(images, unmixed(pictures, expected, 0.8, 4))
    assert torch.equal(rgba, torch.cat([images, mask[..., None]], dim=-1))
    assert torch.equal(over, composited(images, mask, plate, loop=True))


def test_a_matte_alone_is_shown_in_grey_and_alpha_counts_before_red(run: Run) -> None:
    matte = noise(2, 7, 9, 4)
    over, rgba, mask, images = run("LTX2RefineMatte", matte=matte)
    assert torch.equal(mask, matte[..., 3]) and (images == 0.5).all()
    assert over.shape == (2, 8, 10, 3) and rgba.shape == (2, 7, 9, 4)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"images": torch.zeros(1, 40, 40, 3)}, "smaller matte cannot be cut"),
        ({"unmix": 0.5}, "images is not connected"),
        ({"expand": 129}, "expand is 129"),
        ({"black_clip": 0.6}, "black_clip is 0.6"),
        ({"matte": torch.zeros(3, 4)}, "matte needs pictures"),
    ],
)
def test_mattes_that_do_not_fit_are_refused(run: Run, inputs: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        run("LTX2RefineMatte", **({"matte": torch.zeros(1, 32, 48, 3)} | inputs))


def test_unmix_without_colours_is_refused_when_queued(nodes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="images is not connected"):
        nodes["LTX2RefineMatte"].validate_inputs(unmix=0.5)
    assert nodes["LTX2RefineMatte"].validate_inputs(unmix=0.5, images=None) is True


def test_another_size_is_scaled_when_asked(run: Run) -> None:
    mask = run("LTX2RefineMatte", matte=torch.ones(1, 8, 8, 3), images=torch.zeros(1, 20, 30, 3), size="resize")[2]
    torch.testing.assert_close(mask, torch.ones(1, 20, 30))


# --- Writing and reading ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("format", "tolerance"), [(PRORES, 1 / 1023), (WEBM, 0.5 / 255)])
def test_films_with_alpha_come_back(run: Run, folders: SimpleNamespace, format: str, tolerance: float) -> None:
    pictures, mask = noise(11, 31, 48, 3), edge(11, 31, 48)
    [path] = run("LTX2SaveAlpha", images=pictures, frame_rate=24.0, format=format, crf=0, mask=mask, audio=SOUND)
    assert Path(path).parent == folders.output / "video"
    info = probe_video(path)
    assert (info.width, info.height, info.has_audio, info.has_alpha) == (48, 32, True, True)
    assert info.frames == 11
    alpha = read_alpha(path)
    assert (alpha[:, :31] - mask).abs().max() <= tolerance + 1e-6
    assert not alpha[:, 31:].any()
    assert read_audio(path).waveform.abs().max() > 0.4


def test_png_files_come_back(run: Run, folders: SimpleNamespace) -> None:
    rgba = torch.cat([noise(3, 31, 47, 3), edge(3, 31, 47)[..., None]], dim=-1)
    [folder] = run("LTX2SaveAlpha", images=rgba, frame_rate=24.0, format=PNG, audio=SOUND)
    assert sorted(file.name for file in Path(folder).iterdir()) == [
        "frame_00000.png", "frame_00001.png", "frame_00002.png", "sound.wav",
    ]  # fmt: skip
    with Image.open(Path(folder) / "frame_00002.png") as image:
        assert np.array_equal(np.array(image), (rgba[2] * 255).round().numpy().astype(np.uint8))


@pytest.mark.parametrize(("format", "tolerance"), [(PRORES, 1 / 1023), (WEBM, 0.5 / 255)])
def test_a_latent_becomes_a_film_with_alpha(
    run: Run, folders: SimpleNamespace, video_vae: Any, format: str, tolerance: float
) -> None:
    latent = {"samples": noise(1, 128, 3, 2, 3) - 0.5, "frame_rate": 24.0}
    mask = edge(17, 32, 48)
    tiles = {"tile_size": 0, "temporal_size": 16, "temporal_overlap": 8}
    wires = {"video_latent": latent, "video_vae": video_vae, "crf": 0, "format": format, "audio": SOUND}
    run("LTX2SaveVideo", alpha=mask, **wires, **tiles)
    [path] = (folders.output / "video").iterdir()
    expected = torch.nn.functional.interpolate(mask[:, None], (64, 96), mode="area")[:, 0]
    assert (read_alpha(str(path)) - expected).abs().max() <= tolerance + 1e-6
    path.unlink()
    run("LTX2SaveVideo", **wires, **tiles)
    [path] = (folders.output / "video").iterdir()
    assert (read_alpha(str(path)) == 1).all() and probe_video(path).frames == 17


def test_alpha_that_the_format_or_the_clip_does_not_take_is_refused(
    run: Run, nodes: dict[str, Any], folders: SimpleNamespace, video_vae: Any
) -> None:
    latent = {"samples": torch.zeros(1, 128, 1, 2, 3), "frame_rate": 24.0}
    with pytest.raises(ValueError, match=r"MP4 \(H.264\) has none. Choose format MOV"):
        run("LTX2SaveVideo", video_latent=latent, video_vae=video_vae, alpha=torch.ones(1, 4, 4))
    with pytest.raises(ValueError, match="alpha has 3 frames, a clip of video_latent 1"):
        run("LTX2SaveVideo", video_latent=latent, video_vae=video_vae, alpha=torch.ones(3, 4, 4), format=PRORES)
    widgets = {"filename_prefix": "x", "crf": 19, "frame_rate": 0.0, "tile_size": 512, "tile_overlap": 64}
    widgets |= {"temporal_size": 64, "temporal_overlap": 24}
    with pytest.raises(ValueError, match="has none"):
        nodes["LTX2SaveVideo"].validate_inputs(**widgets, alpha=None)
    assert nodes["LTX2SaveVideo"].validate_inputs(**widgets, alpha=None, format=WEBM) is True
    assert nodes["LTX2SaveVideo"].validate_inputs(**widgets) is True
    with pytest.raises(ValueError, match="mask has 2 frames"):
        run("LTX2SaveAlpha", images=torch.zeros(3, 4, 4, 3), frame_rate=24.0, mask=torch.ones(2, 4, 4))
    assert not list(folders.output.rglob("*.*"))


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_a_file_gives_its_alpha_as_a_mask(run: Run, folders: SimpleNamespace, video_vae: Any, fit: str) -> None:
    mask = edge(11, 80, 128)
    [path] = run("LTX2SaveAlpha", images=noise(11, 80, 128, 3), frame_rate=24.0, format=PRORES, mask=mask)
    Path(path).rename(folders.input / "film.mov")
    result = run("LTX2EncodeVideoFile", file="film.mov", video_vae=video_vae, fit=fit)
    video, alpha = result[0], result[7]
    height, width = (side * 32 for side in video["samples"].shape[-2:])
    assert alpha.shape == (9, height, width) == ((9, 64, 128) if fit == "crop" else (9, 128, 128))
    expected = mask[:9, 8:72] if fit == "crop" else mask[:9]
    assert (alpha[:, : expected.shape[1]] - expected).abs().max() <= 1 / 1023 + 1e-6


def test_a_file_without_alpha_is_opaque(run: Run, folders: SimpleNamespace, video_vae: Any) -> None:
    run(
        "LTX2SaveVideo", video_latent={"samples": torch.zeros(1, 128, 2, 2, 3), "frame_rate": 24.0}, video_vae=video_vae
    )
    [path] = (folders.output / "video").iterdir()
    path.rename(folders.input / "film.mp4")
    alpha = run("LTX2EncodeVideoFile", file="film.mp4", video_vae=video_vae)[7]
    assert torch.equal(alpha, torch.ones(1, 64, 96))
