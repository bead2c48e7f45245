"""Tokenising prompts with either library (spec 05 §4)."""

from __future__ import annotations

import io
import json

import pytest
from transformers import AutoTokenizer

from ltx_core_impl.text_encoders.gemma import LTXVGemmaTokenizer, TextEncoderFileError, open_gemma
from ltx_core_impl.text_encoders.gemma.files import TokenizerFiles
from tests.text_helpers import GEMMA3, GEMMA4

sentencepiece = pytest.importorskip("sentencepiece")

SENTENCES = [
    "a red circle moves slowly to the left while a low tone plays",
    "the quick brown fox jumps over the lazy dog near the river bank",
    "worst quality, blurry, distorted, out of sync audio and 1234567890 numbers",
    "a woman walks along the beach at sunset, waves rolling in, seagulls calling",
]


@pytest.fixture(scope="module")
def spiece() -> bytes:
    """A SentencePiece model like Gemma's (spec 05 §16.3)."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 4),
        model_writer=model,
        model_type="bpe",
        vocab_size=320,
        hard_vocab_limit=False,
        byte_fallback=True,
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        split_digits=True,
        character_coverage=1.0,
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        pad_piece="<pad>",
        eos_piece="<eos>",
        bos_piece="<bos>",
        unk_piece="<unk>",
        user_defined_symbols=[
            *("<mask>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>", "<image_soft_token>"),
            *("\n", "\n\n"),
        ],
        minloglevel=2,
    )
    return model.getvalue()


def from_spiece(data: bytes, max_length: int = 1024) -> LTXVGemmaTokenizer:
    return LTXVGemmaTokenizer(TokenizerFiles("sentencepiece", data, {}), max_length=max_length)


@pytest.fixture(params=["sentencepiece", "gemma3", "gemma4"])
def tokenizer(request: pytest.FixtureRequest, spiece: bytes) -> LTXVGemmaTokenizer:
    if request.param == "sentencepiece":
        return from_spiece(spiece, max_length=16)
    files = open_gemma(GEMMA3 if request.param == "gemma3" else GEMMA4)
    return LTXVGemmaTokenizer(files.tokenizer(), max_length=16)


def test_empty_prompt_is_one_bos(tokenizer: LTXVGemmaTokenizer) -> None:
    for prompt in ("", "  \n "):
        ids, mask = tokenizer.pad(tokenizer.encode(prompt))
        assert ids.tolist() == [0] * 15 + [2]
        assert mask.tolist() == [0] * 15 + [1]


def test_bos_first_and_cut_at_the_end(tokenizer: LTXVGemmaTokenizer, caplog: pytest.LogCaptureFixture) -> None:
    whole = tokenizer.encode_whole(" ".join(SENTENCES))
    ids = tokenizer.encode(" ".join(SENTENCES))
    assert len(whole) > 16 and ids == whole[:16]
    assert f"has {len(whole)} tokens; only the first 16 count" in caplog.text
    assert ids[0] == 2 and 2 not in ids[1:] and tokenizer.eos_id not in ids


def test_prompt_is_stripped_and_padded_on_the_left(tokenizer: LTXVGemmaTokenizer) -> None:
    assert tokenizer.encode("  a red circle\n") == tokenizer.encode("a red circle")
    pairs = tokenizer.tokenize_with_weights("a red")["gemma"]
    ids = tokenizer.encode("a red")
    assert len(pairs) == 16 and pairs[-len(ids) :] == [(token, 1) for token in ids]
    assert set(pairs[: -len(ids)]) == {(0, 0)}


def test_decode_returns_the_text(tokenizer: LTXVGemmaTokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode_whole("a red circle")[1:]).strip() == "a red circle"


def test_special_tokens_in_the_text_are_recognised(spiece: bytes) -> None:
    assert from_spiece(spiece).encode("<start_of_turn>")[-1] == 5
    gemma = LTXVGemmaTokenizer(open_gemma(GEMMA3).tokenizer())
    assert gemma.encode("<start_of_turn>") == [2, gemma.token_id("<start_of_turn>")]


def test_parentheses_reach_the_tokenizer_unchanged(spiece: bytes) -> None:
    tokenizer = from_spiece(spiece)
    assert tokenizer.decode(tokenizer.encode_whole("(word:1.2)")[1:]) == "(word:1.2)"


@pytest.mark.parametrize("prompt", [*SENTENCES, "", 'Ünïcode 🎥, "quoted"  twice  spaced\n\nlines', "<end_of_turn>x"])
def test_agrees_with_transformers(prompt: str) -> None:
    ours = LTXVGemmaTokenizer(open_gemma(GEMMA3).tokenizer(), max_length=24)
    peer = AutoTokenizer.from_pretrained(GEMMA3, local_files_only=True)
    expected = peer(prompt.strip(), padding="max_length", max_length=24, truncation=True, padding_side="left")
    ids, mask = ours.pad(ours.encode(prompt))
    assert ids.tolist() == expected["input_ids"]
    assert mask.tolist() == expected["attention_mask"]


def test_damaged_tokenizers_are_named(spiece: bytes) -> None:
    with pytest.raises(TextEncoderFileError, match=r"tokenizer\.json is damaged"):
        LTXVGemmaTokenizer(TokenizerFiles("tokenizers", b'{"version": "1.0"', {}))
    with pytest.raises(TextEncoderFileError, match="SentencePiece tokenizer is damaged"):
        from_spiece(spiece[: len(spiece) // 2])


def test_other_tokenizers_are_refused() -> None:
    data = json.loads(open_gemma(GEMMA3).tokenizer().data)
    with pytest.raises(TextEncoderFileError, match="no token <s>; it is not Gemma's"):
        LTXVGemmaTokenizer(TokenizerFiles("tokenizers", json.dumps(data).encode(), {"bos_token": {"content": "<s>"}}))


def test_length_must_hold_the_bos() -> None:
    with pytest.raises(ValueError, match="max_length is 0; at least 1"):
        LTXVGemmaTokenizer(open_gemma(GEMMA3).tokenizer(), max_length=0)
