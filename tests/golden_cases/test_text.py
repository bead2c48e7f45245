"""Prompts to contexts, as the reference computes them: LTX-2, LTX-2.3 and LTX-2.5."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch

from ltx_core_impl.text_encoders.gemma import AVGemmaTextEncoderModel
from tests.conftest import assert_close, golden
from tests.text_helpers import PROMPTS, load_model, load_processor, processor_paths

ALL_VERSIONS = ("2.0", "2.3", "2.5")
CASES = [(version, case) for version in ALL_VERSIONS for case in PROMPTS]

_model = lru_cache(load_model)


def model(version: str) -> AVGemmaTextEncoderModel:
    return _model(version)


@pytest.mark.parametrize(("version", "case"), CASES)
def test_token_ids_and_mask_are_exact(version: str, case: str) -> None:
    expected = golden(version, case)
    tokenizer = model(version).text_encoder.tokenizer
    ids, mask = tokenizer.pad(tokenizer.encode(PROMPTS[case]))
    assert torch.equal(ids, expected["ids"][0])
    assert torch.equal(mask, expected["attention_mask"][0])


@pytest.mark.parametrize(("version", "case"), CASES)
def test_hidden_states_of_the_tokens(version: str, case: str) -> None:
    expected = golden(version, case)
    (states,) = model(version).text_encoder.hidden_states([PROMPTS[case]])
    reference = expected["hidden_last" if version == "2.5" else "hidden_last48"]
    assert_close(states, reference[:, -states.shape[1] :])


@pytest.mark.parametrize(("version", "case"), CASES)
def test_contexts(version: str, case: str) -> None:
    expected = golden(version, case)
    output = model(version)(PROMPTS[case])
    for stream, context in (("video", output.video_encoding), ("audio", output.audio_encoding)):
        assert_close(context[:, :64], expected[f"{stream}_first64"])
        assert_close(context[:, -64:], expected[f"{stream}_last64"])
        assert_close(context.mean(dim=1), expected[f"{stream}_mean"])
    assert torch.equal(output.attention_mask, expected["mask"])


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_features_and_connectors(version: str) -> None:
    expected = golden(version, "features")
    processor = load_processor(processor_paths(version))
    features = processor.feature_extractor(expected["hidden"], mask=expected["attention_mask"])
    assert_close(features.video, expected["video_features"])
    assert_close(features.audio, expected["audio_features"])
    output = processor.process_hidden_states(expected["hidden"], expected["attention_mask"])
    assert_close(output.video_encoding, expected["video_context"])
    assert_close(output.audio_encoding, expected["audio_context"])
    assert torch.equal(output.attention_mask, expected["mask"])
