"""Nodes for files, HDR, prompts, guidance over time, long clips and tracks: outputs, and what bad input gets."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ltx_core_impl.media import probe_video, read_audio, read_frames, write_video
from ltx_core_impl.types import Audio
from tests.unit.test_media_video import rotate_by_90, write_variable_rate

Run = Callable[..., tuple[Any, ...]]
SIZE = {"width": 96, "height": 64, "frame_rate": 24.0, "batch_size": 1}
TILES = {"tile_size": 0, "temporal_size": 16, "temporal_overlap": 8}


@pytest.fixture(scope="module")
def models(nodes: dict[str, Any]) -> SimpleNamespace:
    """Handles of the tiny LTX-2.3."""
    with torch.inference_mode():
        loaded = nodes["LTX2CheckpointLoader"].execute("ltx-2.3-tiny.safetensors", "auto", "none", "none", 1.0).args
        names = ("model", "video_vae", "audio_vae", "vocoder", "projection")
        handles = SimpleNamespace(**dict(zip(names, loaded, strict=True)))
        encoder = nodes["LTX2TextEncoderLoader"].execute("gemma-3-tiny", text_projection=handles.projection)
        handles.encoder = encoder.args[0]
        handles.prompt, handles.other = (
            nodes["LTX2TextEncode"].execute(handles.encoder, prompt).args[0] for prompt in ("a red circle", "a dog")
        )
    return handles


@pytest.fixture
def folders(pack: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """ComfyUI's input and output folder, empty."""
    import folder_paths

    found = SimpleNamespace(input=tmp_path / "input", output=tmp_path / "output")
    for name, path in vars(found).items():
        path.mkdir()
        monkeypatch.setattr(folder_paths, f"{name}_directory", str(path))
    return found


def sampled(run: Run, models: SimpleNamespace, length: int = 17, steps: int = 2, **options: Any) -> tuple[Any, ...]:
    """Video and audio latents of a short run."""
    size = {key: options.pop(key) for key in ("width", "height", "batch_size") if key in options}
    video, audio, _ = run("LTX2EmptyLatents", length=length, **(SIZE | size))
    guider = options.pop("guider", None) or run("LTX2Guider", positive=models.prompt)[0]
    return run(
        "LTX2Sampler",
        model=models.model,
        guider=guider,
        sigmas=torch.linspace(1, 0, steps + 1),
        noise=run("LTX2LatentNoise", seed=4)[0],
        video_latent=video,
        audio_latent=audio,
        **options,
    )[:2]


def latent(batch: int = 1, frames: int = 5) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(batch, 128, frames, 2, 3, generator=generator)
    return {"samples": samples, "type": "video", "frame_rate": 23.976}


def sound(seconds: float, channels: int = 2, rate: int = 44100) -> dict[str, Any]:
    wave = torch.sin(torch.arange(round(seconds * rate)) * 0.06) * 0.4
    return {"waveform": wave.expand(1, channels, -1), "sample_rate": rate}


# Saving


@pytest.mark.parametrize(("seconds", "channels"), [(0.3, 1), (9.0, 2)])
def test_a_saved_video_has_every_frame_the_exact_rate_and_sound_of_its_length(
    run: Run, models: SimpleNamespace, folders: SimpleNamespace, seconds: float, channels: int
) -> None:
    video = latent()
    [saved] = run(
        "LTX2SaveVideo", video_latent=video, video_vae=models.video_vae, audio=sound(seconds, channels), crf=0, **TILES
    )
    [path] = (folders.output / "video").iterdir()
    info = probe_video(path)
    assert (path.name, info.frames, info.width, info.height) == ("LTX-2_00001_.mp4", 33, 96, 64)
    assert info.fps == Fraction(24000, 1001)
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(33 * 1001 / 24000, abs=0.03)
        assert stream.layout.nb_channels == channels
    [images] = run("LTX2VideoVAEDecode", video_latent=video, video_vae=models.video_vae, auto_tiles=False, **TILES)
    written = torch.cat(list(read_frames(path)))
    # Colour is stored for 2 x 2 pixels.
    quads = [torch.nn.functional.avg_pool2d(one.movedim(-1, 1), 2) for one in (written.float() / 255, images)]
    assert (quads[0] - quads[1]).abs().mean() < 0.03
    assert saved.get_dimensions() == (96, 64)


def test_a_long_clip_is_never_in_memory_as_a_whole(
    run: Run, models: SimpleNamespace, folders: SimpleNamespace, pack: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules[f"{pack.__name__}.nodes.files.save_video"]
    sizes: list[int] = []

    film = module.FILMS[module.MP4]

    class Writer(film.writer()):
        def write(self, frames: torch.Tensor) -> None:
            sizes.append(len(frames))
            assert frames.dtype == torch.uint8
            super().write(frames)

    monkeypatch.setitem(module.FILMS, module.MP4, film._replace(writer=lambda: Writer))
    run("LTX2SaveVideo", video_latent=latent(frames=21), video_vae=models.video_vae, **TILES)
    assert sum(sizes) == 161 and max(sizes) <= 17


def test_each_clip_of_a_batch_is_a_file_with_its_sound(
    run: Run, models: SimpleNamespace, folders: SimpleNamespace
) -> None:
    audio = sound(2.0)
    audio["waveform"] = torch.cat([audio["waveform"], audio["waveform"] * 0])
    run(
        "LTX2SaveVideo",
        video_latent=latent(batch=2, frames=2),
        video_vae=models.video_vae,
        audio=audio,
        filename_prefix="a/b",
    )
    paths = sorted((folders.output / "a").iterdir())
    assert [path.name for path in paths] == ["b_00001_.mp4", "b_00002_.mp4"]
    loud, silent = (read_audio(path).waveform.abs().max() for path in paths)
    assert loud > 0.2 and silent < 1e-3


def test_a_saved_video_carries_the_graph(
    nodes: dict[str, Any], models: SimpleNamespace, folders: SimpleNamespace
) -> None:
    class Node(nodes["LTX2SaveVideo"]):
        hidden = SimpleNamespace(prompt={"1": {"class_type": "X"}}, extra_pnginfo={"workflow": {"nodes": []}})

    Node.execute(latent(frames=2), models.video_vae, "v", 0.0, 19, 0, 64, 0, 24, 0)
    with av.open(str(folders.output / "v_00001_.mp4")) as container:
        metadata = container.metadata
    assert json.loads(metadata["prompt"]) == {"1": {"class_type": "X"}}
    assert json.loads(metadata["workflow"]) == {"nodes": []}


def test_an_interrupted_save_leaves_no_file(
    run: Run, models: SimpleNamespace, folders: SimpleNamespace, pack: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cancelled(Exception):
        pass

    class Progress:
        def __init__(self, total: int, phase: str, unit: str = "step", share: float = 1.0) -> None:
            pass

        def __call__(self, done: int, total: int | None = None, preview: object = None) -> None:
            if done > 1:
                raise Cancelled

    monkeypatch.setattr(sys.modules[f"{pack.__name__}.nodes.host"], "Progress", Progress)
    with pytest.raises(Cancelled):
        run("LTX2SaveVideo", video_latent=latent(), video_vae=models.video_vae, **TILES)
    assert list((folders.output / "video").iterdir()) == []


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"filename_prefix": "../../x"}, "inside ComfyUI's output folder"),
        ({"filename_prefix": "/etc/x"}, "inside ComfyUI's output folder"),
        ({"filename_prefix": ""}, "inside ComfyUI's output folder"),
        ({"crf": 52}, "crf is 52"),
        ({"audio": {"waveform": torch.zeros(1, 9, 9), "sample_rate": 8000}}, "9 channels"),
        ({"audio": {"waveform": torch.zeros(3, 2, 9), "sample_rate": 8000}}, "Give 1 or 1"),
        ({"audio": {"waveform": torch.zeros(1, 2, 9), "sample_rate": 0}}, "sample rate of 0"),
        ({"audio": {"waveform": torch.zeros(1, 2, 9), "sample_rate": 10**400}}, "sample rate of 1000"),
        ({"audio": "sound"}, "needs a sound"),
        ({"video_latent": {"samples": torch.zeros(1, 128, 2, 2, 3)}}, "carries none"),
        ({"video_latent": {"samples": torch.zeros(1, 16, 2, 2, 3), "frame_rate": 24.0}}, "16 channels"),
    ],
)
def test_what_cannot_be_saved_is_refused(
    run: Run, models: SimpleNamespace, folders: SimpleNamespace, inputs: dict[str, Any], words: str
) -> None:
    arguments = {"video_latent": latent(frames=2), "video_vae": models.video_vae} | inputs
    with pytest.raises(ValueError, match=words):
        run("LTX2SaveVideo", **arguments)
    assert not list(folders.output.rglob("*.mp4*"))


# Reading


def moving(frames: int = 30, height: int = 64, width: int = 96) -> torch.Tensor:
    rows = torch.arange(height)[:, None, None]
    return torch.stack([((rows * 3 + frame * 5) % 256).expand(height, width, 3) for frame in range(frames)]).byte()


def test_a_file_is_encoded_as_its_frames_are(run: Run, models: SimpleNamespace, folders: SimpleNamespace) -> None:
    waveform = sound(1.0)["waveform"][0]
    write_video(folders.input / "clip.mp4", [moving()], fps=25, crf=0, audio=Audio(waveform, 44100))
    video, audio_latent, audio, rate, length, width, height, alpha, *_ = run(
        "LTX2EncodeVideoFile",
        file="clip.mp4",
        video_vae=models.video_vae,
        audio_vae=models.audio_vae,
        **(TILES | {"temporal_size": 24, "temporal_overlap": 16}),
    )
    assert (rate, length, width, height) == (25.0, 25, 96, 64)
    assert alpha.shape == (1, 64, 96) and alpha.all()
    assert video["samples"].shape == (1, 128, 4, 2, 3) and video["frame_rate"] == 25.0
    assert audio_latent["samples"].shape[2] == 25
    assert audio["waveform"].shape == (1, 2, 44100) and audio["sample_rate"] == 44100
    images = torch.cat(list(read_frames(folders.input / "clip.mp4"))).float() / 255
    [whole] = run(
        "LTX2VideoVAEEncode",
        images=images[:25],
        video_vae=models.video_vae,
        frame_rate=25.0,
        **(TILES | {"temporal_size": 24, "temporal_overlap": 16}),
    )
    torch.testing.assert_close(video["samples"], whole["samples"], atol=1e-4, rtol=1e-4)
    [expected] = run("LTX2AudioVAEEncode", audio=audio, audio_vae=models.audio_vae, latent_frames=25)
    torch.testing.assert_close(audio_latent["samples"], expected["samples"])


def test_a_part_of_a_file_at_another_rate_and_size(run: Run, models: SimpleNamespace, folders: SimpleNamespace) -> None:
    write_video(folders.input / "clip.mp4", [moving()], fps=25, crf=0)
    video, none, audio, rate, length, *_ = run(
        "LTX2EncodeVideoFile",
        file="clip.mp4",
        video_vae=models.video_vae,
        start=0.2,
        length=9,
        frame_rate=12.5,
        width=64,
        height=64,
    )
    assert (rate, length, none) == (12.5, 9, None)
    assert video["samples"].shape == (1, 128, 2, 2, 2)
    # 9 frames at 12.5 per second; the file has no sound.
    assert audio["waveform"].shape[-1] == round(9 / 12.5 * audio["sample_rate"]) and not audio["waveform"].any()


def test_a_silent_file_gives_an_empty_audio_latent(run: Run, models: SimpleNamespace, folders: SimpleNamespace) -> None:
    write_video(folders.input / "clip.mp4", [moving(9)], fps=24)
    _, audio_latent, *_ = run(
        "LTX2EncodeVideoFile", file="clip.mp4", video_vae=models.video_vae, audio_vae=models.audio_vae
    )
    assert audio_latent["samples"].shape == (1, 8, 9, 16) and not audio_latent["samples"].any()


def test_variable_rates_become_constant_and_phone_video_upright(
    run: Run, models: SimpleNamespace, folders: SimpleNamespace
) -> None:
    write_variable_rate(folders.input / "v.mp4", times_ms=[0, 40, 80, 400, 440, 840], levels=[0, 40, 80, 120, 160, 200])
    video, *_ = run("LTX2EncodeVideoFile", file="v.mp4", video_vae=models.video_vae, frame_rate=10.0, length=9)
    assert video["samples"].shape == (1, 128, 2, 1, 1)
    write_video(folders.input / "phone.mp4", [moving(9)], fps=24)
    rotate_by_90(folders.input / "phone.mp4")
    video, _, _, _, _, width, height, *_ = run("LTX2EncodeVideoFile", file="phone.mp4", video_vae=models.video_vae)
    assert (width, height) == (64, 96) and video["samples"].shape == (1, 128, 2, 3, 2)


def test_padding_rounds_up_for_two_stages(run: Run, models: SimpleNamespace, folders: SimpleNamespace) -> None:
    write_video(folders.input / "odd.mp4", [moving(9, height=72, width=100)], fps=24)
    for fit, cells in (("pad", (4, 4)), ("crop", (2, 3))):
        video, *_ = run("LTX2EncodeVideoFile", file="odd.mp4", video_vae=models.video_vae, fit=fit)
        assert tuple(video["samples"].shape[3:]) == cells


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"file": "none.mp4"}, "not in ComfyUI's input folder"),
        ({"file": "../../../etc/passwd"}, "not in ComfyUI's input folder|outside ComfyUI's folders"),
        ({"length": 33}, r"has 30 at 25 per second. Set length to 25"),
        ({"length": 10}, "9 or 17"),
        ({"start": 7.0}, "ends before that"),
        ({"width": 70}, "64 or 96"),
        ({"fit": "stretch"}, "crop, pad"),
    ],
)
def test_what_a_file_cannot_give_is_refused(
    run: Run, models: SimpleNamespace, folders: SimpleNamespace, inputs: dict[str, Any], words: str
) -> None:
    write_video(folders.input / "clip.mp4", [moving()], fps=25)
    with pytest.raises(ValueError, match=words):
        run("LTX2EncodeVideoFile", **({"file": "clip.mp4", "video_vae": models.video_vae} | inputs))


# HDR


def test_hdr_pictures_are_the_decoded_log_curve(run: Run, models: SimpleNamespace, folders: SimpleNamespace) -> None:
    from ltx_core_impl.light.curves import logc3_decompress

    video = latent(frames=2)
    hdr, preview = run(
        "LTX2HDRDecode", video_latent=video, video_vae=models.video_vae, exposure=1.0, crop_width=90, crop_height=60
    )
    [images] = run("LTX2VideoVAEDecode", video_latent=video, video_vae=models.video_vae, tile_size=0, temporal_size=0)
    assert hdr.shape == (9, 60, 90, 3)
    torch.testing.assert_close(hdr, logc3_decompress(images[:, :60, :90]), atol=1e-3, rtol=1e-3)
    assert 0 <= preview.min() and preview.max() <= 1 < hdr.max()
    [folder] = run("LTX2SaveEXR", images=hdr, half=False)
    files = sorted(Path(folder).iterdir())
    assert [path.name for path in files] == [f"frame_{index:05d}.exr" for index in range(9)]
    with av.open(str(files[3])) as container:
        written = next(container.decode(video=0)).to_ndarray()
    np.testing.assert_array_equal(written, hdr[3].numpy())
    with pytest.raises(ValueError, match="at most that"):
        run("LTX2HDRDecode", video_latent=video, video_vae=models.video_vae, crop_width=97)
    with pytest.raises(ValueError, match="inside ComfyUI's output folder"):
        run("LTX2SaveEXR", images=hdr, filename_prefix="../hdr")


def test_hdr_files_are_written_chunk_by_chunk(
    run: Run, models: SimpleNamespace, folders: SimpleNamespace, pack: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules[f"{pack.__name__}.nodes.files.save_hdr"]
    video = latent(batch=2, frames=5)
    options = {"video_latent": video, "video_vae": models.video_vae, "exposure": 1.0, "keep_every": 2}
    options |= {"crop_width": 91, "crop_height": 60, **TILES}
    hdr, preview = run("LTX2HDRDecode", **options)
    every, _ = run("LTX2HDRDecode", **(options | {"keep_every": 1}))
    frames = [*range(0, 33, 2)]
    torch.testing.assert_close(hdr, every[frames + [33 + frame for frame in frames]])

    sizes: list[int] = []
    write = module.write_frames
    monkeypatch.setattr(module, "write_frames", lambda *given: sizes.append(len(given[1])) or write(*given))
    folder, film = run("LTX2SaveHDR", half=False, audio=sound(0.2), **options)
    assert sum(sizes) == 34 and max(sizes) < 17
    assert sorted(path.name for path in (folders.output / "hdr").iterdir()) == ["LTX-2_00001_", "LTX-2_00002_"]
    names = sorted(path.name for path in Path(folder).iterdir())
    assert names == [*(f"frame_{index:05d}.exr" for index in range(17)), "preview.mp4"]
    with av.open(str(Path(folder) / "frame_00016.exr")) as container:
        written = next(container.decode(video=0)).to_ndarray()
    np.testing.assert_array_equal(written, hdr[33].numpy())
    info = probe_video(Path(folder) / "preview.mp4")
    assert (info.frames, info.width, info.height) == (17, 90, 60)
    assert info.fps == Fraction(12000, 1001)
    shown = torch.cat(list(read_frames(Path(folder) / "preview.mp4"))).float() / 255
    # Colour is stored for 2 x 2 pixels.
    quads = [torch.nn.functional.avg_pool2d(one.movedim(-1, 1), 2) for one in (shown, preview[17:, :, :90])]
    assert (quads[0] - quads[1]).abs().mean() < 0.05
    assert film.get_dimensions() == (90, 60)


def test_an_interrupted_sequence_leaves_no_folder(
    run: Run, models: SimpleNamespace, folders: SimpleNamespace, pack: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> int:
        raise RuntimeError("stopped")

    for name in ("files.hdr", "files.save_hdr"):
        monkeypatch.setattr(sys.modules[f"{pack.__name__}.nodes.{name}"], "write_frames", fail)
    with pytest.raises(RuntimeError, match="stopped"):
        run("LTX2SaveHDR", video_latent=latent(), video_vae=models.video_vae)
    with pytest.raises(RuntimeError, match="stopped"):
        run("LTX2SaveEXR", images=torch.rand(2, 8, 8, 3))
    assert list((folders.output / "hdr").iterdir()) == []


# Prompts


def test_an_unfinished_or_empty_prompt_is_an_error(run: Run, models: SimpleNamespace) -> None:
    with pytest.raises(RuntimeError, match="not finished after 3 tokens"):
        run("LTX2EnhancePrompt", text_encoder=models.encoder, prompt="a circle", max_tokens=3)
    with pytest.raises(ValueError, match="prompt is empty"):
        run("LTX2EnhancePrompt", text_encoder=models.encoder, prompt="  ")
    with pytest.raises(ValueError, match="Load Text Encoder"):
        run("LTX2EnhancePrompt", text_encoder=None, prompt="a circle")


def test_the_enhancer_can_be_switched_off_and_shows_its_text(nodes: dict[str, Any], models: SimpleNamespace) -> None:
    node = nodes["LTX2EnhancePrompt"]
    off = node.execute(text_encoder=models.encoder, prompt="a circle", seed=1, max_tokens=1, enabled=False)
    assert off.args == ("a circle",) and off.ui.as_dict() == {"text": ("a circle",)}


def test_enhancer_settings_act(run: Run, models: SimpleNamespace) -> None:
    def written(**settings: Any) -> str:
        for seed in range(40):
            with suppress(RuntimeError):
                inputs = {"text_encoder": models.encoder, "prompt": "a circle", "seed": seed, "max_tokens": 120}
                return run("LTX2EnhancePrompt", **inputs, **settings)[0]
        pytest.fail("no seed gave an answer")

    assert written() == written(settings="custom", temperature=0.7, top_k=50) != written(temperature=1.8, top_k=0)
    with pytest.raises(ValueError, match="settings is 'other'"):
        written(settings="other")
    with pytest.raises(ValueError, match="repetition_penalty"):
        written(repetition_penalty=0.5)


def test_a_prompt_writer_is_judged_when_it_is_queued_and_encodes_nothing(
    nodes: dict[str, Any], run: Run, pack: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import folder_paths

    place = tmp_path / "e2b"
    place.mkdir()
    save_file({"model.embed_tokens.weight": torch.zeros(4, 4)}, place / "gemma4_e2b.safetensors")
    (place / "config.json").write_text('{"model_type": "gemma4_text", "eos_token_id": 1}')
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "text_encoders", ([str(tmp_path)], {".safetensors"}))
    folder_paths.filename_list_cache.clear()
    with pytest.raises(ValueError, match=r"transformers 5\.8 or newer|chat_template\.jinja is missing"):
        nodes["LTX2PromptWriterLoader"].validate_inputs(writer="e2b", device="default")
    [writer] = run("LTX2PromptWriterLoader", writer="e2b", device="default")
    with pytest.raises(ValueError, match=r"needs 'LTX-2 Load Text Encoder'; it got the prompt writer e2b"):
        run("LTX2TextEncode", text_encoder=writer, prompt="a circle")
    with pytest.raises(ValueError, match=r"transformers 5\.8 or newer|chat_template\.jinja is missing"):
        run("LTX2EnhancePrompt", text_encoder=writer, prompt="a circle")


def test_the_enhanced_prompt_is_what_the_library_writes(run: Run, models: SimpleNamespace) -> None:
    from ltx_core_impl.text_encoders.gemma import enhance_prompt, load_text_encoder
    from tests.text_helpers import GEMMA3

    image = torch.rand(2, 20, 30, 3, generator=torch.Generator().manual_seed(0))
    encoder = load_text_encoder(GEMMA3, dtype=torch.float32, with_vision=True)
    for options, own in (({}, {}), ({"image": image[0]}, {"image": image}), ({"system_prompt": "write"},) * 2):
        for seed in range(40):
            try:
                text = enhance_prompt(encoder, "a circle", seed=seed, max_new_tokens=120, **options)
            except RuntimeError:
                continue
            inputs = {"text_encoder": models.encoder, "prompt": "a circle", "seed": seed, "max_tokens": 120}
            assert run("LTX2EnhancePrompt", **inputs, **own) == (text,)
            break
        else:
            pytest.fail("no seed gave an answer")


def test_a_context_is_saved_and_loaded_and_refused_for_another_version(
    run: Run, models: SimpleNamespace, folders: SimpleNamespace
) -> None:
    [path] = run("LTX2SaveContext", context=models.prompt)
    assert Path(path) == folders.output / "contexts" / "LTX-2_00001_.safetensors"
    context, prompt = run("LTX2LoadContext", file="contexts/LTX-2_00001_.safetensors [output]")
    assert prompt == "a red circle" and context.version == models.prompt.version == "2.3"
    assert torch.equal(context.video, models.prompt.video) and torch.equal(context.audio, models.prompt.audio)
    plain, loaded = (sampled(run, models, guider=run("LTX2Guider", positive=c)[0]) for c in (models.prompt, context))
    assert torch.equal(plain[0]["samples"], loaded[0]["samples"])
    other = run(
        "LTX2CheckpointLoader",
        checkpoint="ltx-2.0-tiny.safetensors",
        lora_strength=1.0,
        precision="auto",
        calibration="none",
        lora="none",
    )[0]
    with pytest.raises(ValueError, match=r"encoded for LTX-2\.3"):
        sampled(run, SimpleNamespace(model=other, prompt=context))


def test_segment_prompts_are_split_at_dashes(run: Run, models: SimpleNamespace) -> None:
    [segments] = run("LTX2SegmentPrompts", text_encoder=models.encoder, prompts="a red circle\n---\na dog\n")
    assert [context.prompt for context in segments.contexts] == ["a red circle", "a dog"]
    torch.testing.assert_close(segments.contexts[1].video, models.other.video)
    with pytest.raises(ValueError, match="Prompt 2 of 2 is empty"):
        run("LTX2SegmentPrompts", text_encoder=models.encoder, prompts="a\n---\n")


# Guidance over time


GUIDANCE = {"cfg": "3, 1", "stg_scale": "1, 0", "stg_blocks": "2", "rescale": "0.7", "modality_scale": "3, 1"}


def test_one_range_is_the_plain_guidance(run: Run, models: SimpleNamespace) -> None:
    [plain] = run(
        "LTX2GuidanceParameters", cfg=3.0, stg_scale=1.0, stg_blocks="2", rescale=0.7, modality_scale=3.0, skip_step=0
    )
    [scheduled] = run(
        "LTX2GuidanceSchedule",
        sigmas="1",
        **(GUIDANCE | {"cfg": "3", "stg_scale": "1", "modality_scale": "3"}),
    )
    results = [
        sampled(
            run,
            models,
            guider=run(
                "LTX2Guider", positive=models.prompt, negative=models.other, video_guidance=one, audio_guidance=one
            )[0],
        )
        for one in (plain, scheduled)
    ]
    for one, other in zip(*results, strict=True):
        assert torch.equal(one["samples"], other["samples"])


def test_ranges_and_rules_change_the_result(run: Run, models: SimpleNamespace) -> None:
    variants = [
        {"sigmas": "1, 0.6"},
        {"sigmas": "1, 0.1"},
        {"sigmas": "1, 0.6", "cfg_rule": "cfg_star"},
        {"sigmas": "1, 0.6", "cfg_rule": "apg", "apg_eta": 0.0},
        {"sigmas": "1, 0.6", "skip_step": 1},
    ]
    results = []
    for variant in variants:
        [guidance] = run("LTX2GuidanceSchedule", **(GUIDANCE | variant))
        [guider] = run(
            "LTX2Guider",
            positive=models.prompt,
            negative=models.other,
            video_guidance=guidance,
            audio_guidance=guidance,
        )
        results.append(sampled(run, models, guider=guider, steps=3)[0]["samples"])
    for index, one in enumerate(results):
        assert all(not torch.equal(one, other) for other in results[:index])


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"sigmas": "0.5, 1"}, "must fall"),
        ({"sigmas": ""}, "numbers separated by commas"),
        ({"sigmas": "1, 0.5, 0.2"}, "cfg has 2 values; sigmas makes 3 ranges"),
        ({"sigmas": "1, 0.5", "rescale": "2"}, "rescale is 2"),
        ({"sigmas": "1, 0.5", "stg_blocks": "x"}, "stg_blocks is 'x'"),
        ({"sigmas": "1, 0.5", "cfg_rule": "none"}, "cfg, cfg_star, apg"),
    ],
)
def test_schedules_that_make_no_sense_are_refused(
    run: Run, nodes: dict[str, Any], inputs: dict[str, Any], words: str
) -> None:
    arguments = {"cfg_rule": "cfg"} | GUIDANCE | inputs
    with pytest.raises(ValueError, match=words):
        run("LTX2GuidanceSchedule", **arguments)
    with pytest.raises(ValueError, match=words):
        nodes["LTX2GuidanceSchedule"].validate_inputs(**arguments)


def test_a_schedule_that_needs_a_negative_prompt_says_so(run: Run, models: SimpleNamespace) -> None:
    [guidance] = run("LTX2GuidanceSchedule", sigmas="1, 0.5", **GUIDANCE)
    with pytest.raises(ValueError, match="needs a negative prompt"):
        run("LTX2Guider", positive=models.prompt, video_guidance=guidance)


# Corrections


def test_step_corrections_act_on_their_modality_and_steps(run: Run, models: SimpleNamespace) -> None:
    plain = sampled(run, models)
    [quiet] = run("LTX2StepCorrection", modality="audio", factors="1, 0.5")
    video, audio = sampled(run, models, corrections=quiet)
    assert torch.equal(video["samples"], plain[0]["samples"])
    torch.testing.assert_close(audio["samples"], plain[1]["samples"] * 0.5)
    [pulled] = run("LTX2StepCorrection", modality="video", factors="1, 1", reference=latent(), corrections=quiet)
    video, audio = sampled(run, models, corrections=pulled)
    mean, deviation = (
        getattr(video["samples"], name)(dim=(2, 3, 4)) - getattr(latent()["samples"], name)(dim=(2, 3, 4))
        for name in ("mean", "std")
    )
    assert mean.abs().max() < 1e-3 and deviation.abs().max() < 1e-3
    with pytest.raises(ValueError, match="factors is 'a'"):
        run("LTX2StepCorrection", modality="video", factors="a")


def test_latent_statistics(run: Run) -> None:
    given, reference = latent(), latent(frames=2)
    [changed] = run("LTX2AdainLatent", latent=given, reference=reference)
    torch.testing.assert_close(changed["samples"].mean((2, 3, 4)), reference["samples"].mean((2, 3, 4)))
    assert changed["frame_rate"] == given["frame_rate"] and torch.equal(given["samples"], latent()["samples"])
    [normal] = run("LTX2StatNormLatent", latent=given, mean=2.0, percentile=100.0)
    torch.testing.assert_close(normal["samples"].mean((2, 3, 4)), torch.full((1, 128), 2.0))
    with pytest.raises(ValueError, match="audio latent"):
        run("LTX2AdainLatent", latent={"samples": torch.zeros(1, 8, 4, 16), "type": "audio"}, reference=reference)


# Long and large clips


def test_a_window_as_long_as_the_clip_changes_nothing(run: Run, models: SimpleNamespace) -> None:
    [windows] = run("LTX2ContextWindows", window_length=17, overlap=8)
    for one, other in zip(sampled(run, models), sampled(run, models, windows=windows), strict=True):
        assert torch.equal(one["samples"], other["samples"])


def test_windows_make_a_clip_of_the_asked_length_and_every_prompt_acts(run: Run, models: SimpleNamespace) -> None:
    [segments] = run("LTX2SegmentPrompts", text_encoder=models.encoder, prompts="a red circle\n---\na dog")
    [plain] = run("LTX2ContextWindows", window_length=17, overlap=8)
    [prompted] = run("LTX2ContextWindows", window_length=17, overlap=8, segments=segments)
    first, second = (sampled(run, models, length=41, windows=one) for one in (plain, prompted))
    whole = sampled(run, models, length=41)
    for index, (shape, shared) in enumerate((((1, 128, 6, 2, 3), 3), ((1, 8, 43, 16), 16))):
        assert first[index]["samples"].shape == whole[index]["samples"].shape == shape
        assert torch.equal(first[index]["samples"][:, :, :shared], second[index]["samples"][:, :, :shared])
        assert not torch.equal(first[index]["samples"][:, :, shared:], second[index]["samples"][:, :, shared:])
    steady = sampled(
        run, models, length=41, windows=run("LTX2ContextWindows", window_length=17, overlap=8, drift_control=1.0)[0]
    )
    assert not torch.equal(steady[0]["samples"], first[0]["samples"])
    assert torch.equal(steady[0]["samples"][:, :, :2], first[0]["samples"][:, :, :2])


def test_tiles_give_the_asked_size_and_agree_with_windows(run: Run, models: SimpleNamespace) -> None:
    [tiles] = run("LTX2SpatialTiles", columns=2, rows=2, overlap=32)
    [both] = run("LTX2ContextWindows", window_length=9, overlap=8, windows=tiles)
    assert (both.columns, both.length) == (2, 9)
    for windows in (tiles, both):
        video, audio = sampled(run, models, width=160, height=96, windows=windows, solver="res_2s")
        assert video["samples"].shape == (1, 128, 3, 3, 5) and torch.isfinite(video["samples"]).all()
        assert audio["samples"].shape == (1, 8, 18, 16)
    [single] = run("LTX2SpatialTiles", columns=1, rows=1)
    assert torch.equal(sampled(run, models, windows=single)[0]["samples"], sampled(run, models)[0]["samples"])


@pytest.mark.parametrize("solver", ["euler", "euler_ancestral", "euler_cfg_pp"])
def test_a_batch_in_windows_gives_each_sample_what_it_has_alone(run: Run, models: SimpleNamespace, solver: str) -> None:
    [windows] = run("LTX2ContextWindows", window_length=9, overlap=8)
    [guider] = run("LTX2Guider", positive=models.prompt, negative=models.other)
    options = {"windows": windows, "solver": solver, "guider": guider}
    both = sampled(run, models, batch_size=2, **options)
    alone = sampled(run, models, **options)
    for one, other in zip(both, alone, strict=True):
        torch.testing.assert_close(one["samples"][:1], other["samples"], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("node", "inputs", "words"),
    [
        ("LTX2ContextWindows", {"window_length": 20}, "17 or 25"),
        ("LTX2ContextWindows", {"overlap": 12}, "multiple of 8"),
        ("LTX2ContextWindows", {"window_length": 17, "overlap": 24}, "must bring new frames"),
        ("LTX2ContextWindows", {"drift_control": 2.0}, "between 0.0 and 1.0"),
        ("LTX2SpatialTiles", {"columns": 0}, "columns is 0"),
        ("LTX2SpatialTiles", {"overlap": 20}, "multiple of 32"),
        ("LTX2SpatialTiles", {"windows": "x"}, "it got str"),
    ],
)
def test_windows_that_make_no_sense_are_refused(run: Run, node: str, inputs: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        run(node, **inputs)


def test_windows_without_a_picture_are_refused(run: Run, models: SimpleNamespace) -> None:
    _, audio, _ = run("LTX2EmptyLatents", length=17, **SIZE)
    with pytest.raises(ValueError, match="video_latent is not connected"):
        run(
            "LTX2Sampler",
            model=models.model,
            guider=run("LTX2Guider", positive=models.prompt)[0],
            sigmas=torch.tensor([1.0, 0.0]),
            noise=run("LTX2LatentNoise", seed=1)[0],
            audio_latent=audio,
            windows=run("LTX2SpatialTiles")[0],
        )


# Tracks


def test_tracks_are_drawn_for_every_frame(run: Run) -> None:
    [images] = run("LTX2DrawTracks", tracks="10,10 200,150\n50,50", width=256, height=192, length=9)
    assert images.shape == (9, 192, 256, 3) and images.max() == 1
    newest = images[8, 140:160, 190:210]
    assert newest[..., 2].max() == 1  # red is stored last
    [single] = run("LTX2DrawTracks", tracks="10,10 20,20", points="one per frame", width=256, height=192, length=2)
    assert single.shape[0] == 2
    with pytest.raises(ValueError, match="Track 1 has 2 points"):
        run("LTX2DrawTracks", tracks="10,10 20,20", points="one per frame", width=256, height=192, length=3)
    with pytest.raises(ValueError, match="not a point"):
        run("LTX2DrawTracks", tracks="10 10", width=256, height=192, length=3)
