"""Every component from every layout, with the real models (spec 01 §1.5, §2, §5.1)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from ltx_core_impl.loader import (
    ConfigError,
    MissingTensorsError,
    ShapeMismatchError,
    SingleGPUModelBuilder,
    open_checkpoint,
)
from ltx_core_impl.loader.tensor_file import TensorFile
from ltx_core_impl.model.audio_vae import AudioDecoderConfigurator, AudioEncoderConfigurator, VocoderConfigurator
from ltx_core_impl.model.transformer import LTXModelConfigurator
from ltx_core_impl.model.upsampler import LatentUpsamplerConfigurator
from ltx_core_impl.model.video_vae import VideoDecoderConfigurator, VideoEncoderConfigurator
from ltx_core_impl.text_encoders.duration_head import DurationHeadConfigurator
from ltx_core_impl.text_encoders.gemma import EmbeddingsProcessorConfigurator
from tests.conftest import GOLDEN, GOLDEN_25, checkpoint_path, config, metadata
from tests.transformer_helpers import transformer_path
from tests.unit.loader_fixtures import inventory, published_config, sparse_checkpoint

CONFIGURATORS = {
    configurator.component: configurator
    for configurator in (
        LTXModelConfigurator,
        EmbeddingsProcessorConfigurator,
        VideoEncoderConfigurator,
        VideoDecoderConfigurator,
        AudioEncoderConfigurator,
        AudioDecoderConfigurator,
        VocoderConfigurator,
    )
}
SECTIONS = {
    "transformer": "transformer",
    "embeddings_processor": "transformer",
    "video_encoder": "vae",
    "video_decoder": "vae",
    "audio_encoder": "audio_vae",
    "audio_decoder": "audio_vae",
    "vocoder": "vocoder",
}
P = "model.diffusion_model."


def build(component: str, path: object) -> nn.Module:
    return SingleGPUModelBuilder(CONFIGURATORS[component], path).build(device="cpu")


def assert_same(model: nn.Module, expected: nn.Module) -> None:
    actual, wanted = model.state_dict(), expected.state_dict()
    assert actual.keys() == wanted.keys()
    assert all(torch.equal(actual[key], wanted[key]) for key in wanted)


def repack(version: str, path: Path, rename: Callable[[str], str | None]) -> Path:
    """The combined tiny checkpoint under other names; None leaves a tensor out."""
    source = checkpoint_path(version)
    tensors = {rename(key): value for key, value in load_file(source).items()}
    tensors.pop(None, None)
    save_file(tensors, path, metadata(source))
    return path


def stripped(prefix: str, replacement: str = "") -> Callable[[str], str | None]:
    """Keeps what starts with ``prefix``, which is replaced."""
    return lambda key: replacement + key.removeprefix(prefix) if key.startswith(prefix) else None


def kept(*parts: str) -> Callable[[str], str | None]:
    """Keeps names with any of ``parts`` in them."""
    return lambda key: key if any(part in key for part in parts) else None


@pytest.mark.parametrize("component", CONFIGURATORS)
def test_combined_file(version: str, component: str) -> None:
    model = build(component, checkpoint_path(version))
    assert not any(value.is_meta for value in (*model.parameters(), *model.buffers()))


FILES_25 = {
    "transformer": "diffusion_models/ltx-2.5-tiny-transformer-bf16",
    "video_encoder": "vae/ltx-2.5-tiny-video-vae-bf16",
    "video_decoder": "vae/ltx-2.5-tiny-video-vae-bf16",
    "audio_encoder": "vae/ltx-2.5-tiny-audio-vae-bf16",
    "audio_decoder": "vae/ltx-2.5-tiny-audio-vae-bf16",
    "vocoder": "vae/ltx-2.5-tiny-audio-vae-bf16",
}


@pytest.mark.parametrize("component", FILES_25)
def test_split_files(component: str) -> None:
    build(component, GOLDEN_25 / f"{FILES_25[component]}.safetensors")
    if component.startswith("video"):
        build(component, GOLDEN_25 / "vae/ltx-2.5-tiny-video-vae-conv-bf16.safetensors")


def test_embeddings_processor_from_two_files() -> None:
    encoder = GOLDEN_25 / "text_encoders/gemma4-tiny-with-proj-ltx-2.5-bf16.safetensors"
    model = build("embeddings_processor", (transformer_path("2.5"), encoder))
    assert any(name.startswith("feature_extractor.video") for name in model.state_dict())
    with pytest.raises(MissingTensorsError, match=r"4 of 70 tensors .* are missing: feature_extractor"):
        build("embeddings_processor", transformer_path("2.5"))


@pytest.mark.parametrize("stem", ["2.0-tiny.upscaler-x2", "2.3-tiny.upscaler-x1.5", "2.3-tiny.upscaler-temporal"])
@pytest.mark.parametrize("keep_config", [True, False])
def test_upsamplers(tmp_path: Path, stem: str, keep_config: bool) -> None:
    path = GOLDEN / f"ltx-{stem}.safetensors"
    save_file(load_file(path), tmp_path / "x.safetensors", metadata(path) if keep_config else None)
    model = SingleGPUModelBuilder(LatentUpsamplerConfigurator, tmp_path / "x.safetensors").build(device="cpu")
    assert len(model.state_dict()) == len(load_file(path))


def test_duration_head() -> None:
    path = GOLDEN_25 / "model_patches/ltx-2.5-tiny-duration-head-bf16.safetensors"
    assert len(SingleGPUModelBuilder(DurationHeadConfigurator, path).build(device="cpu").state_dict()) == 15


@pytest.mark.parametrize("prefix", ["diffusion_model.", "", "model.model.", "net."])
def test_transformer_only_files(tmp_path: Path, version: str, prefix: str) -> None:
    path = repack(
        version, tmp_path / "x.safetensors", lambda k: prefix + k.removeprefix(P) if k.startswith(P) else None
    )
    assert_same(build("transformer", path), build("transformer", checkpoint_path(version)))


def test_connectors_and_projection_files(tmp_path: Path, version: str) -> None:
    expected = build("embeddings_processor", checkpoint_path(version))

    both = repack(version, tmp_path / "both.safetensors", kept("embeddings_connector", "text_embedding_projection"))
    assert_same(build("embeddings_processor", both), expected)
    connectors = repack(
        version,
        tmp_path / "c.safetensors",
        lambda key: key.removeprefix(P) if "embeddings_connector" in key else None,
    )
    projection = repack(version, tmp_path / "p.safetensors", kept("text_embedding_projection"))
    assert_same(build("embeddings_processor", (connectors, projection)), expected)


FLAGS = [
    "caption_proj_before_connector",
    "caption_projection_first_linear",
    "caption_proj_input_norm",
    "caption_projection_second_linear",
]


def rewritten(path: Path, version: str, change: Callable[[dict], None]) -> Path:
    """The golden checkpoint with another ``transformer`` section."""
    changed = config(checkpoint_path(version))
    change(changed["transformer"])
    save_file(load_file(checkpoint_path(version)), path, {"config": json.dumps(changed)})
    return path


@pytest.mark.parametrize("lost", [FLAGS[:1], FLAGS[1:], FLAGS[2:]])
def test_flags_that_a_repack_lost_are_known_from_the_tensors(
    tmp_path: Path, lost: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = rewritten(tmp_path / "x.safetensors", "2.3", lambda section: [section.pop(flag) for flag in lost])
    processor = build("embeddings_processor", path)
    assert_same(processor, build("embeddings_processor", checkpoint_path("2.3")))
    assert lost[0] in caplog.text


@pytest.mark.parametrize(
    ("version", "change"),
    [
        ("2.3", lambda section: [section.pop(flag) for flag in FLAGS]),  # LTX-2's config with LTX-2.3's tensors
        ("2.0", lambda section: section.update({FLAGS[0]: True})),
        ("2.3", lambda section: [section.pop(FLAGS[0]), section.update({FLAGS[1]: True})]),
    ],
)
def test_flags_that_contradict_the_tensors_are_refused(
    tmp_path: Path, version: str, change: Callable[[dict], None]
) -> None:
    path = rewritten(tmp_path / "x.safetensors", version, change)
    with pytest.raises((MissingTensorsError, ConfigError)):
        build("embeddings_processor", path)


def test_vae_and_audio_files(tmp_path: Path, version: str) -> None:
    combined = checkpoint_path(version)
    video = repack(version, tmp_path / "v.safetensors", stripped("vae."))
    bare = repack(version, tmp_path / "b.safetensors", stripped("audio_vae."))
    vocoder = repack(version, tmp_path / "w.safetensors", stripped("vocoder."))
    audio = repack(version, tmp_path / "a.safetensors", kept("audio_vae.", "vocoder."))
    for component in ("video_encoder", "video_decoder"):
        assert_same(build(component, video), build(component, combined))
    for component in ("audio_encoder", "audio_decoder"):
        assert_same(build(component, audio), build(component, combined))
        assert_same(build(component, bare), build(component, combined))
    for path in (audio, vocoder):
        assert_same(build("vocoder", path), build("vocoder", combined))


TO_DIFFUSERS = {
    r"^audio_patchify_proj\.": "audio_proj_in.",
    r"^patchify_proj\.": "proj_in.",
    r"^adaln_single\.": "time_embed.",
    r"^audio_adaln_single\.": "audio_time_embed.",
    r"^(audio_)?prompt_adaln_single\.": r"\1prompt_adaln.",
    r"^av_ca_video_scale_shift_adaln_single": "av_cross_attn_video_scale_shift",
    r"^av_ca_audio_scale_shift_adaln_single": "av_cross_attn_audio_scale_shift",
    r"^av_ca_a2v_gate_adaln_single": "av_cross_attn_video_a2v_gate",
    r"^av_ca_v2a_gate_adaln_single": "av_cross_attn_audio_v2a_gate",
    r"scale_shift_table_a2v_ca_(video|audio)$": r"\1_a2v_cross_attn_scale_shift_table",
    r"\.([qk])_norm\.": r".norm_\1.",
    r"^(video|audio)_embeddings_connector\.": r"\1_connector.",
    r"transformer_1d_blocks": "transformer_blocks",
    r"^text_embedding_projection\.((video_|audio_)?)aggregate_embed": r"\1text_proj_in",
}
VAE_TO_DIFFUSERS = {
    r"^(encoder\.down_blocks|decoder\.up_blocks)\.(\d+)\.(.*)": lambda m: _stage(m[1], int(m[2]), m[3]),
    r"\.res_blocks\.": ".resnets.",
    r"^per_channel_statistics\.mean-of-means": "latents_mean",
    r"^per_channel_statistics\.std-of-means": "latents_std",
}


def _stage(start: str, index: int, rest: str) -> str:
    half = start.split(".")[0]
    if (half, index) in (("encoder", 8), ("decoder", 0)):
        return f"{half}.mid_block.{rest}"
    sampler = "downsamplers" if half == "encoder" else "upsamplers"
    number = index // 2 if half == "encoder" else (index - 1) // 2
    return f"{start}.{number}.{sampler}.0.{rest}" if index % 2 else f"{start}.{number}.{rest}"


def to_diffusers(name: str, rules: Mapping[str, object] = TO_DIFFUSERS) -> str:
    for pattern, replacement in rules.items():
        name = re.sub(pattern, replacement, name)
    return name


def test_diffusers_names(tmp_path: Path, version: str) -> None:
    combined = checkpoint_path(version)
    transformer = repack(
        version,
        tmp_path / "t.safetensors",
        lambda k: to_diffusers(k.removeprefix(P)) if k.startswith(P) and "connector" not in k else None,
    )
    assert "time_embed.linear.weight" in load_file(transformer)
    assert_same(build("transformer", transformer), build("transformer", combined))
    connectors = repack(
        version,
        tmp_path / "c.safetensors",
        lambda k: to_diffusers(k.removeprefix(P)) if "connector" in k or k.startswith("text_") else None,
    )
    assert_same(build("embeddings_processor", connectors), build("embeddings_processor", combined))


@pytest.mark.parametrize("size", ["19b", "22b"])
def test_diffusers_names_of_the_full_size_vae(tmp_path: Path, size: str) -> None:
    shapes = {
        to_diffusers(key.removeprefix("vae."), VAE_TO_DIFFUSERS): shape
        for key, shape in inventory(size).items()
        if key.startswith("vae.")
    }
    assert "latents_mean" in shapes and "decoder.mid_block.resnets.0.conv1.conv.weight" in shapes
    path = sparse_checkpoint(tmp_path, shapes, {"config": published_config(size)})
    for component in ("video_encoder", "video_decoder"):
        SingleGPUModelBuilder(CONFIGURATORS[component], path).validate()


@pytest.mark.parametrize("size", ["19b", "22b"])
@pytest.mark.parametrize("component", CONFIGURATORS)
@pytest.mark.parametrize("with_config", [True, False])
def test_full_size_inventory(tmp_path: Path, size: str, component: str, with_config: bool) -> None:
    """The published tensors and nothing else, with and without the published config, from the header alone."""
    path = sparse_checkpoint(tmp_path, inventory(size), {"config": published_config(size)} if with_config else None)
    SingleGPUModelBuilder(CONFIGURATORS[component], path).validate()


@pytest.mark.parametrize("size", ["19b", "22b"])
def test_a_missing_tensor_of_a_full_size_file_is_found_at_once(tmp_path: Path, size: str) -> None:
    shapes = inventory(size)
    del shapes[f"{P}transformer_blocks.47.ff.net.2.weight"]
    path = sparse_checkpoint(tmp_path, shapes, {"config": published_config(size)})
    began = time.process_time()  # others may be using the machine
    with pytest.raises(MissingTensorsError, match=r"1 of \d+ tensors.*transformer_blocks.47.ff.net.2.weight"):
        SingleGPUModelBuilder(LTXModelConfigurator, path).build(device="cpu")
    assert time.process_time() - began < 2


def test_config_and_tensors_of_two_versions_are_refused(tmp_path: Path) -> None:
    path = sparse_checkpoint(tmp_path, inventory("22b"), {"config": published_config("19b")})
    with pytest.raises((MissingTensorsError, ShapeMismatchError), match="version"):
        SingleGPUModelBuilder(LTXModelConfigurator, path).validate()
    connectors = inventory("22b")
    connectors[f"{P}video_embeddings_connector.learnable_registers"] = (128, 7)
    path = sparse_checkpoint(tmp_path, connectors, {"config": published_config("22b")})
    with pytest.raises(ShapeMismatchError, match="size mismatch for"):
        SingleGPUModelBuilder(EmbeddingsProcessorConfigurator, path).validate()


def test_a_file_without_the_component_says_what_it_has() -> None:
    upsampler = GOLDEN / "ltx-2.3-tiny.upscaler-x2.safetensors"
    with pytest.raises(MissingTensorsError, match="has no transformer; it holds: upsampler"):
        SingleGPUModelBuilder(LTXModelConfigurator, upsampler).build(device="cpu")
    with pytest.raises(MissingTensorsError, match="has no upsampler; it holds: transformer"):
        SingleGPUModelBuilder(LatentUpsamplerConfigurator, checkpoint_path("2.3")).build(device="cpu")


def test_connectors_are_not_read_for_the_transformer(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = TensorFile.read
    monkeypatch.setattr(
        TensorFile, "read", lambda self, key, device="cpu": read.append(key) or original(self, key, device)
    )
    build("transformer", checkpoint_path(version))
    assert read and all(key.startswith(P) and "connector" not in key for key in read)
    assert len(read) == len(set(read))


VALUES = (
    st.none() | st.booleans() | st.integers(-(1 << 21), 1 << 21) | st.floats() | st.text(max_size=4) | st.just([[]])
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), component=st.sampled_from(sorted(CONFIGURATORS)), value=VALUES)
def test_any_config_value_builds_or_is_refused(
    tmp_path: Path, data: st.DataObject, component: str, value: object
) -> None:
    """One value of a real config replaced by anything: never an error of another kind, never a hang."""
    changed = config(checkpoint_path("2.3"))
    part: object = changed[SECTIONS[component]]
    while True:
        key = data.draw(st.sampled_from(list(part) if isinstance(part, dict) else range(len(part))))
        if not isinstance(part[key], (dict, list)) or not part[key] or data.draw(st.booleans()):
            break
        part = part[key]
    part[key] = value
    shapes = open_checkpoint(checkpoint_path("2.3")).shapes
    path = sparse_checkpoint(tmp_path, shapes, {"config": json.dumps(changed)})
    try:
        SingleGPUModelBuilder(CONFIGURATORS[component], path).validate()
    except (ValueError, NotImplementedError) as error:
        assert str(error)
