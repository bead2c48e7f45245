"""The text encoders under the names of the library's README: prompts in, contexts out (spec 05 §5, §11)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...loader.lora_file import LoraPathStrengthAndSDOps
from .adapters import GemmaDeltas, match_loras
from .compatibility import check_projection_fits
from .embeddings_processor import EmbeddingsProcessor, EmbeddingsProcessorOutput
from .files import open_gemma
from .loading import Gemma, load_gemma
from .tokenizer import DEFAULT_MAX_LENGTH, LTXVGemmaTokenizer


class AVGemmaEncoderOutput(NamedTuple):
    """Contexts ``(1, T, D_v)`` and ``(1, T, D_a)`` of one prompt, and a mask ``(1, T)`` of ones."""

    video_encoding: Tensor
    audio_encoding: Tensor
    attention_mask: Tensor


class VideoGemmaEncoderOutput(NamedTuple):
    """Context ``(1, T, D_v)`` of one prompt and a mask ``(1, T)`` of ones."""

    video_encoding: Tensor
    attention_mask: Tensor


class GemmaTextEncoder(nn.Module):
    """Gemma and its tokenizer: the first half of encoding, which can be freed before the second half is loaded."""

    def __init__(self, gemma: Gemma, tokenizer: LTXVGemmaTokenizer, image_processor: Mapping[str, Any] | None = None):
        """``image_processor``: the file's preprocessor_config.json; empty or ``None`` for the published one."""
        super().__init__()
        self.gemma = gemma
        self.tokenizer = tokenizer
        self.image_processor = image_processor or {}

    @torch.no_grad()
    def hidden_states(self, prompts: Sequence[str]) -> list[Tensor]:
        """All hidden states ``(1, n, D, L)`` of the ``n`` tokens of each prompt.

        The tokens sit where they do in a sequence padded on the left to ``tokenizer.max_length``. A prompt's states
        do not depend on the others.
        """
        ids = [self.tokenizer.encode(prompt) for prompt in prompts]
        device = self.gemma.language_model.embed_tokens.weight.device
        return self.gemma.hidden_states(
            [torch.tensor(prompt, device=device) for prompt in ids],
            first_positions=[self.tokenizer.max_length - len(prompt) for prompt in ids],
        )


def load_text_encoder(
    path: str | Path,
    *,
    dtype: torch.dtype = torch.bfloat16,
    device: torch.device | str = "cpu",
    max_length: int = DEFAULT_MAX_LENGTH,
    with_vision: bool = False,
    progress: Callable[[int, int], None] | None = None,
    loras: Sequence[LoraPathStrengthAndSDOps] = (),
) -> GemmaTextEncoder:
    """Gemma and its tokenizer from a Hugging Face folder or a single file.

    ``loras`` are added to its weights while they are read, in this order. See :func:`load_gemma` and
    :func:`match_loras` for errors.
    """
    files = open_gemma(path)
    tokenizer = LTXVGemmaTokenizer(files.tokenizer(), max_length=max_length)
    with GemmaDeltas(match_loras(files, loras), device) as deltas:
        gemma = load_gemma(files, dtype=dtype, device=device, with_vision=with_vision, progress=progress, deltas=deltas)
    return GemmaTextEncoder(gemma, tokenizer, files.image_processor() if with_vision else None)


class _GemmaTextEncoderModel(nn.Module):
    def __init__(self, text_encoder: GemmaTextEncoder, embeddings_processor: EmbeddingsProcessor):
        super().__init__()
        check_projection_fits(text_encoder.gemma.config, embeddings_processor.feature_extractor.in_features)
        self.text_encoder = text_encoder
        self.embeddings_processor = embeddings_processor

    @torch.no_grad()
    def _process(self, prompts: Sequence[str]) -> list[EmbeddingsProcessorOutput]:
        if isinstance(prompts, str):
            raise ValueError("encode takes a list of prompts; a single text was given. Put it in a list.")
        length = self.text_encoder.tokenizer.max_length
        states = self.text_encoder.hidden_states(prompts)
        states.reverse()
        # Each stack of states is dropped as soon as it is reduced; it is far larger than the result.
        return [self.embeddings_processor.process_prompt(states.pop(), length=length) for _ in range(len(states))]


class AVGemmaTextEncoderModel(_GemmaTextEncoderModel):
    """Encodes prompts for both streams.

    Raises:
        TextEncoderMismatchError: the encoder does not fit the checkpoint's projection.
    """

    def encode(self, prompts: Sequence[str]) -> list[AVGemmaEncoderOutput]:
        """One output per prompt; each is what the prompt gives alone."""
        return [AVGemmaEncoderOutput(*output) for output in self._process(prompts)]

    def forward(self, prompt: str) -> AVGemmaEncoderOutput:
        """The contexts of one prompt."""
        return self.encode([prompt])[0]


class VideoGemmaTextEncoderModel(_GemmaTextEncoderModel):
    """Encodes prompts for the video stream alone; its processor may lack an audio connector.

    Raises:
        TextEncoderMismatchError: the encoder does not fit the checkpoint's projection.
    """

    def encode(self, prompts: Sequence[str]) -> list[VideoGemmaEncoderOutput]:
        """One output per prompt; each is what the prompt gives alone."""
        return [
            VideoGemmaEncoderOutput(output.video_encoding, output.attention_mask) for output in self._process(prompts)
        ]

    def forward(self, prompt: str) -> VideoGemmaEncoderOutput:
        """The context of one prompt."""
        return self.encode([prompt])[0]
