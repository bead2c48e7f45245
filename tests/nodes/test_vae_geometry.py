"""A checkpoint whose VAEs are not the published ones, and what 'no tiles' means."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ltx_core_impl.media import write_video
from ltx_core_impl.model.audio_vae import AudioDecoderConfigurator, AudioEncoderConfigurator
from ltx_core_impl.model.video_vae import VideoDecoderConfigurator, VideoEncoderConfigurator
from ltx_core_impl.types import Audio
from tests.conftest import checkpoint_path

Run = Callable[..., tuple[Any, ...]]
CHANNELS, Z_CHANNELS, MEL_BINS, RATE, HOP = 64, 4, 64, 22050, 128
FRAMES, HEIGHT, WIDTH, FPS = 21, 48, 80, 24.0
NAME = "other-geometry.safetensors"
DOWN = ["compress_all_res", {"multiplier": 1}]
PARTS = {
    "vae.encoder": VideoEncoderConfigurator,
    "vae.decoder": VideoDecoderConfigurator,
    "audio_vae.encoder": AudioEncoderConfigurator,
    "audio_vae.decoder": AudioDecoderConfigurator,
}


def other_geometry(config: dict[str, Any]) -> dict[str, Any]:
    """16 x 16 x 4 pixels per cell, 64 channels; 4 audio channels, 22.05 kHz, 128 samples per mel frame."""
    config = copy.deepcopy(config)
    layers = ["res_x", {"num_layers": 1}]
    config["vae"] |= {
        "latent_channels": CHANNELS,
        "encoder_blocks": [layers, DOWN, DOWN],
        "decoder_blocks": [layers, ["compress_all", {"multiplier": 1}], ["compress_all", {"multiplier": 2}], layers],
    }
    audio = config["audio_vae"]
    audio["model"]["params"]["ddconfig"] |= {"z_channels": Z_CHANNELS, "mel_bins": MEL_BINS}
    audio["model"]["params"]["sampling_rate"] = RATE
    audio["preprocessing"]["stft"] |= {"hop_length": HOP, "filter_length": 512}
    features = Z_CHANNELS * MEL_BINS // 4
    config["transformer"] |= {"in_channels": CHANNELS, "out_channels": CHANNELS}
    config["transformer"] |= {"audio_in_channels": features, "audio_out_channels": features}
    return config


def write_checkpoint(path: Path) -> None:
    """The tiny LTX-2.3 with these VAEs, random weights, and a transformer whose ends fit them."""
    source = checkpoint_path("2.3")
    with safe_open(source, framework="pt") as file:
        metadata = file.metadata()
    config = other_geometry(json.loads(metadata["config"]))
    state = {key: value for key, value in load_file(source).items() if not key.startswith(("vae.", "audio_vae."))}
    for prefix, configurator in PARTS.items():
        for key, value in configurator.from_config(config).state_dict().items():
            shared = key.startswith("per_channel_statistics")
            state[f"{prefix.split('.')[0] if shared else prefix}.{key}"] = value.clone()
    generator = torch.Generator().manual_seed(0)
    for stream, width in (("", CHANNELS), ("audio_", Z_CHANNELS * MEL_BINS // 4)):
        prefix = f"model.diffusion_model.{stream}"
        dim = state[f"{prefix}patchify_proj.weight"].shape[0]
        state[f"{prefix}patchify_proj.weight"] = torch.randn(dim, width, generator=generator) * 0.1
        state[f"{prefix}proj_out.weight"] = torch.randn(width, dim, generator=generator) * 0.1
        state[f"{prefix}proj_out.bias"] = torch.zeros(width)
    save_file(state, path, metadata=metadata | {"config": json.dumps(config)})


@pytest.fixture(scope="module")
def models(pack: ModuleType, nodes: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Handles of the checkpoint, and a guider."""
    import folder_paths

    folder = tmp_path_factory.mktemp("checkpoints")
    write_checkpoint(folder / NAME)
    folder_paths.add_model_folder_path("checkpoints", str(folder))
    with torch.inference_mode():
        loaded = nodes["LTX2CheckpointLoader"].execute(NAME, "auto", "none", "none", 1.0).args
        names = ("model", "video_vae", "audio_vae", "vocoder", "projection")
        handles = SimpleNamespace(**dict(zip(names, loaded, strict=True)))
        [encoder] = nodes["LTX2TextEncoderLoader"].execute("gemma-3-tiny", text_projection=handles.projection).args
        handles.prompt = nodes["LTX2TextEncode"].execute(encoder, "a dog").args[0]
    return handles


def empty(run: Run, models: SimpleNamespace) -> tuple[dict[str, Any], dict[str, Any]]:
    return run(
        "LTX2EmptyLatents",
        width=WIDTH,
        height=HEIGHT,
        length=FRAMES,
        frame_rate=FPS,
        video_vae=models.video_vae,
        audio_vae=models.audio_vae,
    )[:2]


def test_the_whole_graph(run: Run, models: SimpleNamespace) -> None:
    video, audio = empty(run, models)
    latents = round(FRAMES / FPS * RATE / HOP / 4)
    assert video["samples"].shape == (1, CHANNELS, 6, 3, 5)
    assert audio["samples"].shape == (1, Z_CHANNELS, latents, MEL_BINS // 4)
    video, audio, _ = run(
        "LTX2Sampler",
        model=models.model,
        guider=run("LTX2Guider", positive=models.prompt)[0],
        sigmas=torch.linspace(1, 0, 3),
        noise=run("LTX2LatentNoise", seed=4)[0],
        video_latent=video,
        audio_latent=audio,
        video_vae=models.video_vae,
        audio_vae=models.audio_vae,
    )
    tiles = {"tile_size": 64, "tile_overlap": 32, "temporal_size": 16, "temporal_overlap": 8}
    [images] = run("LTX2VideoVAEDecode", video_latent=video, video_vae=models.video_vae, **tiles)
    assert images.shape == (FRAMES, HEIGHT, WIDTH, 3)
    [again] = run("LTX2VideoVAEEncode", images=images, video_vae=models.video_vae, **tiles)
    assert again["samples"].shape == video["samples"].shape
    [mel] = run("LTX2AudioVAEDecode", audio_latent=audio, audio_vae=models.audio_vae)
    assert (mel.spectrogram.shape, mel.sampling_rate) == ((1, 2, 4 * latents - 3, MEL_BINS), RATE)
    [sound] = run("LTX2Vocoder", mel=mel, vocoder=models.vocoder)
    [again] = run("LTX2AudioVAEEncode", audio=sound, audio_vae=models.audio_vae, fit_to=audio)
    assert again["samples"].shape == audio["samples"].shape


def test_the_duration_of_a_latent_of_an_unknown_vae_is_not_guessed(run: Run, models: SimpleNamespace) -> None:
    video, audio = empty(run, models)
    sound = {"waveform": torch.zeros(1, 1, 16000), "sample_rate": 16000}
    encode = partial(run, "LTX2AudioVAEEncode", audio=sound, audio_vae=models.audio_vae)
    with pytest.raises(ValueError, match=r"fit_to has 64 channels.*have 128.*video_vae.*audio latent"):
        encode(fit_to=video)
    published = {"samples": torch.zeros(1, 128, 2, 1, 1), "frame_rate": FPS}
    with pytest.raises(ValueError, match=rf"fit_to has 128 channels, {NAME} has 64"):
        encode(fit_to=published, video_vae=models.video_vae)
    for fitted in (encode(fit_to=audio), encode(fit_to=video, video_vae=models.video_vae)):
        assert fitted[0]["samples"].shape == audio["samples"].shape


def clip(frames: int = FRAMES + 3) -> torch.Tensor:
    """A clip that does not fit: a cell of 16 x 16 pixels and 4 frames is not full at its ends."""
    return torch.arange(frames).view(-1, 1, 1, 1).expand(-1, HEIGHT + 10, WIDTH + 15, 3) / frames


def test_a_clip_is_fitted_to_the_grid_of_the_vae(run: Run, models: SimpleNamespace) -> None:
    for multiple, size in ((0, (HEIGHT, WIDTH)), (16, (HEIGHT, WIDTH)), (32, (32, 64))):
        images, _, width, height, length, *_ = run(
            "LTX2FitVideo", images=clip(), frame_rate=FPS, multiple=multiple, video_vae=models.video_vae
        )
        assert images.shape == (FRAMES, *size, 3)
        assert (length, height, width) == (FRAMES, *size)
    images, *_ = run("LTX2FitVideo", images=clip(), frame_rate=FPS, multiple=0)
    assert images.shape == (17, 32, 64, 3)
    latent = run("LTX2VideoVAEEncode", images=images, video_vae=models.video_vae)[0]["samples"]
    assert latent.shape == (1, CHANNELS, 5, 2, 4)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"multiple": 24}, "multiple is 24; it must be a multiple of 16 pixels"),
        ({"multiple": 0, "width": 40}, "width is 40.*32 or 48"),
        ({"length": 14}, r"length is 14 frames; a clip has 4k \+ 1 frames. Set it to 13 or 17"),
        ({"length": 25}, "has only 24 frames. Set it to 21"),
    ],
)
def test_what_does_not_fit_the_grid_of_the_vae_is_refused(
    run: Run, models: SimpleNamespace, inputs: dict[str, int], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        run("LTX2FitVideo", **{"images": clip(), "frame_rate": FPS, "video_vae": models.video_vae} | inputs)


def test_a_grid_that_only_a_connected_vae_tells_is_judged_when_the_graph_runs(nodes: dict[str, Any]) -> None:
    widgets = {"frame_rate": FPS, "width": 48, "height": 48, "multiple": 0, "length": 21}
    validate = nodes["LTX2FitVideo"].validate_inputs
    with pytest.raises(ValueError, match="multiple of 32"):
        validate(**widgets)
    assert validate(**widgets, video_vae=None) is True  # a wire


def test_a_clip_is_extended_to_the_grid_of_the_vae(run: Run, models: SimpleNamespace) -> None:
    images = clip(9)
    extend = partial(run, "LTX2ExtendClip", images=images, frame_rate=FPS)
    extended, _, start, end, _ = extend(frames_after=12, video_vae=models.video_vae)
    assert len(extended) == 21
    assert (start, end) == (0.0, 9 / FPS)
    with pytest.raises(ValueError, match="frames_after to 8 or 16"):
        extend(frames_after=12)
    with pytest.raises(ValueError, match=r"4k \+ 1 frames. Set frames_after to 8 or 12"):
        extend(frames_after=10, video_vae=models.video_vae)


def test_a_video_file_without_tiles_is_encoded_whole(
    run: Run, pack: ModuleType, models: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import folder_paths

    monkeypatch.setattr(folder_paths, "input_directory", str(tmp_path))
    # Longer than the 64 frames of the default tiles.
    frames = torch.randint(0, 256, (81, 32, 48, 3), dtype=torch.uint8)
    write_video(tmp_path / "long.mp4", [frames], fps=FPS, audio=Audio(torch.zeros(2, 48000), 48000))
    module = sys.modules[f"{pack.__name__}.nodes.files.video_file"]
    encode, plans = module.ltx_video_vae.encode_chunks, []

    def spy(chunks: Any, encoder: Any, size: Any, tiling: Any, **options: Any) -> torch.Tensor:
        plans.append(tiling.encode_plan(size, encoder.scale_factors))
        return encode(chunks, encoder, size, tiling, **options)

    monkeypatch.setattr(module.ltx_video_vae, "encode_chunks", spy)
    outputs = run(
        "LTX2EncodeVideoFile",
        file="long.mp4",
        video_vae=models.video_vae,
        audio_vae=models.audio_vae,
        tile_size=0,
        temporal_size=0,
    )
    assert [plan.tile_count for plan in plans] == [1]
    assert outputs[0]["samples"].shape == (1, CHANNELS, 21, 2, 3)
    assert outputs[1]["samples"].shape[2] == round(81 / FPS * RATE / HOP / 4)
