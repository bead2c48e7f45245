"""Prompt to token ids: BOS first, cut at the end, padded at the start (spec 05 §4)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from .config import TextEncoderFileError
from .files import TokenizerFiles

logger = logging.getLogger(__name__)

DEFAULT_MAX_LENGTH = 1024


class TokenizerBackend(Protocol):
    """What a tokenizer library has to offer."""

    def encode(self, text: str) -> list[int]:
        """Ids without padding or truncation; special tokens written in the text become their ids."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text without special tokens."""

    def token_id(self, token: str) -> int | None:
        """The id of a token, ``None`` when there is no such token."""


class _TokenizersBackend:
    """tokenizer.json through the ``tokenizers`` library."""

    def __init__(self, data: bytes):
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_str(data.decode("utf-8"))
        except Exception as error:  # the library raises bare exceptions
            raise TextEncoderFileError(f"tokenizer.json is damaged ({error}). Download it again.") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text).ids

    def decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)

    def token_id(self, token: str) -> int | None:
        return self._tokenizer.token_to_id(token)


class _SentencePieceBackend:
    """tokenizer.model, or the ``spiece_model`` bytes of a single file, through ``sentencepiece``."""

    def __init__(self, data: bytes):
        try:
            import sentencepiece
        except ImportError as error:
            raise TextEncoderFileError(
                "This text encoder's tokenizer is a SentencePiece model and the package `sentencepiece` is not "
                "installed. Install it, or put Gemma's tokenizer.json beside the weights."
            ) from error
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(data)
        except RuntimeError as error:
            raise TextEncoderFileError(f"The SentencePiece tokenizer is damaged ({error}).") from error

    def encode(self, text: str) -> list[int]:
        return [self._processor.bos_id(), *self._processor.encode(text, add_bos=False, add_eos=False)]

    def decode(self, ids: Sequence[int]) -> str:
        return self._processor.decode(list(ids))

    def token_id(self, token: str) -> int | None:
        index = self._processor.piece_to_id(token)
        return None if index == self._processor.unk_id() and token != "<unk>" else index  # noqa: S105


class LTXVGemmaTokenizer:
    """Tokenises prompts for the encoder.

    Args:
        files: where the tokenizer comes from (:meth:`GemmaFiles.tokenizer`).
        max_length: ids kept per prompt, BOS included; also the padded length.
    """

    def __init__(self, files: TokenizerFiles, max_length: int = DEFAULT_MAX_LENGTH):
        if max_length < 1:
            raise ValueError(f"max_length is {max_length}; at least 1 (the BOS token) is needed.")
        backends = {"tokenizers": _TokenizersBackend, "sentencepiece": _SentencePieceBackend}
        self.backend: TokenizerBackend = backends[files.kind](files.data)
        self.max_length = max_length
        self.bos_id = self.token_id(_special(files.config, "bos_token", "<bos>"))
        self.eos_id = self.token_id(_special(files.config, "eos_token", "<eos>"))
        pad = self.backend.token_id(_special(files.config, "pad_token", "<pad>"))
        self.pad_id = self.eos_id if pad is None else pad

    def token_id(self, token: str) -> int:
        """The id of a special token.

        Raises:
            TextEncoderFileError: the tokenizer does not know it.
        """
        index = self.backend.token_id(token)
        if index is None:
            raise TextEncoderFileError(f"The tokenizer has no token {token}; it is not Gemma's.")
        return index

    def encode(self, text: str) -> list[int]:
        """Ids of the stripped prompt, BOS first, cut to ``max_length``; at least the BOS."""
        ids = self.encode_whole(text.strip())
        if len(ids) > self.max_length:
            logger.warning("The prompt has %d tokens; only the first %d count.", len(ids), self.max_length)
        return ids[: self.max_length]

    def encode_whole(self, text: str) -> list[int]:
        """Ids of the text as it is, BOS first, of any length."""
        ids = self.backend.encode(text)
        return ids if ids[:1] == [self.bos_id] else [self.bos_id, *ids]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated ids, special tokens left out."""
        return self.backend.decode(ids)

    def pad(self, ids: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Left-pad to ``max_length``: ids and mask (1 = token), both ``(max_length,)`` int64."""
        padding = self.max_length - len(ids)
        padded = torch.tensor([self.pad_id] * padding + list(ids))
        mask = torch.tensor([0] * padding + [1] * len(ids))
        return padded, mask

    def tokenize_with_weights(self, text: str) -> dict[str, list[tuple[int, int]]]:
        """The padded prompt as ``{"gemma": [(id, mask), …]}``."""
        ids, mask = self.pad(self.encode(text))
        return {"gemma": list(zip(ids.tolist(), mask.tolist(), strict=True))}


def _special(config: Mapping, name: str, default: str) -> str:
    token = config.get(name) or default
    return token["content"] if isinstance(token, Mapping) else token
