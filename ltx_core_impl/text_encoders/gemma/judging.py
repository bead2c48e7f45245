"""All that can be wrong with a text encoder's files, found without reading a weight."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from ...loader.foreign import SNIFF_BYTES, name_foreign_file
from .config import TextEncoderFileError
from .files import GemmaFiles, TokenizerFiles, open_gemma
from .loading import Gemma, check_complete, install_quantized_linears


def judge_text_encoder(path: str | Path) -> GemmaFiles:
    """Open a text encoder and check config, tokenizer, names and shapes from headers and side files alone.

    Raises:
        CheckpointError: as :func:`open_gemma` and :func:`load_gemma`, or a damaged tokenizer; names the file.
    """
    files = open_gemma(path)
    try:
        with torch.device("meta"):
            model = Gemma(files.config)
            install_quantized_linears(model, files)
    except (TypeError, KeyError, AttributeError, RuntimeError, ArithmeticError) as error:  # transformers' own
        raise TextEncoderFileError(
            f"{files.path}: its config describes no Gemma that transformers can build ({type(error).__name__}: "
            f"{error}). Copy config.json from the Gemma repository again."
        ) from error
    check_complete(files.path, model.state_dict(), files.tensors)
    _check_tokenizer(files.path, files.tokenizer())
    return files


def _check_tokenizer(path: Path, tokenizer: TokenizerFiles) -> None:
    """Whole and of its kind; the tokenizer itself takes a second to build, and is left for later."""
    if tokenizer.kind == "tokenizers":
        name, fault = "tokenizer.json", _fault_of_json(tokenizer.data)
    else:
        name, fault = "the SentencePiece tokenizer", _fault_of_sentencepiece(tokenizer.data)
    if fault:
        raise TextEncoderFileError(f"{path}: {name} is damaged ({fault}). Download it again.")


def _fault_of_json(data: bytes) -> str | None:
    try:
        model = json.loads(data)["model"]
        return None if isinstance(model, dict) and model.get("vocab") else "it has no vocabulary"
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        return name_foreign_file(data[:SNIFF_BYTES]) or f"it is no tokenizer: {error}"


def _fault_of_sentencepiece(data: bytes) -> str | None:
    # A serialised message whose first field is the list of pieces.
    return None if data[:1] == b"\n" else name_foreign_file(data[:SNIFF_BYTES]) or "it is no SentencePiece model"
