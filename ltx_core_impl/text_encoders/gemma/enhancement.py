"""Rewriting a short prompt into a detailed one with Gemma 3, or with a Gemma 4 that writes (spec 05 §12, §15.5)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..writing_settings import DEFAULT_SEED, MAX_NEW_TOKENS, Sampling
from .encoder import GemmaTextEncoder
from .generation import generate
from .images import image_pixels
from .system_prompts import GEMMA4_TEXT_TO_VIDEO, IMAGE_TO_VIDEO, TEXT_TO_VIDEO
from .writer import PromptWriter

_TURN_START, _TURN_END = "<start_of_turn>", "<end_of_turn>"
_IMAGE_START, _IMAGE_END, _IMAGE_TOKEN = "<start_of_image>", "<end_of_image>", "<image_soft_token>"
_PLAIN = str.maketrans({"‘": "'", "’": "'", "′": "'", "“": '"', "”": '"', "—": "-", "–": "-", "−": "-", "\xa0": " "})


class PromptEnhancementError(RuntimeError):
    """No usable enhanced prompt came out; the original prompt is untouched."""


def enhance_prompt(
    encoder: GemmaTextEncoder | PromptWriter,
    prompt: str,
    *,
    image: Tensor | None = None,
    system_prompt: str | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
    seed: int = DEFAULT_SEED,
    sampling: Sampling | None = None,
    callback: Callable[[int], None] | None = None,
) -> str:
    """Expand a prompt, from its text or from its text and the first frame.

    Args:
        image: ``(H, W, 3)``, uint8 or float in [0, 1]; the encoder must have been loaded with its vision tower.
        system_prompt: instructions instead of the built-in ones.
        sampling: how tokens are chosen; ``None`` for temperature 0.7 among the 50 likeliest.
        callback: called after each generated token with the number so far; may raise to stop.

    Raises:
        ValueError: an empty prompt or system prompt, or ``max_new_tokens`` below 1.
        PromptEnhancementError: the encoder cannot write, has no vision tower for ``image``, or its answer was empty
            or not finished within ``max_new_tokens``.
    """
    writes_alone = isinstance(encoder, PromptWriter)
    if system_prompt is None:
        from_text = GEMMA4_TEXT_TO_VIDEO if writes_alone else TEXT_TO_VIDEO
        system_prompt = from_text if image is None else IMAGE_TO_VIDEO
    if not prompt.strip() or not system_prompt.strip() or max_new_tokens < 1:
        raise ValueError(
            f"Enhancing needs a prompt, a system prompt and room for an answer; got a prompt of {len(prompt)} and a "
            f"system prompt of {len(system_prompt)} characters and max_new_tokens {max_new_tokens}."
        )
    tokenizer = encoder.tokenizer
    if writes_alone:
        _check_text_alone(image)
        writer, stop_ids = encoder.writer, encoder.stop_ids
        asked = encoder.request(prompt, system_prompt)
    else:
        _check_can_write(encoder, image)
        writer, stop_ids = encoder.gemma.writer, {tokenizer.eos_id, tokenizer.token_id(_TURN_END)}
        asked = request(encoder, prompt, system_prompt, image)
    answer, finished = generate(
        writer,
        **asked,
        max_new_tokens=max_new_tokens,
        stop_ids=stop_ids,
        seed=seed,
        sampling=sampling,
        callback=callback,
    )
    text = clean_response(tokenizer.decode(answer)).strip()
    if not finished:
        raise PromptEnhancementError(
            f"The enhanced prompt was not finished after {max_new_tokens} tokens (it ends in {text[-60:]!r}). Allow "
            "more tokens, change the seed, or use the prompt as it is."
        )
    if not text:
        raise PromptEnhancementError("The enhanced prompt came out empty. Change the seed or use the prompt as it is.")
    return text


def request_text(prompt: str, system_prompt: str, image_tokens: int = 0) -> str:
    """The chat request as one text, without the leading BOS; ``image_tokens`` is 0 without an image."""
    if image_tokens:
        soft = f"\n\n{_IMAGE_START}{_IMAGE_TOKEN * image_tokens}{_IMAGE_END}\n\n"
        user = soft + f"User Raw Input Prompt: {prompt}.".strip()
    else:
        user = f"user prompt: {prompt}".strip()
    return f"{_TURN_START}user\n{system_prompt}\n\n{user}{_TURN_END}\n{_TURN_START}model\n"


def request_ids(encoder: GemmaTextEncoder, prompt: str, system_prompt: str, with_image: bool) -> list[int]:
    """Token ids of the request; BOS twice, once from the chat template and once from the tokenizer."""
    vision = encoder.gemma.config.vision
    count = vision.tokens_per_image if with_image and vision else 0
    tokenizer = encoder.tokenizer
    return [tokenizer.bos_id, *tokenizer.encode_whole(request_text(prompt, system_prompt, image_tokens=count))]


def clean_response(text: str) -> str:
    """Plain quotes, dashes and spaces; nothing before the first letter (spec 05 §12.6)."""
    text = text.translate(_PLAIN)
    first = next((index for index, character in enumerate(text) if character.isalpha()), 0)
    return text[first:]


def _check_text_alone(image: Tensor | None) -> None:
    if image is not None:
        raise PromptEnhancementError(
            "Gemma 4 writes from the text alone here; its vision tower is not read. Disconnect the image, or let a "
            "Gemma 3 12B with vision write."
        )


def _check_can_write(encoder: GemmaTextEncoder, image: Tensor | None) -> None:
    if encoder.gemma.config.is_gemma4:
        raise PromptEnhancementError(
            "The text encoder of LTX-2.5 was trained to encode and cannot write text. Load a Gemma 3 12B text encoder "
            "for enhancing, a Gemma 4 E2B with 'LTX-2 Load Prompt Writer', or use the prompt as it is."
        )
    if image is not None and encoder.gemma.vision_tower is None:
        raise PromptEnhancementError(
            "The text encoder was loaded without its vision tower (or its file has none), so it cannot look at the "
            "image. Load a complete Gemma 3 12B with vision, or enhance from the text alone."
        )


def request(encoder: GemmaTextEncoder, prompt: str, system_prompt: str, image: Tensor | None) -> dict[str, Tensor]:
    """What :func:`generate` is asked: ``ids`` ``(T,)`` and, with an image, ``pixels`` and ``image_tokens``."""
    model = encoder.gemma.language_model
    device, dtype = model.embed_tokens.weight.device, model.norm.weight.dtype
    ids = torch.tensor(request_ids(encoder, prompt, system_prompt, with_image=image is not None), device=device)
    if image is None:
        return {"ids": ids}
    pixels = image_pixels(image, encoder.gemma.config.vision.image_size, encoder.image_processor)
    image_tokens = ids == encoder.tokenizer.token_id(_IMAGE_TOKEN)
    return {"ids": ids, "pixels": pixels.to(device, dtype), "image_tokens": image_tokens}
