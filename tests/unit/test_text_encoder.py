"""Encoding several prompts, and whether an encoder belongs to a checkpoint (spec 05 §5, §11, §15.2)."""

from __future__ import annotations

import dataclasses
import json
import logging

import pytest
import torch

from ltx_core_impl.text_encoders.gemma import (
    AVGemmaTextEncoderModel,
    GemmaConfig,
    TextEncoderMismatchError,
    VideoGemmaTextEncoderModel,
    check_gemma_version,
    open_gemma,
)
from ltx_core_impl.text_encoders.gemma.compatibility import parse_version
from tests.conftest import assert_close, metadata
from tests.text_helpers import GEMMA3, GEMMA4, PROMPTS, TRANSFORMER_25, load_model, load_processor, processor_paths

LONG = " ".join([*PROMPTS.values()] * 12)
BATCH = [PROMPTS["text-pos"], "", LONG, PROMPTS["text-neg"]]


@pytest.fixture(scope="module", params=["2.0", "2.3", "2.5"])
def model(request: pytest.FixtureRequest) -> AVGemmaTextEncoderModel:
    return load_model(request.param, max_length=128)


def test_each_prompt_of_a_batch_gives_exactly_what_it_gives_alone(model: AVGemmaTextEncoderModel) -> None:
    for prompt, output in zip(BATCH, model.encode(BATCH), strict=True):
        alone = model(prompt)
        assert output.video_encoding.shape[:2] == output.audio_encoding.shape[:2] == output.attention_mask.shape
        assert all(torch.equal(ours, single) for ours, single in zip(output, alone, strict=True))


def test_tokens_alone_give_what_the_padded_batch_gives(model: AVGemmaTextEncoderModel) -> None:
    states = model.text_encoder.hidden_states(BATCH)
    longest = max(state.shape[1] for state in states)
    assert longest == 128, "one prompt must be cut"
    padded = [torch.nn.functional.pad(state, (0, 0, 0, 0, 128 - state.shape[1], 0)) for state in states]
    mask = torch.tensor([[0] * (128 - state.shape[1]) + [1] * state.shape[1] for state in states])
    batch = model.embeddings_processor.process_hidden_states(torch.cat(padded), mask)
    for row, output in enumerate(model.encode(BATCH)):
        assert_close(batch.video_encoding[row : row + 1], output.video_encoding, tolerance=2e-6)
        assert_close(batch.audio_encoding[row : row + 1], output.audio_encoding, tolerance=2e-6)


def test_states_may_be_given_one_by_one(model: AVGemmaTextEncoderModel) -> None:
    hidden = torch.randn(1, 128, 32, 7, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(1, 128, dtype=torch.long)
    whole = model.embeddings_processor.process_hidden_states(hidden, mask)
    parts = model.embeddings_processor.process_hidden_states(hidden.unbind(-1), mask)
    assert torch.equal(whole.video_encoding, parts.video_encoding)


def test_states_of_a_prompt_depend_on_its_place_in_the_padded_sequence(model: AVGemmaTextEncoderModel) -> None:
    ids = torch.arange(2, 14)
    front, back = model.text_encoder.gemma.hidden_states([ids, ids], first_positions=[0, 116])
    assert_close(front, back, tolerance=1e-4)
    assert not torch.equal(front, back)


def test_video_encoder_gives_the_video_half() -> None:
    both = load_model("2.3", max_length=128)
    processor = load_processor(processor_paths("2.3"))
    processor.audio_connector = None
    video = VideoGemmaTextEncoderModel(both.text_encoder, processor)("a red circle")
    assert torch.equal(video.video_encoding, both("a red circle").video_encoding)
    assert video._fields == ("video_encoding", "attention_mask")


def test_a_text_instead_of_a_list_is_refused(model: AVGemmaTextEncoderModel) -> None:
    with pytest.raises(ValueError, match="takes a list of prompts"):
        model.encode("a red circle")


def test_length_must_fit_the_registers() -> None:
    with pytest.raises(ValueError, match="200 positions; it must be a multiple of the 128 registers"):
        load_model("2.0", max_length=200)("a red circle")


def test_bfloat16_is_close() -> None:
    model = load_model("2.3", max_length=128)
    expected = model("a red circle")
    actual = model.to(torch.bfloat16)("a red circle")
    assert actual.video_encoding.dtype == torch.bfloat16
    assert_close(actual.video_encoding, expected.video_encoding, tolerance=0.1)


def test_encoder_of_another_size_is_refused() -> None:
    processor = load_processor(processor_paths("2.0"))
    encoder = load_model("2.0").text_encoder
    config = encoder.gemma.config
    encoder.gemma.config = dataclasses.replace(config, layer_types=config.layer_types[:4])
    with pytest.raises(TextEncoderMismatchError, match=r"5 hidden states of width 32, 160 values.*takes 224"):
        AVGemmaTextEncoderModel(encoder, processor)


def gemma(version: str | None, model_type: str = "gemma4_unified") -> GemmaConfig:
    return dataclasses.replace(open_gemma(GEMMA4).config, gemma_version=version, model_type=model_type)


def source(version: str, model_version: str = "2.5.0") -> dict[str, str]:
    return {"gemma_source_checkpoint": json.dumps({"gemma_version": version}), "model_version": model_version}


def test_published_pairs_fit() -> None:
    check_gemma_version(open_gemma(GEMMA4).config, metadata(TRANSFORMER_25))
    check_gemma_version(open_gemma(GEMMA3).config, {"model_version": "2.3.0"})
    check_gemma_version(open_gemma(GEMMA3).config, {})


@pytest.mark.parametrize(
    ("config", "checkpoint", "message"),
    [
        (gemma("b"), source("a"), "trained with the text encoder a; this one is b"),
        (gemma(None), source("a"), "this one is a stock gemma4_unified without a version"),
        (gemma("a"), {"model_version": "2.4.0"}, "does not say which encoder it needs"),
        (gemma(None), {"model_version": "2.3.0"}, "is gemma4_unified; LTX-2 and LTX-2.3 checkpoints need Gemma 3"),
        (gemma("a"), {}, "need Gemma 3"),
    ],
)
def test_wrong_encoders_are_refused(config: GemmaConfig, checkpoint: dict[str, str], message: str) -> None:
    with pytest.raises(TextEncoderMismatchError, match=message):
        check_gemma_version(config, checkpoint)


def test_undeclared_encoder_is_only_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check_gemma_version(gemma(None, model_type="gemma3"), {"model_version": "2.5.0"})
    assert "does not name its text encoder" in caplog.text


@pytest.mark.parametrize(
    ("text", "version"),
    [("2.5.0", (2, 5, 0)), ("2.5.rc1.3", (2, 5)), ("2.5.0-rc1", (2, 5)), ("x", ()), ("", ()), (None, ())],
)
def test_versions(text: str | None, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version


def test_layers_can_be_streamed_from_the_cpu() -> None:
    """Blocks of the language model run in order and once per batch, which streaming relies on."""
    encoder = load_model("2.3", max_length=128).text_encoder
    calls: list[int] = []
    for index, layer in enumerate(encoder.gemma.language_model.layers):
        layer.register_forward_pre_hook(lambda *_, index=index: calls.append(index))
    encoder.hidden_states(BATCH)
    assert calls == list(range(6))
