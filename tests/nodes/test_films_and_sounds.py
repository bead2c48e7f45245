"""Films, sounds, links and unfinished files as people have them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from ltx_core_impl.media import write_video
from ltx_core_impl.types import Audio

Run = Callable[..., tuple[Any, ...]]


@pytest.fixture(scope="module")
def models(nodes: dict[str, Any]) -> SimpleNamespace:
    """Handles of the tiny LTX-2.3."""
    loaded = nodes["LTX2CheckpointLoader"].execute("ltx-2.3-tiny.safetensors", "auto", "none", "none", 1.0).args
    return SimpleNamespace(**dict(zip(("model", "video_vae", "audio_vae", "vocoder"), loaded, strict=False)))


@pytest.fixture
def folders(pack: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """ComfyUI's input and output folder, empty, and one on another drive."""
    import folder_paths

    found = SimpleNamespace(input=tmp_path / "input", output=tmp_path / "output", drive=tmp_path / "drive")
    for name, path in vars(found).items():
        path.mkdir()
        if name != "drive":
            monkeypatch.setattr(folder_paths, f"{name}_directory", str(path))
    return found


def latent(frames: int = 2) -> dict[str, Any]:
    samples = torch.randn(1, 128, frames, 2, 3, generator=torch.Generator().manual_seed(0))
    return {"samples": samples, "type": "video", "frame_rate": 24.0}


class LazySound(Mapping):
    """A sound that is read when somebody asks, as some packs hand it out."""

    def __init__(self, waveform: torch.Tensor) -> None:
        self._waveform = waveform
        self.reads = 0

    def __getitem__(self, key: str) -> Any:
        if key == "waveform":
            self.reads += 1
            return self._waveform
        return {"sample_rate": 16000}[key]

    def __iter__(self) -> Iterator[str]:
        return iter(("waveform", "sample_rate"))

    def __len__(self) -> int:
        return 2


def test_a_sound_is_what_answers_like_one(run: Run, models: SimpleNamespace) -> None:
    waveform = torch.rand(1, 2, 8000, generator=torch.Generator().manual_seed(1)) - 0.5
    [plain] = run("LTX2AudioVAEEncode", audio={"waveform": waveform, "sample_rate": 16000}, audio_vae=models.audio_vae)
    [lazy] = run("LTX2AudioVAEEncode", audio=LazySound(waveform), audio_vae=models.audio_vae)
    assert torch.equal(plain["samples"], lazy["samples"])


def test_a_sound_that_cannot_be_read_is_named(run: Run, models: SimpleNamespace) -> None:
    class Broken(LazySound):
        def __getitem__(self, key: str) -> Any:
            raise OSError("song.flac is gone")

    with pytest.raises(ValueError, match=r"audio could not be read: song\.flac is gone"):
        run("LTX2AudioVAEEncode", audio=Broken(torch.zeros(1, 1, 9)), audio_vae=models.audio_vae)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_sound_that_is_not_finite_is_refused_at_the_door(run: Run, models: SimpleNamespace, wrong: float) -> None:
    waveform = torch.zeros(1, 2, 8000)
    waveform[0, 1, 77] = wrong
    with pytest.raises(ValueError, match="audio holds values that are infinite or not a number"):
        run("LTX2AudioVAEEncode", audio={"waveform": waveform, "sample_rate": 16000}, audio_vae=models.audio_vae)


def test_six_channels_become_two(run: Run, models: SimpleNamespace, folders: SimpleNamespace) -> None:
    waveform = torch.rand(1, 6, 8000, generator=torch.Generator().manual_seed(1)) * 0.1
    audio = {"waveform": waveform, "sample_rate": 16000}
    [encoded] = run("LTX2AudioVAEEncode", audio=audio, audio_vae=models.audio_vae)
    assert encoded["samples"].isfinite().all()
    run("LTX2SaveVideo", video_latent=latent(), video_vae=models.video_vae, audio=audio)
    assert (folders.output / "video" / "LTX-2_00001_.mp4").is_file()


def test_a_sound_far_shorter_than_its_picture_is_said(
    run: Run, models: SimpleNamespace, folders: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = torch.zeros(25, 64, 64, 3, dtype=torch.uint8)
    write_video(folders.input / "whole.mp4", [pictures], fps=24, audio=Audio(torch.zeros(1, 48000), 48000))
    short = {"waveform": torch.zeros(1, 1, 800), "sample_rate": 16000}
    with caplog.at_level(logging.WARNING):
        run("LTX2EncodeVideoFile", file="whole.mp4", video_vae=models.video_vae)
        long = {"waveform": torch.zeros(1, 1, 6000), "sample_rate": 16000}
        run("LTX2SaveVideo", video_latent=latent(), video_vae=models.video_vae, audio=long)
        assert "lasts" not in caplog.text
        run("LTX2SaveVideo", video_latent=latent(), video_vae=models.video_vae, audio=short)
    assert "The sound of audio lasts 0.05 s, the picture 0.38 s" in caplog.text


@pytest.mark.parametrize("kind", ["video", "audio"])
def test_a_result_that_is_not_finite_is_said_by_its_node(
    run: Run, models: SimpleNamespace, folders: SimpleNamespace, kind: str
) -> None:
    if kind == "video":
        broken = latent()
        broken["samples"][0, 0, 0, 0, 0] = float("nan")
        with pytest.raises(ValueError, match="The decoded picture holds values that are infinite or not a number"):
            run("LTX2SaveVideo", video_latent=broken, video_vae=models.video_vae)
        assert not list(folders.output.rglob("*.mp4*"))
    else:
        samples = torch.full((1, 8, 4, 16), float("nan"))
        with pytest.raises(
            ValueError, match=r"The spectrogram holds .* \(100\.0% of them\)\. Usually that is a damaged"
        ):
            run("LTX2AudioVAEDecode", audio_latent={"samples": samples, "type": "audio"}, audio_vae=models.audio_vae)


# Links and unfinished files


def test_links_to_another_drive_work(run: Run, models: SimpleNamespace, folders: SimpleNamespace) -> None:
    write_video(folders.drive / "film.mp4", [torch.zeros(9, 64, 64, 3, dtype=torch.uint8)], fps=24)
    (folders.input / "linked.mp4").symlink_to(folders.drive / "film.mp4")
    (folders.input / "films").symlink_to(folders.drive)
    (folders.output / "video").symlink_to(folders.drive)
    for name in ("linked.mp4", "films/film.mp4", "video/film.mp4 [output]"):
        assert run("LTX2EncodeVideoFile", file=name, video_vae=models.video_vae)[4] == 9
    run("LTX2SaveVideo", video_latent=latent(), video_vae=models.video_vae)
    assert (folders.drive / "LTX-2_00001_.mp4").is_file()


@pytest.mark.parametrize(
    "name", ["films/../secret.mp4", "../secret.mp4", "{root}/secret.mp4", "films/../../secret.mp4"]
)
def test_dots_and_absolute_paths_stay_refused(
    run: Run, models: SimpleNamespace, folders: SimpleNamespace, tmp_path: Path, name: str
) -> None:
    write_video(tmp_path / "secret.mp4", [torch.zeros(9, 64, 64, 3, dtype=torch.uint8)], fps=24)
    (folders.input / "films").symlink_to(folders.drive)
    name = name.format(root=tmp_path)
    with pytest.raises(ValueError, match=r"outside ComfyUI's folders|not in ComfyUI's input folder"):
        run("LTX2EncodeVideoFile", file=name, video_vae=models.video_vae)
    with pytest.raises(ValueError, match="inside ComfyUI's output folder"):
        run("LTX2SaveVideo", video_latent=latent(), video_vae=models.video_vae, filename_prefix=f"../{name}")


def test_two_drives_are_no_error_of_python(
    run: Run, models: SimpleNamespace, folders: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def commonpath(paths: object) -> str:
        raise ValueError("Paths don't have the same drive")

    monkeypatch.setattr(os.path, "commonpath", commonpath)
    with pytest.raises(ValueError, match="inside ComfyUI's output folder"):
        run("LTX2SaveVideo", video_latent=latent(), video_vae=models.video_vae, filename_prefix="D:/films/x")
    with pytest.raises(ValueError, match="outside ComfyUI's folders"):
        run("LTX2EncodeVideoFile", file="D:/films/x.mp4", video_vae=models.video_vae)


def test_an_unfinished_file_takes_no_number(
    run: Run, models: SimpleNamespace, folders: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    folder = folders.output / "video"
    folder.mkdir()
    for name in ("LTX-2_00001_.mp4", "LTX-2_00002_.mp4.part", "LTX-2_00007_.mp4.part", "LTX-20_00009_.mp4"):
        (folder / name).write_bytes(b"cut")
    with caplog.at_level(logging.WARNING):
        run("LTX2SaveVideo", video_latent=latent(), video_vae=models.video_vae)
    assert sorted(os.listdir(folder)) == [
        "LTX-20_00009_.mp4",
        "LTX-2_00001_.mp4",
        "LTX-2_00002_.mp4",
        "LTX-2_00007_.mp4.part",
    ]
    assert "1 unfinished files of runs that were killed, for example LTX-2_00007_.mp4.part" in caplog.text


def test_an_unfinished_folder_takes_no_number(run: Run, folders: SimpleNamespace) -> None:
    (folders.output / "hdr" / "LTX-2_00001_.part").mkdir(parents=True)
    (folders.output / "hdr" / "LTX-2_00001_.part" / "frame_00009.exr").write_bytes(b"cut")
    [folder] = run("LTX2SaveEXR", images=torch.zeros(2, 8, 8, 3))
    assert Path(folder) == folders.output / "hdr" / "LTX-2_00001_"
    assert sorted(os.listdir(folder)) == ["frame_00000.exr", "frame_00001.exr"]
    assert os.listdir(folders.output / "hdr") == ["LTX-2_00001_"]
