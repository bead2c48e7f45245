"""Every value of every config, made wrong: the model builds all the same, or a sentence names file and key."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ltx_core_impl.loader import SingleGPUModelBuilder
from ltx_core_impl.loader.errors import CheckpointError
from ltx_core_impl.model.audio_vae import AudioDecoderConfigurator, AudioEncoderConfigurator, VocoderConfigurator
from ltx_core_impl.model.transformer import LTXModelConfigurator
from ltx_core_impl.model.upsampler import LatentUpsamplerConfigurator
from ltx_core_impl.model.video_vae import VideoDecoderConfigurator, VideoEncoderConfigurator
from ltx_core_impl.text_encoders.duration_head import DurationHeadConfigurator
from ltx_core_impl.text_encoders.gemma import EmbeddingsProcessorConfigurator
from tests.conftest import TESTS

WRONG = (True, 0, -1, "x", [], {}, None, float("inf"), 1 << 40)

VIDEO = (VideoEncoderConfigurator, VideoDecoderConfigurator)
AUDIO = (AudioEncoderConfigurator, AudioDecoderConfigurator, VocoderConfigurator)
GOLDEN, GOLDEN25 = TESTS / "golden", TESTS / "golden25"
FILES = {
    GOLDEN / "ltx-2.0-tiny.safetensors": (LTXModelConfigurator, EmbeddingsProcessorConfigurator, *VIDEO, *AUDIO),
    GOLDEN / "ltx-2.3-tiny.safetensors": (LTXModelConfigurator, EmbeddingsProcessorConfigurator, *VIDEO, *AUDIO),
    GOLDEN / "ltx-2.0-tiny.upscaler-x2.safetensors": (LatentUpsamplerConfigurator,),
    GOLDEN / "ltx-2.3-tiny.upscaler-temporal.safetensors": (LatentUpsamplerConfigurator,),
    GOLDEN25 / "diffusion_models/ltx-2.5-tiny-transformer-bf16.safetensors": (LTXModelConfigurator,),
    GOLDEN25 / "vae/ltx-2.5-tiny-video-vae-bf16.safetensors": VIDEO,
    GOLDEN25 / "vae/ltx-2.5-tiny-video-vae-conv-bf16.safetensors": VIDEO,
    GOLDEN25 / "vae/ltx-2.5-tiny-audio-vae-bf16.safetensors": AUDIO,
    GOLDEN25 / "model_patches/ltx-2.5-tiny-duration-head-bf16.safetensors": (DurationHeadConfigurator,),
}
SECTION = {
    "transformer": "transformer",
    "embeddings_processor": "transformer",
    "video_encoder": "vae",
    "video_decoder": "vae",
    "audio_encoder": "audio_vae",
    "audio_decoder": "audio_vae",
    "vocoder": "vocoder",
    "upsampler": None,
    "duration_head": "transformer",
}

Path_ = tuple[Any, ...]


class Case(NamedTuple):
    """One component of one file."""

    file: Path
    configurator: Any

    @property
    def name(self) -> str:
        return f"{self.file.stem}-{self.configurator.component}"


CASES = [Case(file, configurator) for file, all_of_it in FILES.items() for configurator in all_of_it]


def header_of(file: Path) -> tuple[dict, int]:
    """The header, and where the tensors begin."""
    with open(file, "rb") as source:
        (length,) = struct.unpack("<Q", source.read(8))
        return json.loads(source.read(length)), 8 + length


def places(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Paths of all values; of a list of equals the first and the last."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for index in sorted({0, len(value) - 1} if value else set()):
            yield from places(value[index], (*path, index))


def changed(config: dict, path: Path_, value: Any) -> dict:
    """A copy with one other value."""
    config = copy.deepcopy(config)
    inner: Any = config
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return config


class Rewritten:
    """A copy of a file whose config is written anew, again and again, before a hole for its tensors."""

    def __init__(self, file: Path, folder: Path) -> None:
        self.header, start = header_of(file)
        self.data_bytes = file.stat().st_size - start
        self.path = folder / file.name
        self.config = json.loads(self.header["__metadata__"]["config"])

    def write(self, config: dict) -> None:
        self.header["__metadata__"]["config"] = json.dumps(config)
        text = json.dumps(self.header).encode()
        with open(self.path, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            file.truncate(8 + len(text) + self.data_bytes)


def key_of(path: Path_) -> str:
    return next(step for step in reversed(path) if isinstance(step, str))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_wrong_value_builds_or_is_said(case: Case, tmp_path: Path) -> None:
    file = Rewritten(case.file, tmp_path)
    builder = SingleGPUModelBuilder(case.configurator, file.path)
    file.write(file.config)
    builder.validate()
    section = SECTION[case.configurator.component]
    root: Path_ = () if section is None else (section,)
    start = file.config if section is None else file.config[section]
    all_places = list(places(start, root))
    said, unclear = 0, []
    for number, path in enumerate(all_places):
        # All values at each place of a small config; of a large one one, so that the places share them out.
        few = [WRONG[number % len(WRONG)]]
        for value in WRONG if len(all_places) < 30 else few:
            file.write(changed(file.config, path, value))
            try:
                builder.validate()
            except CheckpointError as error:
                said += 1
                if str(file.path) not in str(error) or key_of(path) not in str(error):
                    unclear.append(f"{'.'.join(map(str, path))} = {value!r}: {error}")
            except Exception as error:  # what no user should see
                unclear.append(f"{'.'.join(map(str, path))} = {value!r}: {error!r}")
    assert not unclear, "\n".join(unclear)
    assert said > len(all_places) // 5  # many a value is one that the component does not read


@pytest.mark.parametrize(
    ("configurator", "path", "value", "words"),
    [
        (LTXModelConfigurator, ("transformer", "num_layers"), True, "transformer.num_layers is true; a whole number"),
        (LTXModelConfigurator, ("transformer", "num_layers"), 3, "transformer.num_layers is 3, the tensors say 4"),
        (LTXModelConfigurator, ("transformer", "num_layers"), 0, "transformer.num_layers is 0; a whole number from 1"),
        (
            LTXModelConfigurator,
            ("transformer", "apply_gated_attention"),
            False,
            "transformer.apply_gated_attention is False, the tensors say True",
        ),
        (LTXModelConfigurator, ("transformer", "norm_eps"), "1e-6", 'transformer.norm_eps is "1e-6"; a number above 0'),
        (LTXModelConfigurator, ("transformer", "positional_embedding_max_pos"), [20, 0, 2048], "max_pos[1] is 0;"),
        (VideoEncoderConfigurator, ("vae", "patch_size"), 0, "vae.patch_size is 0; a whole number from 1"),
        (VideoDecoderConfigurator, ("vae", "decoder_blocks", 0), ["res_x"], "vae.decoder_blocks[0] is"),
        (VideoDecoderConfigurator, ("vae", "decoder_blocks", 0), ["res_x", {}], "decoder_blocks[0][1].num_layers"),
        (AudioDecoderConfigurator, ("audio_vae", "model", "params", "ddconfig", "ch_mult"), [], "ddconfig.ch_mult is"),
        (AudioEncoderConfigurator, ("audio_vae", "preprocessing", "stft", "hop_length"), 0, "stft.hop_length is 0;"),
        (VocoderConfigurator, ("vocoder", "bwe", "hop_length"), 0, "vocoder.bwe.hop_length is 0;"),
        (EmbeddingsProcessorConfigurator, ("transformer", "connector_num_layers"), 1, "connector_num_layers is 1, the"),
    ],
)
def test_a_value_is_named_with_what_is_needed(
    configurator: Any, path: Path_, value: Any, words: str, tmp_path: Path
) -> None:
    file = Rewritten(GOLDEN / "ltx-2.3-tiny.safetensors", tmp_path)
    file.write(changed(file.config, path, value))
    with pytest.raises(CheckpointError) as caught:
        SingleGPUModelBuilder(configurator, file.path).validate()
    assert str(file.path) in str(caught.value) and words in str(caught.value)
