# ruff: noqa: F811  (fixtures are imported)
"""HDR from file to file with the nodes: reading into ACEScct code, a VAE in float32, EXR files, masters, previews."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import av
import pytest
import torch

from ltx_core_impl.light.curves import acescct_compress
from ltx_core_impl.light.films import film_to_code
from ltx_core_impl.light.hlg import hlg_codes
from ltx_core_impl.light.primaries import AP1
from ltx_core_impl.light.spaces import EXR_SPACES, delivered, to_code
from ltx_core_impl.media import probe_video, read_frames, write_exr, write_video
from ltx_core_impl.media.exr_reader import exr_info, read_exr, read_exr_sequence
from ltx_core_impl.media.hlg_writer import HLGWriter
from ltx_core_impl.types import Audio
from tests.nodes.test_media import folders, latent, models, sound  # noqa: F401

Run = Callable[..., tuple[Any, ...]]


def light(frames: int = 1, height: int = 64, width: int = 96) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.exp2(torch.rand(frames, height, width, 3, generator=generator) * 9 - 5)


def write_sequence(folder: Path, pictures: torch.Tensor, **options: Any) -> None:
    for index, picture in enumerate(pictures):
        write_exr(folder / f"render_{index + 1}.EXR", picture, half=False, **options)


def test_a_sequence_is_read_in_order_and_trimmed(run: Run, folders: SimpleNamespace) -> None:
    pictures = light(12)
    write_sequence(folders.input / "shots" / "a", pictures)
    images, audio, rate, width, height, length = run("LTX2LoadHDR", file="shots/a", first_frame=2)
    assert (images.shape, rate, width, height, length) == ((9, 64, 96, 3), 24.0, 96, 64, 9)
    assert torch.equal(images, to_code(pictures[2:11], "srgb_linear"))
    assert audio["sample_rate"] == 44100 and audio["waveform"].shape == (1, 2, 44100) and not audio["waveform"].any()
    every = run("LTX2LoadHDR", file="shots/a", trim=False, frame_rate=4.0)
    assert every[5] == 12 and every[1]["waveform"].shape[-1] == 3 * 44100
    few = run("LTX2LoadHDR", file="shots/a", length=3)
    assert few[5] == 1
    [one] = run("LTX2LoadHDR", file="shots/a/render_3.EXR", color_space="acescg")[:1]
    assert torch.equal(one, acescct_compress(pictures[2:3]))


def test_frames_are_resized_as_code_while_they_are_read(run: Run, folders: SimpleNamespace) -> None:
    pictures = light(1)
    write_sequence(folders.input / "a", pictures)
    [images] = run("LTX2LoadHDR", file="a", width=48, height=32)[:1]
    code = to_code(pictures, "srgb_linear").movedim(-1, 1)
    halved = torch.nn.functional.interpolate(code, size=(32, 48), mode="bilinear", align_corners=False)
    torch.testing.assert_close(images, halved.movedim(1, -1))
    [padded] = run("LTX2LoadHDR", file="a", width=128, height=64, fit="pad")[:1]
    assert torch.equal(padded[:, :, :96], to_code(pictures, "srgb_linear"))


def test_a_film_is_read_as_its_light_with_its_sound(run: Run, folders: SimpleNamespace) -> None:
    tone = Audio(torch.sin(torch.arange(48000) * 0.05)[None] * 0.3, 48000)
    with HLGWriter(folders.input / "hlg.mp4", fps=25, primaries=AP1, audio=tone) as writer:
        writer.write(torch.full((10, 64, 64, 3), 0.18))
    images, audio, rate, *_, length = run("LTX2LoadHDR", file="hlg.mp4")
    assert (rate, length) == (25.0, 9)
    torch.testing.assert_close(images, acescct_compress(torch.tensor(0.18)).expand_as(images), rtol=0, atol=2e-3)
    assert audio["waveform"].shape[-1] == round(9 / 25 * 48000) and audio["waveform"].abs().max() > 0.2


def test_a_contradicting_tag_is_said(
    run: Run,
    folders: SimpleNamespace,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_sequence(folders.input / "a", light(1), tags=EXR_SPACES["acescg"])
    with caplog.at_level(logging.WARNING):
        run("LTX2LoadHDR", file="a", color_space="acescg")
        assert not caplog.records
        run("LTX2LoadHDR", file="a")
    assert "read as srgb_linear, but its chromaticities are others (ACEScg)" in caplog.text


def test_what_cannot_be_read_is_said_when_queued(
    run: Run,
    nodes: dict[str, Any],
    folders: SimpleNamespace,
) -> None:
    (folders.input / "empty").mkdir()
    (folders.input / "bad.exr").write_bytes(b"no picture")
    write_sequence(folders.input / "good", light(2))
    node = nodes["LTX2LoadHDR"]
    widgets = {slot.id: slot.default for slot in node.GET_SCHEMA().inputs if slot.id not in ("file", "trim")}
    for file, words in (
        ("../secret", "outside ComfyUI's folders"),
        ("nothing", "not in ComfyUI's input folder"),
        ("empty", "holds no EXR files"),
        ("bad.exr", "no OpenEXR file"),
    ):
        with pytest.raises(ValueError, match=words):
            node.validate_inputs(file=file, **widgets)
    assert node.validate_inputs(file="good", **widgets) is True
    with pytest.raises(ValueError, match="first_frame is 2; good ends before that"):
        run("LTX2LoadHDR", file="good", first_frame=2)
    module = sys.modules[f"{node.__module__.partition('.')[0]}.nodes.host.host_files"]
    assert module.input_hdr_pictures() == ["bad.exr", "good"]


def test_an_edited_file_is_another(nodes: dict[str, Any], folders: SimpleNamespace) -> None:
    write_sequence(folders.input / "a", light(2))
    before = nodes["LTX2LoadHDR"].fingerprint_inputs(file="a")
    assert before == nodes["LTX2LoadHDR"].fingerprint_inputs(file="a")
    write_exr(folders.input / "a" / "render_2.EXR", light(1)[0, :32])
    assert before != nodes["LTX2LoadHDR"].fingerprint_inputs(file="a")


def test_pictures_on_a_wire(run: Run) -> None:
    picture = torch.rand(2, 4, 5, 4)
    [code] = run("LTX2ToACEScct", images=picture)
    torch.testing.assert_close(code, to_code(picture, "srgb_gamma"))
    assert torch.equal(code[..., 3], picture[..., 3])
    [grey] = run("LTX2ToACEScct", images=picture[..., :1], color_space="acescg")
    torch.testing.assert_close(grey, acescct_compress(picture[..., :1]).expand(-1, -1, -1, 3))


def test_two_exposures(run: Run) -> None:
    light = torch.tensor([[[[0.01, 0.02, 0.01], [3.0, 2.0, 1.0]]]])
    images, weight = run("LTX2BlendExposures", dark=light / 4, bright=light * 4)
    torch.testing.assert_close(images, light)
    luma = (light * torch.tensor([0.2126, 0.7152, 0.0722])).sum(-1)
    torch.testing.assert_close(weight, 1 / (1 + torch.exp(-(luma - 0.5) / 0.3)))
    other, _ = run("LTX2BlendExposures", dark=light, bright=light * 0, dark_stops=0.0, smoothness=0.0)
    torch.testing.assert_close(other, light * torch.tensor([[[[0.0], [1.0]]]]))
    with pytest.raises(ValueError, match="one size and number"):
        run("LTX2BlendExposures", dark=light, bright=light[:, :, :1])


# A VAE in float32


def test_the_other_wires_of_the_loader_stay(run: Run, models: SimpleNamespace) -> None:
    [precise] = run("LTX2Float32VAE", video_vae=models.video_vae)
    assert precise.float32 and not models.video_vae.float32 and precise != models.video_vae
    assert run("LTX2Float32VAE", video_vae=precise)[0] is precise


def test_it_computes_in_float32_where_others_do_not(
    run: Run,
    models: SimpleNamespace,
    pack: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    components = sys.modules[f"{pack.__name__}.nodes.loading.components"]
    monkeypatch.setattr(components.host, "compute_dtype", lambda _: torch.bfloat16)
    [precise] = run("LTX2Float32VAE", video_vae=models.video_vae)
    for handle, dtype in ((precise, torch.float32), (models.video_vae, torch.bfloat16)):
        with components.video_encoder(handle, pixels=64) as encoder, components.video_decoder(handle, 0) as decoder:
            assert {next(one.parameters()).dtype for one in (encoder, decoder)} == {dtype}


def test_guides_see_its_pictures_unrounded(run: Run, models: SimpleNamespace) -> None:
    [precise] = run("LTX2Float32VAE", video_vae=models.video_vae)
    picture = torch.full((1, 64, 96, 3), 100.4 / 255)
    clip = {"video_latent": latent(), "crf": 0}
    found = {}
    for name, vae in (("rounded", models.video_vae), ("whole", precise)):
        [guides] = run("LTX2ImageGuide", image=picture, video_vae=vae, **clip)
        [latents] = run("LTX2VideoVAEEncode", images=picture, video_vae=vae, tile_size=0)
        found[name] = (guides.video[0].latent, latents["samples"])
    assert torch.equal(*found["whole"]) and not torch.equal(*found["rounded"])
    with pytest.raises(ValueError, match="Set crf to 0"):
        run("LTX2ImageGuide", image=picture, video_vae=precise, video_latent=latent(), crf=18)


def test_a_film_is_encoded_as_light(run: Run, models: SimpleNamespace, folders: SimpleNamespace) -> None:
    frames = torch.full((9, 64, 96, 3), 128, dtype=torch.uint8)
    write_video(folders.input / "grey.mp4", [frames], fps=24, crf=0)
    [precise] = run("LTX2Float32VAE", video_vae=models.video_vae)
    [shown] = read_frames(folders.input / "grey.mp4")
    code = film_to_code(shown.float() / 255, 1, 1)
    [expected] = run("LTX2VideoVAEEncode", images=code, video_vae=precise, tile_size=0)
    options = {"file": "grey.mp4", "video_vae": precise, "tile_size": 0, "temporal_size": 0}
    coded, plain = (run("LTX2EncodeVideoFile", **options, **more)[0] for more in ({"light": "ACEScct"}, {}))
    torch.testing.assert_close(coded["samples"], expected["samples"], rtol=1e-4, atol=1e-5)
    assert run("LTX2EncodeVideoFile", **options)[-1] == 24.0
    assert run("LTX2EncodeVideoFile", **options, frame_rate=60.0)[3::5] == (60.0, 30.0)  # the file's and the model's
    assert not torch.allclose(plain["samples"], coded["samples"], atol=1e-2)


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_a_sequence_is_encoded_chunk_by_chunk(
    run: Run,
    models: SimpleNamespace,
    folders: SimpleNamespace,
    pack: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    fit: str,
) -> None:
    write_sequence(folders.input / "a", light(44, 64, 112))
    [precise] = run("LTX2Float32VAE", video_vae=models.video_vae)
    tiles = {"tile_size": 0, "tile_overlap": 0, "temporal_size": 24, "temporal_overlap": 16}
    events: list[str] = []
    module = sys.modules[f"{pack.__name__}.nodes.files.load_hdr"]
    whole = run("LTX2LoadHDR", file="a", first_frame=2, width=128 if fit == "pad" else 96, height=64, fit=fit)[0]
    [expected] = run("LTX2VideoVAEEncode", images=whole, video_vae=precise, frame_rate=24.0, **tiles)

    def pictures(files: Any) -> Any:
        for picture in read_exr_sequence(files):
            events.append("read")
            yield picture

    class Progress:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def __call__(self, _: int) -> None:
            events.append("encoded")

    monkeypatch.setattr(module.media, "read_exr_sequence", pictures)
    monkeypatch.setattr(sys.modules[f"{pack.__name__}.nodes.files.encode_hdr"].host, "Progress", Progress)
    video, audio, rate, length, width, height, told = run(
        "LTX2EncodeHDR", file="a", video_vae=precise, first_frame=2, fit=fit, **tiles
    )
    assert (rate, length, width, height, told) == (24.0, 41, 112, 64, 24.0)
    assert events.count("read") == 41
    assert events.index("encoded") <= 25, "a tile is encoded before the pictures of the next one are read"
    assert audio["waveform"].shape[-1] == math.ceil(41 / 24 * 44100) and not audio["waveform"].any()
    assert video["frame_rate"] == 24.0
    torch.testing.assert_close(video["samples"], expected["samples"], rtol=1e-4, atol=1e-5)


def test_films_and_what_is_refused_for_encoding(run: Run, models: SimpleNamespace, folders: SimpleNamespace) -> None:
    with HLGWriter(folders.input / "hlg.mp4", fps=60, primaries=AP1) as writer:
        writer.write(torch.full((10, 64, 64, 3), 0.18))
    [precise] = run("LTX2Float32VAE", video_vae=models.video_vae)
    video, _, rate, length, *_, told = run("LTX2EncodeHDR", file="hlg.mp4", video_vae=precise)
    assert (video["samples"].shape, rate, length, told) == ((1, 128, 2, 2, 2), 60.0, 9, 30.0)
    with pytest.raises(ValueError, match="ends before that"):
        run("LTX2EncodeHDR", file="hlg.mp4", video_vae=precise, first_frame=10)
    with pytest.raises(ValueError, match="64 or 96"):
        run("LTX2EncodeHDR", file="hlg.mp4", video_vae=precise, width=80)


# Writing


@pytest.mark.parametrize("curve", ["ACEScct", "LogC3"])
@pytest.mark.parametrize("space", [*EXR_SPACES, "none"])
def test_a_latent_is_written_in_each_space(
    run: Run,
    models: SimpleNamespace,
    folders: SimpleNamespace,
    curve: str,
    space: str,
) -> None:
    video = latent(frames=2)
    [code] = run("LTX2VideoVAEDecode", video_latent=video, video_vae=models.video_vae, auto_tiles=False)
    folder, preview = run(
        "LTX2SaveHDR", video_latent=video, video_vae=models.video_vae, curve=curve, exr_space=space, half=False
    )
    files = sorted(Path(folder).glob("*.exr"))
    if space == "none":
        assert files == [] and preview.get_dimensions() == (96, 64)
        return
    expected = delivered(code[3], curve, space)
    torch.testing.assert_close(read_exr(files[3]), expected, rtol=2e-2, atol=2e-2)
    tags = EXR_SPACES[space]
    assert exr_info(files[3]).color_space == (tags.color_space if tags else "")


def test_a_master_beside_the_preview(
    run: Run,
    models: SimpleNamespace,
    folders: SimpleNamespace,
    pack: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = sys.modules[f"{pack.__name__}.nodes.files.save_hdr"]
    sizes: list[int] = []

    class Writer(module.HLGWriter):
        def write(self, frames: torch.Tensor) -> None:
            sizes.append(len(frames))
            super().write(frames)

    monkeypatch.setattr(module, "HLGWriter", Writer)
    options = {"tile_size": 0, "temporal_size": 16, "temporal_overlap": 8, "curve": "ACEScct"}
    folder, _ = run(
        "LTX2SaveHDR",
        video_latent=latent(frames=5),
        video_vae=models.video_vae,
        audio=sound(0.2, channels=1),
        exr_space="acescg",
        hlg_master=True,
        **options,
    )
    assert sum(sizes) == 33 and max(sizes) <= 17  # never the whole clip
    with av.open(str(Path(folder) / "master_hlg.mp4")) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.frames, video.average_rate) == (33, Fraction(24000, 1001))
        assert (video.codec_context.pix_fmt, audio.layout.nb_channels) == ("yuv420p10le", 2)
    assert probe_video(Path(folder) / "preview.mp4").frames == 33


def test_films_play_at_the_rate_of_the_source(run: Run, models: SimpleNamespace, folders: SimpleNamespace) -> None:
    video = latent(frames=2) | {"frame_rate": 30.0}  # what the model was told
    options = {"video_latent": video, "video_vae": models.video_vae, "exr_space": "none"}
    for told, wanted in ((50.0, 50), (0.0, 30)):
        folder, _ = run("LTX2SaveHDR", **options, frame_rate=told)
        assert probe_video(Path(folder) / "preview.mp4").fps == wanted


def test_pictures_are_written_from_file_to_file(run: Run, folders: SimpleNamespace) -> None:
    pictures = torch.tensor([1.0, 0.18]).repeat_interleave(32)[None, None, :, None].expand(9, 64, 64, 3)
    write_sequence(folders.input / "a", pictures, tags=EXR_SPACES["acescg"])
    images, _, rate, *_ = run("LTX2LoadHDR", file="a", color_space="acescg")
    folder, _ = run("LTX2SaveHDRPictures", images=images, frame_rate=rate)
    files = sorted(Path(folder).glob("*.exr"))
    assert len(files) == 9 and exr_info(files[0]).color_space == "ACEScg"
    torch.testing.assert_close(read_exr(files[8]), pictures[8], rtol=2.0**-11, atol=0)
    with av.open(str(Path(folder) / "master_hlg.mp4")) as container:
        frames = [frame.to_ndarray() for frame in container.decode(video=0)]
    luma = frames[8][:64, [8, 56]].astype(int)
    wanted = hlg_codes(pictures[:1], AP1).luma[0, :64][:, [8, 56]].numpy()
    assert abs(luma - wanted).max() <= 2 and wanted[0, 0] == 721
    with pytest.raises(ValueError, match="64 x 64 pixels or more"):
        run("LTX2SaveHDRPictures", images=images[:, :32], frame_rate=rate)
