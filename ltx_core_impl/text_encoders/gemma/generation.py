"""Sampling text from Gemma 3, with a key/value cache (spec 05 §12.4)."""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from torch import Tensor

from .config import GemmaConfig
from .model import AttentionInputs, GemmaModel, KeyValueCache, rotary_tables, window_mask

TEMPERATURE = 0.7
TOP_K = 50


@torch.no_grad()
def generate(
    model: GemmaModel,
    embeddings: Tensor,
    *,
    max_new_tokens: int,
    stop_ids: Collection[int],
    seed: int,
    image_tokens: Tensor | None = None,
    callback: Callable[[int], None] | None = None,
) -> tuple[list[int], bool]:
    """Sample a continuation at temperature 0.7 from the 50 most likely tokens.

    Args:
        embeddings: ``(1, T, D)``, scaled token embeddings (and image features) of the request.
        stop_ids: tokens that end the answer.
        seed: of a private generator; the global random state is not touched.
        image_tokens: ``(T,)`` bool, positions of one image, which see each other in both directions.
        callback: called after each token with the number of tokens so far; may raise to stop.

    Returns:
        The new ids without the stop token, and whether the answer was ended by one.
    """
    length = embeddings.shape[1]
    caches = _caches(model.config, length + max_new_tokens, like=embeddings)
    generator = torch.Generator(embeddings.device).manual_seed(seed)
    state = _advance(model, embeddings, start=0, caches=caches, image_tokens=image_tokens)
    ids: list[int] = []
    while len(ids) < max_new_tokens:
        token = _sample(model.logits(state), generator)
        if token in stop_ids:
            return ids, True
        ids.append(token)
        if callback is not None:
            callback(len(ids))
        if len(ids) < max_new_tokens:
            step = model.embed(torch.tensor([[token]], device=embeddings.device))
            state = _advance(model, step, start=length + len(ids) - 1, caches=caches)
    return ids, False


def _caches(config: GemmaConfig, length: int, like: Tensor) -> list[KeyValueCache]:
    kinds = [config.kinds[layer_type] for layer_type in config.layer_types]
    shapes = [(like.shape[0], kind.key_value_heads, length, kind.head_dim) for kind in kinds]
    return [KeyValueCache(key=like.new_empty(shape), value=like.new_empty(shape)) for shape in shapes]


def _advance(
    model: GemmaModel, hidden: Tensor, start: int, caches: list[KeyValueCache], image_tokens: Tensor | None = None
) -> Tensor:
    """Run new positions through all layers; the normalised state ``(D,)`` of the last one."""
    end = start + hidden.shape[1]
    keys = torch.arange(end, device=hidden.device)
    queries = keys[start:]
    tables, masks = {}, {}
    for name, kind in model.config.kinds.items():
        tables[name] = rotary_tables(queries, kind, hidden.dtype)
        masks[name] = window_mask(queries, keys, kind.window)
        if image_tokens is not None:
            visible = queries[:, None] >= keys[None] if masks[name] is None else masks[name]
            masks[name] = visible | (image_tokens[:, None] & image_tokens[None])
    for layer, cache in zip(model.layers, caches, strict=True):
        cos, sin = tables[layer.layer_type]
        inputs = AttentionInputs(cos=cos, sin=sin, mask=masks[layer.layer_type], cache=cache)
        (hidden,) = layer([hidden], [inputs])
    return model.norm(hidden[0, -1])


def _sample(logits: Tensor, generator: torch.Generator) -> int:
    values, indices = (logits.float() / TEMPERATURE).topk(min(TOP_K, logits.shape[-1]))
    choice = torch.multinomial(values.softmax(dim=-1), num_samples=1, generator=generator)
    return int(indices[choice])
